"""A keeper whose workers are scripts, as tests start and watch it."""

import os
import pathlib
import re
import signal
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = pathlib.Path(os.environ["SLUICE_TEST_PROGRAMS"]) / "keeper" / "run_keeper"

# The part that all have: ready, and waiting to go.
WAITS = "say(READY, '1'); assert hear()[0] == GO\n"
LIVES = WAITS + "settings(); say(RUNNING); note('runs', os.getpid()); until_told_to_end()\n"


def script(path: pathlib.Path, text: str) -> pathlib.Path:
    # Another file: the one that is there may be being executed.
    new = path.with_name(f"{path.name}.new")
    new.write_text(f"#!/usr/bin/python3\nimport sys\nsys.path.insert(0, {str(HERE)!r})\nfrom fake_worker import *\n{text}")
    new.chmod(0o755)
    return new.replace(path)


class Keeper:
    def __init__(self, place: pathlib.Path, text: str, *, env=None, arguments=(), stderr=None):
        self.worker = script(place / "worker", text)
        self.log_path = place / "log"
        self.log_path.touch()
        self._from = self.log_path.stat().st_size
        (place / "switch.yaml").write_text("as it is now")
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen([PROGRAM, self.worker, place / "switch.yaml", *arguments], stdout=log, stderr=log if stderr is None else stderr,
                                          env={**os.environ, **(env or {})})

    def log(self) -> str:
        return self.log_path.read_bytes()[self._from:].decode()

    def waits_for(self, pattern: str, seconds: float = 20) -> re.Match:
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.log())):
            assert time.monotonic() < deadline, f"{pattern!r} is not in the log:\n{self.log()}"
            time.sleep(0.01)
        return found

    def ends(self, number=signal.SIGTERM) -> int:
        self.child.send_signal(number)
        return self.child.wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()


def gone(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def waits(condition, what: str):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
