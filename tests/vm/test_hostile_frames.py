"""Frames whose virtio-net header lies, and memory that changes while the switch reads it."""

import struct
import threading

import pytest

from arena import RINGS, arena, arenas, assert_frames_pass, attached_pair, frame  # noqa: F401  (fixtures)
from hostile import HostileGuest, header
from process import wait_until
from vhost_user import F_CSUM, F_GUEST_CSUM, F_GUEST_TSO4, F_HOST_TSO4

OFFLOADS = F_CSUM | F_GUEST_CSUM | F_HOST_TSO4 | F_GUEST_TSO4
NEEDS_CSUM, TCPV4, UDP = 1, 1, 3


def tcp_frame(payload: int) -> bytes:
    """Ethernet, IPv4 and TCP headers of evil's to peer, and a payload."""
    ethernet = frame()[:12] + b"\x08\x00"
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40 + payload, 1, 0, 64, 6, 0, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
    tcp = struct.pack(">HHIIBBHHH", 1000, 2000, 1, 1, 0x50, 0x10, 1024, 0, 0)
    return ethernet + ip + tcp + bytes(payload)


LIES = {
    "csum_start beyond the frame": header(NEEDS_CSUM, csum_start=5000, csum_offset=16),
    "csum_offset beyond the frame": header(NEEDS_CSUM, csum_start=34, csum_offset=5000),
    "checksum's last byte beyond the frame": header(NEEDS_CSUM, csum_start=34, csum_offset=319),
    "csum_start and offset overflow": header(NEEDS_CSUM, csum_start=0xFFFF, csum_offset=0xFFFF),
    "gso_size 0": header(NEEDS_CSUM, TCPV4, 54, 0, 34, 16),
    "segmentation without a checksum": header(0, TCPV4, 54, 1000, 0, 0),
    "unknown gso_type": header(NEEDS_CSUM, 0x7F, 54, 1000, 34, 16),
    "UDP segmentation, which was not offered": header(NEEDS_CSUM, UDP, 42, 1000, 34, 6),
    "IPv6 segmentation of IPv4": header(NEEDS_CSUM, 4, 54, 1000, 34, 16),
}


@RINGS
@pytest.mark.parametrize("what", LIES)
def test_a_header_that_lies_costs_its_own_frame(arena, packed, what):
    with attached_pair(arena, packed, OFFLOADS) as (evil, peer):
        evil.wait_taken(1)
        before = arena.switch.drops().get(("evil", "rx_bad_offload"), 0)
        evil.send(tcp_frame(300 - 54), LIES[what])
        wait_until(lambda: arena.switch.drops().get(("evil", "rx_bad_offload"), 0) == before + 1, f"'{what}' is counted", 10)
        assert_frames_pass(evil, peer, 2)


@RINGS
def test_a_receiver_without_offloads_survives_every_header(arena, packed):
    """The switch has to segment and checksum in software what evil asks for."""
    with arena.hostile(packed=packed, features=OFFLOADS) as evil, HostileGuest(arena.peer, packed=packed) as peer:
        arena.switch.wait_link("evil", "peer")
        peer.give_buffers()
        peer.send(frame()[6:12] + frame()[:6] + frame()[12:])
        peer.wait_taken(1)
        for gso_size in (1, 2, 7, 300, 65535):
            for hdr_len in (0, 14, 54, 65535):
                evil.send(tcp_frame(1200), header(NEEDS_CSUM, TCPV4, hdr_len, gso_size, 34, 16))
                evil.wait_taken(1)
                peer.received()
        assert_frames_pass(evil, peer, 2)


@RINGS
def test_memory_that_changes_while_it_is_read_harms_nobody(arena, packed):
    with attached_pair(arena, packed, OFFLOADS) as (evil, peer):
        evil.wait_taken(1)
        honest = header() + tcp_frame(1200)
        lie = LIES["csum_start beyond the frame"] + bytes(len(honest) - 12)
        at = evil.memory.put(honest)
        ended = threading.Event()

        def change():
            # Header, frame and descriptor: each is one thing at one moment and another at the next.
            while not ended.is_set():
                evil.memory.write(at, lie)
                for index in range(evil.tx.size):
                    evil.memory.write(evil.tx.desc + 16 * index + 8, b"\xff\xff\xff\x7f")
                evil.memory.write(at, honest)
                for index in range(evil.tx.size):
                    evil.memory.write(evil.tx.desc + 16 * index + 8, struct.pack("<I", len(honest)))
        changer = threading.Thread(target=change)
        changer.start()
        try:
            for _ in range(300):
                evil.tx.add([(at, len(honest), 0)])
                evil.wait_taken(1)
                peer.received()
        finally:
            ended.set()
            changer.join()
        assert_frames_pass(evil, peer, 2)
