"""Ports that are neither VMs nor tap or af_packet: memif, af_xdp, ring, null, pcap and other DPDK devices, with traffic.

On the other side of a memif is testpmd, which gives back what it is sent with the MAC addresses swapped.
"""

import contextlib
import dataclasses
import pathlib
import struct

import pytest
from scapy.all import Ether, PcapReader, wrpcap

from namespaces import ip, on_veth
from process import wait_until
from switch import Switch, wait_standby
from testpmd import TestpmdVm

HOST = "02:00:00:00:02:01"  # eth0 of namespace 1
ECHO = "02:00:00:00:03:01"


@dataclasses.dataclass
class Memif:
    """One port of testpmd's."""
    path: pathlib.Path
    role: str
    mac: str = ECHO
    queues: int = 1

    def vdev(self, number: int) -> str:
        return f"net_memif{number},socket={self.path},socket-abstract=no,role={self.role},mac={self.mac}"


def frame(number: int, size: int = 60, source: str = HOST, destination: str = ECHO) -> bytes:
    """Of a local experimental ethertype, `size` bytes long, none like another."""
    return (bytes(Ether(src=source, dst=destination, type=0x88B5)) + struct.pack(">I", number)).ljust(size, bytes([number & 0xFF]))


def echoed(sent: bytes) -> bytes:
    return sent[6:12] + sent[:6] + sent[12:]


SIZES = (18, 59, 60, 64, 192, 193, 300, 1024, 1500, 1513, 1514)


def assert_comes_back(here, sent: bytes, expected: bytes | None = None) -> None:
    """An Ethernet driver may lengthen short frames; all else is as it was."""
    here.send(sent)
    expected = expected or echoed(sent)
    got = here.receive(lambda each: each[:len(expected)] == expected)
    assert not got[len(expected):].strip(b"\0") and len(got) <= max(60, len(expected))


@contextlib.contextmanager
def host_and(place, port):
    """A namespace at port `host`, and `port`."""
    with on_veth(1) as n1, n1.frames() as here:
        with Switch(place, {"ports": [{"name": "host", "type": "af_packet", "interface": n1.far}, port]}) as switch:
            switch.wait_ready()
            yield switch, here


def echo(place, role):
    """testpmd as the memif peer."""
    return TestpmdVm(place, [Memif(place / "memif.sock", role)])


def other(role):
    return "client" if role == "server" else "server"


def memif(place, role, **more):
    return {"name": "peer", "type": "memif", "socket": str(place / "memif.sock"), "role": role, **more}


@pytest.mark.usefixtures("testpmd_memory")
@pytest.mark.parametrize("role", ["server", "client"])
def test_frames_of_all_sizes_cross_a_memif_both_ways_whole(place, role):
    with host_and(place, memif(place, role, queue_size=256)) as (switch, here), echo(place, other(role)) as vm:
        vm.wait_ready()
        switch.wait_link("peer")
        vm.start("macswap")
        for number, size in enumerate(SIZES * 60):  # round the rings more than once
            assert_comes_back(here, frame(number, size))
        ports = switch.wait_at_rest()
        assert ports["peer"]["rx_packets"] == ports["peer"]["tx_packets"] == 60 * len(SIZES)
        switch.assert_accounts_for_every_frame()


@pytest.mark.usefixtures("testpmd_memory")
@pytest.mark.parametrize("role", ["server", "client"])
def test_a_memif_peer_that_was_killed_comes_back(place, role):
    with host_and(place, memif(place, role)) as (switch, here):
        assert not switch.ports()["peer"]["link_up"]  # and that nobody is there keeps no switch from starting
        for number in range(3):
            with echo(place, other(role)) as vm:
                vm.wait_ready()
                switch.wait_link("peer")
                vm.start("macswap")
                assert_comes_back(here, frame(number))
                vm.kill()
            switch.wait_link("peer", up=False)
            if role == "client":
                (place / "memif.sock").unlink()  # testpmd does not take the place of one that was killed
        switch.assert_accounts_for_every_frame()


