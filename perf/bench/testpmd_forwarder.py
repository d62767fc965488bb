"""testpmd as a contender: it forwards between pairs of ports (net_vhost, a VM's pair may be a device; io mode), and is no switch at all."""

from __future__ import annotations

import re
import statistics
import time

from contender import PMD_CORE, Contender, Reading
from process import Program, wait_until

MEGABYTES = 256


class TestpmdForwarder(Contender):
    __test__ = False
    name = "testpmd"
    hugepages = MEGABYTES // 2 + 8

    def __enter__(self):
        self.executed_at = time.monotonic()
        vdevs = [f"--vdev=net_vhost{i},iface={socket},queues=1,client={int(self.setting.vms_listen)},tso={int(bool(self.work.tso))}" for i, socket in enumerate(self.sockets)]
        if self.work.has_device:
            vdevs.append("--vdev=net_ring0")
        self._program = Program("forwarder", [
            "stdbuf", "-oL", "dpdk-testpmd", "--no-pci", "--in-memory", f"--lcores=0@0,1@{PMD_CORE}", "-m", MEGABYTES,
            f"--file-prefix={self.directory.name}f", "--no-telemetry", *vdevs,
            "--", "-i", "--nb-cores=1", "--rxd=1024", "--txd=1024", "--total-num-mbufs=32768", "--forward-mode=io",
            "--no-flush-rx"], self.directory, cpu=None)
        try:
            wait_until(lambda: "testpmd> " in self._program.log() or not self._program.running(), "testpmd is ready", 60)
            self._command("set record-core-cycles on", "set record-burst-stats on", "start")
        except BaseException:
            self._program.stop()
            raise
        return self

    def __exit__(self, *exception):
        self._program.stop()

    def pids(self) -> list[int]:
        return [self._program.pid]

    def clear(self) -> None:
        self._command("stop", "start")
        self._since = time.monotonic()

    def read(self) -> Reading:
        text = self._command("stop", "start")
        seconds = time.monotonic() - self._since
        found = re.search(r"CPU cycles/packet=[\d.]+ \((?:total|busy) cycles=(\d+) / total \w+ packets=(\d+)\) at (\d+) MHz", text)
        assert found, text
        cycles, packets, megahertz = map(int, found.groups())
        return Reading(packets, cycles, _usual_batch(text), min(1.0, cycles / (seconds * megahertz * 1e6)))

    def _command(self, *lines: str) -> str:
        before = len(self._program.log())
        mark = f"mark{before}"
        self._program.write("".join(f"{line}\n" for line in (*lines, mark)))
        wait_until(lambda: re.search(rf"{mark}\s+Command not found", self._program.log()[before:]) or not self._program.running(),
                   f"testpmd answers {lines}", 20)
        return self._program.log()[before:]


def _usual_batch(text: str) -> float:
    """Of its ports: the size of most batches that were received, which is all that it says of them."""
    shares = [re.findall(r"% of (\d+) pkts", line) for line in re.findall(r"RX-bursts : \d+ \[(.*)\]", text)]
    # The first after those of none is the most frequent.
    usual = [next(int(size) for size in sizes if size != "0") for sizes in shares if any(size != "0" for size in sizes)]
    return statistics.mean(usual) if usual else 0.0
