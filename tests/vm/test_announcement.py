"""A guest that has just arrived by live migration and does not say so: its front end does, with SEND_RARP."""

import struct

import pytest

from hostile import HostileGuest
from process import wait_until
from switch import Switch, vhost_port
from vhost_user import Request

PROTOCOL_F_RARP = 1 << 2
MAC, PEER = bytes.fromhex("525400000007"), bytes.fromhex("525400000008")
RARP = (b"\xff" * 6 + MAC + bytes.fromhex("8035 0001 0800 06 04 0003") + MAC + bytes(4) + MAC).ljust(60, b"\0")


def frame(destination: bytes, source: bytes) -> bytes:
    return (destination + source + bytes.fromhex("88B5")).ljust(60, b"\0")


def receive(guest: HostileGuest) -> list[bytes]:
    frames: list[bytes] = []
    wait_until(lambda: frames.extend(guest.received()) or frames, "a frame arrives", 10)
    return frames


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_send_rarp_moves_the_guest_to_its_port_at_once_and_tells_others(place, packed):
    sockets = {name: place / f"{name}.sock" for name in ("left", "arrived", "peer")}
    ports = [vhost_port(name, path, "server", vlan={"access": 10}) for name, path in sockets.items()]
    with Switch(place, {"ports": ports}) as switch:
        switch.wait_ready()
        with (HostileGuest(sockets["left"], packed=packed) as left, HostileGuest(sockets["arrived"], packed=packed) as arrived,
              HostileGuest(sockets["peer"], packed=packed) as peer):
            guests = (left, arrived, peer)
            switch.wait_link(*sockets)
            left.send(frame(PEER, MAC))
            wait_until(lambda: switch.fdb().get((10, "52:54:00:00:00:07")) == "left", "the switch learns where the guest is", 10)
            for guest in guests:
                guest.give_buffers()
            peer.send(frame(MAC, PEER))
            assert receive(left) == [frame(MAC, PEER)]

            arrived.front_end.send(Request.SET_PROTOCOL_FEATURES, struct.pack("<Q", PROTOCOL_F_RARP))
            arrived.front_end.send(Request.SEND_RARP, MAC + bytes(2))
            assert receive(peer) == receive(left) == [RARP]
            assert switch.fdb()[10, "52:54:00:00:00:07"] == "arrived"
            # The flow that was made when the guest was at the other port is of the past.
            peer.send(frame(MAC, PEER))
            assert receive(arrived) == [frame(MAC, PEER)]
            assert left.received() == []
            ports = switch.wait_at_rest()
            assert {name: (port["rx_packets"], port["tx_packets"]) for name, port in ports.items()} == {"left": (1, 2), "arrived": (1, 1), "peer": (2, 1)}
