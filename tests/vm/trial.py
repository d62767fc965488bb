"""A trial: a switch and two VMs that exchange frames, each of which is checked, while something becomes of the switch."""

from __future__ import annotations

import datetime
import pathlib
import random
import re
import signal
import time

from gaps import Gap, gaps_of, longest, outage
from process import wait_until
from switch import BINARY, Switch, vhost_port
from vmgen import Vmgen

RATE, SOAK_RATE = 2_000, 20_000  # frames a second from each VM: rings hold what comes in half a second, and in 50 ms
FRAMES = 1_000  # that make traffic
NAP = 50  # microseconds
INTERVAL = 50  # milliseconds
DESCRIPTORS = 1024  # of each ring
BURST = 32  # frames that a PMD takes from a queue, or gives to it, at once
FLOWS = 32  # of each VM: all of its queues have some
KINDS = {
    "split": "",
    "packed": ",packed=1",
    "split-without-mergeable-and-in-order": ",mergeable=0,in_order=0",
    "packed-without-mergeable-and-in-order": ",packed=1,mergeable=0,in_order=0",
    "split-two-queues": ",queues=2",
    "packed-two-queues": ",packed=1,queues=2",
}


def queues_of(kind: str) -> int:
    return 2 if "two-queues" in kind else 1


def vhost_ports(directory: pathlib.Path, mode: str = "client") -> dict:
    """Of a configuration: what the two VMs are connected to."""
    return {"ports": [vhost_port(f"vm{i}", directory / f"vm{i}.sock", mode) for i in range(2)],
            # Under plain switching all that one VM sends to another is one flow, and comes on one queue.
            "rules": ["ip,nw_dst=203.0.113.1,actions=drop"]}


def two_vms(place: pathlib.Path, sockets: pathlib.Path, kind: str = "split", mode: str = "client", rate: int = RATE,
            own_core: bool = False, flows: int = FLOWS) -> Vmgen:
    """The VMs, whose sockets are or will be in `sockets`; they send until they are told to end. With `own_core` they run when
    they want to, as on a core of their own; else they share it with all of the switch but its PMD. `flows`: of each."""
    client = ("--client",) if mode == "server" else ()
    nap = ("--nap", NAP) if own_core else ()
    return Vmgen(place, [f"path={sockets}/vm{i}.sock{KINDS[kind]}" for i in range(2)], "--rate", rate, "--flows", flows,
                 "--duration", 0, "--interval", INTERVAL, *client, *nap)


def wait_between_kills(began: list[float]) -> None:
    """So that they are at random instants, and not so many at a time that the keeper takes them for a crash loop. `began`:
    when those before were."""
    last = began[-1] if began else time.monotonic()
    time.sleep(max(0.0, last + random.uniform(2.05, 2.35) - time.monotonic()))


