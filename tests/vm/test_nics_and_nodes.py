"""The switch in a whole machine (machine.py), with a NIC behind an IOMMU and two NUMA nodes; frames on the NIC's wire are
scapy's."""

import contextlib
import dataclasses
import itertools
import re

import pytest
from scapy.all import IP, TCP, UDP, Dot1AD, Dot1Q, Ether, IPv6, Raw

from machine import HUGEPAGES, NIC_NODE, PMD_CORE, Machine, MachineSwitch
from process import wait_until

pytestmark = pytest.mark.timeout(300)

HOST = "02:00:00:00:02:01"  # on the wire
VM = "02:00:00:00:03:01"
SOCKET = "/run/vm.sock"
AHEAD = 8  # frames that are on their way at a time
EMPTY_SLOT = "0000:3f:00.0"


def pci(name, nic):
    return {"name": name, "type": "pci", "address": nic.address}


def config(*ports):
    return {"memory": {"hugepages": True, "amount": "64 MiB"},
            "pmd": {"cores": sorted(PMD_CORE.values()), "idle": "sleep up to 50 us"},
            # Emulated, on a machine with other work to do, a thread may stand still for a while.
            "recovery": {"hang_timeout": "60 s"},
            "ports": list(ports)}


@pytest.fixture(scope="module")
def machine(shared_place):
    with Machine(shared_place) as booted:
        booted.wait_booted()
        booted.bind_to_vfio(booted.nics[0])
        yield booted


@pytest.fixture(scope="module")
def switch(machine):
    started = MachineSwitch(machine, config(pci("uplink", machine.nics[0]), {"name": "vm", "type": "vhost-user", "path": SOCKET}))
    started.wait_ready()
    yield started
    assert started.stop() == 0


@contextlib.contextmanager
def vm_on(machine, switch, node, *arguments):
    switch.wait_link("vm", up=False, seconds=60)  # of another before
    with machine.vm(SOCKET, VM, node, *arguments):
        switch.wait_link("vm", "uplink", seconds=60)
        machine.nics[0].wire.forget()
        try:
            yield
        except Exception:
            switch.cli("show", "drops", check=False)  # for the log
            raise


def echoing(machine, switch, node):
    """A VM that gives back what it gets, the MAC addresses swapped."""
    return vm_on(machine, switch, node, "--forward-mode=macswap")


_numbers = itertools.count()
TAGS = {"untagged": [], "802.1Q": [Dot1Q(vlan=100, prio=5)], "802.1ad": [Dot1AD(vlan=200), Dot1Q(vlan=7)]}
SIZES = (60, 61, 64, 128, 191, 192, 193, 511, 1024, 1500, 1513, 1514)


def frame(size=60, tags=(), to=VM) -> bytes:
    """Of a local experimental ethertype, `size` bytes long beside the tags, none like another."""
    number = next(_numbers)
    packet = Ether(src=HOST, dst=to)
    for tag in tags:
        packet /= tag
    packet.lastlayer().type = 0x88B5
    return bytes(packet) + number.to_bytes(4, "big").ljust(size - 14, bytes([number & 0xFF]))


def echoed(sent: bytes) -> bytes:
    return sent[6:12] + sent[:6] + sent[12:]


def exchange(wire, sent: list[bytes]) -> list[bytes]:
    """What comes back, a frame for each; a few are on their way at a time."""
    got = []
    for number in range(len(sent) + AHEAD):
        if number < len(sent):
            wire.send(sent[number])
        if number >= AHEAD:
            got.append(wire.receive())
    return got


def assert_echoes(wire, frames) -> None:
    """In order, which those of one flow are in."""
    for sent, got in zip(frames, exchange(wire, frames), strict=True):
        assert got == echoed(sent), f"{Ether(got)!r} in place of {Ether(echoed(sent))!r}"


def counts(ports):
    return {(name, way): ports[name][f"{way}_packets"] for name in ports for way in ("rx", "tx")}


