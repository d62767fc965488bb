#!/usr/bin/python3
"""What a million flows cost, in an operator's terms: memory, and how soon a change of rules or FDB reaches all of them.

As root, on a machine with two cores: core 1 is the PMD's, core 0 everybody else's. One VM sends a million flows to another
as fast as it can; two rules read addresses, so that each pair of addresses is a flow.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(PROJECT / "tests" / "vm")]

import hugepages  # noqa: E402
from generator import Generator  # noqa: E402
from process import wait_until  # noqa: E402
from switch import Switch, vhost_port  # noqa: E402
from work import Work  # noqa: E402

FLOWS = 1_000_000
ROUNDS = 5
MIB = 2**20
# Of the sender alone: what the third port gives back of floods is one flow.
READS = [f"priority=10,in_port=vm1,ip,nw_{side}=0.250.250.250/0.255.255.255,actions=drop" for side in ("src", "dst")]
WORK = Work("million", "one way", flows=FLOWS, pattern="one-way", warm_up=3.0)


def resident(switch: Switch) -> dict[str, int]:
    """Bytes, shared pages by half to each: of the keeper and of the worker."""
    def proportional(pid):
        fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
        return 1024 * (int(fields["Pss"].split()[0]) + int(fields["Private_Hugetlb"].split()[0]))
    status = switch.rpc("status")
    return {"keeper": proportional(status["keeper_pid"]), "worker": proportional(status["pid"])}


def sent_to(switch: Switch, port: str) -> int:
    """Frames that were sent there, or would have been had there been room."""
    return switch.ports()[port]["tx_packets"] + sum(count for (name, reason), count in switch.drops().items() if name == port and reason.startswith("tx_"))


def change_of_rules(switch: Switch, method: str) -> tuple[float, int]:
    """Seconds until the answer, which says that the change is in force; and frames after it by the rules of before."""
    rule = "priority=5,ip,actions=drop" if method == "rule_add" else "priority=5,ip"
    began = time.monotonic()
    switch.rpc(method, rule=rule)
    took = time.monotonic() - began
    if method == "rule_del":
        return took, 0
    before = sent_to(switch, "vm2")
    time.sleep(1)
    return took, sent_to(switch, "vm2") - before


def change_of_fdb(switch: Switch) -> tuple[float, float]:
    """Seconds until the answer; and what still went by the addresses of before, as seconds of the traffic."""
    before = {name: sent_to(switch, name) for name in ("vm2", "others")}
    began = time.monotonic()
    switch.rpc("fdb_flush")
    took = time.monotonic() - began
    time.sleep(1)
    passed = time.monotonic() - began
    known, flooded = (sent_to(switch, name) - before[name] for name in ("vm2", "others"))
    return took, max(0, known - flooded) / known * passed


def main() -> None:
    if os.geteuid() != 0:
        sys.exit("million: root is needed, for hugepages and for nice -20")
    os.nice(-20)
    Generator.binary = PROJECT / "build" / "release" / "perf" / "vmgen" / "vmgen"
    with contextlib.ExitStack() as stack:
        stack.enter_context(hugepages.reserved(Generator.hugepages))
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sb-")))
        fcntl.flock(stack.enter_context(open("/tmp/bench.lock", "w")), fcntl.LOCK_EX)
        sockets = [directory / f"vm{i}.sock" for i in (1, 2)]
        ports = [vhost_port(f"vm{i + 1}", socket, "server") for i, socket in enumerate(sockets)]
        config = directory / "switch.yaml"
        config.write_text(f"pmd: {{cores: [1], idle: spin}}\nflows: {{limit: {FLOWS}, idle_timeout: 60 s}}\nports: {json.dumps(ports)}\n"
                          f"rules: {json.dumps(READS)}\n")
        switch = stack.enter_context(Switch(directory, config))
        switch.wait_ready()
        idle = resident(switch)
        switch.cli("port", "add", "name=others", "type=ring")
        switch.cli("rule", "add", "priority=20,in_port=others,actions=drop")
        print(f"idle, 2 ports: keeper {idle['keeper'] / MIB:.0f} MiB, worker {idle['worker'] / MIB:.0f} MiB, together {sum(idle.values()) / MIB:.0f} MiB", flush=True)
        empty = resident(switch)["worker"]
        with Generator(directory, WORK, sockets, 40.0) as generator:
            generator.wait_until_measured()
            flows = wait_until(lambda: (found := switch.rpc("status")["flows"]) >= 0.99 * FLOWS and found, "a million flows", 30)
            grown = resident(switch)["worker"] - empty
            print(f"{flows:,} flows: {grown / MIB:.0f} MiB more, the slow path's records included", flush=True)
            added, late, deleted, flushed, stale = [], [], [], [], []
            for _ in range(ROUNDS):
                seconds, frames = change_of_rules(switch, "rule_add")
                added.append(seconds)
                late.append(frames)
                deleted.append(change_of_rules(switch, "rule_del")[0])
                seconds, mean = change_of_fdb(switch)
                flushed.append(seconds)
                stale.append(mean)
            for what, seconds in (("a rule that they all match is added", added), ("… and deleted", deleted), ("FDB flushed: answered", flushed),
                                  ("FDB flushed: frames by the addresses of before, as time", stale)):
                print(f"{what}: median {1000 * statistics.median(seconds):.1f} ms, most {1000 * max(seconds):.1f} ms")
            print(f"frames that the added rule should have stopped, after the answer: {late}")


main()
