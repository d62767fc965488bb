#!/usr/bin/python3
"""Packets, and what scapy says is in them: the second opinion on datapath/parse.

Builds packets of all kinds by chance (argument: how many), takes their bytes apart again with scapy, and prints one
line each: the frame in hex, then the fields of its key as NAME=HEX, those that are zero left out. Only packets whose
lengths are true are made here; what lies or is cut off is parse_test.cpp's part.
"""
import random
import socket
import sys

from scapy.config import conf
from scapy.compat import raw
from scapy.packet import Raw
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Dot3, Ether, GRE, LLC, SNAP, STP
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP, IPOption_RR, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN)
from scapy.layers.ipsec import AH, ESP
from scapy.layers.sctp import SCTP, SCTPChunkInit
from scapy.contrib.igmp import IGMP
from scapy.contrib.mpls import MPLS

conf.verb = 0

CLASSES = ["other", "arp", "ipv4_other", "ipv4_tcp", "ipv4_udp", "ipv4_sctp", "ipv4_icmp", "ipv4_fragment",
           "ipv6_other", "ipv6_tcp", "ipv6_udp", "ipv6_sctp", "ipv6_icmp", "ipv6_fragment"]
rnd = random.Random(20240501)


def mac():
    return ":".join("%02x" % rnd.randrange(256) for _ in range(6))


def ip4():
    return ".".join(str(rnd.randrange(256)) for _ in range(4))


def ip6():
    return ":".join("%x" % rnd.randrange(65536) for _ in range(8))


def payload():
    return Raw(bytes(rnd.randrange(256) for _ in range(rnd.choice([0, 1, 8, 40, 400]))))


def port():
    return rnd.randrange(65536)


def l4(version):
    return rnd.choice([
        lambda: TCP(sport=port(), dport=port(), options=rnd.choice([[], [("MSS", 1460)], [("Timestamp", (1, 2))]])),
        lambda: UDP(sport=port(), dport=port()),
        lambda: SCTP(sport=port(), dport=port()) / SCTPChunkInit(),
        lambda: ICMP(type=rnd.choice([0, 3, 8, 11, 13]), code=rnd.randrange(16)) if version == 4 else
        rnd.choice([ICMPv6EchoRequest(), ICMPv6EchoReply(), ICMPv6ND_NS(tgt=ip6()), ICMPv6ND_NA(tgt=ip6())]),
        lambda: ICMPv6EchoRequest() if version == 4 else ICMP(),  # the other version's: no class of its own
        lambda: GRE() / Raw(b"x" * 20),
        lambda: ESP(spi=1, seq=2, data=b"y" * 24),
    ])()


def ah(inner, icv):
    """An authentication header in front of `inner`. Scapy fills in neither of its first two fields."""
    numbers = {TCP: 6, UDP: 17, SCTP: 132, ICMP: 1, GRE: 47, ESP: 50}
    return AH(nh=numbers.get(type(inner), 58), payloadlen=(12 + icv) // 4 - 2, spi=7, seq=1, icv=b"z" * icv) / inner


def ipv4():
    options = rnd.choice([[], [], [IPOption_NOP()], [IPOption_Router_Alert()], [IPOption_RR(routers=[ip4()] * 8)]])
    packet = IP(src=ip4(), dst=ip4(), tos=rnd.randrange(256), ttl=rnd.randrange(256), options=options,
                flags=rnd.choice([0, "DF"]))
    kind = rnd.randrange(10)
    if kind == 0:
        return packet / IGMP(type=0x16, gaddr="224.1.2.3")
    if kind == 1:
        packet.flags = rnd.choice([0, "MF"])
        packet.frag = rnd.randrange(1, 8000)
        packet.proto = rnd.choice([6, 17, 1, 47])
        return packet / Raw(b"later" * 10)
    if kind == 2:
        packet.flags = "MF"
    if kind == 3:
        return packet / ah(l4(4), 12)
    return packet / l4(4) / payload()


def ipv6():
    packet = IPv6(src=ip6(), dst=ip6(), tc=rnd.randrange(256), fl=rnd.randrange(1 << 20), hlim=rnd.randrange(256))
    if rnd.randrange(4) == 0:
        packet /= IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * rnd.choice([0, 4, 12]))])
    if rnd.randrange(6) == 0:
        packet /= IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)])
    if rnd.randrange(6) == 0:
        packet /= IPv6ExtHdrRouting(addresses=[ip6()])
    fragment = rnd.randrange(8)
    if fragment == 0:
        return packet / IPv6ExtHdrFragment(offset=rnd.randrange(1, 8000), m=rnd.randrange(2), id=9,
                                           nh=rnd.choice([6, 17, 58, 60])) / Raw(b"later" * 10)
    if fragment in (1, 2):
        packet /= IPv6ExtHdrFragment(offset=0, m=fragment - 1, id=9)
    if rnd.randrange(8) == 0:
        return packet / ah(l4(6), rnd.choice([12, 20])) / payload()
    return packet / l4(6) / payload()


def arp():
    packet = ARP(op=rnd.choice([1, 2, 3, 9]), hwsrc=mac(), hwdst=mac(), psrc=ip4(), pdst=ip4())
    return packet / Raw(b"\0" * rnd.choice([0, 18]))


