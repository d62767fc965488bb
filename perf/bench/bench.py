#!/usr/bin/python3
"""make bench: the same work alternately by Sluice, OVS-DPDK and testpmd; a table, a CSV and plots into perf/results/.

As root, on a machine with two cores: core 1 is the PMD's, core 0 everybody else's.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(PROJECT / "tests" / "vm")]

import figures  # noqa: E402
import hugepages  # noqa: E402
import plot  # noqa: E402
import report  # noqa: E402
import run  # noqa: E402
from generator import Generator  # noqa: E402
from ovs import Ovs  # noqa: E402
from sluice import Sluice  # noqa: E402
from testpmd_forwarder import TestpmdForwarder  # noqa: E402
from work import WORKS, Work  # noqa: E402

BEGAN = time.monotonic()
CONTENDERS = (Sluice, Ovs, TestpmdForwarder)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sluice", type=pathlib.Path, default=PROJECT / "build/release/sluice", metavar="PATH", help="the switch to measure")
    parser.add_argument("--vmgen", type=pathlib.Path, default=PROJECT / "build/release/vmgen", metavar="PATH", help="the traffic generator")
    parser.add_argument("--results", type=pathlib.Path, default=PROJECT / "perf/results", metavar="FOLDER", help="where to write")
    parser.add_argument("--rounds", type=int, help="how often each contender has its turn; 5, quick: 3")
    parser.add_argument("--seconds", type=float, default=1.0, help="a measurement takes")
    parser.add_argument("--quick", action="store_true", help="the rows that tell most, in under 5 minutes")
    parser.add_argument("--only", action="append", default=[], metavar="ROW", help=f"of {', '.join(work.name for work in WORKS)}; may be repeated")
    return parser.parse_args()


def say(text: str) -> None:
    print(f"{time.monotonic() - BEGAN:5.0f} s  {text}", flush=True)


def alternate(works: list[Work], rounds: int, seconds: float) -> list[run.Run]:
    runs = []
    for work in works:
        for number in range(1, rounds + 1):
            for kind in CONTENDERS:
                if kind is TestpmdForwarder and not work.testpmd:
                    continue
                last = run.measure(kind, work, number, seconds)
                runs.append(last)
                say(f"{work.title}, round {number}: {kind.name} {last.cycles:.0f} cycles a packet, {last.pps / 1e6:.2f} Mpps, "
                    f"{last.per_batch:.1f} a batch, PMD busy {last.busy:.0%}, limit: {last.limit}")
    return runs


def further_figures(runs: list[run.Run], rounds: int, asked: argparse.Namespace) -> tuple[list[figures.Row], dict]:
    def capacity(work: str, kind) -> float:
        return statistics.median(report.of(runs, work, kind.name, "pps"))
    seconds = asked.seconds
    say("latency")
    rows, percentiles = figures.latency(capacity("64", Ovs), rounds, 2 * seconds)
    say("new flows")
    rows += figures.new_flows({kind.name: capacity("flows-1k", kind) for kind in (Sluice, Ovs)}, 5.0 if asked.quick else 30.0)
    say("first packets")
    rows += figures.first_packet(rounds)
    if not asked.quick:
        say("a second PMD")
        rows += figures.second_pmd(rounds, seconds)
        say("memory")
        rows += figures.memory()
    say("start")
    return rows + figures.start(rounds), percentiles


def main() -> None:
    asked = options()
    works = [work for work in WORKS if (work.name in asked.only if asked.only else work.quick or not asked.quick)]
    rounds = asked.rounds or (3 if asked.quick else 5)
    Sluice.use(asked.sluice)
    Generator.binary = asked.vmgen.resolve()
    os.setpriority(os.PRIO_PROCESS, 0, -20)  # and so all that is started from here
    with hugepages.reserved(max(kind.hugepages for kind in CONTENDERS) + Generator.hugepages):
        runs = alternate(works, rounds, asked.seconds)
        further, percentiles = ([], {}) if asked.only else further_figures(runs, rounds, asked)
    report.write(asked.results, asked.sluice, works, runs, further)
    plot.ratios(asked.results / "ratios.svg", works, runs)
    plot.flows(asked.results / "flows.svg", works, runs)
    if percentiles:
        plot.latency(asked.results / "latency.svg", percentiles)


if __name__ == "__main__":
    main()
