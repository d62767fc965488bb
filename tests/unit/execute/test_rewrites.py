"""scapy's opinion on what comes out of execute and egress: a packet that was rewritten is the one scapy builds from the
same fields, with every checksum computed anew."""

import copy
import os
import random
import subprocess

import pytest
from scapy.all import (ARP, ICMP, TCP, UDP, Dot1AD, Dot1Q, Ether, IP, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                       IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, ICMPv6EchoRequest, ICMPv6ND_NS, IPOption_NOP, PadN, Raw,
                       SCTP, SCTPChunkData, checksum)

PROGRAM = os.path.join(os.environ["SLUICE_TEST_PROGRAMS"], "execute", "execute_frames")
NEEDS_CSUM, TCP4, TCP6 = 1, 1, 4
IP4 = dict(src="10.1.2.3", dst="192.168.7.9")
IP6 = dict(src="2001:db8::1:2", dst="fd00:1::ffff:9")


@pytest.fixture(scope="module")
def switch():
    process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def execute(frame, actions, offload="-", capabilities="-"):
        words = [bytes(frame).hex(), offload, capabilities or "-", *actions]
        process.stdin.write(" ".join(words) + "\n")
        process.stdin.flush()
        out = process.stdout.readline().strip()
        assert out, "the program has ended"
        return out if out.startswith("dropped") else [bytes.fromhex(word) for word in out.split()]

    yield execute
    process.stdin.close()
    assert process.wait() == 0


def ether(**fields):
    return Ether(dst="02:00:00:00:00:02", src="02:00:00:00:00:01", **fields)


def payload(size, seed=1):
    return Raw(random.Random(seed).randbytes(size))


def transports(ip):
    """Every transport that a rewrite has to follow, over one IP header, with payloads even, odd and beyond the head."""
    for size in (0, 1, 64, 777):
        yield ip / TCP(sport=1234, dport=80, seq=7, flags="PA", options=[("MSS", 1460), ("NOP", None)]) / payload(size)
        yield ip / UDP(sport=5353, dport=53) / payload(size)
        yield ip / SCTP(sport=2905, dport=2906, tag=99) / SCTPChunkData(data=payload(size + 1).load)
        yield ip / (ICMP(type=8, code=0, id=5, seq=6) if isinstance(ip, IP) else ICMPv6EchoRequest(id=5)) / payload(size)


def packets():
    """name -> packet"""
    ips = {
        "ipv4": IP(**IP4, ttl=64, id=77),
        "ipv4_options": IP(**IP4, ttl=9, tos=0x2B, options=[IPOption_NOP()] * 4),
        "ipv6": IPv6(**IP6, hlim=64, tc=0x2B, fl=0x54321),
        "ipv6_extensions": IPv6(**IP6, hlim=3) / IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)])
        / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 12)]),
    }
    links = {"untagged": ether(), "dot1q": ether() / Dot1Q(vlan=5, prio=3), "qinq": ether() / Dot1AD(vlan=9) / Dot1Q(vlan=5)}
    for link_name, link in links.items():
        for ip_name, ip in ips.items():
            if ip_name == "ipv6_extensions":
                for l4 in (TCP(sport=1, dport=2), UDP(sport=1, dport=2)):
                    yield f"{link_name}-{ip_name}-{l4.name}", link / ip / l4 / payload(300)
                continue
            for number, packet in enumerate(transports(ip)):
                yield f"{link_name}-{ip_name}-{number}", link / packet
        yield f"{link_name}-arp", link / ARP(op=1, psrc="10.0.0.1", pdst="10.0.0.2", hwsrc="02:00:00:00:00:01")
        yield f"{link_name}-ns", link / IPv6(**IP6, hlim=255) / ICMPv6ND_NS(tgt="fe80::1")
        yield f"{link_name}-other", link / IP(**IP4, proto=253) / payload(40)
        yield f"{link_name}-padded", link / IP(**IP4) / UDP(sport=1, dport=2) / payload(3) / Raw(b"")


PACKETS = {name: Ether(bytes(packet)) for name, packet in packets()}


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


def upper(packet):
    for kind in (TCP, UDP, SCTP):
        if kind in packet:
            return packet[kind]
    return None


