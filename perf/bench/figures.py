"""Figures that are no cycles a packet: latency, new flows, a second PMD, memory, start. Each a function that measures,
and gives back rows of `what | target | Sluice | OVS-DPDK`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import statistics
import tempfile

import machine
from contender import OTHER_CORE, PMD_CORE, Contender, Reading, Setting
from generator import Generator, Traffic
from ovs import MEGABYTES, Ovs
from run import at_distance, contest, searched, traffic, traffic_at_distance
from sluice import Sluice
from verdict import at_least, at_most, at_most_either_way
from work import WORKS, Work

BOTH: tuple[type[Contender], ...] = (Sluice, Ovs)
PERCENTILES = {"p50": "p50", "p99": "p99", "p99.9": "p99_9"}
UNSEEN = ("lost", "refused", "skipped")  # frames that were due and have no latency
ONE_FLOW = WORKS[0]
FLOWS_1K = next(work for work in WORKS if work.name == "flows-1k")
TWO_CORES = 0.1     # by so much, at most, what takes nothing but a core costs more or less while the other does it too
ABOUT_HALF = 0.475  # of capacity
TRIED = 2.0         # seconds, for what the VMs can make
IN_TIME = 0.8       # of what they make when they are late all the time, they make in time

Row = tuple[str, str, str, str]


@dataclasses.dataclass(frozen=True)
class Sample:
    """One line of figures.csv: what the rows are made from."""
    figure: str
    contender: str
    round: int
    what: str
    value: float


class Samples(list[Sample]):
    def note(self, figure: str, kind: type[Contender], number: int, **found: float) -> None:
        """All that was found in one round."""
        self.extend(Sample(figure, kind.name, number, what, value) for what, value in found.items())


def _at_rate(pps: float) -> str:
    """For vmgen: of each of two senders."""
    return f"--rate={pps / 2:.0f}"


def latency(samples: Samples, capacity: float, rounds: int, seconds: float, distance: float, percentiles: dict[str, dict[str, float]]) -> list[Row]:
    """`capacity`: OVS's, in packets a second both ways, with one flow. `percentiles` is filled, for the plot."""
    seen: dict[str, list[tuple[Reading, Traffic]]] = {kind.name: [] for kind in BOTH}
    elsewhere = 0
    for number in range(1, rounds + 1):
        for kind in BOTH:
            reading, vms, is_there = traffic_at_distance(kind, ONE_FLOW, distance, seconds, _at_rate(capacity / 2))
            elsewhere += not is_there
            seen[kind.name].append((reading, vms))
            total = vms.report["total"]
            samples.note("latency", kind, number, **{f"{key}_us": total["latency_us"][key] for key in PERCENTILES.values()}, busy=reading.busy_share, at_usual_distance=is_there,
                         per_batch=reading.per_batch, **{what: total[what] / total["offered"] for what in UNSEEN})
    for name, found in seen.items():
        percentiles[name] = {label: statistics.median(vms.report["total"]["latency_us"][key] for _, vms in found) for label, key in PERCENTILES.items()}

    def judged(label: str, key: str) -> str:
        values = [[vms.report["total"]["latency_us"][key] for _, vms in seen[kind.name]] for kind in BOTH]
        beside = statistics.median(mine / others for mine, others in zip(*values))
        # Of frames that were never sent there is no latency: if they are more than the share that is asked about, it says less.
        unseen = [statistics.median(sum(vms.report["total"][what] for what in UNSEEN) / vms.report["total"]["offered"] for _, vms in seen[kind.name])
                  for kind in BOTH]
        of = ", of the frames that were sent" if max(unseen) > 1 - float(label[1:]) / 100 else ""
        of_medians = statistics.median(values[0]) / statistics.median(values[1])
        return at_most_either_way(f"at most OVS's{of} (is {beside:.2f} of it; of medians {of_medians:.2f})", beside, of_medians, 1)

    def busy(found: list[tuple[Reading, Traffic]]) -> str:
        return (f"{statistics.median(reading.busy_share for reading, _ in found):.0%}, "
                f"{statistics.median(reading.per_batch for reading, _ in found):.0f} packets")

    def missing(found: list[tuple[Reading, Traffic]]) -> str:
        totals = [vms.report["total"] for _, vms in found]
        return "; ".join(f"{statistics.median(total[what] / total['offered'] for total in totals):.2%}" for what in UNSEEN)

    def spread(kind: type[Contender], key: str) -> str:
        return _spread([vms.report["total"]["latency_us"][key] for _, vms in seen[kind.name]], ".1f") + " µs"
    never = f" (in {elsewhere} of {len(BOTH) * rounds} runs the cores never at the usual distance)" if elsewhere else ""
    return [*((f"latency at {capacity / 2e6:.1f} Mpps, half of OVS's capacity{never}, {label}", judged(label, key),
               *(spread(kind, key) for kind in BOTH)) for label, key in PERCENTILES.items()),
            ("… of its time the PMD is busy at that rate, with batches of", "–", *(busy(seen[kind.name]) for kind in BOTH)),
            ("… frames lost; that found the ring full; that the VMs, late, did not make", "–", *(missing(seen[kind.name]) for kind in BOTH))]


