"""Vmgen: perf/vmgen as the VMs of a test. It checks every frame by itself; a test looks at its report."""

from __future__ import annotations

import json
import pathlib

from process import Program, wait_until
from switch import BUILD

BINARY = BUILD.resolve() / "perf" / "vmgen" / "vmgen"
HUGEPAGES = 160


class Vmgen(Program):
    """`vms`: what follows --vm, for each VM."""

    def __init__(self, directory: pathlib.Path, vms: list[str], *options, name: str = "vmgen"):
        self.report_path = directory / f"{name}.json"
        timeout = () if "--timeout" in options else ("--timeout", 60)
        self._events: list[dict] = []
        self._events_read = 0  # bytes of what it has printed
        super().__init__(name, [BINARY, *(f"--vm={vm}" for vm in vms), "--json", self.report_path, *timeout, *options], directory)

    def events(self, kind: str) -> list[dict]:
        """The whole lines of JSON that it has printed, of one kind. Each is read once: who asks again and again would else
        take the VMs' core from them."""
        with open(self.log_path, "rb") as log:
            log.seek(self._read_from + self._events_read)
            text = log.read()
        whole = text[:text.rfind(b"\n") + 1]
        self._events_read += len(whole)
        self._events += [json.loads(line) for line in whole.splitlines() if line.startswith(b'{"event":')]
        return [event for event in self._events if event["event"] == kind]

    def wait_sending(self) -> None:
        self.wait_for_log('{"event":"start"', 60)

    def wait_report(self, seconds: float = 60) -> dict:
        wait_until(lambda: not self.running(), f"{self.name} reports", seconds)
        assert self.child.returncode == 0, f"{self.name} returned {self.child.returncode}:\n{self.log()[-4000:]}"
        return json.loads(self.report_path.read_text())
