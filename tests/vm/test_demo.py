"""`make demo` ends by itself and says what happened."""

import pathlib
import subprocess
import sys

import pytest

from switch import BINARY

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.timeout(180)
def test_the_demo_ends_by_itself_with_a_summary():
    run = subprocess.run([sys.executable, "-B", ROOT / "tests/vm/demo.py", BINARY, ROOT / "config/demo.yaml"], cwd=ROOT,
                         capture_output=True, text=True, timeout=170)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "5 of 5 pings were answered" in run.stdout
    assert "without a checksum error" in run.stdout
    for command in ("ports", "flows", "fdb", "pmds", "drops"):
        assert f"$ sluice show {command}\n" in run.stdout
    assert not pathlib.Path("/tmp/sluice-demo").exists()