def no_loss(samples: Samples, rounds: int) -> list[Row]:
    """RFC 2544, section 26.1: the highest rate whose loss is at most so much."""
    rows = []
    for percent in (0, 0.5):
        rates: dict[str, list[float]] = {kind.name: [] for kind in BOTH}
        of_vms = dict.fromkeys(rates, 0)  # rounds in which the VMs were the limit
        for number in range(1, rounds + 1):
            for kind in BOTH:
                with contest(kind, ONE_FLOW) as contender:
                    found = searched(contender, f"--search={percent}", "--search-trial=0.25", "--search-precision=2")
                rates[kind.name].append(found["rx_pps"] if found["rate"] is not None else 0.0)
                of_vms[kind.name] += found["limit"] == "generator"
                samples.note(f"highest rate, {percent:g} % lost", kind, number, pps=rates[kind.name][-1], trials=len(found["trials"]),
                             spoiled=sum(trial["spoiled"] for trial in found["trials"]), of_vms=found["limit"] == "generator")
        rows.append((f"highest rate at which at most {percent:g} % is lost (RFC 2544), 64 B, both ways", "–",
                     *(f"{_spread([rate / 1e6 for rate in rates[kind.name]], '.2f')} Mpps{f' (generator in {of_vms[kind.name]} of {rounds})' if of_vms[kind.name] else ''}" for kind in BOTH)))
    return rows


def new_flows(samples: Samples, capacities: dict[str, float], rounds: int, seconds: float, rate: float = 300_000) -> list[Row]:
    """`capacities`: packets a second that each could forward with 2 × 1,000 flows. Half of it is offered, or what the VMs
    can make of that: the slow path is on their core."""
    seen: dict[str, list[NewFlows]] = {kind.name: [] for kind in BOTH}
    for number in range(1, rounds + 1):
        for kind in BOTH:
            seen[kind.name].append(_new_flows_once(kind, capacities[kind.name], seconds, rate))
            samples.note("new flows", kind, number, **dataclasses.asdict(seen[kind.name][-1]))

    def cells(what: str, form: str) -> list[str]:
        return [_spread([getattr(one, what) for one in seen[kind.name]], form) for kind in BOTH]
    lost, share = (statistics.median(getattr(one, what) for one in seen[Sluice.name]) for what in ("lost", "share"))
    at = "at half of capacity" + ("" if share >= ABOUT_HALF else f": **not shown**; at {share:.0%} of it, all that the VMs could offer in time")
    rows = [(f"{rate:,.0f} new flows a second for {seconds:.0f} s beside 1,000 established ones: frames of the established ones lost",
             at_most(f"under 1 % {at}", lost, 0.01), *cells("lost", ".2%")),
            ("… offered to the established ones, of capacity (clock / busy cycles a packet in the row of 2 × 1,000 flows: "
             f"{', '.join(f'{kind.name} {capacities[kind.name] / 1e6:.1f} Mpps' for kind in BOTH)})", "50%",
             *(f"{cell} of capacity" for cell in cells("share", ".0%")))]
    arrived = statistics.median(one.new_arrived for one in seen[Sluice.name])
    installed = at_least(f"{rate:,.0f}, within 1 %", arrived, 0.99 * rate)
    further = (("of their frames, refused by a full ring (of the lost)", "–", "refused", ".2%"),
               ("of its time the PMD is busy", "–", "busy", ".0%"),
               ("of the time the PMD was held off its core by other work of the machine", "–", "held_off", ".1%"),
               ("first frames of new flows that the VMs made, a second", f"{rate:,.0f}", "new_made", ",.0f"),
               ("first frames of new flows that arrived, a second", installed, "new_arrived", ",.0f"),
               ("first frames of new flows lost", "–", "new_lost", ".1%"),
               ("of them, refused by a full ring (of the lost)", "–", "new_refused", ".1%"),
               ("flows in the table at the end (idle ones go after 2 s)", "–", "flows", ",.0f"))
    return rows + [(f"… {title}", target, *cells(what, form)) for title, target, what, form in further]


