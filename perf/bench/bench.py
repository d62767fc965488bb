#!/usr/bin/python3
"""make bench: the same work alternately by Sluice, OVS-DPDK and testpmd; a table, a CSV and plots into perf/results/.

As root, on a machine with two cores: core 1 is the PMD's, core 0 everybody else's.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import signal
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(PROJECT / "tests" / "vm")]

import figures  # noqa: E402
import hugepages  # noqa: E402
import isolation  # noqa: E402
import machine  # noqa: E402
import plot  # noqa: E402
import report  # noqa: E402
import run  # noqa: E402
from contender import OTHER_CORE, PMD_CORE, Contender  # noqa: E402
from generator import Generator  # noqa: E402
from ovs import Ovs  # noqa: E402
from sluice import Sluice  # noqa: E402
from testpmd_forwarder import TestpmdForwarder  # noqa: E402
from work import WORKS, Work  # noqa: E402

BEGAN = time.monotonic()
CONTENDERS = (Sluice, Ovs, TestpmdForwarder)
ALONE = ("no loss", "first packets", "start", "two PMDs", "a second PMD", "memory")  # figures that need no row of the first table
SECONDS = 2.5  # a measurement takes, in the whole comparison; a shared machine may be another one a second later


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sluice", type=pathlib.Path, default=PROJECT / "build/release/sluice", metavar="PATH", help="the switch to measure")
    parser.add_argument("--vmgen", type=pathlib.Path, default=PROJECT / "build/release/perf/vmgen/vmgen", metavar="PATH", help="the traffic generator")
    parser.add_argument("--core-distance", type=pathlib.Path, default=PROJECT / "build/release/perf/bench/core_distance", metavar="PATH",
                        help="what says how far the cores are from each other")
    parser.add_argument("--two-pmds", type=pathlib.Path, default=PROJECT / "build/release/perf/micro/two_pmds", metavar="PATH", help="what says what a second PMD adds")
    parser.add_argument("--results", type=pathlib.Path, metavar="FOLDER", help="where to write; perf/results, and build/bench what is not the whole comparison")
    parser.add_argument("--rounds", type=int, help="how often each contender has its turn; 5, quick: 3")
    parser.add_argument("--seconds", type=float, help="a measurement takes; 2.5, quick: 1")
    parser.add_argument("--quick", action="store_true", help="the rows that tell most, in under 5 minutes")
    parser.add_argument("--contender", action="append", choices=[kind.name for kind in CONTENDERS], help="these alone; may be repeated")
    parser.add_argument("--only", action="append", default=[], metavar="ROW", help=f"of {', '.join(work.name for work in WORKS)}; may be repeated")
    parser.add_argument("--figure", action="append", default=[], choices=ALONE, help="of what is no row of the first table, and no row; may be repeated")
    parser.add_argument("--report", action="store_true", help="measures nothing: makes the table anew from the runs in the results")
    asked = parser.parse_args()
    whole = not (asked.quick or asked.contender or asked.only or asked.figure or asked.rounds or (asked.seconds or SECONDS) < SECONDS)
    asked.rounds = asked.rounds or (3 if asked.quick else 5)
    asked.seconds = asked.seconds or (1.0 if asked.quick else SECONDS)
    asked.results = asked.results or PROJECT / ("perf/results" if whole else "build/bench")
    return asked


def check_machine() -> None:
    if os.geteuid() != 0:
        sys.exit("bench: root is needed, for hugepages and for nice -20")
    if (os.cpu_count() or 1) <= PMD_CORE:
        sys.exit(f"bench: core {PMD_CORE} is to be the PMD's; this machine has {os.cpu_count()}")


def say(text: str) -> None:
    print(f"{time.monotonic() - BEGAN:5.0f} s  {text}", flush=True)


class Bench:
    """All that is measured. What fails is said, left out, and told again at the end."""

    def __init__(self, asked: argparse.Namespace):
        self.asked = asked
        self.works = [work for work in WORKS if (work.name in asked.only if asked.only or asked.figure else work.quick or not asked.quick)]
        self.kinds = [kind for kind in CONTENDERS if not asked.contender or kind.name in asked.contender]
        self.rounds = asked.rounds
        # The short form is to be short: any distance will do.
        self.distance = 0.0 if asked.quick else machine.usual_core_distance(OTHER_CORE, PMD_CORE)
        self.versions = machine.versions(asked.sluice)  # now: a commit may be made meanwhile
        self.runs: list[run.Run] = []
        self.further: list[figures.Row] = []
        self.samples = figures.Samples()
        self.percentiles: dict[str, dict[str, float]] = {}
        self.failures: list[str] = []

    def alternate(self) -> None:
        """ABC ABC …, row by row; before that, frames of which every byte is looked at."""
        for work in self.works:
            if work.verified:
                for kind in self.kinds:
                    self._attempt(f"{work.title}, every byte: {kind.name}", lambda: run.verify(kind, work))
        for work in self.works:
            for number in range(1, self.rounds + 1):
                for kind in self.kinds:
                    if kind is not TestpmdForwarder or (work.quick_testpmd if self.asked.quick else work.testpmd):
                        self._attempt(f"{work.title}, round {number}: {kind.name}", lambda: self._measure(kind, work, number))
                if work.own_target and Sluice in self.kinds:
                    self._attempt(f"{work.title}, round {number}: {report.ONE_FLOW_BESIDE}", lambda: self._measure_one_flow(work, number))

    def figures(self) -> None:
        """What is no cycles a packet of a row."""
        seconds = self.asked.seconds
        flowing, flowing_rounds = (5.0, 1) if self.asked.quick else (30.0, 3)
        self._figure("latency", lambda: figures.latency(self.samples, statistics.median(report.of(self.runs, "64", Ovs.name, "pps")),
                                                        self.rounds if self.asked.quick else 3 * self.rounds, 2.0, self.distance, self.percentiles))
        self._figure("new flows", lambda: figures.new_flows(self.samples, {kind.name: self._capacity("flows-1k", kind) for kind in (Sluice, Ovs)}, flowing_rounds, flowing))
        if not self.asked.quick:
            self._figure("no loss", lambda: figures.no_loss(self.samples, 3))
        self._figure("first packets", lambda: figures.first_packet(self.samples, self.rounds))
        self._figure("start", lambda: figures.start(self.samples, self.rounds))
        if not self.asked.quick:
            self._figure("two PMDs", lambda: figures.two_pmds(self.samples, 4 * self.rounds))
            self._figure("a second PMD", lambda: figures.second_pmd(self.samples, 2 * self.rounds, seconds, self.distance))
            self._figure("memory", lambda: figures.memory(self.samples))

    def write(self) -> None:
        results = self.asked.results
        report.write(results, self.versions, self.works, self.runs, self.further, self.samples, self.failures, time.monotonic() - BEGAN)
        if self.runs:
            plot.ratios(results / "ratios.svg", self.works, self.runs)
            plot.flows(results / "flows.svg", self.works, self.runs)
        if self.percentiles:
            plot.latency(results / "latency.svg", self.percentiles)

    def _measure(self, kind: type[Contender], work: Work, number: int) -> str:
        return self._keep(run.measure(kind, work, number, self.asked.seconds, self.distance))

    def _measure_one_flow(self, work: Work, number: int) -> str:
        """Sluice's cost of one flow, in the minute in which it was measured with many."""
        alone = run.measure(Sluice, figures.ONE_FLOW, number, self.asked.seconds, self.distance)
        return self._keep(dataclasses.replace(alone, work=work.name, contender=report.ONE_FLOW_BESIDE))

    def _keep(self, last: run.Run) -> str:
        self.runs.append(last)
        return f"{last.cycles:.0f} cycles a packet, {last.pps / 1e6:.2f} Mpps, {last.per_batch:.1f} a batch, PMD busy {last.busy:.0%}, limit: {last.limit}, cores {last.distance:.0f} cycles apart, {last.steady} steady, {last.flows} flows"

    def _figure(self, title: str, measure) -> None:
        if self.asked.figure and title not in self.asked.figure:
            return

        def rows() -> str:
            found = measure()
            self.further += found
            return "; ".join(" | ".join(row) for row in found)
        self._attempt(title, rows)

    def _attempt(self, title: str, measure) -> None:
        try:
            say(f"{title}: {measure()}")
        except Exception as failure:  # whatever it is: the other figures of the hour are not to go with it
            say(f"{title}: FAILED: {failure!r}")
            self.failures.append(title)

    def _capacity(self, work: str, kind: type[Contender]) -> float:
        """Packets a second that a PMD which does nothing else would forward, by what one costs it. What it did forward may be
        less: all that the VMs could offer."""
        return machine.tsc_hz() / statistics.median(report.of(self.runs, work, kind.name))


def main() -> None:
    asked = options()
    if asked.report:
        return report.again(asked.results, list(WORKS))
    check_machine()
    # As any other failure: what was started is ended, and hugepages are given back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))
    Sluice.use(asked.sluice)
    Generator.binary = asked.vmgen.resolve()
    machine.core_distance_program = asked.core_distance.resolve()
    machine.two_pmds_program = asked.two_pmds.resolve()
    os.setpriority(os.PRIO_PROCESS, 0, -20)  # and so all that is started from here
    bench = Bench(asked)
    with isolation.kept_free(PMD_CORE), hugepages.reserved(max(kind.hugepages for kind in bench.kinds) + Generator.hugepages):
        bench.alternate()
        if asked.figure or not asked.only and not asked.contender:
            bench.figures()
    bench.write()
    if bench.failures:
        sys.exit(f"bench: these have failed: {', '.join(bench.failures)}")


if __name__ == "__main__":
    main()
