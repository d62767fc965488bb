"""Generator: the work's VMs, all of them in one vmgen on core 0, connected to the contender's sockets."""

from __future__ import annotations

import dataclasses
import json
import pathlib

from gaps import outage
from process import Program, wait_until
from work import Work


@dataclasses.dataclass(frozen=True)
class Traffic:
    """What the VMs say of a run."""
    pps: float          # frames a second that reached their VMs
    bps: float          # bits a second of them
    loss: float         # share of the frames sent that did not arrive
    limit: str          # what held it up: switch, generator, window, rate
    report: dict        # all of vmgen's report


class Generator:
    hugepages = 192  # of 2 MiB, that it takes at most
    binary: pathlib.Path

    def __init__(self, directory: pathlib.Path, work: Work, sockets: list[pathlib.Path], seconds: float, *more: str, listen: bool = False,
                 warm_up: float = 0.0):
        """`listen`: the VMs make the sockets; `more`: further words of vmgen's command line; `warm_up`: seconds more than the work's."""
        vms = [f"--vm=path={socket}" for socket in sockets]
        ring = ["--packed"] if work.packed else []
        self._warm_up = 0.4 + work.warm_up + warm_up
        self._command = [self.binary, *([] if listen else ["--client"]), f"--warm-up={self._warm_up}", f"--duration={seconds}", "--json=-",
                         *vms, *ring, *work.traffic, *more]
        self._directory = directory

    def __enter__(self):
        self._program = Program("vmgen", self._command, self._directory)
        return self

    def __exit__(self, *exception):
        self._program.stop()

    def wait_until_measured(self) -> None:
        """Links are up, flows are warm: what is sent from here on is counted."""
        self._event("start", 60 + self._warm_up)

    def report(self) -> Traffic:
        """Waits for the end."""
        report = self._event("report", 240)
        total = report["total"]
        return Traffic(total["rx_pps"], total["rx_bps"], total["lost"] / max(1, total["expected"]), report["generator"]["limit"], report)

    def intervals(self) -> list[dict]:
        """As long as vmgen was told."""
        return [event for event in self._events() if event["event"] == "interval"]

    def outage(self, instant: float) -> float:
        """In ms; see gaps. To the intervals that vmgen was told."""
        return outage(self.intervals(), instant).ms

    def first_received_after(self, clock: float) -> float:
        """When frames arrive again after `clock` (time.monotonic()); to the intervals that vmgen was told."""
        def arrived():
            return next((event["clock_s"] for event in self.intervals() if event["clock_s"] > clock and event["total"]["received"]), None)
        return wait_until(arrived, "frames arrive again", 30, interval=0.01)

    def _event(self, name: str, seconds: float) -> dict:
        def arrived():
            alive = self._program.running()
            for event in self._events():
                if event["event"] == name:
                    return event
            assert alive, f"vmgen ended with {self._program.child.returncode} before it said {name!r}:\n{self._program.log()[-4000:]}"
            return None
        return wait_until(arrived, f"vmgen says {name!r}", seconds, interval=0.01)

    def _events(self) -> list[dict]:
        return [json.loads(line) for line in self._program.log().splitlines() if line.startswith('{"event":') and line.endswith("}")]
