"""From runs to files: runs.csv (each run), figures.csv (each round of what is no run), table.md (medians, ratios, spread), and the plots."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import math
import pathlib
import statistics

import machine
from figures import Sample
from run import STRETCH, Run
from verdict import at_most, at_most_either_way
from work import READS_ADDRESSES, Work

README = machine.PROJECT / "perf" / "README.md"
BEGIN, END = "<!-- table -->", "<!-- /table -->"  # the last table is shown between them
CONTENDERS = ("Sluice", "OVS-DPDK", "testpmd")
ONE_FLOW_BESIDE = "Sluice, 1 flow"  # in runs.csv: its cost of one flow, measured in the round of a row that is compared with it
BUSY = 0.95  # of its time a PMD is at least busy that has all it can do
LOSS = 0.01  # of the frames: more than this is said
ALL = 0.99  # of the flows: a table with fewer has not all of them


def write(folder: pathlib.Path, versions: dict[str, str], works: list[Work], runs: list[Run], further: list[tuple[str, ...]], samples: list[Sample],
          failures: list[str], seconds: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(folder / "runs.csv", Run, runs)
    _write_csv(folder / "figures.csv", Sample, samples)
    table = [*_table(works, runs), ""] if runs else []
    _publish(folder, [*_head(versions, runs, failures, seconds), "", *table, *_further(further)])


def _write_csv(path: pathlib.Path, kind: type, lines: list) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(kind)], lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in dataclasses.asdict(line).items()} for line in lines)


def again(folder: pathlib.Path, works: list[Work]) -> None:
    """The table anew, from the runs that are written there; what is around it is not of runs and stays."""
    with open(folder / "runs.csv", newline="") as file:
        kinds = {field.name: {"str": str, "int": int, "float": float}[field.type] for field in dataclasses.fields(Run)}
        runs = [Run(**{name: kinds[name](value) for name, value in line.items()}) for line in csv.DictReader(file)]
    lines = (folder / "table.md").read_text().splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("| work |"))
    _publish(folder, [*lines[:begin], *_table(works, runs), *lines[lines.index("", begin):]])


def _publish(folder: pathlib.Path, lines: list[str]) -> None:
    """Into table.md, and if these are the results that the README shows, there."""
    text = "".join(f"{line}\n" for line in lines)
    (folder / "table.md").write_text(text)
    if folder.resolve() == README.parent / "results":
        before, _, rest = README.read_text().partition(BEGIN)
        README.write_text(f"{before}{BEGIN}\n{text}{END}{rest.partition(END)[2]}")
    print(f"\n{text}\nwritten to {folder}")


def of(runs: list[Run], work: str, contender: str, field: str = "cycles") -> list[float]:
    return [getattr(run, field) for run in runs if (run.work, run.contender) == (work, contender)]


def _head(versions: dict[str, str], runs: list[Run], failures: list[str], seconds: float) -> list[str]:
    rounds = max((run.round for run in runs), default=0)
    medians = f", medians of {rounds} alternating rounds" if rounds else ""
    return [f"{datetime.date.today()}{medians}; all of it took {seconds / 60:.1f} minutes.", "",
            *(f"- {what}: {version}" for what, version in versions.items()),
            *_distances(runs),
            *(f"- **failed, and without a figure**: {title}" for title in failures)]


def _distances(runs: list[Run]) -> list[str]:
    known = [each for each in runs if each.distance]
    if not known:
        return []
    never = sum(not each.steady for each in known)
    return [f"- between the cores, there and back: {statistics.median(each.distance for each in known):.0f} cycles"
            + (f"; in {never} of {len(known)} runs never the usual one for {STRETCH} s" if never else "")]


def _table(works: list[Work], runs: list[Run]) -> list[str]:
    rounds = max(run.round for run in runs)
    lines = ["| work | Sluice | OVS-DPDK | testpmd | Sluice / OVS: of rounds; of medians | at most | Mpps, Gbit/s: Sluice | OVS | testpmd | packets a batch: Sluice · OVS · testpmd | OVS runs with |",
             "|---|---|---|---|---|---|---|---|---|---|---|"]
    for work in works:
        if not any(run.work == work.name for run in runs):
            continue
        cells = [work.title, *(_cycles(of(runs, work.name, contender), rounds) + _flows(work, runs, contender) for contender in CONTENDERS)]
        cells += _verdict(work, runs)
        cells += [_rate(runs, work.name, contender) for contender in CONTENDERS]
        cells += [" · ".join(_batch(of(runs, work.name, contender, "per_batch")) for contender in CONTENDERS), work.ovs]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _further(rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    return ["| what | target | Sluice | OVS-DPDK |", "|---|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]


def _cycles(values: list[float], rounds: int) -> str:
    """The median, and from where to where the runs are; how many, if some have failed."""
    fewer = f"; {len(values)} rounds" if len(values) < rounds else ""
    return f"**{statistics.median(values):.0f}** ({min(values):.0f}–{max(values):.0f}{fewer})" if values else "–"


def missing_flows(work: Work, runs: list[Run], contender: str) -> bool:
    """Whether its table had fewer flows at the end than there were, so that the packets of the others were upcalls. Of rules that tell
    each pair of addresses apart."""
    found = of(runs, work.name, contender, "flows")
    return work.rules == READS_ADDRESSES and bool(found) and any(found) and statistics.median(found) < ALL * 2 * work.flows


def _flows(work: Work, runs: list[Run], contender: str) -> str:
    if not missing_flows(work, runs, contender):
        return ""
    return f", with {statistics.median(of(runs, work.name, contender, 'flows')):,.0f} of the {2 * work.flows:,} flows in its table"


def _batch(values: list[float]) -> str:
    return f"{statistics.median(values):.0f}" if values and all(values) else "–"


def ratio(runs: list[Run], work: str, contender: str = "Sluice") -> float:
    """To OVS: the median of the ratios of runs of the same round, which had the same minute of the machine."""
    found = ratios(runs, work, contender)
    return statistics.median(found) if found else math.nan


def ratios(runs: list[Run], work: str, contender: str, other: str = "OVS-DPDK") -> list[float]:
    """To another contender, of each round in which both have a figure."""
    mine, others = ({run.round: run.cycles for run in runs if (run.work, run.contender) == (work, name)} for name in (contender, other))
    return [mine[number] / others[number] for number in sorted(mine.keys() & others.keys())]


def _verdict(work: Work, runs: list[Run]) -> list[str]:
    """The ratio, in brackets the lowest and highest of a round, and what is asked for."""
    found = ratios(runs, work.name, "Sluice")
    if not found:
        return ["–", "–"]
    of_medians = statistics.median(of(runs, work.name, "Sluice")) / statistics.median(of(runs, work.name, "OVS-DPDK"))
    asked = []
    if work.target is not None:
        asked.append(at_most_either_way(f"{work.target:.2f}", statistics.median(found), of_medians, work.target))
    if work.below_testpmd and (of_testpmd := ratios(runs, work.name, "Sluice", "testpmd")):
        medians = statistics.median(of(runs, work.name, "Sluice")) / statistics.median(of(runs, work.name, "testpmd"))
        asked.append(at_most_either_way(f"below testpmd (is {statistics.median(of_testpmd):.2f} of it; of medians {medians:.2f})",
                                        statistics.median(of_testpmd), medians, 1))
    if work.own_target and (times := ratios(runs, work.name, "Sluice", ONE_FLOW_BESIDE)):
        asked.append(at_most(f"{work.own_target:.1f} × Sluice's 1 flow beside it (is {statistics.median(times):.2f}, {min(times):.2f}–{max(times):.2f})",
                             statistics.median(times), work.own_target))
    return [f"{statistics.median(found):.2f} ({min(found):.2f}–{max(found):.2f}); {of_medians:.2f}", ", ".join(asked) or "–"]


def _rate(runs: list[Run], work: str, contender: str) -> str:
    if not of(runs, work, contender):
        return "–"
    pps, bps, busy, loss = (statistics.median(of(runs, work, contender, field)) for field in ("pps", "bps", "busy", "loss"))
    limits = of(runs, work, contender, "limit")
    # What else than the switch it was, in most of the rounds.
    others = [limit for limit in ("generator", "window") if limits.count(limit) > len(limits) / 2]
    notes = [*others, *([f"PMD busy {busy:.0%}"] if others or busy < BUSY else []),
             *([f"{loss:.0%} lost"] if loss > LOSS else [])]
    return f"{pps / 1e6:.2f}, {bps / 1e9:.1f}" + (f" ({'; '.join(notes)})" if notes else "")
