#!/usr/bin/python3
"""What a million flows cost, in an operator's terms: memory, and how soon a change of rules or FDB reaches all of them.

As root, on a machine with two cores: core 1 is the PMD's, core 0 everybody else's. One VM sends a million flows to another
as fast as it can; two rules read addresses, so that each pair of addresses is a flow. What it says is in perf/results/million.txt, too.
"""

from __future__ import annotations

import collections
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
import machine  # noqa: E402
from generator import Generator  # noqa: E402
from process import wait_until  # noqa: E402
from switch import Switch, vhost_port  # noqa: E402
from work import Work  # noqa: E402

FLOWS = 1_000_000
ROUNDS = 5
MIB = 2**20
# Of the sender alone: what the third port gives back of floods is one flow.
READS = [f"priority=10,in_port=vm1,ip,nw_{side}=0.250.250.250/0.255.255.255,actions=drop" for side in ("src", "dst")]
# All flows match them. The first reads addresses, as the bridge does: the flows stay and are decided again. With the
# second, addresses are read no more: other flows take their places.
CHANGES = {"a rule on what flows read already": "ip,dl_dst=02:00:00:00:00:00/fe:00:00:00:00:00", "a rule that has flows read less": "ip"}
# It forwards as the bridge did, and has flows read less: all of them come up again, and each waits for its turn to be decided.
FORWARDS = "ip"
RESULT = PROJECT / "perf" / "results" / "million.txt"
WORK = Work("million", "one way", flows=FLOWS, pattern="one-way", warm_up=3.0)


def resident(switch: Switch) -> dict[str, int]:
    """Bytes, shared pages by half to each: of the keeper and of the worker."""
    def proportional(pid):
        fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
        return 1024 * (int(fields["Pss"].split()[0]) + int(fields["Private_Hugetlb"].split()[0]))
    status = switch.rpc("status")
    return {"keeper": proportional(status["keeper_pid"]), "worker": proportional(status["pid"])}


def sent_to(switch: Switch, port: str, ports: dict | None = None) -> int:
    """Frames that were sent there, or would have been had there been room; by `ports`, if they have been asked already."""
    return (ports or switch.ports())[port]["tx_packets"] + sum(count for (name, reason), count in switch.drops().items() if name == port and reason.startswith("tx_"))


def text(seconds) -> str:
    return f"median {1000 * statistics.median(seconds):.1f} ms, most {1000 * max(seconds):.1f} ms"


def all_flows(switch: Switch) -> int:
    """Waits until they are in the table, as they are again after a while if a change had them removed; how many."""
    return wait_until(lambda: (found := switch.rpc("status")["flows"]) >= 0.99 * FLOWS and found, "a million flows", 30)


def change_of_rules(switch: Switch, method: str, rule: str) -> tuple[float, int]:
    """Seconds until the answer, which says that the change is in force; and frames after it by the rules of before, had it
    been one that drops."""
    all_flows(switch)
    began = time.monotonic()
    switch.rpc(method, rule=rule)
    took = time.monotonic() - began
    before = sent_to(switch, "vm2")
    time.sleep(0.5)
    return took, sent_to(switch, "vm2") - before


def lost(switch: Switch) -> collections.Counter:
    """Frames from vm1 that went no further, by reason; what vm2 has no room for is not the change's."""
    return collections.Counter({reason: count for (name, reason), count in switch.drops().items() if name == "vm1"})


def change_that_forwards(switch: Switch, method: str, rule: str) -> tuple[float, float, collections.Counter]:
    """Seconds until the answer; seconds from which on 99 % of the flows forward; and frames lost until then, and in the turn of
    all flows by which that was seen. Flows take turns: a million frames in a row are one of each."""
    all_flows(switch)
    before = lost(switch)
    began = time.monotonic()
    switch.rpc(method, rule=rule)
    took = time.monotonic() - began
    seen: list[tuple[float, int, int]] = []  # when, frames from vm1, frames to vm2

    def forward_again():
        now, ports = time.monotonic(), switch.ports()  # of one moment: a millisecond is some thousands of frames
        seen.append((now, ports["vm1"]["rx_packets"], sent_to(switch, "vm2", ports)))
        whole = [at for at in seen if seen[-1][1] - at[1] >= FLOWS]
        return whole and seen[-1][2] - whole[-1][2] >= 0.99 * (seen[-1][1] - whole[-1][1]) and whole[-1][0]
    since = wait_until(forward_again, "99 % of the flows forward again", 60)
    return took, since - began, lost(switch) - before


def told(changes: list[tuple[float, float, collections.Counter]]) -> str:
    answered, forward, frames = zip(*changes)
    reasons = sorted({reason for one in frames for reason in one})
    counts = ", ".join(f"{reason} median {statistics.median(one[reason] for one in frames):,.0f}, most {max(one[reason] for one in frames):,}" for reason in reasons)
    return f"in force: {text(answered)}; 99 % of flows forward again after: {text(forward)}; frames lost meanwhile: {counts or 'none'}"


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


def say(line: str) -> None:
    print(line, flush=True)
    with open(RESULT, "a") as file:
        file.write(line + "\n")


def main() -> None:
    if os.geteuid() != 0:
        sys.exit("million: root is needed, for hugepages and for nice -20")
    os.nice(-20)
    RESULT.unlink(missing_ok=True)
    for what, version in machine.versions(PROJECT / "build" / "release" / "sluice").items():
        say(f"{what}: {version}")
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
        say(f"idle, 2 ports: keeper {idle['keeper'] / MIB:.0f} MiB, worker {idle['worker'] / MIB:.0f} MiB, together {sum(idle.values()) / MIB:.0f} MiB")
        empty = resident(switch)["worker"]
        os.setpriority(os.PRIO_PROCESS, 0, 0)  # the VMs give way to the slow path, whose core they are on
        with Generator(directory, WORK, sockets, 300.0) as generator:
            generator.wait_until_measured()
            flows = all_flows(switch)
            grown = resident(switch)["worker"] - empty
            say(f"{flows:,} flows: {grown / MIB:.0f} MiB more, the slow path's records included")
            for what, match in CHANGES.items():
                added, deleted = [], []
                for _ in range(ROUNDS):
                    seconds, late = change_of_rules(switch, "rule_add", f"priority=5,{match},actions=drop")
                    assert late == 0, f"{late} frames came after the answer to rule add {match}"
                    added.append(seconds)
                    deleted.append(change_of_rules(switch, "rule_del", f"priority=5,{match}")[0])
                say(f"{what}: in force: {text(added)}; and deleted: {text(deleted)}")
            added, deleted = [], []
            for _ in range(ROUNDS):
                added.append(change_that_forwards(switch, "rule_add", f"priority=5,{FORWARDS},actions=output:vm2"))
                deleted.append(change_that_forwards(switch, "rule_del", f"priority=5,{FORWARDS}"))
            say(f"a rule that forwards and has flows read less: {told(added)}\n… deleted: {told(deleted)}")
            flushes = []
            for _ in range(ROUNDS):
                all_flows(switch)
                flushes.append(change_of_fdb(switch))
            answered, stale = zip(*flushes)
            say(f"FDB flushed: answered: {text(answered)}; frames by the addresses of before, as time: {text(stale)}")


main()