def icmp(packet):
    if ICMP in packet:
        return packet[ICMP]
    return next((layer for layer in (packet.getlayer(ICMPv6EchoRequest), packet.getlayer(ICMPv6ND_NS)) if layer), None)


def set_vid(packet, vid):
    if packet.type in (0x8100, 0x88A8):
        packet.payload.vlan = vid
        return packet
    return pushed(packet, Dot1Q(vlan=vid))


def set_pcp(packet, pcp):
    if packet.type in (0x8100, 0x88A8):
        packet.payload.prio = pcp
        return packet
    return pushed(packet, Dot1Q(vlan=0, prio=pcp))


def pushed(packet, tag):
    inner_type = packet.type
    tag.type = inner_type
    return Ether(dst=packet.dst, src=packet.src, type=0x8100 if isinstance(tag, Dot1Q) and not isinstance(tag, Dot1AD) else 0x88A8) / tag / packet.payload


def popped(packet):
    if packet.type not in (0x8100, 0x88A8):
        return packet
    return Ether(dst=packet.dst, src=packet.src, type=packet.payload.type) / packet.payload.payload


def with_field(find, **fields):
    def change(packet):
        layer = find(packet)
        if layer is not None:
            for name, value in fields.items():
                setattr(layer, name, value)
        return packet

    return change


def ip4(packet):
    return packet.getlayer(IP)


def ip6(packet):
    return packet.getlayer(IPv6)


def set_nw(field, arp_field, address):
    def change(packet):
        if IP in packet:
            setattr(packet[IP], field, address)
        elif ARP in packet:
            setattr(packet[ARP], arp_field, address)
        return packet

    return change


def set_dscp(packet):
    if IP in packet:
        packet[IP].tos = 0xB8 | (packet[IP].tos & 3)
    elif IPv6 in packet:
        packet[IPv6].tc = 0xB8 | (packet[IPv6].tc & 3)
    return packet


def less_ttl(packet):
    if IP in packet:
        packet[IP].ttl -= 1
    elif IPv6 in packet:
        packet[IPv6].hlim -= 1
    return packet


def set_transport(source):
    def change(packet):
        if upper(packet):
            setattr(upper(packet), "sport" if source else "dport", 0xFE01)
        elif icmp(packet):
            setattr(icmp(packet), "type" if source else "code", 0 if source else 1)
        return packet

    return change


# The action, and what it means to scapy. ICMP's type becomes 0, an echo reply, which has a request's layout.
ACTIONS = {
    "push_vlan:24677:88a8": lambda p: pushed(p, Dot1AD(vlan=24677 & 0xFFF, prio=3)),
    "push_vlan:7:8100": lambda p: pushed(p, Dot1Q(vlan=7)),
    "pop_vlan": popped,
    "set_vlan_vid:4094": lambda p: set_vid(p, 4094),
    "set_vlan_pcp:6": lambda p: set_pcp(p, 6),
    "set_dl_src:0:0a0b0c0d0e0f": with_field(lambda p: p, src="0a:0b:0c:0d:0e:0f"),
    "set_dl_dst:0:0a0b0c0d0e0f": with_field(lambda p: p, dst="0a:0b:0c:0d:0e:0f"),
    "set_nw_src:0:ac100001": set_nw("src", "psrc", "172.16.0.1"),
    "set_nw_dst:0:ffffffff": set_nw("dst", "pdst", "255.255.255.255"),
    "set_ipv6_src:0:20010db8000000000000000000000042": with_field(ip6, src="2001:db8::42"),
    "set_ipv6_dst:0:fe80000000000000ffffffffffffffff": with_field(ip6, dst="fe80::ffff:ffff:ffff:ffff"),
    "set_nw_tos:184": set_dscp,
    "set_tp_src:65025": set_transport(True),
    "set_tp_dst:65025": set_transport(False),
    "dec_ttl": less_ttl,
}
ICMP_VALUES = {"set_tp_src:65025": "set_tp_src:0", "set_tp_dst:65025": "set_tp_dst:1"}


def action_for(packet, action):
    return ICMP_VALUES.get(action, action) if icmp(packet) and not upper(packet) else action


