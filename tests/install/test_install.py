"""`make install` into a folder of the test's own: what lands where, and that it works from there."""

import os
import pathlib
import subprocess

import pytest

SOURCE = pathlib.Path(os.environ["SLUICE_SOURCE_DIR"])
BUILD = pathlib.Path(os.environ["SLUICE_BUILD_DIR"])
EXAMPLES = sorted(path.name for path in (SOURCE / "config").glob("*.yaml"))


@pytest.fixture(scope="module")
def there(tmp_path_factory):
    """Where /usr would be, after the command that `make install` runs, on the build that is tested."""
    destination = tmp_path_factory.mktemp("destination")
    printed = subprocess.run(["make", "--dry-run", "install", f"DESTDIR={destination}", "PREFIX=/usr"],
                             cwd=SOURCE, check=True, capture_output=True, text=True).stdout
    (command,) = [line for line in printed.splitlines() if line.startswith("DESTDIR=")]
    subprocess.run(command.replace("build/release", str(BUILD)), shell=True, cwd=SOURCE, check=True, capture_output=True)
    return destination / "usr"


def test_one_binary_the_examples_and_the_completion_land_where_such_things_are_and_nothing_else(there):
    installed = {str(path.relative_to(there.parent)) for path in there.parent.rglob("*") if not path.is_dir()}
    assert installed == {"usr/bin/sluice", "usr/share/bash-completion/completions/sluice",
                         "usr/share/sluice/config/sluice.service",
                         *(f"usr/share/sluice/config/{name}" for name in EXAMPLES)}
    assert os.access(there / "bin/sluice", os.X_OK)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_installed_binary_takes_each_installed_example(there, name):
    run = subprocess.run([there / "bin/sluice", "check", there / "share/sluice/config" / name], cwd="/", env={},
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_installed_completion_is_the_binarys_own_and_completes_its_commands(there):
    file = there / "share/bash-completion/completions/sluice"
    assert file.read_text() == subprocess.run([there / "bin/sluice", "completion", "bash"], check=True, capture_output=True, text=True).stdout
    words = subprocess.run(["bash", "-c", f"source {file}; COMP_WORDS=(sluice rep); COMP_CWORD=1; "
                            "$(complete -p sluice | sed -E 's/.*-F ([^ ]+).*/\\1/') sluice rep sluice; echo ${COMPREPLY[@]}"],
                           check=True, capture_output=True, text=True).stdout
    assert words.split() == ["replay"]
