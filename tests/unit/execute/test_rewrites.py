"""scapy's opinion on what comes out of execute and egress: a packet that was rewritten is the one scapy builds from the
same fields, with every checksum computed anew."""

import copy
import random

import pytest
from scapy.all import (ARP, ICMP, TCP, UDP, Dot1AD, Dot1Q, Ether, IP, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                       IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, ICMPv6EchoRequest, ICMPv6ND_NS, IPOption_NOP, PadN, Raw,
                       SCTP, SCTPChunkData, checksum)

from actions import ACTIONS, action_for
from packets import IP4, IP6, ether, payload, rebuilt


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
