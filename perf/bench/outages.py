#!/usr/bin/python3
"""make outages: for how long VMs are without network when their switch is killed with -9 and started again at once; Sluice, with
and without a worker that stands by, and OVS-DPDK, in turn, with the same traffic. Prints a table, and in it what Sluice
aims at (tests/vm/aims.py), and whether that is met.

As root, on a machine with two cores: core 1 is the PMD's, core 0 everybody else's. The VMs make the sockets: OVS's do not
come back at all if they connect to it without `reconnect`.
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

import aims  # noqa: E402
import hugepages  # noqa: E402
import run  # noqa: E402
from contender import Setting  # noqa: E402
from generator import Generator  # noqa: E402
from ovs import Ovs  # noqa: E402
from sluice import Sluice  # noqa: E402
from work import Work  # noqa: E402

BETWEEN = 2.5  # seconds: Sluice's keeper does not take it for a crash loop, and OVS has long been back
CONTENDERS = (("Sluice", Sluice, Setting(vms_listen=True), aims.KILL),
              ("Sluice with `recovery: standby: true`", Sluice, Setting(vms_listen=True, standby=True), aims.KILL_WITH_STANDBY),
              ("OVS-DPDK", Ovs, Setting(vms_listen=True), {}))


def outages(kind, setting: Setting, work: Work, rate: int, kills: int) -> tuple[list[float], dict]:
    """In ms, of each kill; and what became of the frames."""
    with run.contest(kind, work, setting=setting) as contender:
        with Generator(contender.directory, work, contender.sockets, (kills + 1) * BETWEEN, f"--rate={rate}", "--interval=50", listen=True) as generator:
            generator.wait_until_measured()
            clocks = []
            for _ in range(kills):
                time.sleep(BETWEEN)
                clocks.append(time.monotonic())
                contender.kill()
            total = generator.report().report["total"]
            return [generator.outage(instant) for instant in clocks], total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sluice", type=pathlib.Path, default=PROJECT / "build/release/sluice", metavar="PATH", help="the switch to measure")
    parser.add_argument("--vmgen", type=pathlib.Path, default=PROJECT / "build/release/perf/vmgen/vmgen", metavar="PATH", help="the traffic generator")
    parser.add_argument("--rounds", type=int, default=3, help="how often each has its turn")
    parser.add_argument("--kills", type=int, default=5, help="a turn")
    parser.add_argument("--rate", type=int, default=20_000, help="frames a second from each of two VMs")
    asked = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("outages: root is needed, for hugepages and for nice -20")
    Sluice.use(asked.sluice)
    Generator.binary = asked.vmgen.resolve()
    os.setpriority(os.PRIO_PROCESS, 0, -20)  # and so all that is started from here
    rows = [(f"{name}, {ring}", kind, setting, aim, Work("outage", "outage", flows=10, packed=ring == "packed"))
            for ring in ("split", "packed") for name, kind, setting, aim in CONTENDERS]
    found: dict[str, list[float]] = {name: [] for name, *_ in rows}
    wrong: dict[str, int] = dict.fromkeys(found, 0)
    with hugepages.reserved(max(kind.hugepages for _, kind, *_ in CONTENDERS) + Generator.hugepages):
        for _ in range(asked.rounds):
            for name, kind, setting, _, work in rows:
                times, total = outages(kind, setting, work, asked.rate, asked.kills)
                found[name] += times
                wrong[name] += sum(total[what] for what in ("corrupted", "duplicated", "reordered"))
                print(f"{name}: {', '.join(f'{time:.0f}' for time in times)} ms", flush=True)
    print(f"\nkill -9 of the switch, VMs with {asked.rate} frames a second each: without network, ms\n\n"
          "| switch | kills | median | longest | aimed at | frames wrong, twice or out of order |\n|---|---|---|---|---|---|")
    for name, _, _, aim, _ in rows:
        times = found[name]
        verdicts = ", ".join(f"{what} {aims.verdict(aims.statistics(times)[what], bound)}" for what, bound in aim.items())
        print(f"| {name} | {len(times)} | {statistics.median(times):.0f} | {max(times):.0f} | {verdicts} | {wrong[name]} |")


if __name__ == "__main__":
    main()
