"""Halts: when the machine of the tests itself did nothing. Its host may have its cores for itself at any time.

On each core a process that nothing but the kernel can keep from it asks to be woken each millisecond, and writes down when
it was not. A halt is known from when that was due on: up to a millisecond of each is missed.
"""

from __future__ import annotations

import os
import pathlib
import sys
import time

PERIOD = 0.001  # seconds
LATE = 0.0005  # more than a wake-up takes


class Halts:
    """Watches the cores from begin to end. Files of its own are in `directory`."""

    def __init__(self, directory: pathlib.Path, cpus=(0, 1)):
        # Not at the top: the watch itself has to be small.
        from process import Program
        self.watches = [Program(f"halts-{cpu}", [sys.executable, "-B", __file__, cpu], directory, cpu=cpu) for cpu in cpus]

    def __enter__(self):
        for watch in self.watches:
            watch.wait_for_log("watching")
        return self

    def __exit__(self, *_):
        for watch in self.watches:
            watch.stop()

    def found(self) -> list[tuple[float, float]]:
        """From when to when (time.monotonic()) a core or more were halted, in order, those that overlap as one."""
        lines = (line.split() for watch in self.watches for line in watch.log().splitlines()[1:])
        return merged([(float(begin), float(end)) for begin, end in lines])


def merged(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    whole: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if whole and begin <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(end, whole[-1][1]))
        else:
            whole.append((begin, end))
    return whole


def ms_within(halts: list[tuple[float, float]], begin: float, end: float) -> float:
    """Of merged ones."""
    return 1000 * sum(max(0.0, min(end, until) - max(begin, since)) for since, until in halts)


def watch() -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(os.sched_get_priority_max(os.SCHED_FIFO)))
    print("watching", flush=True)
    due = time.monotonic() + PERIOD
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        now = time.monotonic()
        if now > due + LATE:
            print(f"{due:.6f} {now:.6f}", flush=True)
            now = time.monotonic()  # printing is no halt
        due = now + PERIOD


if __name__ == "__main__":
    watch()
