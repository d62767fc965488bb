#!/usr/bin/python3
"""Writes the captures of the replay cases: what goes in, and what has to come out.

Both are written down here, so that a reader sees what is in the captures, and so that what is expected is scapy's word
(checksums above all) and not the switch's. `make_captures.py` writes them; `make_captures.py --check` says whether the
captures in the tree are those that it would write.

A case is a folder with config.yaml and README.md; here it is a function of the same name, with its frames in order:
`at(seconds, port, frame, port=what leaves there, …)`.
"""

import pathlib
import struct
import sys

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether

HERE = pathlib.Path(__file__).parent
START_NS = 1_700_000_000_000_000_000
A, B, C, D = (f"02:00:00:00:00:0{i}" for i in (1, 2, 3, 4))
BROADCAST = "ff:ff:ff:ff:ff:ff"


class Case:
    """The frames of one case, by port and time."""

    def __init__(self):
        self.inputs, self.outputs = {}, {}

    def at(self, seconds, port, frame, **leaves):
        time = START_NS + round(seconds * 1_000_000_000)
        self.inputs.setdefault(port, []).append((time, bytes(frame)))
        for out, what in leaves.items():
            self.outputs.setdefault(out, []).append((time, bytes(what)))

    def files(self, folder):
        for kind, ports in (("in", self.inputs), ("expect", self.outputs)):
            for port, frames in ports.items():
                yield folder / kind / f"{port}.pcap", pcap(frames)


