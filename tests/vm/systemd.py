"""Systemd: Debian's systemd and its journal as process 1 of namespaces of a test's own; and Service, the switch in it, as
`make install` and the unit that comes with it have it.

Of the machine's files it sees programs and libraries, read-only, and its control groups are all below one of its own,
which goes with it: nothing of the machine's is touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import uuid

from process import Program, wait_until
from switch import BUILD, ask

# Of Debian's units, what the boot of a system comes down to where there is no hardware, and which of them bring others.
UNITS = pathlib.Path("/usr/lib/systemd/system")
NEEDED = ("sysinit.target", "basic.target", "multi-user.target", "network.target", "sockets.target", "shutdown.target",
          "systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket",
          "sysinit.target.wants/systemd-journald.service", "sockets.target.wants/systemd-journald.socket",
          "sockets.target.wants/systemd-journald-dev-log.socket")

# Ends when systemd has, and all that it has started.
OUTSIDE = """
root=$1 group=$2 inside=$3
mount -t cgroup2 cgroup2 "$root/sys"
mkdir "$root/sys/$group"
(echo 0 > "$root/sys/$group/cgroup.procs"
 exec setpriv --pdeathsig KILL unshare --pid --fork --kill-child --mount --cgroup --uts --ipc sh -euc "$inside" sh "$root") || true
find "$root/sys/$group" -depth -type d -exec rmdir {} +
"""
INSIDE = """
mount --bind "$1" "$1"
cd "$1"
mount --bind -o ro /usr/bin bin
for libraries in lib lib64; do mount --bind -o ro /usr/$libraries usr/$libraries; done
mount -t tmpfs -o mode=755 other-units usr/lib/systemd/system
mount -t proc proc proc
mount --bind -o ro proc/sys proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
for device in null zero full random urandom; do
  touch dev/$device
  mount --bind /dev/$device dev/$device
done
mkdir dev/shm
mount -t tmpfs shm dev/shm
pivot_root . old
umount -l old
exec env -i container=test PATH=/bin:/usr/bin /usr/lib/systemd/systemd --unit=multi-user.target --log-target=journal --show-status=no
"""


class Systemd(Program):
    """Up when it is made. `root`: its file system, as it is seen from outside."""

    def __init__(self, place: pathlib.Path):
        self.place, root = place, place / "root"
        for folder in ("proc", "sys", "dev", "run", "tmp", "old", "bin", "usr/bin", "usr/lib", "usr/lib64", "var/log", "root", "etc/systemd/system"):
            (root / folder).mkdir(parents=True)
        for link, to in (("lib", "usr/lib"), ("lib64", "usr/lib64"), ("var/run", "../run")):
            (root / link).symlink_to(to)
        etc = root / "etc"
        shutil.copy("/etc/ld.so.cache", etc)
        (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (etc / "group").write_text("root:x:0:\n")
        (etc / "machine-id").write_text(uuid.uuid4().hex + "\n")
        for name in NEEDED:
            unit = etc / "systemd/system" / name
            unit.parent.mkdir(exist_ok=True)
            shutil.copy(UNITS / name, unit, follow_symlinks=False)
        super().__init__("systemd", ["unshare", "--mount", "sh", "-euc", OUTSIDE, "sh", root, place.name, INSIDE], place)
        try:
            wait_until(self._is_up, "systemd is up", 30)
        except BaseException:
            self.stop()
            raise
        self.root = pathlib.Path(f"/proc/{self._init()}/root")

    def _is_up(self) -> bool:
        assert self.running(), f"systemd ended with {self.child.returncode}:\n{self.log()}"
        return self.run("systemctl", "is-system-running").stdout == "running\n"

    def _child(self, pid: int) -> int:
        """Its only one; 0: it has yet to come."""
        with contextlib.suppress(FileNotFoundError):
            return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text() or 0)
        return 0

    def _init(self) -> int:
        """Process 1, as the machine counts."""
        return self._child(self._child(self.pid))

    def run(self, *command: str) -> subprocess.CompletedProcess:
        """A command in it, as its operator gives it."""
        return subprocess.run(["nsenter", "--target", str(self._init()), "--all", *command], capture_output=True, text=True, timeout=60,
                              env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""})

    def stop(self, seconds: float = 10.0) -> int:
        """At once, whatever runs in it."""
        if self.running() and (init := self._init()):
            os.kill(init, signal.SIGKILL)
            self.child.wait(seconds)
        return super().stop(seconds)


class Service:
    """The switch: installed, enabled and running nowhere yet. `drop_in`: what its operator adds to the unit's [Service]."""

    def __init__(self, systemd: Systemd, config: dict, drop_in: str = ""):
        self.systemd = systemd
        self.socket = systemd.root / "run/sluice/control.sock"
        self.config = systemd.root / "etc/sluice/switch.yaml"
        subprocess.run(["cmake", "--install", BUILD, "--prefix", "/usr"], env={**os.environ, "DESTDIR": str(systemd.root)}, check=True,
                       capture_output=True)
        units = systemd.root / "etc/systemd/system"
        shutil.copy(systemd.root / "usr/share/sluice/config/sluice.service", units)
        if drop_in:
            (units / "sluice.service.d").mkdir()
            (units / "sluice.service.d/operator.conf").write_text(f"[Service]\n{drop_in}\n")
        self.config.parent.mkdir()
        self.write_config(config)
        self.ctl("daemon-reload")

    def write_config(self, config: dict) -> None:
        self.config.write_text(json.dumps({"pmd": {"cores": [1], "idle": "sleep up to 50 us"}, **config}, indent=1))

    def ctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """systemctl ARGUMENTS."""
        run = self.systemd.run("systemctl", *arguments)
        assert run.returncode == 0 or not check, f"systemctl {' '.join(arguments)}: {run.stderr}\n{self.log()}"
        return run

    def property(self, name: str) -> str:
        return self.ctl("show", "--value", "--property", name, "sluice").stdout.strip()

    def keeper(self) -> int:
        """Its process, as systemd has it; 0: there is none."""
        return int(self.property("MainPID"))

    def log(self) -> str:
        """What the journal has of it, of systemd's own words as well."""
        self.systemd.run("journalctl", "--sync")
        return self.systemd.run("journalctl", "--unit=sluice", "--output=cat").stdout

    def rpc(self, method: str, **params):
        return ask(self.socket, method, **params)
