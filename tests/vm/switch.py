"""Switch: `sluice run`, as its operator sees it: by its control socket and its command line."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess

from process import Program, wait_until
from reports import Reports

BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD_DIR") or pathlib.Path(__file__).resolve().parents[2] / "build" / "release")
BINARY = BUILD.resolve() / "sluice"
# What AddressSanitizer and its kin print when they find something.
SANITIZER_MARKS = ("Sanitizer:", "runtime error:")


class RpcError(Exception):
    def __init__(self, error: dict):
        super().__init__(error["message"])
        self.code = error["code"]


def ask(control_socket: pathlib.Path, method: str, **params):
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(control_socket))
        connection.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(connection.makefile().readline())
    if "error" in answer:
        raise RpcError(answer["error"])
    return answer["result"]


def vhost_port(name: str, path: pathlib.Path, mode: str = "client", **more) -> dict:
    return {"name": name, "type": "vhost-user", "path": str(path), "mode": mode, **more}


class Switch(Program, Reports):
    """Configured by a dictionary (JSON is YAML) or by the path of a file. Its control socket is in `directory`. `pid` is its
    keeper's."""

    def __init__(self, directory: pathlib.Path, config: dict | pathlib.Path):
        if isinstance(config, dict):
            file = directory / "switch.yaml"
            file.write_text(json.dumps({"pmd": {"cores": [1], "idle": "sleep up to 50 us"}, **config}, indent=1))
            config = file
        self.socket = directory / "control.sock"
        self.deaths_expected = 0  # of workers: what the test means to happen
        super().__init__("switch", [BINARY, "run", config, "--socket", self.socket], directory)

    def kill_worker(self, number: int = signal.SIGKILL) -> None:
        """And waits until another answers."""
        pid = self.worker_pid
        self.deaths_expected += 1
        os.kill(pid, number)
        self.wait_other_worker(pid)

    def deaths(self) -> list[str]:
        """How workers died that were not told to end, a line of the log each."""
        return [line for line in self.log().splitlines() if re.search(r" error worker \d+ (was killed|ended)", line)]

    def wait_ready(self) -> None:
        def answers():
            assert self.running(), f"the switch ended with {self.child.returncode}:\n{self.log()[-4000:]}"
            try:
                return self.rpc("status")
            except OSError:
                return None
        wait_until(answers, "the switch answers", 30)

    def rpc(self, method: str, **params):
        return ask(self.socket, method, **params)

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """The same binary as a client."""
        return subprocess.run([BINARY, *arguments, "--socket", self.socket], check=check, capture_output=True, text=True, timeout=20)

    def stop(self, seconds: float = 20.0) -> int:
        code = super().stop(seconds)
        found = [line for line in self.log().splitlines() if any(mark in line for mark in SANITIZER_MARKS)]
        assert not found, "\n".join(found)
        assert len(self.deaths()) <= self.deaths_expected, f"a worker died:\n{self.log()[-4000:]}"
        return code

    def __exit__(self, kind, *_):
        was_running = self.running()
        code = self.stop()
        if kind is None and not self.killed:
            assert was_running, f"the switch had ended by itself with {code}:\n{self.log()[-4000:]}"
            assert code == 0, f"asked to end, the switch returned {code}:\n{self.log()[-4000:]}"


def wait_standby(switch: Switch) -> None:
    """Until another worker is ready: it has a thread for its PMD."""
    def ready():
        children = pathlib.Path(f"/proc/{switch.pid}/task/{switch.pid}/children").read_text().split()
        others = [int(child) for child in children if int(child) != switch.worker_pid]
        with contextlib.suppress(OSError, ValueError):
            return any(pmd_of(pid) for pid in others)
    wait_until(ready, "another worker stands by", 30)


def pmd_of(pid: int) -> int:
    """The thread of a worker's only PMD."""
    (pmd,) = [thread for thread in os.listdir(f"/proc/{pid}/task")
              if pathlib.Path(f"/proc/{pid}/task/{thread}/comm").read_text() == "pmd-1\n"]
    return int(pmd)
