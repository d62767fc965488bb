"""OVS-DPDK as a contender: Debian's packages, run without systemd in a folder of their own."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import subprocess
import threading
import time

from contender import PMD_CORE, Contender, Reading
from process import Program, wait_until

VSWITCHD = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
MEGABYTES = 512
# Of the datapath. By default OVS begins with 10,000, adds 1,000 each half second while its revalidators go through all flows in
# less than a second, divides what there is if they take two, and ends at 200,000. Here they share a core with the VMs.
FLOW_LIMIT = 2_000_000


class Ovs(Contender):
    name = "OVS-DPDK"
    hugepages = MEGABYTES // 2 + 256  # a device has a pool of its own, beside what is reserved

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._environment = {f"OVS_{name}": str(self.directory) for name in ("RUNDIR", "LOGDIR", "DBDIR", "SYSCONFDIR")}

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            database = self.directory / "conf.db"
            self._run("ovsdb-tool", "create", database, SCHEMA)
            self._database = stack.enter_context(Program("ovsdb", ["ovsdb-server", database, f"--remote=punix:{self._db}", f"--unixctl={self.directory}/ovsdb.ctl"],
                                                 self.directory, env=self._environment))
            wait_until(lambda: self._db.exists() or not self._database.running(), "ovsdb-server listens")
            self._vsctl(*self._configuration())
            self.executed_at = time.monotonic()
            self._start()
            stack.callback(lambda: self._vswitchd.stop())
            wait_until(self._ready, "OVS has set up all ports", 60)
            self._set_flows()
            if self.work.ovs_flow_limit:
                self.appctl("upcall/set-flow-limit", str(FLOW_LIMIT))
                if self.work.rules:
                    stack.enter_context(self._limit_kept())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception):
        self._stack.__exit__(*exception)

    def _start(self) -> None:
        self._vswitchd = Program("vswitchd", [
            VSWITCHD, f"unix:{self._db}", f"--unixctl={self._control}", f"--pidfile={self.directory}/vswitchd.pid",
            f"--log-file={self.directory}/ovs-vswitchd.log", "-vconsole:off"], self.directory, env=self._environment)

    def kill(self) -> None:
        self._vswitchd.kill()
        self._vswitchd.stop()
        self._start()

    def pids(self) -> list[int]:
        return [int((self.directory / "vswitchd.pid").read_text()), self._database.pid]

    def clear(self) -> None:
        self.appctl("dpif-netdev/pmd-stats-clear")

    def read(self) -> Reading:
        text = next(text for text in self.appctl("dpif-netdev/pmd-stats-show").split("pmd thread") if f"core_id {PMD_CORE}:" in text)
        packets, busy, idle = (int(re.search(rf"{what}: (\d+)", text)[1]) for what in ("packets received", "processing cycles", "idle cycles"))
        return Reading(packets, busy, float(re.search(r"packets per output batch: ([\d.]+)", text)[1]), busy / (busy + idle))

    @property
    def warm_up(self) -> float:
        return self.work.ovs_warm_up

    def flows(self) -> int:
        return int(re.search(r"current (\d+)", self.appctl("upcall/show"))[1])

    def appctl(self, *arguments: str) -> str:
        return self._run("ovs-appctl", "-t", self._control, *arguments)

    @property
    def _db(self) -> pathlib.Path:
        return self.directory / "db.sock"

    @property
    def _control(self) -> pathlib.Path:
        return self.directory / "vswitchd.ctl"

    @property
    def _management(self) -> pathlib.Path:
        return self.directory / "br0.mgmt"

    def _ready(self) -> bool:
        assert self._vswitchd.running(), (self.directory / "ovs-vswitchd.log").read_text()[-4000:]
        if not self._control.exists() or not self._management.exists():
            return False
        return all(socket.exists() for socket in self.sockets) if not self.setting.vms_listen else "br0" in self.appctl("dpif/show")

    def _configuration(self) -> list[str]:
        mask = sum(1 << core for core in self.setting.cores)
        settings = {"dpdk-init": "true", "dpdk-socket-mem": MEGABYTES, "dpdk-lcore-mask": "0x1", "pmd-cpu-mask": hex(mask),
                    "dpdk-extra": f'"--no-pci --in-memory --file-prefix={self.directory.name}"', "userspace-tso-enable": str(bool(self.work.tso)).lower(),
                    "max-idle": 1000 * self.setting.idle_timeout,
                    **({"pmd-maxsleep": self.setting.idle_sleep_us} if self.setting.idle_sleep_us else {}),
                    **({"flow-limit": FLOW_LIMIT} if self.work.ovs_flow_limit else {}), **dict(self.work.ovs_config)}
        words = ["init", "--", "set", "Open_vSwitch", ".", *(f"other_config:{key}={value}" for key, value in settings.items()),
                 "--", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"]
        for number, socket in enumerate(self.sockets):
            words += ["--", "add-port", "br0", socket.name, "--", "set", "interface", socket.name,
                      *(["type=dpdkvhostuserclient", f"options:vhost-server-path={socket}"] if self.setting.vms_listen else ["type=dpdkvhostuser"]),
                      *([f'other_config:pmd-rxq-affinity="0:{self.setting.pins[number]}"'] if self.setting.pins else [])]
        if self.work.has_device:
            words += ["--", "add-port", "br0", "device", "--", "set", "interface", "device", "type=dpdk", "options:dpdk-devargs=net_ring0",
                      "options:n_rxq=2"]  # a queue of the device comes back as the same queue, and the PMD sends by the second
        return words

    def _set_flows(self) -> None:
        flows = ["priority=0,actions=normal", *self.work.rules]
        if self.work.has_device:
            flows += ["priority=1,in_port=vm1,actions=output:device", "priority=1,in_port=device,actions=output:vm1"]
        file = self.directory / "flows"
        file.write_text("".join(f"{flow}\n" for flow in flows))
        # Not by br0.mgmt alone: names of ports are OpenFlow 1.3's and later to ask for.
        self._run("ovs-ofctl", "--names", "replace-flows", f"unix:{self._management}", file)

    @contextlib.contextmanager
    def _limit_kept(self):
        """Each second anew, since OVS lowers it by itself where there are many flows."""
        ended = threading.Event()

        def keep() -> None:
            while not ended.wait(1.0):
                with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):  # it may be at its end
                    self.appctl("upcall/set-flow-limit", str(FLOW_LIMIT))
        keeper = threading.Thread(target=keep, daemon=True)
        keeper.start()
        try:
            yield
        finally:
            ended.set()
            keeper.join()

    def _vsctl(self, *words: str) -> None:
        self._run("ovs-vsctl", "--no-wait", f"--db=unix:{self._db}", *words)

    def _run(self, *command) -> str:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, env={**os.environ, **self._environment})
        assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr}"
        return done.stdout
