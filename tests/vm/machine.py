"""Machine: a whole machine in QEMU in which the switch itself runs: two NUMA nodes, an IOMMU, NICs that are bound to VFIO.

Node 0 has cores 0 and 1, node 1 has cores 2 and 3 and the NICs. The first core of each node is for VMs and all else, the
second for the node's PMD. A VM is testpmd, its memory and its core on one node.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib

import initramfs
from linux import Linux
from process import wait_until
from reports import Reports
from switch import BINARY
from wire import Wire

OTHER_CORE = {0: 0, 1: 2}
PMD_CORE = {0: 1, 1: 3}
NIC_NODE = 1
MEGABYTES = {0: 832, 1: 576}
HUGEPAGES = {0: 112, 1: 64}
VM_MEGABYTES = 64

DRIVERS = pathlib.Path("/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0")
CONTENTS = initramfs.Contents(
    modules=(*initramfs.VIRTIO, "virtio_console", "irqbypass", "vfio", "vfio_iommu_type1", "vfio_virqfd", "vfio-pci-core", "vfio-pci"),
    # DPDK finds drivers by the ends of their names.
    programs=("/usr/bin/dpdk-testpmd", *(f"{DRIVERS}/librte_{name}.so.23" for name in
                                         ("bus_pci", "bus_vdev", "mempool_ring", "net_virtio"))),
    moved=((BINARY, "/bin/sluice"),))


@dataclasses.dataclass
class Nic:
    """`address`: as `lspci -D` shows it."""
    wire: Wire
    mac: str
    address: str = ""


class Machine(Linux):
    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        image = directory / "machine.cpio"
        image.write_bytes(initramfs.archive(CONTENTS))
        self.nics = [Nic(Wire(directory, f"nic{i}"), f"52:54:00:00:00:{i:02x}") for i in range(2)]
        hardware = ["-machine", "q35", "-smp", "4,sockets=2", "-m", sum(MEGABYTES.values()),
                    # Before all that it is to look after.
                    "-device", "intel-iommu,intremap=on"]
        for node, megabytes in MEGABYTES.items():
            hardware += ["-object", f"memory-backend-ram,id=node{node},size={megabytes}M",
                         "-numa", f"node,nodeid={node},memdev=node{node},cpus={OTHER_CORE[node]}-{PMD_CORE[node]}"]
        devices = ["-device", f"pxb-pcie,id=bridge,bus=pcie.0,bus_nr=64,numa_node={NIC_NODE}"]
        for i, nic in enumerate(self.nics):
            devices += ["-device", f"pcie-root-port,id=slot{i},bus=bridge,chassis={i}", "-netdev", nic.wire.netdev(),
                         "-device", f"e1000e,bus=slot{i},netdev=nic{i},mac={nic.mac},romfile="]
        # The time stamp counter is one, of the emulator's clock; the kernel need not find that out.
        super().__init__(directory, "machine", image, hardware, devices=tuple(devices), kernel_arguments="intel_iommu=on tsc=reliable", logs=("switch", "vm"),
                         cpu=None)

    def wait_booted(self) -> None:
        """Hugepages are reserved and the NICs found; they are bound to no driver."""
        self.wait_shell()
        for node, pages in HUGEPAGES.items():
            self.reserve(node, pages)
        found = self.run("cd /sys/bus/pci/devices && grep -l 0x10d3 */device").split()
        for nic, file in zip(self.nics, sorted(found), strict=True):
            nic.address = file.split("/")[0]
        self.run("mkfifo /run/endless; mkdir /run/sluice")

    def bind_to_vfio(self, nic: Nic) -> None:
        self.run(f"echo vfio-pci > /sys/bus/pci/devices/{nic.address}/driver_override && echo {nic.address} > /sys/bus/pci/drivers_probe "
                 f"&& [ -d /sys/bus/pci/drivers/vfio-pci/{nic.address} ]")

    def reserve(self, node: int, pages: int) -> None:
        """Hugepages, those in use included; fewer than these there cannot be."""
        self.run(f"cd /sys/devices/system/node/node{node}/hugepages/hugepages-2048kB && echo {pages} > nr_hugepages && "
                 f"[ $(cat nr_hugepages) = {pages} ]")

    def config_file(self, name: str, config: dict) -> str:
        file = f"/etc/{name}.yaml"
        self.run(f"mkdir -p /etc; cat > {file} <<'END'\n{json.dumps(config, indent=1)}\nEND")
        return file

    def start(self, command: str, log: int) -> int:
        """In the background, its output to /dev/hvc`log`; the process."""
        return int(self.run(f"{command} 0<>/run/endless >/dev/hvc{log} 2>&1 & echo $!"))

    def end(self, pid: int, signal: str = "TERM") -> int:
        """Returns when it has, with its exit code."""
        # The shell may have something to say of how it ended.
        return int(self.run(f"kill -{signal} {pid}; wait {pid}; echo $?", seconds=30).split()[-1])

    def stop(self, seconds: float = 10.0) -> int:
        code = super().stop(seconds)
        for nic in self.nics:
            nic.wire.socket.close()
        return code

    @contextlib.contextmanager
    def vm(self, socket: str, mac: str, node: int, *arguments: str):
        """testpmd with one port; it forwards what it gets to where it came from. `arguments`: more of testpmd's own."""
        core, second = OTHER_CORE[node], PMD_CORE[node]
        memory = ",".join(str(VM_MEGABYTES if each == node else 0) for each in MEGABYTES)
        self.run(f"rm -f {socket}")
        log = self.directory / "vm.log"
        before = log.stat().st_size
        pid = self.start(
            # DPDK takes an lcore's node by its number, not by the core that it runs on.
            f"dpdk-testpmd --no-pci --in-memory --single-file-segments --no-telemetry --lcores={core}@{core},{second}@{core} --socket-mem={memory} "
            f"--vdev=net_virtio_user0,path={socket},mac={mac},queues=1,queue_size=256,server=1 -- --nb-cores=1 --rxd=256 --txd=256 "
            f"--total-num-mbufs=4096 {' '.join(arguments)}", log=2)
        try:
            # Its link is up before it has given its device buffers.
            wait_until(lambda: b"Press enter" in log.read_bytes()[before:], "the VM forwards", 60)
            yield pid
        finally:
            self.end(pid, "KILL")


class MachineSwitch(Reports):
    """`sluice run` in the machine; there may be one beside another, of another name."""

    def __init__(self, machine: Machine, config: dict, name: str = "switch"):
        self._machine = machine
        self._socket = f"/run/sluice/{name}.sock"
        self.pid = machine.start(f"sluice run {machine.config_file(name, config)} --socket {self._socket}", log=1)

    def cli(self, *arguments: str, check: bool = True) -> str:
        """What the same binary prints as a client."""
        words = " ".join(f"'{each}'" for each in (*arguments, "--socket", self._socket))
        return self._machine.run(f"sluice {words}", seconds=60, check=check)

    def rpc(self, method: str, **params):
        assert not params, "the command line has them as options"
        text = self.cli("show", method, "--json", check=False)
        if text[:1] != "{":
            raise ValueError(text)
        return json.loads(text)

    def wait_ready(self) -> None:
        self.wait_other_worker(-1)

    def kill_worker(self) -> None:
        pid = self.worker_pid
        self._machine.run(f"kill -9 {pid}")
        self.wait_other_worker(pid)

    def stop(self) -> int:
        return self._machine.end(self.pid)
