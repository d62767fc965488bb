"""Hugepages for testpmd's guests, which cannot do without: reserved when needed, given back at the end.

The switch itself runs without any, unless its configuration asks for them.
"""

from __future__ import annotations

import contextlib
import fcntl
import pathlib

RESERVED = pathlib.Path("/proc/sys/vm/nr_hugepages")
SIZE = 2 << 20


def _free() -> int:
    fields = dict(line.split(":") for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    assert fields["Hugepagesize"].split() == ["2048", "kB"], "testpmd's guests are set up for hugepages of 2 MiB"
    return int(fields["HugePages_Free"])


@contextlib.contextmanager
def reserved(pages: int):
    """At least `pages` free hugepages of 2 MiB inside; as many as before afterwards."""
    with open("/tmp/sluice-hugepages.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = max(0, pages - _free())
        _change(missing)
        free = _free()
        fcntl.flock(lock, fcntl.LOCK_UN)
        try:
            assert free >= pages, f"{pages} hugepages of 2 MiB are needed, {free} could be had; too little memory, or not root"
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _change(-missing)
            fcntl.flock(lock, fcntl.LOCK_UN)


def _change(by: int) -> None:
    if by:
        RESERVED.write_text(str(max(0, int(RESERVED.read_text()) + by)))
