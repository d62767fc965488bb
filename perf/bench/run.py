"""One run: a contender started afresh, VMs connected to it, traffic, and what both say of the same stretch of time."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import pathlib
import statistics
import tempfile
import time

import machine
from contender import OTHER_CORE, PMD_CORE, Contender, Reading, Setting
from generator import Generator, Traffic
from work import Work

MARGIN = 0.15  # seconds that the traffic goes on behind the contender's stretch
STRETCH = 0.4  # seconds, each of which has the cores at one distance or not
INTERVAL = 0.05  # seconds, of which the VMs say what they sent and received
ALIKE = 1.5    # by so much, at most, distances between the cores differ that are one
ENOUGH = 2     # stretches at the distance that is wanted
TRIES = 3      # at most, of a run, until it has enough of them; twice as many, until it has one


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
    limit: str          # what held up the traffic: switch, generator, window, rate
    idle_mib: float     # MiB resident before any VM was there
    distance: float = 0.0  # cycles between the cores, there and back, the median of the looks while it ran; 0: not known
    steady: int = 0        # stretches of it at the distance that is wanted, which alone count; 0: none was, and all count
    flows: int = 0         # in the table when it ended


def all_at(distance: float, looks: list[float]) -> bool:
    """Whether there are looks, and all of them say `distance`; 0: any."""
    return not distance or bool(looks) and all(max(look, distance) <= ALIKE * min(look, distance) for look in looks)


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Of the time that traffic takes."""
    reading: Reading    # of the packets, those that got through
    looks: list[float]  # at the distance between the cores

    def is_at(self, distance: float) -> bool:
        """The cores were at that distance all the time; 0: any."""
        return all_at(distance, self.looks)


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a contender did while the cores were at one distance, as far as they were."""
    reading: Reading
    seen: Traffic        # by the VMs, the last time
    loss: float          # share of all that they sent, each time
    idle_bytes: int      # resident before any VM was there
    distance: float      # as Run's
    steady: int          # as Run's
    flows: int           # as Run's


@contextlib.contextmanager
def contest(kind: type[Contender], work: Work, **options):
    """The contender, ready, in a folder of its own. One at a time on this machine."""
    with open("/tmp/bench.lock", "w") as lock, tempfile.TemporaryDirectory(prefix="sb-") as folder:  # short: sockets are in it
        fcntl.flock(lock, fcntl.LOCK_EX)
        with kind(pathlib.Path(folder), work, **options) as contender:
            yield contender


def traffic(contender: Contender, seconds: float, *more: str) -> tuple[Reading, Traffic]:
    """Traffic for `seconds`, and what both say of it; `more`: words of vmgen's command line."""
    with Generator(contender.directory, contender.work, contender.sockets, seconds + MARGIN, *more, listen=contender.setting.vms_listen, warm_up=contender.warm_up) as generator:
        generator.wait_until_measured()
        contender.clear()
        time.sleep(seconds)
        return contender.read(), generator.report()


def in_stretches(contender: Contender, seconds: float) -> tuple[list[Stretch], int, Traffic]:
    """The same, stretch by stretch, with looks at the distance between the cores; and the flows at the end."""
    with Generator(contender.directory, contender.work, contender.sockets, seconds + MARGIN, f"--interval={1000 * INTERVAL:.0f}",
                   listen=contender.setting.vms_listen, warm_up=contender.warm_up) as generator:
        generator.wait_until_measured()
        end = time.monotonic() + seconds
        found = []
        while not found or time.monotonic() + STRETCH < end:
            begin = time.monotonic()
            contender.clear()
            looks = machine.core_distances(OTHER_CORE, PMD_CORE, min(STRETCH, seconds))
            found.append((contender.read(), looks, begin, time.monotonic()))
        flows, seen = contender.flows(), generator.report()
        total, intervals = seen.report["total"], generator.intervals()
    copies = total["expected"] / max(1, total["sent"])
    return [Stretch(_through(reading, share_received(intervals, begin, end, copies)), looks) for reading, looks, begin, end in found], flows, seen


def share_received(intervals: list[dict], begin: float, end: float, copies: float) -> float:
    """Of the frames that VMs sent in a stretch of time; `copies`: how many VMs each is for. To the VMs' intervals."""
    inside = [event["total"] for event in intervals if begin <= event["clock_s"] - INTERVAL and event["clock_s"] <= end]
    sent, received = (sum(each[what] for each in inside) for what in ("sent", "received"))
    return min(1.0, received / (sent * copies)) if sent else 1.0