@pytest.mark.usefixtures("testpmd_memory")
def test_a_memif_server_takes_the_place_of_one_that_was_killed(place):
    for number in range(2):
        with host_and(place, memif(place, "server")) as (switch, here), echo(place, "client") as vm:
            vm.wait_ready()
            switch.wait_link("peer")
            vm.start("macswap")
            assert_comes_back(here, frame(number))
            switch.kill()
        assert (place / "memif.sock").is_socket()


@pytest.mark.parametrize("more", [{}, {"queue_size": 64, "force_copy": True}], ids=["as it comes", "small rings, copied"])
def test_frames_of_all_sizes_cross_af_xdp_both_ways_whole(place, more):
    with on_veth(2) as n2, n2.frames() as there:
        with host_and(place, {"name": "xdp", "type": "af_xdp", "interface": n2.far, **more}) as (switch, here):
            for number, size in enumerate(SIZES * 300):  # round the rings and through all buffers
                sent = frame(number, size, HOST, n2.mac)
                here.send(sent)
                got = there.receive(lambda each: each[:size] == sent)
                there.send(echoed(got))
                here.receive(lambda each: each[:size] == echoed(sent))
            switch.assert_accounts_for_every_frame()


def test_hosts_behind_af_xdp_and_af_packet_ping_each_other(place):
    with on_veth(1) as n1, on_veth(2) as n2:
        with Switch(place, {"ports": [{"name": "xdp", "type": "af_xdp", "interface": n1.far},
                                      {"name": "host", "type": "af_packet", "interface": n2.far}]}) as switch:
            switch.wait_ready()
            n1.address("10.0.0.1/24")
            n2.address("10.0.0.2/24")
            n1.wait_pings("10.0.0.2")
            assert n1.pings("10.0.0.2") == 3 and n2.pings("10.0.0.1") == 3


def test_an_af_xdp_port_is_deleted_and_added_again(place):
    with on_veth(1) as n1, on_veth(2) as n2:
        with Switch(place, {"ports": [{"name": "host", "type": "af_packet", "interface": n2.far}]}) as switch:
            switch.wait_ready()
            n1.address("10.0.0.1/24")
            n2.address("10.0.0.2/24")
            for _ in range(3):
                switch.cli("port", "add", "name=xdp", "type=af_xdp", f"interface={n1.far}")
                n1.wait_pings("10.0.0.2")
                switch.cli("port", "del", "xdp")


def test_a_port_that_cannot_be_opened_takes_no_memory(place, tmp_path):
    with on_veth(1) as n1, Switch(tmp_path, {"ports": [{"name": "xdp", "type": "af_xdp", "interface": n1.far}]}) as has_it:
        has_it.wait_ready()
        with Switch(place, {"ports": []}) as switch:
            switch.wait_ready()
            for _ in range(25):
                refused = switch.cli("port", "add", "name=xdp", "type=af_xdp", f"interface={n1.far}", check=False)
                assert "xdp" in refused.stderr and "memory" not in refused.stderr, refused


@pytest.mark.parametrize("how", ["standby", "crash", "upgrade"])
def test_devices_go_over_to_the_next_worker(place, how):
    """Which takes them up when they are free: an af_xdp queue is one process's."""
    with on_veth(1) as n1, on_veth(2) as n2:
        with Switch(place, {"ports": [{"name": "xdp", "type": "af_xdp", "interface": n1.far},
                                      {"name": "host", "type": "af_packet", "interface": n2.far}], "recovery": {"standby": how == "standby"}}) as switch:
            switch.wait_ready()
            n1.address("10.0.0.1/24")
            n2.address("10.0.0.2/24")
            for count in range(1, 4):
                if how == "standby":
                    wait_standby(switch)
                switch.cli("upgrade") if how == "upgrade" else switch.kill_worker()
                assert switch.rpc("status")["restarts"] == count, f"a worker could not begin:\n{switch.log()}"
                n1.wait_pings("10.0.0.2")
            assert switch.log().count("the one that stands by takes over") == (3 if how == "standby" else 0), switch.log()


