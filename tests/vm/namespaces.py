"""Network namespaces of a test's own, for ports that are kernel interfaces. Nothing of the machine's network is touched."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import pathlib
import re
import select
import socket
import struct
import subprocess
import threading

from process import Program, wait_until

_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_ETH_P_ALL = 3
_SOL_PACKET, _PACKET_STATISTICS, _PACKET_AUXDATA = 263, 6, 8
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_TP_STATUS_VLAN_VALID = 1 << 4
_AUXDATA = struct.Struct("IIIHHHH")  # struct tpacket_auxdata


class Frames:
    """A packet socket at an interface. Frames are as they were on the wire: the tag that the kernel takes off is back."""

    def __init__(self, interface: str):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        self.socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 16 << 20)  # for what nobody receives meanwhile
        self.socket.bind((interface, 0))
        self.socket.settimeout(10)

    def send(self, frame: bytes) -> None:
        self.socket.send(frame)

    def receive(self, wanted) -> bytes:
        """The next frame that came from outside and for which wanted(frame) is true."""
        return self.receive_with_time(wanted)[0]

    def receive_with_time(self, wanted) -> tuple[bytes, float]:
        """The same, and when the kernel had it: seconds since 1970."""
        while True:
            frame, nanoseconds, outgoing = self._next()
            if not outgoing and wanted(frame):
                return frame, nanoseconds / 1e9

    def sent(self) -> list[tuple[int, bytes]]:
        """All frames that the kernel has sent at the interface and that were not received here yet, each with its time in
        nanoseconds since 1970."""
        found = []
        while select.select([self.socket], [], [], 0)[0]:
            frame, nanoseconds, outgoing = self._next()
            if outgoing:
                found.append((nanoseconds, frame))
        _, lost = struct.unpack("II", self.socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        assert lost == 0, f"{lost} frames found no room in the packet socket"
        return found

    def _next(self) -> tuple[bytes, int, bool]:
        frame, ancillary, _, sender = self.socket.recvmsg(65536, 256)
        nanoseconds = 0
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                whole, rest = struct.unpack("qq", data)
                nanoseconds = whole * 10**9 + rest
            if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
                status, *_, tci, tpid = _AUXDATA.unpack(data)
                if status & _TP_STATUS_VLAN_VALID:
                    frame = frame[:12] + struct.pack(">HH", tpid, tci) + frame[12:]
        return frame, nanoseconds, sender[2] == socket.PACKET_OUTGOING

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def ip(*arguments: str) -> None:
    run = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    assert run.returncode == 0, f"ip {' '.join(arguments)}: {run.stderr}"


class Namespace:
    """A host of its own, with one interface `eth0`; `far` names the interface's other end, which a port takes."""

    def __init__(self, number: int):
        name = f"{os.getpid() % 100000}-{next(_numbers)}"
        self.name, self.far = f"sluice-{name}", f"sv{name}"
        self.mac = f"02:00:00:00:02:{number:02x}"

    def run(self, *command: str, check: bool = True) -> str:
        run = subprocess.run(["ip", "netns", "exec", self.name, *map(str, command)], capture_output=True, text=True, timeout=60)
        assert run.returncode == 0 or not check, f"{' '.join(map(str, command))}: {run.stderr}"
        return run.stdout

    def start(self, name: str, directory: pathlib.Path, *command: str) -> Program:
        return Program(name, ["ip", "netns", "exec", self.name, *command], directory)

    def set_up(self) -> None:
        """Loopback and eth0 up. The kernel's own chatter (IPv6) stays off: frames are those of the test."""
        self.run("sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "link", "set", "eth0", "address", self.mac)
        self.run("ip", "link", "set", "eth0", "up")
        # To a port that copies bytes, checksums have to be there: nobody behind it would complete them.
        self.run("ethtool", "-K", "eth0", "tx", "off", "tso", "off", "gso", "off")

    def address(self, address: str, interface: str = "eth0") -> None:
        self.run("ip", "addr", "add", address, "dev", interface)

    def frames(self) -> Frames:
        """Whole frames, sent and received at eth0."""
        made: list[Frames] = []

        def make():
            # A thread has its own namespace, and a socket stays where it was made.
            with open(f"/run/netns/{self.name}") as there:
                assert _libc.setns(there.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            made.append(Frames("eth0"))
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        return made[0]

    def pings(self, address: str, count: int = 3) -> int:
        """How many of `count` pings are answered."""
        text = self.run("busybox", "ping", "-c", str(count), "-W", "2", address, check=False)
        found = re.search(r"(\d+) packets received", text)
        return int(found.group(1)) if found else 0

    def wait_pings(self, address: str) -> None:
        wait_until(lambda: self.pings(address, 1) == 1, f"{address} answers {self.name}", 30)


@contextlib.contextmanager
def on_veth(number: int):
    """A namespace whose eth0 is one end of a veth pair; the other, `far`, is in the main namespace, for af_packet."""
    namespace = Namespace(number)
    ip("netns", "add", namespace.name)
    try:
        ip("link", "add", namespace.far, "type", "veth", "peer", "name", "eth0", "netns", namespace.name)
        quiet = pathlib.Path(f"/proc/sys/net/ipv6/conf/{namespace.far}/disable_ipv6")
        if quiet.exists():
            quiet.write_text("1")
        ip("link", "set", namespace.far, "up")
        namespace.set_up()
        yield namespace
    finally:
        # The pair goes with its end.
        ip("netns", "del", namespace.name)


@contextlib.contextmanager
def for_tap(number: int):
    """A namespace that is given the tap device `far` once the switch has made it; see move_tap()."""
    namespace = Namespace(number)
    ip("netns", "add", namespace.name)
    try:
        yield namespace
    finally:
        ip("netns", "del", namespace.name)


def move_tap(namespace: Namespace) -> None:
    """The switch's tap device becomes the namespace's eth0. Where it was first, the kernel may have sent something on it."""
    ip("link", "set", namespace.far, "netns", namespace.name, "name", "eth0")
    namespace.set_up()
