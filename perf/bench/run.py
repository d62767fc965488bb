"""One run: a contender started afresh, VMs connected to it, traffic, and what both say of the same stretch of time."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import itertools
import pathlib
import tempfile
import time

import machine
from contender import OTHER_CORE, PMD_CORE, Contender, Reading, Setting
from generator import Generator, Traffic
from work import Work

MARGIN = 0.15  # seconds that the traffic goes on behind the contender's stretch
ALIKE = 1.5    # by so much, at most, distances between the cores differ that are one
TRIES = 3      # of a run, at most, until the cores stayed where they were
PATIENCE = 10  # seconds, at most, that it is waited for the cores to be at a distance


@dataclasses.dataclass(frozen=True)
class Run:
    """One line of runs.csv."""
    work: str
    round: int
    contender: str      # or report.ONE_FLOW_BESIDE: not of this work
    cycles: float       # busy cycles on the PMD's core, a packet that got through
    per_batch: float    # packets a batch; 0: not known
    pps: float          # frames a second that reached their VMs
    bps: float          # bits a second of them, without FCS, preamble and gap
    loss: float         # share of the frames sent that did not arrive
    busy: float         # share of the PMD's time that it was busy
    limit: str          # what held up the traffic: switch, generator, rate
    idle_mib: float     # MiB resident before any VM was there
    distance: float = 0.0  # cycles between the cores, there and back, before it; 0: not known


@contextlib.contextmanager
def contest(kind: type[Contender], work: Work, **options):
    """The contender, ready, in a folder of its own. One at a time on this machine."""
    with open("/tmp/bench.lock", "w") as lock, tempfile.TemporaryDirectory(prefix="sb-") as folder:  # short: sockets are in it
        fcntl.flock(lock, fcntl.LOCK_EX)
        with kind(pathlib.Path(folder), work, **options) as contender:
            yield contender


def traffic(contender: Contender, seconds: float, *more: str) -> tuple[Reading, Traffic]:
    """Traffic for `seconds`, and what both say of it; `more`: words of vmgen's command line."""
    with Generator(contender.directory, contender.work, contender.sockets, seconds + MARGIN, *more, listen=contender.setting.vms_listen) as generator:
        generator.wait_until_measured()
        contender.clear()
        time.sleep(seconds)
        return contender.read(), generator.report()


def searched(contender: Contender, *words: str) -> dict:
    """The search of vmgen's report; `words` of its command line."""
    with Generator(contender.directory, contender.work, contender.sockets, 1.0, *words, listen=contender.setting.vms_listen) as generator:
        return generator.report().report["search"]


def verify(kind: type[Contender], work: Work) -> str:
    """Traffic of which every byte is checked, which VMs have no time for while they are to be quick."""
    with contest(kind, work, setting=Setting(vms_listen=work.vms_listen)) as contender:
        total = traffic(contender, 0.5, "--verify=full")[1].report["total"]
    _check(kind, work, total)
    return f"{total['received']} frames"


def _check(kind: type[Contender], work: Work, total: dict) -> None:
    assert total["received"] > 0, f"{kind.name}, {work.name}: no packet has passed"
    wrong = {what: total[what] for what in ("corrupted", "duplicated", "reordered") if total[what]}
    assert not wrong, f"{kind.name}, {work.name}: frames came wrong: {wrong}"


def measure(kind: type[Contender], work: Work, number: int, seconds: float, distance: float = 0.0) -> Run:
    """With the cores at `distance` from each other before and after: it is waited for, and a run after which they are at another
    is no figure, whatever it said, and is made again, until there have been TRIES. The last counts, however that was, and
    says at what distance it began. 0: at any, and at once."""
    for tries in itertools.count(1):
        before = _wait_for(distance)
        found = _measure(kind, work, number, seconds)
        if not distance or tries == TRIES or (alike(before, distance) and alike(machine.core_distance(OTHER_CORE, PMD_CORE), distance)):
            return dataclasses.replace(found, distance=before)


def _wait_for(distance: float) -> float:
    """What the distance between the cores is, at the end."""
    end = time.monotonic() + PATIENCE
    while True:
        found = machine.core_distance(OTHER_CORE, PMD_CORE)
        if not distance or alike(found, distance) or time.monotonic() > end:
            return found
        time.sleep(0.1)  # the cores at rest: a host moves those that wake


def alike(one: float, other: float) -> bool:
    """Whether two distances between the cores are one."""
    return max(one, other) <= ALIKE * min(one, other)


def _measure(kind: type[Contender], work: Work, number: int, seconds: float) -> Run:
    with contest(kind, work, setting=Setting(vms_listen=work.vms_listen)) as contender:
        idle = contender.resident_bytes()
        reading, seen = traffic(contender, seconds)
    assert reading.packets > 0, f"{kind.name}, {work.name}: no packet has passed"
    _check(kind, work, seen.report["total"])
    # A packet that was dropped cost less than one that got through, and is no work done.
    return Run(work.name, number, kind.name, reading.cycles / (1 - seen.loss), reading.per_batch, seen.pps, seen.bps, seen.loss, reading.busy_share, seen.limit,
               idle / 2**20)