@dataclasses.dataclass(frozen=True)
class NewFlows:
    """Of one run. Shares, where nothing else is said: of frames that were sent or found the ring full."""
    share: float        # offered to the established flows, of the capacity
    lost: float         # of their frames
    refused: float      # by a full ring; these are lost ones
    busy: float         # of its time, the PMD
    held_off: float     # of the time, the PMD
    new_made: float     # first frames a second
    new_arrived: float
    new_lost: float
    new_refused: float
    flows: int          # in the table, at the end


def _new_flows_once(kind: type[Contender], capacity: float, seconds: float, rate: float) -> NewFlows:
    with contest(kind, dataclasses.replace(FLOWS_1K, flows=500), setting=Setting(idle_timeout=2)) as contender:
        new_ones = f"--new-flows={rate / 2:.0f}"
        tried = traffic(contender, TRIED, _at_rate(capacity / 2), new_ones)[1]
        made = (tried.report["total"]["offered"] - _offered_new(tried)) / tried.report["duration_s"]
        # VMs that are always late send in bursts, which no ring holds: they are asked for what they can send in time.
        asked = capacity / 2 if made >= 2 * ABOUT_HALF * capacity / 2 else IN_TIME * made
        before = contender.pmd_waited()
        reading, vms = traffic(contender, seconds, _at_rate(asked), new_ones)
        held_off, flows = (contender.pmd_waited() - before) / seconds, contender.flows()
    total, took = vms.report["total"], vms.report["duration_s"]
    new = total["new_flows"]
    new_offered = _offered_new(vms)
    offered, received = total["offered"] - new_offered, total["received"] - new["received"]
    return NewFlows(offered / took / capacity, 1 - received / offered, (total["refused"] - new["refused"]) / offered, reading.busy_share, held_off,
                    new_offered / took, new["received"] / took, 1 - new["received"] / new_offered, new["refused"] / new_offered, flows)


def _offered_new(vms: Traffic) -> int:
    """First frames of new flows."""
    new = vms.report["total"]["new_flows"]
    return new["sent"] + new["refused"]


def _spread(values: list[float], form: str) -> str:
    """The median, and from where to where the rounds are."""
    middle = f"{statistics.median(values):{form}}"
    return middle if len(values) == 1 else f"{middle} ({min(values):{form}}–{max(values):{form}})"


def first_packet(samples: Samples, rounds: int) -> list[Row]:
    """How long a new flow's first packet takes where nothing else happens: 100 of them a second each way."""
    found: dict[str, list[float]] = {kind.name: [] for kind in BOTH}
    for number in range(1, rounds + 1):
        for kind in BOTH:
            with contest(kind, dataclasses.replace(FLOWS_1K, flows=1)) as contender:
                found[kind.name].append(traffic(contender, 2.0, "--rate=1", "--new-flows=100")[1].report["total"]["latency_us"]["p50"])
            samples.note("first packet of a flow", kind, number, p50_us=found[kind.name][-1])
    return [("a single new flow's first packet, idle switch, median latency", at_most("under 200 µs", statistics.median(found[Sluice.name]), 200),
             *(f"{_spread(found[kind.name], '.0f')} µs" for kind in BOTH))]


def two_pmds(samples: Samples, rounds: int) -> list[Row]:
    """What two PMDs do at the same time, each on a core of its own, over what one does alone: Sluice's, between guests that need no core.
    Of the rounds in which the machine had two cores: arithmetic took both at once as long as one alone."""
    rows = []
    for rings, words in (("split", ()), ("packed", ("--packed",))):
        found = machine.two_pmds(PMD_CORE, OTHER_CORE, rounds, *words)
        cost, gauge = (list(zip(*found["alone"][what], *found["both"][what])) for what in ("packet", "arithmetic"))
        added = []
        for number, (packet, arithmetic) in enumerate(zip(cost, gauge), 1):
            two_cores = all(abs(beside / alone - 1) <= TWO_CORES for alone, beside in zip(arithmetic[:2], arithmetic[2:]))
            if two_cores:
                added.append(packet[0] / packet[2] + packet[1] / packet[3] - 1)
            for what, values in (("packet", packet), ("arithmetic", arithmetic)):
                samples.note(f"two PMDs, {rings}, {what}", Sluice, number, alone_1=values[0], alone_2=values[1], both_1=values[2], both_2=values[3], two_cores=float(two_cores))
        target = "at least 0.9"
        rows.append((f"a second PMD on a core of its own adds, by cycles a packet, {rings} rings (two PMDs in one process between guests that need next to no time; "
                     f"lowest and highest of the {len(added)} of {rounds} rounds in which the machine had two cores)",
                     *((at_least(target, statistics.median(added), 0.9), _spread(added, ".2f")) if added else (f"{target}: **not shown**", "–")), "–"))
    return rows


