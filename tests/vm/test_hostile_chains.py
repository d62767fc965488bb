"""A guest that fills its transmit ring with malformed chains: each is counted, and the ring goes on."""

import struct

import pytest

from arena import RINGS, answer, arena, arenas, assert_frames_pass, attached_pair, frame  # noqa: F401  (fixtures)
from hostile import REGION, RING_SIZE, HostileGuest, header
from process import wait_until
from virtqueue import INDIRECT, NEXT, WRITE, indirect_table

OUTSIDE = 1 << 40


def good(guest, size=60):
    """Where a whole frame with its header is."""
    return guest.memory.put(header() + frame(7, size))


def raw_table(*parts):
    return b"".join(struct.pack("<QIHH", address & (1 << 64) - 1, length, *((flags, following))) for address, length, flags, following in parts)


# Each puts one malformed chain into the ring.
CHAINS = {
    "address outside of memory": lambda g: g.tx.add([(OUTSIDE, 72, 0)]),
    "address and length overflow": lambda g: g.tx.add([(-16, 72, 0)]),
    "length of 4 GiB": lambda g: g.tx.add([(good(g), 0xFFFFFFFF, 0)]),
    "straddles two regions": lambda g: g.tx.add([(REGION - 36, 72, 0)]),
    "second part outside": lambda g: g.tx.add([(good(g), 40, 0), (OUTSIDE, 64, 0)]),
    "second part straddles": lambda g: g.tx.add([(good(g), 40, 0), (REGION - 36, 72, 0)]),
    "rest beyond the head outside": lambda g: g.tx.add([(good(g, 600), 612, 0), (OUTSIDE, 64, 0)]),
    "zero length": lambda g: g.tx.add([(good(g), 0, 0)]),
    "nothing but zero lengths": lambda g: g.tx.add([(good(g), 0, 0)] * 5),
    "header alone": lambda g: g.tx.add([(good(g), 12, 0)]),
    "half a header": lambda g: g.tx.add([(good(g), 6, 0)]),
    "runt": lambda g: g.tx.add([(good(g), 12 + 13, 0)]),
    "writable by the device": lambda g: g.tx.add([(good(g), 72, WRITE)]),
    "indirect table outside": lambda g: g.tx.add([(OUTSIDE, 32, INDIRECT)]),
    "indirect table straddles two regions": lambda g: g.tx.add([(REGION - 16, 32, INDIRECT)]),
    "indirect table of no entry": lambda g: g.tx.add([(good(g), 0, INDIRECT)]),
    "indirect table of half an entry": lambda g: g.tx.add([(good(g), 24, INDIRECT)]),
    "indirect in indirect": lambda g: g.send_indirect([(g.memory.put(indirect_table([(good(g), 72, 0)], not g.packed)), 16, INDIRECT)]),
    "indirect entry outside": lambda g: g.send_indirect([(good(g), 30, 0), (OUTSIDE, 64, 0)]),
    "indirect entry straddles": lambda g: g.send_indirect([(REGION - 36, 72, 0)]),
    "indirect table of 1,000 entries": lambda g: g.send_indirect([(good(g), 1, 0)] * 1000),
    "frame of 70,000 bytes": lambda g: g.send_indirect([(good(g), 12, 0), *[(REGION // 2, 5000, 0)] * 14]),
}

SPLIT_CHAINS = {
    "looped": lambda g: g.tx.add_endless(good(g)),
    "looped in an indirect table": lambda g: g.send_indirect([], table=raw_table((good(g), 72, NEXT, 1), (good(g), 72, NEXT, 0))),
    "next out of the ring": lambda g: (g.tx.write_desc(0, good(g), 72, NEXT, RING_SIZE), g.tx.offer(0)),
    "next out of the indirect table": lambda g: g.send_indirect([], table=raw_table((good(g), 72, NEXT, 9))),
    "head out of the ring": lambda g: g.tx.offer(60_000),
    "indirect and next": lambda g: (g.tx.write_desc(0, good(g), 16, INDIRECT | NEXT, 1), g.tx.write_desc(1, good(g), 72, 0, 0), g.tx.offer(0)),
}


@RINGS
@pytest.mark.parametrize("what", CHAINS)
def test_a_malformed_chain_is_counted_and_the_ring_goes_on(arena, packed, what):
    with attached_pair(arena, packed) as (evil, peer):
        evil.wait_taken(1)
        before = arena.complaints()
        CHAINS[what](evil)
        wait_until(lambda: arena.complaints() == before + 1, f"'{what}' is counted once", 10)
        assert_frames_pass(evil, peer, 2)


@pytest.mark.parametrize("what", SPLIT_CHAINS)
def test_a_malformed_split_chain_is_counted_and_the_ring_goes_on(arena, what):
    with attached_pair(arena, False) as (evil, peer):
        evil.wait_taken(1)
        before = arena.complaints()
        SPLIT_CHAINS[what](evil)
        evil.tx.next_desc = 8
        wait_until(lambda: arena.complaints() == before + 1, f"'{what}' is counted once", 10)
        assert_frames_pass(evil, peer, 2)


def test_a_packed_chain_without_an_end_harms_nobody(arena):
    with attached_pair(arena, True) as (evil, peer):
        evil.wait_taken(1)
        evil.tx.add_endless(good(evil))
        arena.assert_victims_keep_their_traffic()
    # A packed ring that is out of step cannot be mended: the guest has to start anew, and can.
    with attached_pair(arena, True):
        pass


@pytest.mark.parametrize("jump", [RING_SIZE + 1, 20_000, 0xFFFF])
def test_an_avail_index_that_jumps_harms_nobody(arena, jump):
    with attached_pair(arena, False) as (evil, peer):
        evil.wait_taken(1)
        evil.tx.set_avail_idx(evil.tx.avail_idx + jump)
        arena.assert_victims_keep_their_traffic()
    with attached_pair(arena, False):
        pass


def test_ids_that_were_never_given_harm_nobody(arena):
    with attached_pair(arena, True) as (evil, peer):
        evil.wait_taken(1)
        ours = 1 << 7 if evil.tx.wrap else 1 << 15
        evil.tx.write_desc(evil.tx.slot, good(evil), 72, 0xFFFF, ours)
        evil.tx.slot += 1
        evil.tx.lengths[0xFFFF] = 1
        assert [buffer_id for buffer_id, _ in evil.wait_taken(1)] == [0xFFFF]
        assert_frames_pass(evil, peer, 2)


@RINGS
@pytest.mark.parametrize("pieces", [[1] * 12, [1] * 40, [12], [6, 6, 14], [12 + 13, 1]], ids=str)
def test_a_header_split_over_many_descriptors_is_read_whole(arena, packed, pieces):
    with attached_pair(arena, packed) as (evil, peer):
        evil.send(frame(3, 300), pieces=pieces)
        got = []
        wait_until(lambda: got.extend(peer.received()) or frame(3, 300) in got, "the frame arrives as it was sent", 10)


@RINGS
def test_a_chain_in_an_indirect_table_is_a_frame(arena, packed):
    with attached_pair(arena, packed) as (evil, peer):
        whole = header() + frame(4, 500)
        at = evil.memory.put(whole)
        evil.send_indirect([(at, 12, 0), (at + 12, 100, 0), (at + 112, len(whole) - 112, 0)])
        got = []
        wait_until(lambda: got.extend(peer.received()) or frame(4, 500) in got, "the frame arrives as it was sent", 10)


@RINGS
def test_an_indirect_table_longer_than_the_ring_is_read_if_a_frame_may_have_so_many_parts(arena, packed):
    with attached_pair(arena, packed) as (evil, peer):
        whole = header() + frame(5, 500)
        at, most = evil.memory.put(whole), RING_SIZE + 10
        evil.send_indirect([*((at + i, 1, 0) for i in range(most)), (at + most, len(whole) - most, 0)])
        got = []
        wait_until(lambda: got.extend(peer.received()) or frame(5, 500) in got, "the frame arrives as it was sent", 10)


# What a guest receives into may be as malformed. Each puts one buffer in front of good ones.
BUFFERS = {
    "outside of memory": lambda g: g.rx.add([(OUTSIDE, 2048, WRITE)]),
    "overflows": lambda g: g.rx.add([(-16, 2048, WRITE)]),
    "straddles two regions": lambda g: g.rx.add([(REGION - 36, 2048, WRITE)]),
    "zero length": lambda g: g.rx.add([(good(g), 0, WRITE)]),
    "read-only": lambda g: g.rx.add([(good(g), 2048, 0)]),
    "second part outside": lambda g: g.rx.add([(good(g), 40, WRITE), (OUTSIDE, 2048, WRITE)]),
    "indirect in indirect": lambda g: g.rx.add([(g.memory.put(indirect_table([(good(g), 16, INDIRECT)], not g.packed)), 16, INDIRECT)]),
}


@RINGS
@pytest.mark.parametrize("what", BUFFERS)
def test_a_malformed_receive_buffer_costs_frames_of_its_guest_alone(arena, packed, what):
    with arena.hostile(packed=packed) as evil, HostileGuest(arena.peer, packed=packed) as peer:
        arena.switch.wait_link("evil", "peer")
        BUFFERS[what](evil)
        if not packed:
            evil.rx.next_desc = 8
        evil.give_buffers()
        evil.send(frame(1))  # evil is learnt
        evil.wait_taken(1)
        for number in range(1, 6):
            peer.send(answer(number))
            peer.wait_taken(1)
        heard = []
        wait_until(lambda: heard.extend(evil.received()) or answer(5) in heard, "frames reach the good buffers behind", 10)


@RINGS
@pytest.mark.parametrize("size", [8, 40], ids=["than the header", "than the frame"])
def test_a_receive_buffer_that_is_too_short_costs_frames_of_its_guest_alone(arena, packed, size):
    """It stays where it is, for a frame that it holds: the guest without mergeable buffers has promised that it holds any."""
    with arena.hostile(packed=packed) as evil, HostileGuest(arena.peer, packed=packed) as peer:
        arena.switch.wait_link("evil", "peer")
        evil.rx.add([(good(evil), size, WRITE)])
        evil.send(frame(1))  # evil is learnt
        evil.wait_taken(1)
        before = arena.switch.drops().get(("evil", "tx_buffer_too_small"), 0)
        peer.send(answer(1))
        peer.wait_taken(1)
        wait_until(lambda: arena.switch.drops().get(("evil", "tx_buffer_too_small"), 0) == before + 1, "the frame is counted", 10)
    with attached_pair(arena, packed):
        pass
