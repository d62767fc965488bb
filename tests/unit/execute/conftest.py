"""The switch's execute and egress, as a function of a frame."""

import os
import subprocess

import pytest

PROGRAM = os.path.join(os.environ["SLUICE_TEST_PROGRAMS"], "execute", "execute_frames")


@pytest.fixture(scope="module")
def switch():
    process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def execute(frame, actions, offload="-", capabilities="-"):
        words = [bytes(frame).hex(), offload, capabilities or "-", *actions]
        process.stdin.write(" ".join(words) + "\n")
        process.stdin.flush()
        out = process.stdout.readline().strip()
        assert out, "the program has ended"
        return out if out.startswith("dropped") else [bytes.fromhex(word) for word in out.split()]

    yield execute
    process.stdin.close()
    assert process.wait() == 0
