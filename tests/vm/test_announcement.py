"""A guest that has just arrived by live migration and does not say so: its front end does, with SEND_RARP."""

import struct

import pytest

from hostile import HostileGuest
from process import wait_until
from switch import Switch, vhost_port
from vhost_user import Request

PROTOCOL_F_RARP = 1 << 2
MAC = bytes.fromhex("525400000007")
RARP = (b"\xff" * 6 + MAC + bytes.fromhex("8035 0001 0800 06 04 0003") + MAC + bytes(4) + MAC).ljust(60, b"\0")


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_send_rarp_has_the_switch_learn_the_guest_and_tell_others(place, packed):
    sockets = {name: place / f"{name}.sock" for name in ("arrived", "peer")}
    ports = [vhost_port(name, path, "server", vlan={"access": 10}) for name, path in sockets.items()]
    with Switch(place, {"ports": ports}) as switch:
        switch.wait_ready()
        with HostileGuest(sockets["arrived"], packed=packed) as arrived, HostileGuest(sockets["peer"], packed=packed) as peer:
            peer.give_buffers()
            switch.wait_link("arrived", "peer")
            arrived.front_end.send(Request.SET_PROTOCOL_FEATURES, struct.pack("<Q", PROTOCOL_F_RARP))
            arrived.front_end.send(Request.SEND_RARP, MAC + bytes(2))
            frames: list[bytes] = []
            wait_until(lambda: frames.extend(peer.received()) or frames, "the announcement arrives", 10)
            assert frames == [RARP]
            assert switch.fdb()[10, "52:54:00:00:00:07"] == "arrived"
            assert switch.ports()["arrived"]["rx_packets"] == 1
            switch.assert_accounts_for_every_frame()
