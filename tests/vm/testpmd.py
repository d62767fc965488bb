"""TestpmdVm: DPDK's testpmd in the role of one or several VMs.

Each port is a virtio-user device: the virtio driver of a guest, speaking vhost-user from a process. testpmd forwards
between its ports, so two ports on one switch make two VMs that send to each other. Driven by its own command line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pathlib
import re
import subprocess

from process import OTHER_CPUS, Program, wait_until

MEGABYTES = 128
HUGEPAGES = MEGABYTES // 2 + 16
ENOUGH = 20_000  # frames that make traffic

_prefixes = itertools.count()


@dataclasses.dataclass
class VirtioUser:
    """One port. `server`: the VM listens on the socket and the switch connects."""
    path: pathlib.Path
    mac: str
    server: bool = True
    packed: bool = False
    mergeable: bool = True
    in_order: bool = True
    queues: int = 1
    queue_size: int = 256

    def vdev(self, number: int) -> str:
        return (f"net_virtio_user{number},path={self.path},mac={self.mac},queues={self.queues},queue_size={self.queue_size},"
                f"server={int(self.server)},packed_vq={int(self.packed)},mrg_rxbuf={int(self.mergeable)},"
                f"in_order={int(self.in_order)}")


@dataclasses.dataclass
class Stats:
    """`show port stats` of one port."""
    rx_packets: int
    rx_missed: int
    rx_bytes: int
    rx_errors: int
    rx_nombuf: int
    tx_packets: int
    tx_errors: int
    tx_bytes: int


class TestpmdVm(Program):
    __test__ = False  # pytest: this is no test, in spite of its name

    def __init__(self, directory: pathlib.Path, ports: list[VirtioUser], *, name: str = "vm", arguments: tuple[str, ...] = ()):
        self.ports = ports
        self._marks = itertools.count()
        queues = max(port.queues for port in ports)
        peers = [f"--eth-peer={i},{ports[(i + 1) % len(ports)].mac}" for i in range(len(ports))]
        prefix = f"sluice-{name}-{next(_prefixes)}-{directory.name}"
        super().__init__(name, [
            # Line by line: in a file, its answers would come only when a buffer is full.
            "stdbuf", "-oL", "dpdk-testpmd", "--no-pci", "--in-memory", "--single-file-segments", f"--lcores=0@{OTHER_CPUS},1@{OTHER_CPUS}",
            "-m", MEGABYTES, f"--file-prefix={prefix}", "--no-telemetry", *(f"--vdev={p.vdev(i)}" for i, p in enumerate(ports)),
            "--", "-i", "--nb-cores=1", f"--rxq={queues}", f"--txq={queues}", "--rxd=256", "--txd=256",
            "--total-num-mbufs=8192", *peers, *arguments], directory)

    def wait_ready(self) -> None:
        """The prompt is there: the switch has attached to all ports that are servers."""
        self.wait_for_log("testpmd> ", 30)

    def command(self, *lines: str, seconds: float = 10.0) -> str:
        """Runs commands and returns what they printed."""
        mark = f"mark{next(self._marks)}"
        before = len(self.log())
        # testpmd rejects a word it does not know and names it: that is the end mark.
        self.write("".join(f"{line}\n" for line in (*lines, mark)))
        wait_until(lambda: re.search(rf"{mark}\s+Command not found", self.log()[before:]) or not self.running(),
                   f"{self.name} answers {lines}", seconds)
        assert self.running(), f"{self.name} ended with {self.child.returncode}:\n{self.log()[-4000:]}"
        return self.log()[before:]

    def start(self, mode: str = "mac", first: int = 0) -> None:
        """Forwards from now on; `first` bursts of 32 frames are sent by each port to begin with."""
        self.command(f"set fwd {mode}", f"start tx_first {first}" if first else "start")

    def stop_forwarding(self) -> None:
        self.command("stop")

    def stats(self) -> list[Stats]:
        text = self.command("show port stats all")
        number = {name.replace("-", "_").lower(): [int(v) for v in re.findall(rf"{name}:\s+(\d+)", text)]
                  for name in ("RX-packets", "RX-missed", "RX-bytes", "RX-errors", "RX-nombuf", "TX-packets", "TX-errors", "TX-bytes")}
        assert all(len(values) == len(self.ports) for values in number.values()), text
        return [Stats(**{name: values[i] for name, values in number.items()}) for i in range(len(self.ports))]

    def wait_for_traffic(self, frames: int = ENOUGH) -> None:
        """Every port receives `frames` more than it has."""
        before = [port.rx_packets for port in self.stats()]
        wait_until(lambda: all(now.rx_packets >= then + frames for now, then in zip(self.stats(), before)),
                   f"{frames} more frames reach each VM", 30)

    def take_what_is_left(self) -> list[Stats]:
        """Sends nothing, and receives until nothing comes any more. Returns the counts."""
        self.start("rxonly")
        before: list[Stats] = []

        def still():
            nonlocal before
            now, then = self.stats(), before
            before = now
            return now == then
        wait_until(still, f"{self.name} has taken all frames", 10, interval=0.2)
        self.stop_forwarding()
        return self.stats()

    def stop(self, seconds: float = 10.0) -> int:
        if self.running():
            with contextlib.suppress(BrokenPipeError):
                self.write("quit\n")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(seconds)
        return super().stop(seconds)
