"""Qmp: a running QEMU's monitor, over its UNIX socket (QEMU Machine Protocol: a JSON object a line)."""

from __future__ import annotations

import json
import pathlib
import socket

from process import wait_until


class QmpError(AssertionError):
    """QEMU refused a command."""


class Qmp:
    def __init__(self, path: pathlib.Path):
        wait_until(path.exists, "QEMU's monitor is there", 30)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile()
        self.events: list[dict] = []
        assert "QMP" in json.loads(self.lines.readline())
        self.command("qmp_capabilities")

    def command(self, name: str, **arguments):
        """Carries it out and returns what QEMU answers. An underscore in an argument's name is QEMU's hyphen."""
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.socket.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = json.loads(self.lines.readline())
            if "event" in answer:
                self.events.append(answer)
            elif "error" in answer:
                raise QmpError(f"{name} {arguments}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def wait_event(self, name: str, **data) -> dict:
        """The next event of this name whose data are these."""
        def wanted(event):
            return event["event"] == name and data.items() <= event.get("data", {}).items()
        while True:
            for event in self.events:
                if wanted(event):
                    self.events.remove(event)
                    return event
            message = json.loads(self.lines.readline())
            assert "event" in message, message
            self.events.append(message)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()
