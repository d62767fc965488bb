"""scapy's opinion on what guests leave to be done: checksums that are completed, and frames that are cut into segments."""

import copy

import pytest
from scapy.all import (TCP, UDP, Dot1AD, Dot1Q, Ether, IP, IPv6, IPv6ExtHdrHopByHop, IPOption_NOP, PadN, Raw)

from actions import ACTIONS
from packets import IP4, IP6, ether, left_open, payload, rebuilt

NEEDS_CSUM, TCP4, TCP6 = 1, 1, 4


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