@pytest.mark.parametrize("action", ACTIONS)
def test_each_action_gives_the_packet_that_scapy_builds(switch, action):
    for name, packet in PACKETS.items():
        assert rebuilt(packet) == bytes(packet), f"{name}: scapy does not agree with itself"
        expected = rebuilt(ACTIONS[action](copy.deepcopy(packet)))
        assert switch(packet, [action_for(packet, action), "output"]) == [expected], name


def test_actions_one_after_the_other_give_the_packet_that_scapy_builds(switch):
    choose = random.Random(4)
    for name, packet in PACKETS.items():
        for _ in range(5):
            actions = choose.sample(list(ACTIONS), 6)
            expected = copy.deepcopy(packet)
            for action in actions:
                expected = ACTIONS[action](expected)
            words = [action_for(packet, action) for action in actions]
            assert switch(packet, [*words, "output"]) == [rebuilt(expected)], (name, actions)


def test_udp_without_a_checksum_stays_without(switch):
    packet = ether() / IP(**IP4) / UDP(sport=1, dport=2, chksum=0) / payload(20)
    out, = switch(packet, ["set_nw_src:0:01020304", "set_tp_dst:99", "output"])
    assert Ether(out)[UDP].chksum == 0
    assert Ether(out)[UDP].dport == 99


def test_a_udp_checksum_that_comes_out_as_zero_is_sent_as_ffff(switch):
    packet = Ether(bytes(ether() / IP(**IP4) / UDP(sport=0, dport=2) / payload(20)))
    # The port that makes the sum 0xffff, and so the checksum 0.
    packet[UDP].sport = packet[UDP].chksum
    expected = rebuilt(packet)
    assert Ether(expected)[UDP].chksum == 0xFFFF
    start = Ether(bytes(ether() / IP(**IP4) / UDP(sport=0, dport=2) / payload(20)))
    assert switch(start, [f"set_tp_src:{start[UDP].chksum}", "output"]) == [expected]


def test_a_wrong_checksum_stays_wrong(switch):
    packet = Ether(bytes(ether() / IP(**IP4) / TCP(sport=1, dport=2) / payload(20)))
    wrong = (packet[TCP].chksum + 100) % 0xFFFF
    packet[TCP].chksum = wrong
    out, = switch(packet, ["set_nw_dst:0:01020304", "set_tp_dst:99", "output"])
    seen = Ether(out)[TCP].chksum
    assert seen != Ether(rebuilt(Ether(out)))[TCP].chksum


def test_the_last_ttl_is_dropped(switch):
    for ttl in (0, 1):
        assert switch(ether() / IP(**IP4, ttl=ttl) / UDP(), ["dec_ttl", "output"]) == "dropped ttl_expired"
        assert switch(ether() / IPv6(**IP6, hlim=ttl) / UDP(), ["dec_ttl", "output"]) == "dropped ttl_expired"


@pytest.mark.parametrize("l4", [TCP(sport=1, dport=2), UDP(sport=1, dport=2)], ids=["tcp", "udp"])
def test_fragments_put_together_have_the_checksum_of_the_whole(switch, l4):
    whole = IP(**IP4, id=9) / l4 / payload(1000)
    data = bytes(whole)[20:]
    first = IP(**IP4, id=9, proto=whole.proto, flags="MF") / data[:504]
    later = IP(**IP4, id=9, proto=whole.proto, frag=63) / data[504:]
    actions = ["set_nw_src:0:01020304", "set_nw_dst:0:05060708", "set_tp_dst:999", "output"]
    out = [Ether(frame) for part in (first, later) for frame in switch(ether() / part, actions)]
    expected = copy.deepcopy(whole)
    expected.src, expected.dst, expected.payload.dport = "1.2.3.4", "5.6.7.8", 999
    assert b"".join(bytes(part[IP].payload) for part in out) == rebuilt(expected)[20:]
    assert [checksum(bytes(part[IP])[:20]) for part in out] == [0, 0]