def test_frames_of_all_sizes_tagged_or_not_cross_between_wire_and_vm_byte_for_byte(machine, switch):
    frames = [frame(size, tags) for tags in TAGS.values() for size in SIZES for _ in range(10)]
    with echoing(machine, switch, node=0):
        before = counts(switch.wait_at_rest())
        assert_echoes(machine.nics[0].wire, frames)
        after = counts(switch.wait_at_rest())
        assert {key: after[key] - before[key] for key in after} == dict.fromkeys(after, len(frames))
        switch.assert_accounts_for_every_frame()


def packet(network, transport, payload: bytes, tags):
    """With a transport checksum that is wrong: who completes it did not copy it."""
    built = Ether(src=HOST, dst=VM)
    for tag in tags:
        built /= tag
    return built / network / transport(sport=1000, dport=2000, chksum=0xBAD) / Raw(payload)


def completed(sent):
    """As scapy builds it, from the VM to the host."""
    built = Ether(bytes(sent))
    built.src, built.dst = VM, HOST
    del (built[TCP] if TCP in built else built[UDP]).chksum
    return bytes(built)


NETWORKS = (IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="fd00::1", dst="fd00::2"))


def test_checksums_that_the_vm_leaves_to_its_device_are_right_on_the_wire(machine, switch):
    # The driver's offloads: RTE_ETH_TX_OFFLOAD_UDP_CKSUM, _TCP_CKSUM. Frames are long enough not to be lengthened: QEMU's
    # NIC counts what follows the IP packet as part of it.
    with vm_on(machine, switch, 0, "--forward-mode=csum", "--tx-offloads=0xc", f"--eth-peer=0,{HOST}"):
        packets = [packet(network, transport, bytes(number % 256 for number in range(size)), tags)
                   for network in NETWORKS for transport in (TCP, UDP) for size in (18, 19, 199, 1000, 1400) for tags in TAGS.values()]
        got = exchange(machine.nics[0].wire, [bytes(each) for each in packets])
        expected = {completed(each) for each in packets}
        assert len(expected) == len(packets) and set(got) == expected, [Ether(each) for each in got if each not in expected]
        switch.assert_accounts_for_every_frame()


@dataclasses.dataclass
class Area:
    """A line of numa_maps: `policy` of a worker's memory, what it is, and how many pages are on which node."""
    policy: str
    what: str
    pages: dict[int, int]


def areas_of(machine, pid) -> list[Area]:
    lines = [line.split(" ") for line in machine.run(f"cat /proc/{pid}/numa_maps").splitlines()]
    return [Area(policy, " ".join(rest), {int(node): int(pages) for node, pages in re.findall(r"\bN(\d+)=(\d+)", " ".join(rest))})
            for _, policy, *rest in lines]


def cores_of(switch) -> dict[str, int]:
    """Which core polls the port's first queue."""
    return {queue["port"]: pmd["core"] for pmd in switch.rpc("pmds")["pmds"] for queue in pmd["queues"]}


def assert_is_on_node(machine, switch, port, node) -> None:
    assert switch.ports()[port]["details"]["NUMA node"] == str(node)
    assert cores_of(switch)[port] == PMD_CORE[node]


def assert_memory_follows_to(machine, switch, node) -> None:
    """What PMDs write of a port that follows its VM is bound to nodes; nothing else of the switch's is."""
    bound = [area for area in areas_of(machine, switch.worker_pid) if area.policy.startswith(("prefer", "bind"))]
    assert len(bound) >= 2 and all(set(area.pages) <= {node} for area in bound), bound
    assert sum(area.pages.get(node, 0) for area in bound) >= 2, bound


def test_a_nic_has_its_buffers_and_its_pmd_on_its_own_node(machine, switch):
    assert_is_on_node(machine, switch, "uplink", NIC_NODE)
    huge = [area for area in areas_of(machine, switch.worker_pid) if "huge" in area.what]
    assert any(area.pages.get(NIC_NODE) for area in huge), huge
    assert {pmd["core"]: pmd["numa_node"] for pmd in switch.rpc("pmds")["pmds"]} == {core: node for node, core in PMD_CORE.items()}


