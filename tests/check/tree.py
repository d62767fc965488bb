"""What the checks share: which files are the project's, and how a check ends."""

import pathlib
import subprocess
import sys


def root() -> pathlib.Path:
    return pathlib.Path(sys.argv[1])


def files(*patterns: str) -> list[pathlib.Path]:
    """The project's files, tracked or about to be, by glob; paths relative to the root."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={root()}", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *patterns],
        cwd=root(), check=True, capture_output=True, text=True).stdout
    return sorted({pathlib.Path(name) for name in listed.split("\0") if name and (root() / name).exists()})


def finish(problems: list[str], checked: int) -> None:
    """A check that looked at nothing has failed too."""
    for problem in problems:
        print(problem)
    print(f"{checked} checked, {len(problems)} problems")
    sys.exit(1 if problems or checked == 0 else 0)
