"""What two Linux kernels said to each other through the switch is recorded, and replays to the same."""

import contextlib
import os
import struct
import subprocess

from scapy.all import ARP, ICMP, TCP, Ether, ICMPv6EchoReply, ICMPv6ND_NA, ICMPv6ND_NS
from scapy.utils import RawPcapReader

from namespaces import on_veth
from process import wait_until
from switch import BINARY, Switch

SIZE = 300_000  # of what is sent by TCP


def talk(n1, n2, place):
    """ARP, ping, a file by TCP with the largest frames, neighbour discovery and ping of IPv6."""
    for number, namespace in enumerate((n1, n2), 1):
        namespace.address(f"10.0.0.{number}/24")
        namespace.run("sysctl", "-q", "-w", "net.ipv6.conf.eth0.disable_ipv6=0")
        namespace.run("ip", "addr", "add", f"fd00::{number}/64", "dev", "eth0", "nodad")
    (place / "file").write_bytes(os.urandom(SIZE))
    with n2.start("httpd", place, "busybox", "httpd", "-f", "-p", "80", "-h", str(place)):
        n1.wait_pings("10.0.0.2")
        wait_until(lambda: n2.pings("fd00::1", 1), "IPv6 answers", 30)

        def fetched():
            n1.run("busybox", "wget", "-q", "-O", place / "copy", "http://10.0.0.2/file", check=False)
            return (place / "copy").read_bytes() == (place / "file").read_bytes()
        wait_until(fetched, "the file has come", 30)


def write_pcap(path, frames):
    """With nanoseconds: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-03.html"""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))
        for time, frame in frames:
            file.write(struct.pack("<IIII", time // 10**9, time % 10**9, len(frame), len(frame)) + frame)


def read_pcap(path):
    with contextlib.closing(RawPcapReader(str(path))) as capture:
        assert capture.nano
        return [(about.sec * 10**9 + about.usec, frame) for frame, about in capture]


def test_what_kernels_have_said_replays_to_what_they_heard_twice_the_same(place):
    with on_veth(1) as n1, on_veth(2) as n2:
        ports = [{"name": f"p{i}", "type": "af_packet", "interface": namespace.far} for i, namespace in enumerate((n1, n2), 1)]
        with n1.frames() as first, n2.frames() as second, Switch(place, {"ports": ports}) as switch:
            switch.wait_ready()
            talk(n1, n2, place)
            sent = {"p1": first.sent(), "p2": second.sent()}
    packets = [Ether(frame) for frames in sent.values() for _, frame in frames]
    for kind in (ARP, ICMP, TCP, ICMPv6ND_NS, ICMPv6ND_NA, ICMPv6EchoReply):
        assert any(kind in packet for packet in packets), f"no {kind.__name__} was recorded"
    assert max(map(len, packets)) == 1514
    assert sum(len(packet[TCP].payload) for packet in packets if TCP in packet) > SIZE

    inputs = []
    for port, frames in sent.items():
        write_pcap(place / f"{port}.pcap", frames)
        inputs.append(f"--in={port}={place}/{port}.pcap")
    for out in ("once", "twice"):
        run = subprocess.run([BINARY, "replay", place / "switch.yaml", *inputs, "--out", place / out], capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, f"also if a frame is not accounted for\n{run.stderr}"
        assert "\ndropped\n" not in run.stdout, run.stdout
    for port, other in (("p1", "p2"), ("p2", "p1")):
        assert read_pcap(place / "once" / f"{port}.pcap") == sent[other], f"{port} sends all that {other} received, at its times"
        assert (place / "once" / f"{port}.pcap").read_bytes() == (place / "twice" / f"{port}.pcap").read_bytes()