def frame():
    kind = rnd.randrange(14)
    if kind == 0:
        return Dot3(src=mac(), dst="01:80:c2:00:00:00") / LLC() / STP()
    if kind == 1:
        return Dot3(src=mac(), dst=mac()) / LLC(dsap=0xaa, ssap=0xaa, ctrl=3) / SNAP(OUI=0, code=0x0800) / Raw(b"n" * 30)
    packet = Ether(src=mac(), dst=mac())
    for _ in range(rnd.choice([0, 0, 0, 1, 1, 2, 3])):
        tag = rnd.choice([Dot1Q, Dot1AD])
        if isinstance(packet.lastlayer(), Ether):
            packet.type = 0x8100 if tag is Dot1Q else 0x88a8
        else:
            packet.lastlayer().type = 0x8100 if tag is Dot1Q else 0x88a8
        packet /= tag(vlan=rnd.randrange(4096), prio=rnd.randrange(8), id=rnd.randrange(2))
    if kind == 2:
        packet.lastlayer().type = 0x8847
        return packet / MPLS(label=rnd.randrange(1 << 20), s=1, ttl=64) / ipv4()
    if kind == 3:
        packet.lastlayer().type = rnd.choice([0x88cc, 0x8863, 0x0600, 0x9000, 0x8035, 0x05ff, 46])
        return packet / Raw(b"q" * 46)
    inner, ethertype = rnd.choice([(arp, 0x0806), (ipv4, 0x0800), (ipv4, 0x0800), (ipv6, 0x86dd), (ipv6, 0x86dd)])
    packet.lastlayer().type = ethertype
    packet /= inner()
    packet = packet.__class__(raw(packet))
    # What the sender adds to reach 60 bytes is no part of the packet.
    return raw(packet) + b"\xee" * max(0, 60 - len(raw(packet)))


def number(data):
    return int.from_bytes(data, "big")


def addresses(fields, layer, size):
    fields["nw_src"] = number(layer_address(layer.src, size))
    fields["nw_dst"] = number(layer_address(layer.dst, size))


def layer_address(text, size):
    return socket.inet_pton(socket.AF_INET6 if size == 16 else socket.AF_INET, text)


def set_l4(fields, version, proto, layer):
    """`layer` is what scapy made of the bytes behind the last IP header."""
    prefix = "ipv%d_" % version
    fields["class"] = prefix + "other"
    names = {6: (TCP, "tcp"), 17: (UDP, "udp"), 132: (SCTP, "sctp")}
    if proto in names:
        kind, name = names[proto]
        layer = layer if isinstance(layer, kind) else kind(raw(layer))
        fields.update({"class": prefix + name, "tp_src": layer.sport, "tp_dst": layer.dport})
    elif proto == (1 if version == 4 else 58):
        layer = ICMP(raw(layer))  # ICMPv6 begins with the same two fields (RFC 4443, 2.1)
        fields.update({"class": prefix + "icmp", "tp_src": layer.type, "tp_dst": layer.code})


def expect(data):
    """The key's fields, by scapy's reading of the bytes."""
    fields = {"class": "other"}
    packet = Ether(data)  # gives a Dot3 if the type is a length
    fields["dl_dst"] = int(packet.dst.replace(":", ""), 16)
    fields["dl_src"] = int(packet.src.replace(":", ""), 16)
    if isinstance(packet, Dot3):
        fields["ethertype"] = 0x05ff
        return fields
    layer, ethertype = packet.payload, packet.type
    for name in ("outer", "inner"):
        if not isinstance(layer, (Dot1Q, Dot1AD)):
            break
        fields[name + "_kind"] = 1 if ethertype == 0x8100 else 3  # flowtable::TagKind
        fields[name + "_tci"] = layer.prio << 13 | layer.id << 12 | layer.vlan
        layer, ethertype = layer.payload, layer.type
    fields["ethertype"] = ethertype if ethertype >= 0x600 else 0x05ff
    if isinstance(layer, ARP):
        fields.update({"class": "arp", "nw_proto": layer.op, "nw_src": number(layer_address(layer.psrc, 4)),
                       "nw_dst": number(layer_address(layer.pdst, 4))})
    elif isinstance(layer, IP):
        fields.update({"nw_proto": layer.proto, "nw_tos": layer.tos})
        addresses(fields, layer, 4)
        if layer.frag:
            fields.update({"class": "ipv4_fragment", "nw_frag": 3})
            return fields
        if layer.flags.MF:
            fields["nw_frag"] = 1
        set_l4(fields, 4, layer.proto, layer.payload)
    elif isinstance(layer, IPv6):
        fields["nw_tos"] = layer.tc
        addresses(fields, layer, 16)
        while True:
            proto = layer.nh
            layer = layer.payload
            if isinstance(layer, IPv6ExtHdrFragment):
                if layer.offset:
                    fields.update({"class": "ipv6_fragment", "nw_frag": 3, "nw_proto": layer.nh})
                    return fields
                if layer.m:
                    fields["nw_frag"] = 1
            elif not isinstance(layer, (IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting, AH)):
                break
        fields["nw_proto"] = proto
        set_l4(fields, 6, proto, layer)
    return fields


def main():
    for _ in range(int(sys.argv[1])):
        data = raw(frame())
        fields = expect(data)
        fields["class"] = CLASSES.index(fields["class"])
        print(data.hex(), *("%s=%x" % item for item in fields.items() if item[1] != 0))


main()
