"""Hugepages for testpmd's guests, which cannot do without: reserved when needed, given back at the end.

The switch itself runs without any, unless its configuration asks for them.
"""

from __future__ import annotations

import contextlib
import fcntl
import pathlib

RESERVED = pathlib.Path("/proc/sys/vm/nr_hugepages")
COMPACT = pathlib.Path("/proc/sys/vm/compact_memory")
SIZE = 2 << 20


def _free() -> int:
    fields = dict(line.split(":") for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    assert fields["Hugepagesize"].split() == ["2048", "kB"], "testpmd's guests are set up for hugepages of 2 MiB"
    return int(fields["HugePages_Free"])


def _reserve(pages: int) -> int:
    """How many it has added, so that `pages` are free. The kernel gives what it has in one piece, and more when it has moved together
    what is in the way."""
    before = int(RESERVED.read_text())
    for _ in range(5):
        if _free() >= pages:
            break
        RESERVED.write_text(str(int(RESERVED.read_text()) + pages - _free()))
        if _free() < pages:
            COMPACT.write_text("1")
    return max(0, int(RESERVED.read_text()) - before)


@contextlib.contextmanager
def _alone():
    with open("/tmp/sluice-hugepages.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def reserved(pages: int):
    """At least `pages` free hugepages of 2 MiB inside; as many as before afterwards."""
    with _alone():
        added = _reserve(pages)
        free = _free()
    try:
        assert free >= pages, f"{pages} hugepages of 2 MiB are needed, {free} could be had; too little memory, or not root"
        yield
    finally:
        with _alone():
            if added:
                RESERVED.write_text(str(max(0, int(RESERVED.read_text()) - added)))