def fails_to_take_up(place: pathlib.Path) -> pathlib.Path:
    """A version that is ready, and ends when it is told to take up the ports."""
    fails = place / "fails"
    fakes = pathlib.Path(__file__).resolve().parents[1] / "unit" / "keeper"
    fails.write_text(f"#!/usr/bin/python3\nimport sys\nsys.path.insert(0, '{fakes}')\nfrom fake_worker import *\nsay(READY, '1')\nhear()\n")
    fails.chmod(0o755)
    return fails


def test_when_a_new_version_fails_all_devices_come_back_and_one_that_is_no_more_when_it_is_again(place):
    fails = fails_to_take_up(place)
    with contextlib.ExitStack() as until_removed, on_veth(2) as n2, on_veth(3) as n3:
        n1 = until_removed.enter_context(on_veth(1))
        with Switch(place, {"ports": [{"name": "removed", "type": "af_packet", "interface": n1.far},
                                      {"name": "xdp", "type": "af_xdp", "interface": n2.far},
                                      {"name": "host", "type": "af_packet", "interface": n3.far}]}) as switch:
            switch.wait_ready()
            until_removed.close()
            refused = switch.cli("upgrade", "--binary", fails, check=False)
            assert "ended with exit code 0" in refused.stderr, refused
            wait_until(lambda: "the switch goes on without it" in switch.log(), "it is told why", 20)
            assert {name: port["state"] == "missing" for name, port in switch.ports().items()} == {"removed": True, "xdp": False, "host": False}
            n2.address("10.0.0.1/24")
            n3.address("10.0.0.2/24")
            n2.wait_pings("10.0.0.2")
            another = until_removed.enter_context(on_veth(1))
            ip("link", "set", another.far, "down")
            ip("link", "set", another.far, "name", n1.far, "up")
            another.address("10.0.0.3/24")
            another.wait_pings("10.0.0.2")


def test_an_interface_that_is_gone_cuts_off_nobody_when_a_worker_dies(place):
    with contextlib.ExitStack() as until_removed, on_veth(2) as n2, on_veth(3) as n3:
        n1 = until_removed.enter_context(on_veth(1))
        with Switch(place, {"ports": [{"name": "removed", "type": "af_packet", "interface": n1.far},
                                      {"name": "a", "type": "af_packet", "interface": n2.far},
                                      {"name": "b", "type": "af_packet", "interface": n3.far}]}) as switch:
            switch.wait_ready()
            until_removed.close()
            switch.kill_worker()
            n2.address("10.0.0.1/24")
            n3.address("10.0.0.2/24")
            n2.wait_pings("10.0.0.2")
            assert switch.rpc("status")["restarts"] == 1 and switch.ports()["removed"]["state"] == "missing"
            switch.cli("port", "del", "removed")
            switch.cli("upgrade")
            n2.wait_pings("10.0.0.2")


def test_new_versions_that_fail_one_after_another_cost_no_memory(place):
    fails = fails_to_take_up(place)
    with on_veth(1) as n1, on_veth(2) as n2:
        with Switch(place, {"ports": [{"name": "xdp", "type": "af_xdp", "interface": n1.far}, {"name": "host", "type": "af_packet", "interface": n2.far}],
                            "memory": {"amount": "96 MiB"}}) as switch:
            switch.wait_ready()
            n1.address("10.0.0.1/24")
            n2.address("10.0.0.2/24")
            for _ in range(12):
                assert "ended with exit code 0" in switch.cli("upgrade", "--binary", fails, check=False).stderr
            n1.wait_pings("10.0.0.2")
            assert set(switch.ports()) == {"xdp", "host"}, switch.log()


def test_a_ring_gives_back_what_it_is_given_in_order(place):
    with host_and(place, {"name": "loop", "type": "ring"}) as (switch, here):
        switch.cli("rule", "add", "in_port=host,actions=output:loop")
        switch.cli("rule", "add", "in_port=loop,actions=output:host")
        sent = [frame(number, SIZES[number % len(SIZES)] + 4) for number in range(200) if SIZES[number % len(SIZES)] < 1500]
        for each in sent:
            here.send(each)
        assert [here.receive(lambda each: each[12:14] == b"\x88\xb5") for _ in sent] == sent
        switch.assert_accounts_for_every_frame()


