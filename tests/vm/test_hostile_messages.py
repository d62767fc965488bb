"""A front end that sends malformed vhost-user messages: its connection is closed, and the port is there for the next."""

import os
import struct

import pytest

from arena import RINGS, arena, arenas, assert_frames_pass, attached_pair, frame  # noqa: F401  (fixtures)
from hostile import REGION, RX, TX, USER, HostileGuest
from process import wait_until
from vhost_user import F_LOG_ALL, Closed, FrontEnd, Region, Request, memfd

U64 = struct.Struct("<Q")


def region(guest=0, size=REGION, user=USER, offset=0):
    return Region(guest, size, user, offset)


def table(guest, *regions, fds=None, count=None):
    guest.front_end.mem_table(list(regions), [guest.memory.fd] * len(regions) if fds is None else fds, count)


def add_region(guest, added, fds=None):
    guest.front_end.send(Request.ADD_MEM_REG, bytes(8) + added.bytes(), [guest.memory.fd] if fds is None else fds)


def with_pipe(send):
    """Calls send(read end, write end) of a pipe."""
    ends = os.pipe()
    try:
        send(*ends)
    finally:
        for end in ends:
            os.close(end)


def send(guest, request, payload=b"", fds=(), **how):
    guest.front_end.send(request, payload, fds, **how)