def test_ipv6_fragments_put_together_have_the_checksum_of_the_whole(switch):
    whole = Ether(bytes(ether() / IPv6(**IP6) / UDP(sport=1, dport=2) / payload(1000)))
    data = bytes(whole)[54:]
    parts = [ether() / IPv6(**IP6) / IPv6ExtHdrFragment(nh=17, m=1, id=3) / data[:504],
             ether() / IPv6(**IP6) / IPv6ExtHdrFragment(nh=17, offset=63, id=3) / data[504:]]
    actions = ["set_ipv6_src:0:fe800000000000000000000000000001", "set_tp_dst:999", "output"]
    out = b"".join(frame[62:] for part in parts for frame in switch(part, actions))
    whole[IPv6].src, whole[UDP].dport = "fe80::1", 999
    assert out == rebuilt(whole)[54:]


def test_behind_a_routing_header_the_checksum_is_of_the_final_destination(switch):
    route = IPv6ExtHdrRouting(addresses=["2001:db8::77"], segleft=1)
    packet = Ether(bytes(ether() / IPv6(**IP6) / route / UDP(sport=1, dport=2) / payload(50)))
    out, = switch(packet, ["set_ipv6_dst:0:fe800000000000000000000000000001", "output"])
    packet[IPv6].dst = "fe80::1"
    assert out == rebuilt(packet)


# What a guest leaves to be completed.

def left_open(packet, kind):
    """The packet with the pseudo header's sum in the checksum field, and where that is."""
    packet = Ether(rebuilt(packet))
    ip = packet.getlayer(IP) or packet[IPv6]
    raw = bytearray(bytes(packet))
    start = len(raw) - len(packet[kind])
    offset = 16 if kind is TCP else 6
    length, number = len(raw) - start, 6 if kind is TCP else 17
    import socket
    family = socket.AF_INET if isinstance(ip, IP) else socket.AF_INET6
    pseudo = socket.inet_pton(family, ip.src) + socket.inet_pton(family, ip.dst)
    pseudo += length.to_bytes(4, "big") + number.to_bytes(4, "big")
    total = sum(int.from_bytes(pseudo[i:i + 2], "big") for i in range(0, len(pseudo), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    raw[start + offset:start + offset + 2] = total.to_bytes(2, "big")
    return bytes(raw), start, offset


def open_packets():
    for link in (ether(), ether() / Dot1Q(vlan=3)):
        for ip in (IP(**IP4), IPv6(**IP6)):
            for kind in (TCP, UDP):
                for size in (0, 1, 500, 1301):
                    yield link / ip / kind(sport=1, dport=2) / payload(size), kind


OPEN_ACTIONS = [a for a in ACTIONS if a != "dec_ttl"]


def test_a_checksum_left_open_is_completed_for_a_port_that_cannot(switch):
    for packet, kind in open_packets():
        frame, start, offset = left_open(packet, kind)
        out = switch(frame, ["output"], f"{NEEDS_CSUM}:0:0:{start}:{offset}")
        assert out == [rebuilt(packet)]


@pytest.mark.parametrize("action", OPEN_ACTIONS)
def test_a_checksum_left_open_is_right_after_an_action(switch, action):
    for packet, kind in open_packets():
        frame, start, offset = left_open(packet, kind)
        expected = ACTIONS[action](Ether(bytes(packet)))
        out = switch(frame, [action, "output"], f"{NEEDS_CSUM}:0:0:{start}:{offset}")
        assert out == [rebuilt(expected)]


@pytest.mark.parametrize("action", OPEN_ACTIONS)
def test_a_checksum_left_open_stays_open_for_a_port_that_can(switch, action):
    for packet, kind in open_packets():
        frame, start, offset = left_open(packet, kind)
        expected, _, _ = left_open(ACTIONS[action](Ether(bytes(packet))), kind)
        assert switch(frame, [action, "output"], f"{NEEDS_CSUM}:0:0:{start}:{offset}", "c") == [expected]


def test_a_checksum_field_outside_of_the_head_is_not_touched(switch):
    packet = ether() / IP(**IP4) / UDP(sport=1, dport=2) / payload(600)
    for start, offset in ((190, 6), (400, 6), (34, 6000), (60000, 60000)):
        assert switch(packet, ["output"], f"{NEEDS_CSUM}:0:0:{start}:{offset}") == "dropped tx_offload"


# Segmentation.

def tso_packet(ip, size, link=None):
    tcp = TCP(sport=40001, dport=40002, seq=0xFFFFFF00, ack=5, flags="PAFC", options=[("Timestamp", (1, 2)), ("NOP", None), ("NOP", None)])
    return (link or ether()) / ip / tcp / payload(size)


def segmented(switch, packet, gso_size, actions=(), capabilities="-"):
    frame, start, offset = left_open(packet, TCP)
    kind = TCP4 if IP in packet else TCP6
    return switch(frame, [*actions, "output"], f"{NEEDS_CSUM}:{kind}:{gso_size}:{start}:{offset}", capabilities)


@pytest.mark.parametrize("ip", [IP(**IP4, id=65530), IPv6(**IP6), IP(**IP4, options=[IPOption_NOP()] * 8),
                                IPv6(**IP6) / IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)])],
                         ids=["ipv4", "ipv6", "ipv4_options", "ipv6_extensions"])
