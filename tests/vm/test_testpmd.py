"""Two testpmd VMs over one switch: every kind of ring a virtio driver may ask for."""

import contextlib
import dataclasses

import pytest

from process import wait_until
from switch import BINARY, Switch, vhost_port
from testpmd import ENOUGH, TestpmdVm, VirtioUser

pytestmark = pytest.mark.usefixtures("testpmd_memory")

MACS = ("02:00:00:00:01:00", "02:00:00:00:01:01")


@dataclasses.dataclass
class Kind:
    packed: bool
    mergeable: bool
    in_order: bool
    queues: int
    mode: str  # of the switch

    def __str__(self):
        return "-".join(["packed" if self.packed else "split", "mergeable" if self.mergeable else "single", "inorder" if self.in_order else "anyorder",
                         f"{self.queues}q", self.mode])


# Each value of each knob meets each value of each other one.
KINDS = [
    Kind(packed, mergeable, in_order, queues, mode)
    for packed, mergeable, in_order, queues, mode in [
        (False, False, False, 1, "client"), (False, False, True, 2, "server"), (False, True, False, 2, "client"),
        (False, True, True, 1, "server"), (False, True, True, 2, "client"), (False, True, False, 1, "server"),
        (True, False, False, 2, "server"), (True, False, True, 1, "client"), (True, True, False, 1, "server"),
        (True, True, True, 2, "client"), (True, True, False, 2, "client"), (True, False, False, 1, "server")]]


def ports_of(place, kind):
    return [VirtioUser(place / f"vm{i + 1}.sock", mac, kind.mode == "client", kind.packed, kind.mergeable, kind.in_order, kind.queues)
            for i, mac in enumerate(MACS)]


def switch_for(place, kind):
    return Switch(place, {"ports": [vhost_port(f"vm{i}", place / f"vm{i}.sock", kind.mode) for i in (1, 2)]})


@contextlib.contextmanager
def vms_on(switch, place, kind):
    """The two VMs, attached. The switch first: a VM that is the socket's client tries once."""
    switch.wait_ready()
    with TestpmdVm(place, ports_of(place, kind)) as vm:
        attach(switch, vm)
        yield vm


def attach(switch, vm):
    switch.wait_ready()
    vm.wait_ready()
    switch.wait_link("vm1", "vm2")


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_traffic_flows_both_ways_and_every_frame_is_accounted_for(place, kind):
    with switch_for(place, kind) as switch, vms_on(switch, place, kind) as vm:
        vm.start("mac", first=1)
        vm.wait_for_traffic()
        vm.stop_forwarding()
        switch.wait_at_rest()
        ours = vm.take_what_is_left()
        switch.assert_accounts_for_every_frame()
        theirs = switch.ports()
        for name, stats in zip(("vm1", "vm2"), ours):
            assert theirs[name]["rx_packets"] == stats.tx_packets
            assert theirs[name]["tx_packets"] == stats.rx_packets
            assert theirs[name]["tx_bytes"] == stats.rx_bytes
        polled = {(queue["port"], queue["queue"]) for pmd in switch.rpc("pmds")["pmds"] for queue in pmd["queues"] if queue["packets"] > 0}
        assert polled == {(name, queue) for name in ("vm1", "vm2") for queue in range(kind.queues)}


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[8], KINDS[9]], ids=str)
def test_frames_in_several_pieces_arrive(place, kind):
    """The driver puts them into indirect tables; in those of packed rings, it marks some of a frame as writable."""
    with switch_for(place, kind) as switch, vms_on(switch, place, kind) as vm:
        vm.command("set txpkts 42,100,200")
        vm.start("txonly")
        wait_until(lambda: all(port["rx_packets"] >= ENOUGH for port in switch.ports().values()), "the VMs send", 30)
        vm.stop_forwarding()
        switch.wait_at_rest()
        assert {drop for drop in switch.drops() if drop[1].startswith("rx_")} == set()
        ports = switch.ports().values()
        assert [port["rx_bytes"] for port in ports] == [342 * port["rx_packets"] for port in ports]


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[3], KINDS[8], KINDS[9]], ids=str)
def test_a_vm_that_was_killed_comes_back(place, kind):
    with switch_for(place, kind) as switch:
        for _ in range(2):
            for port in ports_of(place, kind):
                if port.server:
                    port.path.unlink(missing_ok=True)  # the socket of the one that was killed
            with vms_on(switch, place, kind) as vm:
                vm.start("mac", first=1)
                vm.wait_for_traffic()
                vm.kill()
            switch.wait_link("vm1", "vm2", up=False)
        switch.assert_accounts_for_every_frame()


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2]], ids=str)
def test_vms_that_listen_are_found_again_by_a_new_switch(place, kind):
    with TestpmdVm(place, ports_of(place, kind)) as vm:
        for _ in range(2):
            with switch_for(place, kind) as switch:
                attach(switch, vm)
                vm.start("flowgen")
                vm.wait_for_traffic()
                vm.stop_forwarding()
                switch.kill()


@pytest.mark.parametrize("kind", [KINDS[4], KINDS[9]], ids=str)
def test_vms_go_on_when_the_worker_is_killed_and_when_it_is_upgraded(place, kind):
    with switch_for(place, kind) as switch:
        with vms_on(switch, place, kind) as vm:
            vm.start("mac", first=4)
            vm.wait_for_traffic()
            for replace in (switch.kill_worker, lambda: switch.cli("upgrade", "--binary", BINARY)):
                replace()
                vm.wait_for_traffic()
            vm.stop_forwarding()
        assert switch.log().count("front end connected") == 2, "they were disconnected"
