"""A VM that is killed under traffic and comes back, again and again, with other rings each time: the switch is as before,
and the others notice nothing.
"""

import dataclasses
import os
import pathlib
import re
import signal

import pytest

import hugepages
import testpmd
import vmgen
from process import wait_until
from switch import Switch
from testpmd import TestpmdVm, VirtioUser
from trial import Trial, two_vms, vhost_ports

pytestmark = pytest.mark.timeout(300)

MAC = "02:00:00:00:09:01"


@dataclasses.dataclass
class Holdings:
    """What the switch's processes, the keeper and the worker, have of the kernel."""
    descriptors: int
    threads: int
    mappings: int
    kilobytes: int

    @classmethod
    def of(cls, switch: Switch) -> "Holdings":
        processes = [pathlib.Path(f"/proc/{pid}") for pid in {switch.pid, switch.worker_pid}]
        memory = [re.search(r"VmRSS:\s+(\d+) kB", (each / "status").read_text()) for each in processes]
        return cls(sum(len(os.listdir(each / "fd")) for each in processes), sum(len(os.listdir(each / "task")) for each in processes),
                   sum(len((each / "maps").read_text().splitlines()) for each in processes), sum(int(each.group(1)) for each in memory))


def at_rest(switch: Switch) -> Holdings:
    """When what the VM has left is closed, by the worker and by the keeper, who hears of it from the worker."""
    seen: list[Holdings] = []

    def rests():
        seen.append(Holdings.of(switch))
        return len(seen) >= 4 and len({each.descriptors for each in seen[-4:]}) == 1
    wait_until(rests, "descriptors are closed", 10, interval=0.05)
    return seen[-1]


def come_and_go(switch: Switch, port: VirtioUser) -> None:
    if port.server:
        port.path.unlink(missing_ok=True)  # the socket of the one that was killed
    with TestpmdVm(port.path.parent, [port], name="goer") as vm:
        vm.wait_ready()
        switch.wait_link("goer")
        before = switch.ports()["goer"]["rx_packets"]
        vm.start("flowgen")
        wait_until(lambda: switch.ports()["goer"]["rx_packets"] > before + 1000, "the VM's frames come in", 20)
        vm.kill()
    switch.wait_link("goer", up=False)


@pytest.mark.parametrize("mode", ["client", "server"])
def test_a_vm_killed_under_traffic_leaves_nothing_behind_and_disturbs_nobody(place, times, mode):
    memory = hugepages.reserved(vmgen.HUGEPAGES + testpmd.HUGEPAGES)
    config = vhost_ports(place)
    for other in config["ports"]:
        other["vlan"] = {"access": 1}
    with memory, Switch(place, config) as switch:
        switch.wait_ready()
        with two_vms(place, place) as others:
            others.wait_sending()
            traffic = Trial(switch, others, queues=1)
            path = place / "goer.sock"
            switch.cli("port", "add", "name=goer", "type=vhost-user", f"path={path}", f"mode={mode}", "vlan.access=99")
            one, other = (VirtioUser(path, MAC, server=mode == "client", packed=packed) for packed in (False, True))
            for port in (one, other):  # what is kept for the next connection is there after the first
                come_and_go(switch, port)
            before = at_rest(switch)
            for number in range(times(6, 250)):
                come_and_go(switch, other if number % 2 else one)
                traffic.wait_traffic()
            wait_until(lambda: Holdings.of(switch).descriptors == before.descriptors, "all descriptors are closed", 10)
            after = Holdings.of(switch)
            assert (after.threads, after.mappings) == (before.threads, before.mappings), f"{before} became {after}"
            # In the long form a leak of one page a time shows; what an allocator has rounded up does not.
            assert after.kilobytes <= before.kilobytes + 768, f"{before} became {after}"
            others.signal(signal.SIGTERM)
            total = others.wait_report()["total"]
            assert total["received"] > 0 and total["lost"] == total["duplicated"] == total["reordered"] == total["corrupted"] == 0, total
