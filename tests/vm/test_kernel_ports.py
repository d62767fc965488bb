"""Ports that are the kernel's interfaces: namespaces talk through the switch, and scapy says what a rewritten packet is."""

import contextlib
import re
import signal

import pytest
from scapy.all import ARP, IP, TCP, UDP, Dot1Q, Ether, Raw

from namespaces import for_tap, move_tap, on_veth
from process import wait_until
from switch import Switch


def af_packet(name, namespace, **more):
    return {"name": name, "type": "af_packet", "interface": namespace.far, **more}


@contextlib.contextmanager
def two_namespaces(place):
    """n1 is 10.0.0.1, n2 is 10.0.0.2; ports p1 and p2."""
    with on_veth(1) as n1, on_veth(2) as n2:
        with Switch(place, {"ports": [af_packet("p1", n1), af_packet("p2", n2)]}) as switch:
            switch.wait_ready()
            n1.address("10.0.0.1/24")
            n2.address("10.0.0.2/24")
            yield switch, n1, n2


def arp(vlan, asker, asked):
    return Ether(src="02:00:00:00:02:99", dst="ff:ff:ff:ff:ff:ff") / Dot1Q(vlan=vlan) / ARP(hwsrc="02:00:00:00:02:99", psrc=asker, pdst=asked)


def test_a_trunk_carries_the_vlans_of_access_ports_tagged_and_no_other(place):
    # The kernels here need not know VLANs: the host behind the trunk is a packet socket and scapy.
    with on_veth(1) as n1, on_veth(2) as n2, for_tap(3) as n3:
        with Switch(place, {"ports": [
                af_packet("access", n1, vlan={"access": 10}),
                af_packet("trunk", n2, vlan={"trunk": [10, 20]}),
                {"name": "tap", "type": "tap", "interface": n3.far, "vlan": {"access": 20}}]}) as switch, n2.frames() as trunk:
            switch.wait_ready()
            move_tap(n3)
            for namespace, address in ((n1, "10.0.0.1"), (n3, "10.0.0.1")):
                namespace.address(f"{address}/24")
            # The same address in either VLAN, and each answers in its own.
            for vlan, namespace in ((10, n1), (20, n3)):
                trunk.send(bytes(arp(vlan, "10.0.0.9", "10.0.0.1")))
                got = Ether(trunk.receive(lambda frame: b"\x08\x06" in frame[12:18] and Ether(frame)[ARP].op == 2))
                assert (got[Dot1Q].vlan, got[ARP].hwsrc) == (vlan, namespace.mac), repr(got)
            trunk.send(bytes(arp(30, "10.0.0.9", "10.0.0.1")))
            wait_until(lambda: switch.drops().get(("trunk", "vlan_not_allowed"), 0) == 1, "a VLAN that is not the trunk's is dropped", 10)
            assert {(10, n1.mac): "access", (20, n3.mac): "tap", (10, "02:00:00:00:02:99"): "trunk",
                    (20, "02:00:00:00:02:99"): "trunk"}.items() <= switch.fdb().items()


MARK = b"a packet of this test"


def rewritten(packet, ether=None, ip=None, transport=None):
    """As scapy builds it: all lengths and checksums anew."""
    copy = Ether(bytes(packet))
    for layer, fields in ((copy, ether), (copy[IP], ip), (copy[IP].payload, transport)):
        for name, value in (fields or {}).items():
            setattr(layer, name, value)
    del copy[IP].chksum, copy[IP].payload.chksum
    return bytes(copy)


REWRITES = {
    "mod_nw_dst:10.0.0.2,mod_nw_src:192.0.2.1": {"ip": {"dst": "10.0.0.2", "src": "192.0.2.1"}},
    "mod_nw_tos:32,dec_ttl": {"ip": {"tos": 32, "ttl": 63}},
    "mod_tp_src:7,mod_tp_dst:65535": {"transport": {"sport": 7, "dport": 65535}},
    "mod_dl_src:02:00:00:00:00:77": {"ether": {"src": "02:00:00:00:00:77"}},
}


@pytest.mark.parametrize("protocol", [UDP, TCP], ids=["udp", "tcp"])
def test_a_rewritten_packet_is_what_scapy_would_have_made(place, protocol):
    match = f"priority=10,in_port=p1,{protocol.__name__.lower()}"
    with two_namespaces(place) as (switch, n1, n2), n1.frames() as here, n2.frames() as there:
        for number, (actions, changes) in enumerate(REWRITES.items()):
            payload = MARK + bytes([number])
            packet = Ether(src=n1.mac, dst=n2.mac) / IP(src="10.0.0.1", dst="10.0.0.9", ttl=64) / protocol(sport=1000, dport=2000) / Raw(payload)
            switch.cli("rule", "add", f"{match},actions={actions},output:p2")
            here.send(bytes(packet))
            got = there.receive(lambda frame: payload in frame)
            assert got == rewritten(packet, **changes), f"{actions}: {Ether(got)!r}"
            switch.cli("rule", "del", match)


