"""Packets of scapy's, whole, and as guests leave them to be completed."""

import copy
import random
import socket

from scapy.all import TCP, Ether, IP, IPv6, Raw

IP4 = dict(src="10.1.2.3", dst="192.168.7.9")
IP6 = dict(src="2001:db8::1:2", dst="fd00:1::ffff:9")


def ether(**fields):
    return Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01", **fields)


def payload(size, seed=1):
    return Raw(random.Random(seed).randbytes(size))


def rebuilt(packet):
    """With every length and checksum computed by scapy."""
    packet = copy.deepcopy(packet)
    layer = packet
    while layer:
        for field in ("chksum", "cksum"):
            if field in layer.fields:
                del layer.fields[field]
        layer.raw_packet_cache = None
        layer = layer.payload
    return bytes(packet)


def left_open(packet, kind):
    """The packet with the pseudo header's sum in the checksum field, and where that is."""
    packet = Ether(rebuilt(packet))
    ip = packet.getlayer(IP) or packet[IPv6]
    raw = bytearray(bytes(packet))
    start = len(raw) - len(packet[kind])
    offset = 16 if kind is TCP else 6
    length, number = len(raw) - start, 6 if kind is TCP else 17
    family = socket.AF_INET if isinstance(ip, IP) else socket.AF_INET6
    pseudo = socket.inet_pton(family, ip.src) + socket.inet_pton(family, ip.dst)
    pseudo += length.to_bytes(4, "big") + number.to_bytes(4, "big")
    total = sum(int.from_bytes(pseudo[i:i + 2], "big") for i in range(0, len(pseudo), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    raw[start + offset:start + offset + 2] = total.to_bytes(2, "big")
    return bytes(raw), start, offset
