"""The front end's side of vhost-user, by hand: any message, with any descriptors, well-formed or not.

Names and layouts are those of QEMU's vhost-user document.
"""

from __future__ import annotations

import array
import dataclasses
import enum
import os
import pathlib
import socket
import struct

VERSION = 1
REPLY = 1 << 2
NEED_REPLY = 1 << 3

F_CSUM, F_GUEST_CSUM, F_MRG_RXBUF, F_EVENT_IDX, F_INDIRECT = 1 << 0, 1 << 1, 1 << 15, 1 << 29, 1 << 28
F_HOST_TSO4, F_GUEST_TSO4, F_LOG_ALL, F_PROTOCOL_FEATURES = 1 << 11, 1 << 7, 1 << 26, 1 << 30
F_VERSION_1, F_RING_PACKED, F_IN_ORDER = 1 << 32, 1 << 34, 1 << 35

PROTOCOL_F_MQ, PROTOCOL_F_LOG_SHMFD, PROTOCOL_F_REPLY_ACK, PROTOCOL_F_CONFIGURE_MEM_SLOTS = 1 << 0, 1 << 1, 1 << 3, 1 << 15


class Request(enum.IntEnum):
    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    SET_MEM_TABLE = 5
    SET_LOG_BASE = 6
    SET_LOG_FD = 7
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_VRING_BASE = 11
    SET_VRING_KICK = 12
    SET_VRING_CALL = 13
    SET_VRING_ERR = 14
    GET_PROTOCOL_FEATURES = 15
    SET_PROTOCOL_FEATURES = 16
    GET_QUEUE_NUM = 17
    SET_VRING_ENABLE = 18
    SEND_RARP = 19
    GET_MAX_MEM_SLOTS = 36
    ADD_MEM_REG = 37
    REM_MEM_REG = 38


@dataclasses.dataclass
class Region:
    guest_phys_addr: int
    size: int
    userspace_addr: int
    mmap_offset: int

    def bytes(self) -> bytes:
        return struct.pack("<QQQQ", self.guest_phys_addr, self.size, self.userspace_addr, self.mmap_offset)


class Closed(Exception):
    """The switch has closed the connection."""


class FrontEnd:
    """One connection: to a port that listens, or one that a port has made to a socket of ours."""

    def __init__(self, path: pathlib.Path | None = None, seconds: float = 10.0, *, connected: socket.socket | None = None):
        self.socket = connected or socket.socket(socket.AF_UNIX)
        if connected is None:
            # It waits for room in the backlog, as QEMU does, which a socket with a timeout of Python's would not.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", round(seconds), 0))
            self.socket.connect(str(path))
        self.socket.settimeout(seconds)

    def send_bytes(self, data: bytes, fds: list[int] = ()) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self.socket.sendmsg([data], rights)
        except (BrokenPipeError, ConnectionResetError):
            raise Closed from None

    def send(self, request: int, payload: bytes = b"", fds: list[int] = (), *, flags: int = VERSION, size: int | None = None) -> None:
        """`size`: what the header says of the payload, if not the truth."""
        self.send_bytes(struct.pack("<III", request, flags, len(payload) if size is None else size) + payload, fds)

    def receive(self) -> tuple[int, bytes]:
        header = self._read(12)
        request, _, size = struct.unpack("<III", header)
        return request, self._read(size)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                got = self.socket.recv(size - len(data))
            except ConnectionResetError:
                got = b""
            if not got:
                raise Closed
            data += got
        return data

    def ask(self, request: int, payload: bytes = b"") -> int:
        """Sends a request whose answer is a number."""
        self.send(request, payload)
        answered, data = self.receive()
        assert answered == request
        return struct.unpack("<Q", data)[0]

    def acknowledged(self, request: int, payload: bytes = b"", fds: list[int] = ()) -> int:
        """Sends with NEED_REPLY; returns the answer, 0 if all is well."""
        self.send(request, payload, fds, flags=VERSION | NEED_REPLY)
        answered, data = self.receive()
        assert answered == request
        return struct.unpack("<Q", data)[0]

    def vring(self, request: int, index: int, number: int) -> None:
        self.send(request, struct.pack("<II", index, number))

    def vring_fd(self, request: int, index: int, fd: int | None) -> None:
        self.send(request, struct.pack("<Q", index | (0 if fd is not None else 1 << 8)), [] if fd is None else [fd])

    def vring_addr(self, index: int, desc: int, used: int, avail: int, log: int = 0, flags: int = 0) -> None:
        self.send(Request.SET_VRING_ADDR, struct.pack("<IIQQQQ", index, flags, desc, used, avail, log))

    def mem_table(self, regions: list[Region], fds: list[int], count: int | None = None) -> None:
        payload = struct.pack("<II", len(regions) if count is None else count, 0) + b"".join(region.bytes() for region in regions)
        self.send(Request.SET_MEM_TABLE, payload, fds)

    def wait_closed(self) -> None:
        """Reads until the switch closes; a timeout is the caller's failure."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass

    def close(self) -> None:
        self.socket.close()


def memfd(size: int) -> int:
    fd = os.memfd_create("guest")
    os.ftruncate(fd, size)
    return fd