@pytest.mark.parametrize("link", [ether(), ether() / Dot1AD(vlan=3) / Dot1Q(vlan=4)], ids=["untagged", "qinq"])
@pytest.mark.parametrize("size,gso_size", [(1, 1448), (1448, 1448), (1449, 1448), (5000, 999), (60000, 1448), (40000, 8000), (300, 7)])
def test_segments_put_together_are_the_original(switch, ip, link, size, gso_size):
    packet = Ether(rebuilt(tso_packet(ip, size, link)))
    out = [Ether(frame) for frame in segmented(switch, packet, gso_size)]
    assert b"".join(bytes(part[TCP].payload) for part in out) == bytes(packet[TCP].payload)
    assert len(out) == -(-size // gso_size)
    for number, part in enumerate(out):
        # Each is, to the last bit, the original with these fields changed.
        expected = copy.deepcopy(packet)
        expected[TCP].seq = (packet[TCP].seq + number * gso_size) % 2**32
        last = number == len(out) - 1
        expected[TCP].flags = "A" + ("PF" if last else "") + ("C" if number == 0 else "")
        expected[TCP].payload = Raw(packet[TCP].payload.load[number * gso_size:(number + 1) * gso_size])
        if IP in packet:
            expected[IP].id = (packet[IP].id + number) % 65536
            del expected[IP].len
        else:
            del expected[IPv6].plen
        assert bytes(part) == rebuilt(expected), number


def test_segments_are_of_the_packet_that_the_actions_made(switch):
    packet = tso_packet(IP(**IP4), 4000)
    out = [Ether(f) for f in segmented(switch, packet, 1000, ["set_nw_dst:0:01020304", "set_tp_dst:7", "push_vlan:5:8100"])]
    assert [(p[IP].dst, p[TCP].dport, p[Dot1Q].vlan) for p in out] == [("1.2.3.4", 7, 5)] * 4
    assert all(rebuilt(p) == bytes(p) for p in out)


def test_segments_for_a_port_that_does_checksums_are_left_open(switch):
    packet = tso_packet(IP(**IP4), 4000)
    for frame in segmented(switch, packet, 1000, capabilities="c"):
        assert frame == left_open(Ether(frame), TCP)[0]


def test_a_port_that_segments_itself_is_given_the_whole(switch):
    for ip, capabilities in ((IP(**IP4), "c4"), (IPv6(**IP6), "c6")):
        packet = tso_packet(ip, 4000)
        assert segmented(switch, packet, 1000, capabilities=capabilities) == [left_open(packet, TCP)[0]]


def test_segmentation_that_cannot_be_is_dropped(switch):
    tcp = Ether(rebuilt(tso_packet(IP(**IP4), 4000)))
    frame, start, offset = left_open(tcp, TCP)
    for offload in (f"1:4:1000:{start}:{offset}",  # IPv6 is asked for
                    f"1:1:0:{start}:{offset}",     # segments of nothing
                    f"1:1:3:{start}:{offset}"):    # more segments than one frame may become
        assert switch(frame, ["output"], offload) == "dropped tx_offload"
    udp = ether() / IP(**IP4) / UDP(sport=1, dport=2) / payload(3000)
    assert switch(udp, ["output"], "1:1:1000:34:6") == "dropped tx_offload"


def test_segments_longer_than_the_port_takes_are_dropped(switch):
    assert segmented(switch, tso_packet(IP(**IP4), 30000), 9001) == "dropped tx_mtu"
