"""Programs that a test starts: pinned, logged, and ended by their own pid whatever happens.

CPU 1 belongs to the switch's PMD; all else, the virtual machines included once they have booted, shares CPU 0.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import select
import signal
import subprocess
import time

OTHER_CPUS = 0
PMD_CPU = 1


_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """In the child: should the test be killed, this goes too."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Timeout(AssertionError):
    """What was waited for did not come."""


def wait_until(condition, what: str, seconds: float = 10.0, interval: float = 0.02):
    """Returns the first true value of condition(); after `seconds`, fails and says what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Timeout(f"{what}: not within {seconds:g} s")
        time.sleep(interval)


class Program:
    """A child process whose output goes to a file; a context manager that ends it."""

    def __init__(self, name: str, command: list[str], directory: pathlib.Path, *, cpu: int | None = OTHER_CPUS, env=None):
        self.name = name
        self.log_path = directory / f"{name}.log"
        self.killed = False
        pin = ["taskset", "--cpu-list", str(cpu)] if cpu is not None else []
        with open(self.log_path, "ab") as log:
            self._read_from = log.tell()
            self.child = subprocess.Popen([*pin, *map(str, command)], stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
                                          env={**os.environ, **(env or {})}, start_new_session=True, preexec_fn=_die_with_parent)

    @property
    def pid(self) -> int:
        return self.child.pid

    def running(self) -> bool:
        return self.child.poll() is None

    def log(self) -> str:
        """What this process has printed, not its forerunner of the same name."""
        with open(self.log_path, "rb") as log:
            log.seek(self._read_from)
            return log.read().decode(errors="replace")

    def write(self, text: str) -> None:
        self.child.stdin.write(text.encode())
        self.child.stdin.flush()

    def wait_for_log(self, text: str, seconds: float = 10.0) -> str:
        """Waits until the program has printed `text`; fails at once if it ends before."""
        def printed():
            alive = self.running()
            log = self.log()
            if text in log:
                return log
            assert alive, f"{self.name} ended with {self.child.returncode} before it printed {text!r}:\n{log[-4000:]}"
            return None
        try:
            return wait_until(printed, f"{self.name} prints {text!r}", seconds)
        except Timeout as timeout:
            raise Timeout(f"{timeout}\n{self.log()[-4000:]}") from None

    def signal(self, number: int) -> None:
        if self.running():
            self.child.send_signal(number)

    def wait(self, seconds: float = 10.0) -> int:
        return self.child.wait(seconds)

    def end(self, number: int, seconds: float = 30.0) -> float:
        """Asks it to end; after how many seconds it had. As exact as a figure has to be: wait() looks only now and then."""
        descriptor = os.pidfd_open(self.pid)
        try:
            began = time.monotonic()
            self.signal(number)
            ended = select.select([descriptor], [], [], seconds)[0]
            took = time.monotonic() - began
        finally:
            os.close(descriptor)
        if not ended:
            raise Timeout(f"{self.name}, sent signal {number}, ends: not within {seconds:g} s")
        self.child.wait()
        return took

    def kill(self) -> None:
        """Ends it as a crash does: nothing is cleaned up."""
        self.killed = True
        self.signal(signal.SIGKILL)
        self.child.wait()

    def stop(self, seconds: float = 10.0) -> int:
        """Asks it to end, and makes it if it does not. Returns the exit code."""
        if self.running():
            self.signal(signal.SIGTERM)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        with contextlib.suppress(BrokenPipeError):
            self.child.stdin.close()
        return self.child.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
