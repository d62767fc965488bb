"""Wire: the other end of an emulated NIC's cable. A frame is a datagram of a UNIX socket."""

from __future__ import annotations

import contextlib
import pathlib
import socket

LONGEST = 65536
PATIENCE = 20.0  # seconds


class Wire:
    def __init__(self, directory: pathlib.Path, name: str):
        self._name = name
        self._here, self._there = directory / f"{name}.wire", directory / f"{name}.nic"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self._here))
        self.socket.settimeout(PATIENCE)

    def netdev(self) -> str:
        """QEMU's -netdev, of the wire's name."""
        return f"dgram,id={self._name},local.type=unix,local.path={self._there},remote.type=unix,remote.path={self._here}"

    def send(self, frame: bytes) -> None:
        """Waits while the NIC has no room for more."""
        self.socket.sendto(frame, str(self._there))

    def receive(self) -> bytes:
        """The next frame that the NIC sends."""
        return self.socket.recv(LONGEST)

    def forget(self) -> None:
        """All that has come and nobody has received."""
        self.socket.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.recv(LONGEST)
        self.socket.settimeout(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