@pytest.mark.parametrize("node", [1, 0])
def test_a_port_follows_its_vm_to_its_node(machine, switch, node):
    with echoing(machine, switch, node):
        assert_echoes(machine.nics[0].wire, [frame() for _ in range(20)])
        assert_is_on_node(machine, switch, "vm", node)
        assert_memory_follows_to(machine, switch, node)


def test_a_nic_can_be_given_back_and_taken_again_by_any_worker(machine, switch):
    wire = machine.nics[0].wire
    with echoing(machine, switch, node=1):
        assert_echoes(wire, [frame() for _ in range(20)])

        switch.cli("port", "del", "uplink")
        assert "uplink" not in switch.ports()
        switch.cli("port", "add", "name=uplink", "type=pci", f"address={machine.nics[0].address}")
        switch.wait_link("uplink", seconds=30)
        assert_echoes(wire, [frame() for _ in range(20)])

        switch.kill_worker()
        switch.wait_link("uplink", "vm", seconds=30)
        assert_echoes(wire, [frame() for _ in range(20)])
        assert_is_on_node(machine, switch, "vm", 1)
        assert_memory_follows_to(machine, switch, 1)

        before = switch.worker_pid
        switch.cli("upgrade")
        assert switch.worker_pid != before
        switch.wait_link("uplink", "vm", seconds=30)
        assert_echoes(wire, [frame() for _ in range(20)])
        assert_is_on_node(machine, switch, "vm", 1)
        assert_memory_follows_to(machine, switch, 1)


def refusals(machine) -> dict[str, str]:
    """By address: why there can be no port."""
    right = "; right is vfio-pci: dpdk-devbind.py --bind=vfio-pci "
    console = machine.run("basename $(dirname $(readlink -f /sys/bus/virtio/devices/virtio0))").strip()
    free = machine.nics[1].address
    return {EMPTY_SLOT: "cannot be attached: there is no such PCI device; lspci -D shows those that are",
            free: f"cannot be attached: it is bound to no driver{right}{free}",
            console: "cannot be attached: it is no network device: its PCI class is 0x078000",
            machine.nics[0].address: "PCI device"}


def test_a_device_that_cannot_be_had_is_refused_with_the_reason_and_can_be_had_when_that_is_gone(machine, switch):
    for address, why in refusals(machine).items():
        said = switch.cli("port", "add", "name=second", "type=pci", f"address={address}", check=False)
        assert "second" in said and address in said and why in said, said
    file = machine.config_file("wrong", config(pci("second", machine.nics[1])))
    said = machine.run(f"sluice run {file} --socket /run/sluice/wrong.sock; echo code $?", seconds=30)
    assert refusals(machine)[machine.nics[1].address] in said and "code 1" in said, said

    machine.bind_to_vfio(machine.nics[1])
    switch.cli("port", "add", "name=second", "type=pci", f"address={machine.nics[1].address}")
    switch.wait_link("second", seconds=30)
    for here, there in (machine.nics, machine.nics[::-1]):
        there.wire.forget()
        for sent in (frame(size, to="ff:ff:ff:ff:ff:ff") for size in SIZES):
            here.wire.send(sent)
            assert there.wire.receive() == sent
    switch.cli("port", "del", "second")


def test_a_nic_whose_node_has_no_hugepages_uses_those_of_another(machine):
    machine.bind_to_vfio(machine.nics[1])
    with contextlib.ExitStack() as afterwards:
        afterwards.callback(machine.reserve, NIC_NODE, HUGEPAGES[NIC_NODE])
        machine.run(f"echo 0 > /sys/devices/system/node/node{NIC_NODE}/hugepages/hugepages-2048kB/nr_hugepages")
        far = MachineSwitch(machine, config(pci("far", machine.nics[1])), name="far")
        far.wait_ready()
        far.wait_link("far", seconds=30)
        assert not any(area.pages.get(NIC_NODE) for area in areas_of(machine, far.worker_pid) if "huge" in area.what)
        assert far.stop() == 0