def test_a_null_port_takes_everything_and_one_that_sends_is_seen(place):
    with host_and(place, {"name": "hole", "type": "null", "no_rx": True}) as (switch, here):
        switch.cli("rule", "add", "in_port=host,actions=output:hole")
        for number in range(100):
            here.send(frame(number))
        wait_until(lambda: switch.ports()["hole"]["tx_packets"] == 100, "all frames are gone", 10)
        switch.cli("port", "add", "name=source", "type=null", "size=128", "copy=true")
        wait_until(lambda: switch.ports()["source"]["rx_packets"] > 10_000, "frames come", 10)
        # Both counters go on between a look at the one and at the other.
        source, later = switch.ports()["source"], switch.ports()["source"]
        assert source["rx_bytes"] % 128 == 0
        assert 128 * source["rx_packets"] <= later["rx_bytes"] and source["rx_bytes"] <= 128 * later["rx_packets"]
        switch.cli("port", "del", "source")
        switch.cli("port", "del", "hole", check=False)


def capture(place, frames, apart: float = 0.0) -> pathlib.Path:
    path = place / "in.pcap"
    packets = []
    for number, each in enumerate(frames):
        packet = Ether(each)
        packet.time = 1_000_000 + number * apart
        packets.append(packet)
    wrpcap(str(path), packets)
    return path


def test_a_capture_comes_in_whole_and_what_leaves_is_written(place):
    frames = [frame(number, 60 + number, ECHO, HOST) for number in range(64)]
    answers = [frame(number, 100 + number) for number in range(64)]
    out = place / "out.pcap"
    port = {"name": "files", "type": "pcap", "rx": str(capture(place, frames)), "tx": str(out), "speed": "50 pps"}
    with host_and(place, port) as (switch, here):
        assert [here.receive(lambda each: each[12:14] == b"\x88\xb5") for _ in frames] == frames
        for each in answers:
            here.send(each)
        wait_until(lambda: switch.ports()["files"]["tx_packets"] == len(answers), "all answers are written", 10)
        switch.assert_accounts_for_every_frame()
    with PcapReader(str(out)) as written:
        assert [bytes(each) for each in written] == answers


@pytest.mark.parametrize("speed, seconds", [("50 pps", 1.0), ("recorded", 1.2)])
def test_a_capture_comes_no_faster_than_it_should(place, speed, seconds):
    frames = [frame(number, 60, ECHO, HOST) for number in range(51 if speed == "50 pps" else 5)]
    port = {"name": "files", "type": "pcap", "rx": str(capture(place, frames, apart=0.3)), "speed": speed}
    with on_veth(1) as n1, n1.frames() as here, Switch(place, {"ports": [
            {"name": "host", "type": "af_packet", "interface": n1.far}, port]}) as switch:
        switch.wait_ready()
        times = [here.receive_with_time(lambda each: each[12:14] == b"\x88\xb5")[1] for _ in frames]
        assert times[-1] - times[0] >= 0.9 * seconds


def test_a_capture_in_a_loop_begins_anew_at_its_end(place):
    frames = [frame(number, 60 + number, ECHO, HOST) for number in range(7)]
    port = {"name": "files", "type": "pcap", "rx": str(capture(place, frames)), "loop": True, "speed": "500 pps"}
    with host_and(place, port) as (switch, here):
        got = [here.receive(lambda each: each[12:14] == b"\x88\xb5") for _ in range(70)]
        first = frames.index(got[0])
        assert got == [frames[(first + number) % 7] for number in range(70)]


def test_any_other_device_is_a_port_by_its_device_arguments(place):
    # libpcap's own way to an interface, for which there is no type.
    with on_veth(2) as n2, n2.frames() as there:
        with host_and(place, {"name": "other", "type": "devargs", "devargs": f"net_pcap_other,iface={n2.far}"}) as (switch, here):
            for number, size in enumerate(SIZES):
                sent = frame(number, size, HOST, n2.mac)
                here.send(sent)
                there.receive(lambda each: each[:size] == sent)
                there.send(echoed(sent))
                here.receive(lambda each: each[:size] == echoed(sent))
            assert switch.ports()["other"]["details"]["driver"] == "net_pcap"