def pcap(frames):
    """A pcap file with nanoseconds: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-03.html"""
    out = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65557, 1)
    for time, data in frames:
        out += struct.pack("<IIII", time // 10**9, time % 10**9, len(data), len(data)) + data
    return out


def ether(src, dst, payload=b"hello, bridge"):
    return Ether(src=src, dst=dst, type=0x88B5) / payload


def udp(src, dst, sport=1000, dport=2000, ttl=64, tags=None, **ip):
    frame = Ether(src=src, dst=dst)
    for tag in tags or ():
        frame /= tag
    return frame / IP(src=ip.get("nw_src", "10.0.0.1"), dst=ip.get("nw_dst", "10.0.0.2"), ttl=ttl, id=1) / UDP(
        sport=sport, dport=dport) / b"payload"


def tcp(src, dst, sport=40000, dport=80, flags="S"):
    return Ether(src=src, dst=dst) / IP(src="10.0.0.1", dst="10.0.0.2", id=1) / TCP(
        sport=sport, dport=dport, flags=flags)


def case_001_learning(case):
    a_to_b, b_to_a, c_to_a, all_ = ether(A, B), ether(B, A), ether(C, A), ether(A, BROADCAST)
    case.at(0, "vm1", a_to_b, vm2=a_to_b, vm3=a_to_b)       # B is not known yet
    case.at(0.001, "vm2", b_to_a, vm1=b_to_a)               # A is
    case.at(0.002, "vm1", a_to_b, vm2=a_to_b)               # and now B
    case.at(0.003, "vm3", c_to_a, vm1=c_to_a)
    case.at(0.004, "vm1", all_, vm2=all_, vm3=all_)
    case.at(0.005, "vm1", ether(A, C), vm3=ether(A, C))


def case_002_flood_in_vlan(case):
    unknown, arp = ether(A, D), Ether(src=A, dst=BROADCAST) / ARP(psrc="10.0.0.1", pdst="10.0.0.2", hwsrc=A)
    case.at(0, "red1", unknown, red2=unknown)
    case.at(0.001, "red1", arp, red2=arp)
    case.at(0.002, "blue1", ether(A, D), blue2=ether(A, D))  # the same address in another VLAN is another
    case.at(0.003, "red2", ether(B, A), red1=ether(B, A))
    case.at(0.004, "blue2", ether(B, A), blue1=ether(B, A))


def case_003_access_refuses_tags(case):
    case.at(0, "vm1", udp(A, B, tags=[Dot1Q(vlan=10)]))      # even its own VLAN's
    case.at(0.001, "vm1", udp(A, B, tags=[Dot1Q(vlan=20)]))
    case.at(0.002, "vm1", udp(A, B, tags=[Dot1Q(vlan=0, prio=5)]), vm2=udp(A, B))  # a priority tag names no VLAN
    case.at(0.003, "vm2", udp(B, A), vm1=udp(B, A))


def case_004_trunk_and_native(case):
    tagged = {v: Dot1Q(vlan=v) for v in (10, 20, 30, 99)}
    case.at(0, "red", udp(A, D), trunk=udp(A, D, tags=[tagged[10]]))
    case.at(0.001, "trunk", udp(D, A, tags=[tagged[10]]), red=udp(D, A))
    case.at(0.002, "trunk", udp(D, C), mgmt=udp(D, C))                         # untagged: native 99
    case.at(0.003, "mgmt", udp(C, D), trunk=udp(C, D))
    case.at(0.004, "trunk", udp(C, BROADCAST, tags=[tagged[30]]))              # not in the trunk
    case.at(0.005, "trunk", udp(B, BROADCAST, tags=[tagged[20]]))              # in it, and nobody else is
    case.at(0.006, "trunk", udp(B, BROADCAST, tags=[tagged[99]]), mgmt=udp(B, BROADCAST))


def case_005_tunnel(case):
    customer = [Dot1Q(vlan=7, prio=3)]
    case.at(0, "site_a", udp(A, B, tags=customer), site_b=udp(A, B, tags=customer),
            core=udp(A, B, tags=[Dot1AD(vlan=300)] + customer))
    case.at(0.001, "core", udp(B, A, tags=[Dot1AD(vlan=300)] + customer), site_a=udp(B, A, tags=customer))
    case.at(0.002, "site_a", udp(A, B), core=udp(A, B, tags=[Dot1AD(vlan=300)]))
    case.at(0.003, "core", udp(C, BROADCAST, tags=[Dot1AD(vlan=301)]))


def case_006_rules(case):
    case.at(0, "client", tcp(A, B, dport=22))                                  # drop
    case.at(0.001, "client", tcp(A, B, dport=80), server=tcp(A, B, dport=80), tap=tcp(A, B, dport=80))
    case.at(0.002, "client", udp(A, B), server=udp(A, B), tap=udp(A, B))       # normal: flooded
    case.at(0.003, "server", tcp(B, A, sport=22, dport=5), client=tcp(B, A, sport=22, dport=5))
    case.at(0.004, "client", tcp(A, B, dport=22))
    case.at(0.005, "client", udp(A, B), server=udp(A, B))                      # normal: B has been learnt meanwhile
    case.at(0.006, "client", tcp(A, B, dport=80), server=tcp(A, B, dport=80), tap=tcp(A, B, dport=80))


def case_007_rewrite(case):
    def seen_inside(sport):
        return Ether(src=A, dst=B) / IP(src="10.0.0.1", dst="192.168.7.7", id=1) / TCP(
            sport=sport, dport=8080, flags="S")

    for i in range(5):  # a new flow, then its second packet, and so on
        case.at(i * 0.001, "client", tcp(A, B, sport=40000 + i // 2), server=seen_inside(40000 + i // 2))
    plain = Ether(src=A, dst=B) / IPv6(src="2001:db8::1", dst="2001:db8::2", hlim=9) / UDP(sport=1, dport=53) / b"?"
    other = Ether(src=C, dst=D) / IPv6(src="2001:db8::9", dst="2001:db8::2", hlim=9) / UDP(sport=1, dport=5353) / b"?"
    case.at(0.01, "client", plain, server=other)
    no_checksum = Ether(src=A, dst=B) / IP(src="10.0.0.1", dst="10.0.0.2", id=1) / UDP(sport=1, dport=69, chksum=0) / b"x"
    still_none = Ether(src=A, dst=B) / IP(src="10.9.9.9", dst="10.0.0.2", id=1) / UDP(sport=1, dport=69, chksum=0) / b"x"
    case.at(0.02, "client", no_checksum, server=still_none)
    tagged = udp(A, B, dport=70, tags=[Dot1Q(vlan=5, prio=6)])
    case.at(0.03, "client", udp(A, B, dport=70), server=tagged)


def case_008_ttl(case):
    for i, ttl in enumerate((64, 2, 64)):
        case.at(i * 0.001, "vm1", udp(A, B, ttl=ttl), vm2=udp(A, B, ttl=ttl - 1))
    case.at(0.01, "vm1", udp(A, B, ttl=1))
    case.at(0.02, "vm1", udp(A, B, ttl=0))
    v6 = [Ether(src=A, dst=B) / IPv6(src="::1", dst="::2", hlim=h) / UDP() / b"six" for h in (64, 63)]
    case.at(0.03, "vm1", v6[0], vm2=v6[1])
    case.at(0.04, "vm1", Ether(src=A, dst=B) / IPv6(src="::1", dst="::2", hlim=1) / UDP() / b"six")


def case_009_mac_ageing(case):
    a_to_b, b_to_a = ether(A, B), ether(B, A)
    case.at(0, "vm1", a_to_b, vm2=a_to_b, vm3=a_to_b)
    case.at(1, "vm2", b_to_a, vm1=b_to_a)
    case.at(9, "vm1", a_to_b, vm2=a_to_b)       # seen again: A stays until 19 s
    case.at(18, "vm2", b_to_a, vm1=b_to_a)
    case.at(18.5, "vm1", ether(A, C), vm2=ether(A, C), vm3=ether(A, C))
    case.at(40, "vm2", b_to_a, vm1=b_to_a, vm3=b_to_a)  # A was last seen at 18.5 s
    case.at(41, "vm3", ether(C, A), vm1=ether(C, A), vm2=ether(C, A))


def case_010_mac_move(case):
    case.at(0, "vm1", ether(A, B), vm2=ether(A, B), vm3=ether(A, B))
    case.at(0.001, "vm3", ether(C, A), vm1=ether(C, A))
    case.at(0.002, "vm2", ether(A, BROADCAST), vm1=ether(A, BROADCAST), vm3=ether(A, BROADCAST))  # A has moved
    case.at(0.003, "vm3", ether(C, A), vm2=ether(C, A))
    case.at(0.004, "vm1", ether(A, C), vm3=ether(A, C))  # and back
    case.at(0.005, "vm3", ether(C, A), vm1=ether(C, A))


def case_011_not_forwarded(case):
    for i in range(16):  # IEEE 802.1Q, table 8-1: bridges keep these to themselves
        case.at(i * 0.001, "vm1", ether(A, f"01:80:c2:00:00:{i:02x}"))
    case.at(0.1, "vm1", ether(A, "01:80:c2:00:00:10"), vm2=ether(A, "01:80:c2:00:00:10"))
    case.at(0.2, "vm1", ether(B, A))                  # A is behind the same port
    case.at(0.3, "vm2", Ether(src=C, dst=A, type=0x0800), vm1=Ether(src=C, dst=A, type=0x0800))  # no IP in it
    case.at(0.4, "vm1", bytes.fromhex("0102030405"))  # a runt


def case_012_mtu_and_sizes(case):
    short = Ether(src=A, dst=B, type=0x88B5)
    full, jumbo = ether(A, B, b"f" * 1500), ether(A, B, b"j" * 8000)
    case.at(0, "vm1", short, vm2=short, big=short)
    case.at(0.001, "vm1", full, vm2=full, big=full)
    case.at(0.002, "vm1", jumbo, big=jumbo)           # vm2's MTU is 1500
    case.at(0.003, "big", ether(B, A, b"r" * 9000))   # vm1's as well
    case.at(0.004, "vm1", jumbo, big=jumbo)
    largest = ether(A, B, b"l" * 9008)                # two tags are not counted in the MTU, be they there or not
    case.at(0.005, "vm1", largest, big=largest)
    case.at(0.006, "vm1", ether(A, B, b"m" * 9009))
    case.at(0.007, "vm1", full, big=full)


def case_013_order(case):
    # At the same time, the input that is named first comes first; of one input, what comes first in it.
    for i in range(40):
        case.at(0, "a", ether(A, BROADCAST, b"a%d" % i), c=ether(A, BROADCAST, b"a%d" % i),
                b=ether(A, BROADCAST, b"a%d" % i))
    for i in range(40):
        case.at(0, "b", ether(B, BROADCAST, b"b%d" % i), c=ether(B, BROADCAST, b"b%d" % i),
                a=ether(B, BROADCAST, b"b%d" % i))


def main():
    check = sys.argv[1:] == ["--check"]
    wrong = []
    for name, fill in sorted(globals().items()):
        if not name.startswith("case_"):
            continue
        folder = HERE / name.removeprefix("case_").replace("_", "-")
        case = Case()
        fill(case)
        files = dict(case.files(folder))
        there = {p for kind in ("in", "expect") for p in folder.glob(f"{kind}/*.pcap")}
        for path in there - files.keys():
            wrong.append(f"{path}: no longer made by this script")
        for path, content in files.items():
            if check:
                if not path.exists() or path.read_bytes() != content:
                    wrong.append(f"{path}: not what this script makes")
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