class Trial:
    def __init__(self, switch: Switch, vms: Vmgen, queues: int):
        self.switch, self.vms, self.queues = switch, vms, queues
        self.began: list[float] = []  # when each kill and upgrade was

    def received_by_queue(self) -> list[int]:
        """Of all queues of both VMs."""
        intervals = self.vms.events("interval")
        return [sum(interval["vms"][i]["by_queue"][queue] for interval in intervals) for i in range(2) for queue in range(self.queues)]

    def sent_by_queue(self) -> list[int]:
        """As the switch has taken it from each of them since this worker began."""
        queues = [queue for pmd in self.switch.rpc("pmds")["pmds"] for queue in pmd["queues"] if queue["port"] in ("vm0", "vm1")]
        return [queue["packets"] for queue in sorted(queues, key=lambda queue: (queue["port"], queue["queue"]))]

    def wait_traffic(self) -> None:
        """No queue of any VM stands still."""
        assert self.vms.running(), self.vms.log()[-4000:]
        for count in (self.received_by_queue, self.sent_by_queue):
            before = count()
            assert len(before) == 2 * self.queues
            wait_until(lambda: all(now >= then + FRAMES / self.queues / 4 for now, then in zip(count(), before)), "frames pass through all queues", 60)

    def worker(self) -> dict:
        return self.switch.rpc("status")

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.began.append(time.monotonic())
        self.switch.kill_worker(number)
        self.wait_traffic()

    def upgrade(self) -> None:
        pid = self.worker()["pid"]
        self.began.append(time.monotonic())
        assert "has taken over" in self.switch.cli("upgrade", "--binary", BINARY).stdout
        assert self.worker()["pid"] != pid
        self.wait_traffic()

    def outages(self) -> list[Gap]:
        """When a VM received nothing, because of each kill."""
        return self._outages(self.began)

    def outages_of_the_machine(self) -> list[Gap]:
        """The same before all kills but the first, when what the one before had left to be done is done."""
        return self._outages([instant - 1.2 for instant in self.began[1:]])

    def _outages(self, instants: list[float]) -> list[Gap]:
        intervals = self.vms.events("interval")
        return [outage(intervals, instant) for instant in instants]

    def gaps(self, instants: list[float]) -> list[Gap]:
        """The longest time without a frame that had to do with each."""
        intervals = [(each["clock_s"], longest(gaps_of(each))) for each in self.vms.events("interval")]
        return [longest([Gap(instant, 0.0), *(gap for clock, gap in intervals if instant <= clock < instant + 2 * INTERVAL / 1000)]) for instant in instants]

    def taken_up(self) -> list[float]:
        """When each worker but the first had the ports."""
        return self._when("info port 'vm0': taken up again")

    def without_a_worker(self) -> list[Gap]:
        """When nobody had the ports, after each kill: until the keeper says that somebody has, in whose log a
        millisecond's fractions are cut off."""
        taken_up = self._when("info worker [0-9]+ has the VMs' ports")
        assert len(taken_up) == len(self.began), self.switch.log()
        return [Gap(begin, 1000 * (end - begin) + 1) for begin, end in zip(self.began, taken_up)]

    def _when(self, what: str) -> list[float]:
        """It was logged."""
        since = time.monotonic() - time.time()
        lines = re.findall(rf"^(\S+ \S+) {what}", self.switch.log(), re.MULTILINE)
        return [datetime.datetime.fromisoformat(line).timestamp() + since for line in lines]

    def found_full(self) -> int:
        """Frames that were dropped for want of room in the ring of the VM that they were for."""
        return sum(count for (_, reason), count in self.switch.drops().items() if reason == "tx_ring_full")

    def assert_nothing_lost(self, total: dict, rate: int) -> None:
        """But for want of room, where the machine has stood still for longer than rings hold what comes at this rate."""
        full = self.found_full()
        assert total["duplicated"] == 0 and total["lost"] <= full, f"{full} found a ring full: {total}"
        if total["longest_gap_us"] < 1e6 * DESCRIPTORS / rate / 2:
            assert total["lost"] == 0, total

    def duplicated(self) -> list[int]:
        """After each kill, of the frames that came to the VM that got most of them twice."""
        intervals = self.vms.events("interval")
        return [max(sum(each["vms"][i]["duplicated"] for each in intervals if begin <= each["clock_s"] < end) for i in range(2))
                for begin, end in zip(self.began, [*self.began[1:], float("inf")])]

    def assert_each_kill_duplicates_a_burst_at_most(self, total: dict) -> None:
        """Of each queue: one may have been shown to the guest, and not yet be written down as shown."""
        after = self.duplicated()
        assert max(after) <= BURST * self.queues, f"after each kill {after}; in all {total}"
        assert total["duplicated"] <= 2 * sum(after), f"frames came twice though nobody was killed: {after}; in all {total}"

    def assert_each_kill_loses_a_burst_at_most(self, total: dict) -> None:
        """Of each queue, beside what found a ring full: the worker may have dropped one that was not yet counted."""
        full = self.found_full()
        assert total["lost"] <= full + BURST * 2 * self.queues * len(self.began), f"{full} found a ring full: {self.switch.drops()}, {total}"

    def report(self) -> dict:
        """Of all traffic. Whatever has become of the switch, the VMs have noticed nothing but a pause."""
        self.vms.signal(signal.SIGTERM)
        total = self.vms.wait_report()["total"]
        assert total["corrupted"] == total["reordered"] == 0, total
        log = self.switch.log()
        assert log.count("front end connected") == 2, f"the VMs were disconnected:\n{log}"
        return total


def at_most_duplicated(kind: str, kills: int) -> int:
    """Where there are no intervals to judge each kill by: of the queues of both VMs."""
    return BURST * 2 * queues_of(kind) * kills