def second_pmd(samples: Samples, rounds: int, seconds: float, distance: float) -> list[Row]:
    """What a packet costs on a PMD while a second one works too, over what it costs alone. Where there is no core for it,
    the second PMD shares the VMs', and both switches' sleep when they have nothing to do."""
    shared = (os.cpu_count() or 1) == 2
    other, sleep = (0, 50) if shared else (2, 0)
    pairs = Work("two-pairs", "two pairs", vms=4)
    rows = []
    for title, pins in (("each with a pair of VMs of its own", (1, 1, other, other)), ("each with one direction of two pairs", (1, other, 1, other))):
        found: dict[str, list[tuple[Reading, Reading]]] = {kind.name: [] for kind in BOTH}
        elsewhere = 0
        for number in range(1, rounds + 1):
            for kind in BOTH:
                measured = [at_distance(kind, pairs, Setting(pins=each, idle_sleep_us=sleep), seconds, distance) for each in ((), pins)]
                alone, beside = (each.reading for each in measured)
                found[kind.name].append((alone, beside))
                elsewhere += sum(each.steady == 0 for each in measured)
                samples.note(f"second PMD, {title}", kind, number, cycles_alone=alone.cycles, cycles_beside=beside.cycles,
                             steady_alone=measured[0].steady, steady_beside=measured[1].steady, distance_alone=measured[0].distance,
                             distance_beside=measured[1].distance)
        cells = []
        for kind in BOTH:
            alone, beside = (statistics.median(reading.per_batch for reading in column) for column in zip(*found[kind.name]))
            of_rounds = sorted(2 * alone.cycles / beside.cycles - 1 for alone, beside in found[kind.name])
            cells.append(f"{statistics.median(of_rounds):.2f} ({of_rounds[0]:.2f}–{of_rounds[-1]:.2f}; {alone:.0f}, {beside:.0f})")
        never = f"; in {elsewhere} of {2 * len(BOTH) * rounds} runs the cores never at the usual distance" if elsewhere else ""
        rows.append((f"… {'on the VMs’ core' if shared else 'beside VMs'}, {title} (lowest and highest of {rounds} rounds; packets a batch alone, with it{never})", "–", *cells))
    return rows


def memory(samples: Samples) -> list[Row]:
    idle = []
    for kind in BOTH:
        with contest(kind, ONE_FLOW) as contender:
            idle.append(contender.resident_bytes() / 2**20)
        samples.note("memory", kind, 1, idle_mib=idle[-1])
    many = dataclasses.replace(FLOWS_1K, flows=500_000, warm_up=6.0)
    with contest(Sluice, many, setting=Setting(idle_timeout=60)) as contender:
        before = contender.anonymous_bytes()
        traffic(contender, 1.0)
        flows, grown = contender.flows(), contender.anonymous_bytes() - before
        table = contender.table_bytes()
    samples.note("memory", Sluice, 1, table_mib=table / 2**20, grown_mib=grown / 2**20, flows=flows)
    return [(f"idle switch with 2 ports, resident, all its processes (of OVS-DPDK's, {MEGABYTES} MiB are what it is given for packets)", at_most("at most 200 MiB", idle[0], 200), *(f"{mib:.0f} MiB" for mib in idle)),
            (f"flow table of a PMD, reserved for {contender.FLOW_LIMIT:,} flows", at_most("at most 192 MiB", table / 2**20, 192), f"{table / 2**20:.0f} MiB", "–"),
            (f"resident memory that {flows:,} flows add, the slow path's included", "–", f"{grown / 2**20:.0f} MiB", "–")]


def start(samples: Samples, rounds: int) -> list[Row]:
    """From execution to the first packet between VMs that have been there before: the switch they had is gone."""
    times: dict[str, list[float]] = {kind.name: [] for kind in BOTH}
    for number in range(1, rounds + 1):
        for kind in BOTH:
            times[kind.name].append(_start_once(kind))
            samples.note("start", kind, number, seconds=times[kind.name][-1])
    return [("start to first packet forwarded", at_most("at most 1 s", statistics.median(times[Sluice.name]), 1),
             *(f"{_spread(times[kind.name], '.2f')} s" for kind in BOTH))]


def _start_once(kind: type[Contender]) -> float:
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sb-")))
        sockets = [directory / f"vm{vm + 1}" for vm in range(2)]
        vms = stack.enter_context(Generator(directory, ONE_FLOW, sockets, 60, "--interval=10", "--rate=100k", listen=True))
        with contest(kind, ONE_FLOW, setting=Setting(vms_listen=True), sockets=sockets):
            vms.wait_until_measured()
        with contest(kind, ONE_FLOW, setting=Setting(vms_listen=True), sockets=sockets) as contender:
            return vms.first_received_after(contender.executed_at) - contender.executed_at
