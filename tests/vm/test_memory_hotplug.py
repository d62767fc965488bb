"""Memory that comes to a running Linux guest and goes again, under traffic: QEMU's DIMMs are the switch's regions."""

import contextlib
import os
import pathlib
import signal

import pytest

import hugepages
import vmgen
from guest import Guest, Nic
from guest_pair import ADDRESSES, MACS
from process import wait_until
from qmp import Qmp
from switch import Switch, vhost_port
from trial import RATE, Trial, two_vms, vhost_ports

pytestmark = pytest.mark.timeout(300)

DIMM = 128 << 20  # the kernel's block of memory: what it takes in or gives back at a time


class Hotplug:
    """A guest's memory slots."""

    def __init__(self, guest: Guest, qmp: Qmp):
        self.guest, self.qmp = guest, qmp

    def plug(self, name: str) -> None:
        """A DIMM, taken into use by the guest's kernel."""
        before = self.total()
        self.qmp.command("object-add", qom_type="memory-backend-memfd", id=f"memory-{name}", size=DIMM, share=True)
        self.qmp.command("device_add", driver="pc-dimm", id=name, memdev=f"memory-{name}")
        wait_until(lambda: self.total() >= before + DIMM // 2, f"{self.guest.name} has the memory of {name}", 60, interval=0.1)

    def unplug(self, name: str) -> None:
        self.qmp.command("device_del", id=name)
        self.qmp.wait_event("DEVICE_DELETED", device=name)
        self.qmp.command("object-del", id=f"memory-{name}")

    def total(self) -> int:
        """Bytes that the guest's kernel has."""
        (line,) = [line for line in self.guest.run("cat /proc/meminfo").splitlines() if line.startswith("MemTotal")]
        return int(line.split()[1]) << 10

    def contents(self) -> list[pathlib.Path]:
        """The DIMMs, as files."""
        folder = pathlib.Path(f"/proc/{self.guest.pid}/fd")
        return [file for file in folder.iterdir() if "memfd:memory-backend-memfd" in os.readlink(file) and file.stat().st_size == DIMM]


def regions(switch) -> int:
    """Of guest 1's memory, as the switch sees it."""
    return int(switch.ports()["guest1"]["details"]["memory"].split(" in ")[1].split()[0])


@contextlib.contextmanager
def world(place, online: str):
    """Guest 1, whose memory grows and shrinks, guest 2, which pings it all the time, and two VMs that have nothing to do
    with it and check each frame."""
    config = vhost_ports(place)
    for other in config["ports"]:
        other["vlan"] = {"access": 20}
    config["ports"] += [vhost_port(f"guest{i}", place / f"guest{i}.sock", vlan={"access": 10}) for i in (1, 2)]
    monitor = place / "monitor.sock"
    with contextlib.ExitStack() as stack:
        switch = stack.enter_context(Switch(place, config))
        stack.enter_context(hugepages.reserved(vmgen.HUGEPAGES))
        others = stack.enter_context(two_vms(place, place))
        one = stack.enter_context(Guest(place, "guest1", Nic(place / "guest1.sock", MACS[0]), kernel_arguments=f"memhp_default_state={online}",
                                        arguments=("-m", "slots=32,maxmem=8G", "-qmp", f"unix:{monitor},server=on,wait=off")))
        two = stack.enter_context(Guest(place, "guest2", Nic(place / "guest2.sock", MACS[1])))
        qmp = stack.enter_context(Qmp(monitor))
        switch.wait_ready()
        others.wait_sending()
        traffic = Trial(switch, others, queues=1)
        for guest, address in zip((one, two), ADDRESSES):
            guest.wait_booted(f"{address}/24")
        switch.wait_link("guest1", "guest2")
        assert two.pings(ADDRESSES[0]) == 3
        # A guest that does not get on for seconds does not answer ARP requests in time either: whom one knows, one does not ask.
        for guest, address, mac in ((two, ADDRESSES[0], MACS[0]), (one, ADDRESSES[1], MACS[1])):
            guest.run(f"arp -s {address} {mac}")
        before = switch.drops()
        two.run(f"ping -i 0.05 -s 1400 {ADDRESSES[0]} >/tmp/pings & echo $! >/tmp/ping.pid")
        yield switch, Hotplug(one, qmp), two
        assert_pinged(two)
        answered = heard(two)
        assert answered == set(range(len(answered))), f"pings were not answered: {sorted(set(range(max(answered))) - answered)}"
        traffic.wait_traffic()
        others.signal(signal.SIGTERM)
        total = others.wait_report()["total"]
        assert total["corrupted"] == total["reordered"] == 0, total
        traffic.assert_nothing_lost(total, RATE)
        lost = {where: count - before.get(where, 0) for where, count in switch.drops().items() if where[0].startswith("guest") and count != before.get(where)}
        assert not lost, f"frames were lost: {lost}"


def heard(two: Guest) -> set[int]:
    """The numbers of the pings that were answered. Those after them are on their way: on a slow machine several."""
    return {int(number) for number in two.run("sed -n 's/.*seq=\\([0-9]*\\) ttl.*/\\1/p' /tmp/pings", seconds=60).split()}


def assert_pinged(two: Guest) -> None:
    before = int(two.run("wc -l </tmp/pings"))
    wait_until(lambda: int(two.run("wc -l </tmp/pings")) >= before + 5, "pings are answered", 30, interval=0.1)


def test_memory_comes_and_goes_under_traffic(place, times):
    with world(place, "online_movable") as (switch, memory, two):
        assert regions(switch) == 1
        for _ in range(times(2, 10)):
            memory.plug("a")
            wait_until(lambda: regions(switch) == 2, "the switch has the new region", 20)
            assert_pinged(two)
            memory.unplug("a")
            wait_until(lambda: regions(switch) == 1, "the switch has let go of it", 20)
            assert_pinged(two)


def test_packets_are_received_into_memory_that_came_later(place, times):
    for _ in range(times(1, 3)):
        assert_packets_are_received_into_memory_that_came_later(place)


def assert_packets_are_received_into_memory_that_came_later(place):
    with world(place, "online_kernel") as (switch, memory, two):
        memory.plug("a")
        # The kernel allocates above 4 GiB first, where the DIMM is: buffers that are used up are followed by such.
        received = bytes.fromhex("".join(MACS).replace(":", "")) + b"\x08\x00\x45"
        (dimm,) = memory.contents()
        wait_until(lambda: received in dimm.read_bytes(), "frames to guest 1 are in the DIMM", 120, interval=1)


def test_more_regions_than_eight_are_used(place):
    with world(place, "online_movable") as (switch, memory, two):
        names = [f"dimm{i}" for i in range(11)]
        for name in names:
            memory.plug(name)
        wait_until(lambda: regions(switch) == 12, "the switch has all regions", 20)
        assert_pinged(two)
        for name in names:
            memory.unplug(name)
        wait_until(lambda: regions(switch) == 1, "the switch has let go of them", 20)
        assert_pinged(two)