def probe(number):
    """Of a local experimental ethertype: the kernel at the other end does not answer."""
    return Ether(src="02:00:00:00:02:01", dst="02:00:00:00:02:02", type=0x88B5) / Raw(number.to_bytes(4, "big").ljust(46, b"."))


def test_rules_added_and_deleted_under_traffic_are_obeyed_by_the_next_packets(place):
    rule = "priority=10,in_port=p1,dl_type=0x88b5"
    with two_namespaces(place) as (switch, n1, n2), n1.frames() as here, n2.frames() as there:
        n1.wait_pings("10.0.0.2")
        with n2.start("ping", place, "busybox", "ping", "-i", "0.01", "10.0.0.1"):
            for number in range(0, 100, 10):
                here.send(bytes(probe(number)))
                there.receive(lambda frame: frame == bytes(probe(number)))
                dropped = switch.drops().get(("p1", "rule"), 0)
                switch.cli("rule", "add", f"{rule},actions=drop")
                for forbidden in range(number + 1, number + 6):
                    here.send(bytes(probe(forbidden)))
                wait_until(lambda: switch.drops().get(("p1", "rule"), 0) == dropped + 5, "the rule drops what it matches", 10)
                switch.cli("rule", "del", rule)
                here.send(bytes(probe(number + 6)))
                # Frames of this socket stay in order: those the rule forbade would have come before.
                assert there.receive(lambda frame: frame[12:14] == b"\x88\xb5") == bytes(probe(number + 6))


def test_a_port_comes_and_goes_under_the_traffic_of_others(place):
    with two_namespaces(place) as (switch, n1, n2), on_veth(3) as n3:
        n3.address("10.0.0.3/24")
        n1.wait_pings("10.0.0.2")
        with n1.start("ping", place, "busybox", "ping", "-i", "0.05", "10.0.0.2") as ping:
            for _ in range(3):
                switch.cli("port", "add", "name=p3", "type=af_packet", f"interface={n3.far}")
                n1.wait_pings("10.0.0.3")
                n3.wait_pings("10.0.0.2")
                switch.cli("port", "del", "p3")
                assert "p3" not in switch.ports() and "p3" not in switch.fdb().values()
                assert n1.pings("10.0.0.3", 1) == 0
            ping.signal(signal.SIGINT)
            ping.wait()
            assert " 0% packet loss" in ping.log(), ping.log()[-1000:]


def test_a_port_that_is_added_receives_nothing_of_other_interfaces(place):
    # The driver's sockets hear every interface until they are bound to their own.
    with two_namespaces(place) as (switch, n1, n2), on_veth(3) as n3:
        n1.wait_pings("10.0.0.2")
        with n1.start("ping", place, "busybox", "ping", "-i", "0.001", "10.0.0.2"):
            for _ in range(10):
                before = switch.ports()["p1"]["rx_packets"]
                switch.cli("port", "add", "name=p3", "type=af_packet", f"interface={n3.far}")
                wait_until(lambda: switch.ports()["p1"]["rx_packets"] > before + 10, "the ping goes on", 30)
                assert switch.ports()["p3"]["rx_packets"] == 0
                assert (switch.fdb()[(0, n1.mac)], switch.fdb()[(0, n2.mac)]) == ("p1", "p2")
                switch.cli("port", "del", "p3")


def test_counters_cleared_under_traffic_count_from_there_on(place):
    with two_namespaces(place) as (switch, n1, n2):
        n1.wait_pings("10.0.0.2")
        with n1.start("ping", place, "busybox", "ping", "-i", "0.01", "10.0.0.2") as ping:
            wait_until(lambda: switch.ports()["p1"]["rx_packets"] > 100, "the ping is counted", 30)
            switch.cli("stats", "clear")
            wait_until(lambda: switch.ports()["p1"]["rx_packets"] > 20, "the ping is counted again", 30)
            ping.signal(signal.SIGINT)
            ping.wait()
            sent = int(re.search(r"(\d+) packets transmitted", ping.log()).group(1))
            assert switch.wait_at_rest()["p1"]["rx_packets"] < sent


def test_frames_that_a_device_itself_drops_are_shown_as_its_own(place):
    with for_tap(1) as n1, Switch(place, {"ports": [{"name": "tap", "type": "tap", "interface": n1.far}]}) as switch:
        switch.wait_ready()
        move_tap(n1)
        n1.run("ip", "link", "set", "eth0", "mtu", "9000")  # which the port's buffers are too short for
        before = switch.wait_at_rest()["tap"]["rx_packets"]
        with n1.frames() as here:
            for _ in range(3):
                here.send(bytes(Ether(dst="ff:ff:ff:ff:ff:ff", src=n1.mac, type=0x88B5) / Raw(bytes(8000))))
            wait_until(lambda: switch.ports()["tap"]["details"].get("rx_errors") == "3", "the device's own drops are shown", 10)
            here.send(bytes(probe(1)))
            wait_until(lambda: switch.ports()["tap"]["rx_packets"] == before + 1, "the next frame is received", 10)
            assert switch.ports()["tap"]["details"]["rx_errors"] == "3"