# What is sent once features are negotiated and memory is shared, but no ring is set up.
MESSAGES = {
    "a request that does not exist": lambda g: send(g, 4711),
    "request 0": lambda g: send(g, 0),
    "the wrong version": lambda g: send(g, Request.GET_FEATURES, flags=3),
    "payload too short": lambda g: send(g, Request.SET_FEATURES, bytes(4)),
    "payload too long": lambda g: send(g, Request.SET_FEATURES, bytes(16)),
    "no payload": lambda g: send(g, Request.SET_VRING_NUM),
    "a size of 4 GiB": lambda g: send(g, Request.SET_FEATURES, bytes(8), size=0xFFFFFFFF),
    "features that were not offered": lambda g: send(g, Request.SET_FEATURES, U64.pack(1 << 63)),
    "protocol features that were not offered": lambda g: send(g, Request.SET_PROTOCOL_FEATURES, U64.pack(1 << 63)),
    "an fd that is not due": lambda g: send(g, Request.SET_FEATURES, U64.pack(g.features), [g.memory.fd]),
    "memory without fds": lambda g: table(g, region(), fds=[]),
    "memory with too few fds": lambda g: table(g, *g.memory.regions, fds=[g.memory.fd]),
    "memory with too many fds": lambda g: table(g, region(), fds=[g.memory.fd] * 2),
    "more regions than were sent": lambda g: table(g, region(), count=2),
    "4 billion regions": lambda g: table(g, region(), count=0xFFFFFFFF),
    "memory that is a pipe": lambda g: with_pipe(lambda _, end: table(g, region(), fds=[end])),
    "memory that is an eventfd": lambda g: table(g, region(), fds=[g.kicks[0]]),
    "memory that is a device": lambda g: table(g, region(), fds=[os.open("/dev/zero", os.O_RDWR)]),
    "a region of size 0": lambda g: table(g, region(size=0)),
    "a region bigger than its file": lambda g: table(g, region(size=3 * REGION)),
    "an offset beyond the file": lambda g: table(g, region(offset=2 * REGION)),
    "offset and size overflow": lambda g: table(g, region(offset=(1 << 64) - REGION, size=2 * REGION)),
    "guest address and size overflow": lambda g: table(g, region(guest=(1 << 64) - 4096)),
    "user address and size overflow": lambda g: table(g, region(user=(1 << 64) - 4096)),
    "regions that overlap in guest addresses": lambda g: table(g, region(), region(guest=REGION // 2, user=USER + 2 * REGION)),
    "regions that overlap in user addresses": lambda g: table(g, region(), region(guest=REGION, user=USER + REGION // 2)),
    "the same region twice": lambda g: table(g, region(), region()),
    "a slot over a region that is there": lambda g: add_region(g, region(guest=REGION // 2, user=USER + 64 * REGION)),
    "a slot bigger than its file": lambda g: add_region(g, region(guest=4 * REGION, user=USER + 64 * REGION, size=9 * REGION)),
    "a slot without an fd": lambda g: add_region(g, region(guest=4 * REGION, user=USER + 64 * REGION), fds=[]),
    "a ring of size 0": lambda g: g.front_end.vring(Request.SET_VRING_NUM, TX, 0),
    "a ring of size 65536": lambda g: g.front_end.vring(Request.SET_VRING_NUM, TX, 65536),
    "ring index 200": lambda g: g.front_end.vring(Request.SET_VRING_NUM, 200, 64),
    "the base of ring 200": lambda g: g.front_end.vring(Request.SET_VRING_BASE, 200, 0),
    "the stop of ring 200": lambda g: g.front_end.vring(Request.GET_VRING_BASE, 200, 0),
    "the start of ring 200": lambda g: g.front_end.vring(Request.SET_VRING_ENABLE, 200, 1),
    "a kick for ring 200": lambda g: g.front_end.vring_fd(Request.SET_VRING_KICK, 200, g.kicks[0]),
    "addresses of ring 200": lambda g: g.front_end.vring_addr(200, USER, USER, USER),
    "enabled with 2": lambda g: g.front_end.vring(Request.SET_VRING_ENABLE, TX, 2),
    "a kickfd that is a pipe": lambda g: with_pipe(lambda end, _: g.front_end.vring_fd(Request.SET_VRING_KICK, TX, end)),
    "a callfd that is a pipe": lambda g: with_pipe(lambda _, end: g.front_end.vring_fd(Request.SET_VRING_CALL, TX, end)),
    "an errfd that is a pipe": lambda g: with_pipe(lambda _, end: g.front_end.vring_fd(Request.SET_VRING_ERR, TX, end)),
    "a callfd that is memory": lambda g: g.front_end.vring_fd(Request.SET_VRING_CALL, TX, g.memory.fd),
    "a kickfd that is promised and not sent": lambda g: send(g, Request.SET_VRING_KICK, U64.pack(TX)),
    "two kickfds": lambda g: send(g, Request.SET_VRING_KICK, U64.pack(TX), g.kicks),
    "a log without an fd": lambda g: send(g, Request.SET_LOG_BASE, struct.pack("<QQ", 4096, 0)),
    "a log outside its file": lambda g: send(g, Request.SET_LOG_BASE, struct.pack("<QQ", 1 << 30, 0), [g.memory.fd]),
    "a log whose offset overflows": lambda g: send(g, Request.SET_LOG_BASE, struct.pack("<QQ", 4096, (1 << 64) - 2048), [g.memory.fd]),
    "a log that is an eventfd": lambda g: send(g, Request.SET_LOG_BASE, struct.pack("<QQ", 4096, 0), [g.kicks[0]]),
}

# Odd, but sent by front ends in good faith (QEMU adds and removes each slot once a queue pair), or without effect.
ODDITIES = {
    "no region": lambda g: table(g),
    "a slot that is there already": lambda g: add_region(g, g.memory.regions[0]),
    "removal of a slot that is not there": lambda g: send(g, Request.REM_MEM_REG, bytes(8) + region(guest=9 * REGION).bytes()),
}

# Addresses are checked when they are set, or when the ring is started; either way nothing good may come of these.
ADDRESSES = {
    "descriptors outside": lambda r: (0x1234, USER + r.used, USER + r.avail),
    "avail outside": lambda r: (USER + r.desc, USER + r.used, USER + 8 * REGION),
    "used outside": lambda r: (USER + r.desc, USER + 8 * REGION, USER + r.avail),
    "descriptors over the region's end": lambda r: (USER + REGION - 64, USER + r.used, USER + r.avail),
    "used over the region's end": lambda r: (USER + r.desc, USER + REGION - 4, USER + r.avail) if not r.packed else (USER + r.desc, USER + REGION, USER + r.avail),
    "descriptors overflow": lambda r: ((1 << 64) - 16, USER + r.used, USER + r.avail),
    "descriptors not aligned": lambda r: (USER + r.desc + 1, USER + r.used, USER + r.avail),
}


def fresh(arena, packed=False):
    """Features negotiated, memory shared, no ring yet."""
    guest = HostileGuest(arena.evil, packed=packed, start=False)
    guest.negotiate()
    guest.share_memory()
    return guest


def assert_closed(arena, guest, what):
    try:
        guest.front_end.wait_closed()
    except TimeoutError:
        raise AssertionError(f"{what}: the connection is still open") from None
    guest.close()


@pytest.mark.parametrize("what", MESSAGES)
def test_a_bad_message_closes_its_connection_alone(arena, what):
    guest = fresh(arena)
    MESSAGES[what](guest)
    assert_closed(arena, guest, what)
    with attached_pair(arena, False):
        pass


@RINGS
@pytest.mark.parametrize("what", MESSAGES)
def test_a_bad_message_closes_its_connection_alone_while_its_rings_run(arena, packed, what):
    with attached_pair(arena, packed) as (evil, _):
        evil.send(frame(2))
        MESSAGES[what](evil)
        evil.front_end.wait_closed()
    with attached_pair(arena, packed):
        pass


@pytest.mark.parametrize("what", ODDITIES)
def test_an_odd_message_is_taken_and_harms_nobody(arena, what):
    guest = fresh(arena)
    ODDITIES[what](guest)
    assert guest.front_end.ask(Request.GET_FEATURES)
    guest.close()
    with attached_pair(arena, False):
        pass


def test_the_log_says_why_a_connection_was_closed(arena):
    def closed_with_a_reason():
        # A peer must not fill the disk: after many lines there are two a second, and a connection has two.
        guest = fresh(arena)
        MESSAGES["ring index 200"](guest)
        assert_closed(arena, guest, "ring index 200")
        return "port 'evil': SET_VRING_NUM: ring 200" in arena.switch.log()
    wait_until(closed_with_a_reason, "the log names port, message and ring", 30, interval=2)


def test_a_split_ring_of_size_3_closes_its_connection(arena):
    guest = fresh(arena)
    guest.front_end.vring(Request.SET_VRING_NUM, TX, 3)
    guest.rings[TX].size = 3
    start_ring_ignoring_close(guest, TX)
    assert_closed(arena, guest, "size 3")


def start_ring_ignoring_close(guest, index):
    try:
        guest.start_ring(index)
    except Closed:
        pass


@RINGS
@pytest.mark.parametrize("what", ADDRESSES)
def test_a_ring_that_is_not_inside_one_region_closes_its_connection(arena, packed, what):
    guest = fresh(arena, packed)
    ring = guest.rings[TX]
    try:
        guest.front_end.vring(Request.SET_VRING_NUM, TX, ring.size)
        guest.front_end.vring_addr(TX, *ADDRESSES[what](ring))
        guest.front_end.vring_fd(Request.SET_VRING_KICK, TX, guest.kicks[TX])
        guest.front_end.vring(Request.SET_VRING_ENABLE, TX, 1)
    except Closed:
        pass
    assert_closed(arena, guest, what)
    with attached_pair(arena, packed):
        pass


@RINGS
def test_a_kick_before_addresses_harms_nobody(arena, packed):
    guest = fresh(arena, packed)
    try:
        guest.front_end.vring_fd(Request.SET_VRING_KICK, TX, guest.kicks[TX])
        guest.front_end.vring(Request.SET_VRING_ENABLE, TX, 1)
        os.eventfd_write(guest.kicks[TX], 1)
        arena.assert_victims_keep_their_traffic()
    except Closed:
        pass
    guest.close()
    with attached_pair(arena, packed):
        pass


@RINGS
def test_a_ring_set_up_twice_harms_nobody(arena, packed):
    with attached_pair(arena, packed) as (evil, _):
        start_ring_ignoring_close(evil, TX)
        start_ring_ignoring_close(evil, RX)
        arena.assert_victims_keep_their_traffic()
    with attached_pair(arena, packed):
        pass


@RINGS
def test_memory_that_is_shared_again_under_traffic_is_taken(arena, packed):
    with attached_pair(arena, packed) as (evil, peer):
        for _ in range(20):
            evil.share_memory()
        arena.assert_victims_keep_their_traffic()


@RINGS
def test_half_a_message_then_silence_is_closed(arena, packed):
    with attached_pair(arena, packed) as (evil, _):
        evil.front_end.send_bytes(struct.pack("<III", Request.SET_FEATURES, 1, 8) + bytes(3))
        evil.front_end.wait_closed()


def test_half_a_header_then_silence_is_closed(arena):
    front_end = FrontEnd(arena.evil)
    front_end.send_bytes(b"\x01")
    front_end.wait_closed()
    front_end.close()


@RINGS
def test_replies_that_are_never_read_close_the_connection(arena, packed):
    with attached_pair(arena, packed) as (evil, _):
        with pytest.raises((Closed, TimeoutError)) as ended:
            while True:
                evil.front_end.send(Request.GET_FEATURES)
        assert ended.type is Closed, "the switch neither answers nor closes"
    with attached_pair(arena, packed):
        pass


def connect(arena, times):
    for _ in range(times):
        FrontEnd(arena.evil).close()


@RINGS
def test_a_thousand_connects_leave_the_port_as_it_was(arena, packed):
    descriptors = len(os.listdir(f"/proc/{arena.switch.worker_pid}/fd"))
    connect(arena, 500)
    with attached_pair(arena, packed) as (evil, peer):
        connect(arena, 500)
        assert_frames_pass(evil, peer)  # a port has one connection: all those were turned away
    wait_until(lambda: len(os.listdir(f"/proc/{arena.switch.worker_pid}/fd")) <= descriptors, "no descriptor is left over", 10)


@RINGS
@pytest.mark.parametrize("to", [0, REGION // 2, REGION + 4096], ids=["nothing", "half a region", "one region"])
def test_memory_cut_off_under_traffic_costs_its_port_the_connection(arena, packed, to):
    with attached_pair(arena, packed) as (evil, _):
        at = evil.memory.put(bytes(72))
        os.ftruncate(evil.memory.fd, to)
        # The rings may be gone with it: whoever writes to what was cut off now has to be somebody else.
        if to > REGION // 2:
            evil.tx.add([(REGION + 8192, 72, 0)])
            evil.front_end.wait_closed()
        else:
            del at
            arena.switch.wait_link("evil", up=False) if to == 0 else arena.assert_victims_keep_their_traffic()
    with attached_pair(arena, packed):
        pass


@RINGS
def test_a_callfd_that_is_full_stops_nobody(arena, packed):
    with attached_pair(arena, packed) as (evil, peer):
        full = os.eventfd(0)
        os.eventfd_write(full, (1 << 64) - 2)  # one more and a write would block
        evil.front_end.vring_fd(Request.SET_VRING_CALL, TX, full)
        for _ in range(20):
            evil.send(b"\xff" * 60)
            evil.wait_taken(1)
        arena.assert_victims_keep_their_traffic()
        os.close(full)


@RINGS
def test_logging_of_writes_outside_of_the_log_harms_nobody(arena, packed):
    """A log of one page covers 128 MiB; one of a few bytes covers less than the guest's memory."""
    with arena.hostile(packed=packed, features=F_LOG_ALL, start=False) as evil:
        evil.negotiate()
        evil.share_memory()
        log = memfd(4096)
        evil.front_end.send(Request.SET_LOG_BASE, struct.pack("<QQ", 1, 0), [log])
        try:
            evil.start_ring(RX)
            evil.start_ring(TX)
            for _ in range(10):
                evil.send(b"\xff" * 60)
        except Closed:
            pass
        arena.assert_victims_keep_their_traffic()
        os.close(log)