def _through(reading: Reading, share: float) -> Reading:
    """A packet that was dropped cost less than one that got through, and is no work done."""
    return dataclasses.replace(reading, packets=share * reading.packets)


def traffic_at_distance(kind: type[Contender], work: Work, distance: float, seconds: float, *more: str) -> tuple[Reading, Traffic, bool]:
    """As traffic(), which no look holds up, with the cores at `distance` before it and behind it; if they never are in some tries,
    the last one, and false. 0: at any."""
    for _ in range(2 * TRIES):
        looks = _looks_around(distance)
        with contest(kind, work) as contender:
            found = traffic(contender, seconds, *more)
        if all_at(distance, looks + _looks_around(distance)):
            return *found, True
    return *found, False


def _looks_around(distance: float) -> list[float]:
    return machine.core_distances(OTHER_CORE, PMD_CORE, STRETCH, "--busy") if distance else []


def searched(contender: Contender, *words: str) -> dict:
    """The search of vmgen's report; `words` of its command line."""
    with Generator(contender.directory, contender.work, contender.sockets, 1.0, *words, listen=contender.setting.vms_listen) as generator:
        return generator.report().report["search"]


def verify(kind: type[Contender], work: Work) -> str:
    """Traffic of which every byte is checked, which VMs have no time for while they are to be quick."""
    with contest(kind, work, setting=Setting(vms_listen=work.vms_listen, idle_timeout=work.idle_timeout)) as contender:
        total = traffic(contender, 0.5, "--verify=full")[1].report["total"]
    _check(kind, work, total)
    assert total["foreign"] == 0, f"{kind.name}, {work.name}: {total['foreign']} frames came that no VM had sent"
    return f"{total['received']} frames"


def _check(kind: type[Contender], work: Work, total: dict) -> None:
    assert total["received"] > 0, f"{kind.name}, {work.name}: no packet has passed"
    wrong = {what: total[what] for what in ("corrupted", "duplicated", "reordered") if total[what]}
    assert not wrong, f"{kind.name}, {work.name}: frames came wrong: {wrong}"


def at_distance(kind: type[Contender], work: Work, setting: Setting, seconds: float, distance: float) -> Measured:
    """With the cores at `distance` from each other: stretches in which they were not are no figure, whatever they say. 0: at any."""
    stretches: list[Stretch] = []
    totals = []
    for tries in range(1, 2 * TRIES + 1):
        with contest(kind, work, setting=setting) as contender:
            idle = contender.resident_bytes()
            more, flows, seen = in_stretches(contender, seconds)
        totals.append(seen.report["total"])
        _check(kind, work, totals[-1])
        stretches += more
        steady = [stretch for stretch in stretches if stretch.is_at(distance)]
        if not distance or len(steady) >= ENOUGH or (steady and tries >= TRIES):
            break
    counted = steady or stretches
    looks = [look for stretch in counted for look in stretch.looks]
    loss = sum(total["lost"] for total in totals) / max(1, sum(total["expected"] for total in totals))
    return Measured(together([stretch.reading for stretch in counted]), seen, loss, idle, statistics.median(looks) if looks else 0.0, len(steady), flows)


def together(readings: list[Reading]) -> Reading:
    """Of several stretches, one."""
    packets = sum(reading.packets for reading in readings)
    assert packets > 0, "no packet has passed"
    return Reading(packets, sum(reading.busy_cycles for reading in readings), sum(reading.per_batch * reading.packets for reading in readings) / packets,
                   statistics.mean(reading.busy_share for reading in readings))


def measure(kind: type[Contender], work: Work, number: int, seconds: float, distance: float) -> Run:
    found = at_distance(kind, work, Setting(vms_listen=work.vms_listen, idle_timeout=work.idle_timeout), seconds, distance)
    reading, seen = found.reading, found.seen
    return Run(work.name, number, kind.name, reading.cycles, reading.per_batch, seen.pps, seen.bps, found.loss, reading.busy_share, seen.limit,
               found.idle_bytes / 2**20, found.distance, found.steady, found.flows)
