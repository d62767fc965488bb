"""Isolation: a core that nothing else of this machine runs on for as long as it is measured, as isolcpus would have it.

Whoever measures may be killed meanwhile. So another process does it, this file as a program: it puts all back as soon as the
pipe from the first one closes, however that comes about."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys

UNBOUND = pathlib.Path("/sys/devices/virtual/workqueue/cpumask")  # where the kernel's own work may run that is bound to no core


@contextlib.contextmanager
def kept_free(core: int, session: int = 0):
    """Others are kept off `core` but those that say themselves where they run, or may run nowhere else; afterwards they may
    be where they might before, and so may whom they started. `session`: whom it concerns; 0: all tasks, the kernel's included."""
    with subprocess.Popen([sys.executable, "-B", __file__, str(core), str(session)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          start_new_session=True) as guard:
        guard.stdout.readline()
        yield


def main(core: int, session: int) -> None:
    before: dict[int, set[int]] = {}  # where each task might run that was moved
    for task, _ in _tasks(session):
        with contextlib.suppress(OSError):  # it has ended, or is the kernel's own and bound
            cores = os.sched_getaffinity(task)
            if core in cores and len(cores) > 1:
                os.sched_setaffinity(task, cores - {core})
                before[task] = cores
    with _unbound_work_off(core):
        print("moved", flush=True)
        sys.stdin.read()
    for task, parent in _tasks(session):
        with contextlib.suppress(OSError):
            cores = before.setdefault(task, before.get(parent))
            if cores and os.sched_getaffinity(task) == cores - {core}:
                os.sched_setaffinity(task, cores)


def _tasks(session: int) -> list[tuple[int, int]]:
    """All threads of all processes (of that session), each with its parent, those first that were started first."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            _, parent, _, its_session = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:4]
            if session in (0, int(its_session)):
                found += [(int(task), int(parent)) for task in os.listdir(f"/proc/{process}/task")]
    return sorted(found)


@contextlib.contextmanager
def _unbound_work_off(core: int):
    before = ""
    with contextlib.suppress(OSError):  # as far as this machine lets it be changed
        before = UNBOUND.read_text()
        UNBOUND.write_text(f"{int(before.replace(',', ''), 16) & ~(1 << core):x}")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            UNBOUND.write_text(before)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
