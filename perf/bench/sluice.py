"""Sluice as a contender: `sluice run` with a configuration for the work, read by its control socket."""

from __future__ import annotations

import json
import pathlib
import time

import machine
import switch
from contender import PMD_CORE, Contender, Reading
from switch import Switch, vhost_port


class Sluice(Contender):
    name = "Sluice"
    hugepages = 64 + 8
    FLOW_LIMIT = 1_000_000

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        work, setting = self.work, self.setting
        mode = "client" if setting.vms_listen else "server"
        ports = [vhost_port(f"vm{i + 1}", socket, mode) for i, socket in enumerate(self.sockets)]
        rules = list(work.rules)
        if work.has_device:
            ports.append({"name": "device", "type": "ring"})
            rules += ["priority=1,in_port=vm1,actions=output:device", "priority=1,in_port=device,actions=output:vm1"]
        pins = [{"port": f"vm{i + 1}", "queue": 0, "core": core} for i, core in enumerate(setting.pins)]
        idle = f"sleep up to {setting.idle_sleep_us} us" if setting.idle_sleep_us else "spin"
        file = self.directory / "sluice.yaml"
        file.write_text("\n".join([
            f"pmd: {{cores: {json.dumps(setting.cores)}, idle: {idle}, pin: {json.dumps(pins)}}}",
            # Between VMs no buffer is used; devices have theirs in hugepages, as OVS has all.
            f"memory: {{hugepages: {json.dumps(work.has_device)}}}",
            f"flows: {{limit: {self.FLOW_LIMIT}, idle_timeout: {setting.idle_timeout} s}}",
            f"recovery: {{standby: {json.dumps(setting.standby)}}}",
            f"ports: {json.dumps(ports)}", f"rules: {json.dumps(rules)}", ""]))
        self._config = file

    @staticmethod
    def use(binary: pathlib.Path) -> None:
        switch.BINARY = binary.resolve()

    def __enter__(self):
        self.executed_at = time.monotonic()
        self._switch = Switch(self.directory, self._config)
        try:
            self._switch.wait_ready()
        except BaseException:
            self._switch.stop()
            raise
        return self

    def __exit__(self, kind, *rest):
        self._switch.__exit__(kind, *rest)

    def pids(self) -> list[int]:
        return [self._switch.worker_pid, self._switch.pid]

    def kill(self) -> None:
        self._switch.kill_worker()

    def flows(self) -> int:
        return self._switch.rpc("status")["flows"]

    def table_bytes(self) -> int:
        return self._switch.rpc("memory")["flow_table_bytes"]

    def clear(self) -> None:
        self._before = self._counts()

    def read(self) -> Reading:
        packets, busy, batches, seconds = (now - then for now, then in zip(self._counts(), self._before))
        return Reading(packets, busy, packets / batches if batches else 0.0, min(1.0, busy / (seconds * machine.tsc_hz())))

    def _counts(self) -> list[float]:
        pmd, = (pmd for pmd in self._switch.rpc("pmds")["pmds"] if pmd["core"] == PMD_CORE)
        return [*(pmd[key] for key in ("packets", "busy_cycles", "batches")), time.monotonic()]
