"""What a fake worker has in front of its script: the keeper's messages (control/keeper/message.hpp), from Python."""

import mmap
import os
import signal
import socket
import struct
import sys
import threading
import time

(KEEP, FORGET, FORGET_SLOT, READY, WANTS_ALONE, TAKEN_UP, RUNNING, REFUSED, PARKING, HANDED_OVER, WANTS_UPGRADE, FLOWS_LISTED, FLOWS_ADOPTED,
 ALONE, GO, LIST_FLOWS, ADOPT_FLOWS, HAND_OVER, RESUME, LEAVE, STOP, UPGRADED, PROVEN) = range(1, 24)
NO_SLOT = 0xFFFFFFFF
CONNECTION, KICK, CONTROL_SOCKET = 1, 4, 64
TAKEOVERS, HEARTBEATS, HEARTBEAT_BYTES, PMDS, LINE = 24, 64, 64 + 64 * 128, 64, 64

link = socket.socket(fileno=3)
shared = mmap.mmap(4, HEARTBEATS + 2 * HEARTBEAT_BYTES)
mine = HEARTBEATS + int(sys.argv[sys.argv.index("--heartbeat") + 1]) * HEARTBEAT_BYTES
kept = {}
flows = None  # what it lists of them: a descriptor
alone = threading.Event()
gone = threading.Event()  # when it has been told to go
proven = threading.Event()


def say(saying, text="", slot=NO_SLOT, kind=0, index=0, fd=None):
    packet = struct.pack("<BBHII", saying, kind, 0, slot, index) + text.encode()
    socket.send_fds(link, [packet], [] if fd is None else [fd])


def hear():
    """The next command, and its text. What is kept is noted."""
    while True:
        packet, fds, _, _ = socket.recv_fds(link, 16384, 1)
        if not packet:
            sys.exit(9)
        saying, kind, _, slot, index = struct.unpack("<BBHII", packet[:12])
        if saying == KEEP:
            kept[slot, kind, index] = fds[0]
        elif saying == FORGET:
            kept.pop((slot, kind, index), None)
        elif saying == FORGET_SLOT:
            for place in [place for place in kept if place[0] == slot]:
                kept.pop(place)
        elif saying == ALONE:
            alone.set()
        elif saying == PROVEN:
            proven.set()
        elif saying == LIST_FLOWS:
            list_flows(index)
        elif saying == ADOPT_FLOWS:
            note("adopts", os.pread(fds[0], 100, 0))
            adopt()
        else:
            if saying == GO:
                alone.clear()
                gone.set()
            return saying, packet[12:].decode()


def list_flows(index):
    """What it is asked for; a script may do otherwise."""
    say(FLOWS_LISTED, index=index, fd=flows)


def adopt():
    """The flows of the worker before; a script may do otherwise."""
    say(FLOWS_ADOPTED)


def listen():
    """From now on another thread does."""
    def hear_all():
        while True:
            hear()
    threading.Thread(target=hear_all, daemon=True).start()
    return True


def note(*words):
    """A line in the log, whole."""
    os.write(2, (" ".join(map(str, ("worker", *words))) + "\n").encode())


def settings(standby=0, hang_timeout_ms=0, idle_sleep_ms=0):
    struct.pack_into("<III", shared, mine + 12, standby, hang_timeout_ms, idle_sleep_ms)


def pmd(thread, loop):
    """What is known of PMD 0."""
    struct.pack_into("<Q", shared, mine + PMDS, loop)
    struct.pack_into("<I", shared, mine + PMDS + LINE, thread)


def beat(times=10**9, every=0.02):
    for _ in range(times):
        (ticks,) = struct.unpack_from("<Q", shared, mine)
        struct.pack_into("<Q", shared, mine, ticks + 1)
        time.sleep(every)


def shows_stack():
    signal.signal(signal.SIGQUIT, lambda *_: note("shows its stack"))


def hang():
    shows_stack()
    time.sleep(10**6)


def takeovers():
    return struct.unpack_from("<Q", shared, TAKEOVERS)[0]


def before():
    """How many workers have asked this before, as the shared state has it."""
    count = takeovers()
    struct.pack_into("<Q", shared, TAKEOVERS, count + 1)
    return count


def first():
    """Whether this is the first worker of all."""
    return before() == 0


def kept_places():
    return sorted(place for place in kept if place[0] != NO_SLOT)


def until_told_to_end():
    while True:
        saying, text = hear()
        if saying == UPGRADED:
            note("upgraded:", text or "well")
        elif saying == HAND_OVER:
            handed_over_at = takeovers()
            say(PARKING)
            say(HANDED_OVER)
        elif saying == RESUME:
            if takeovers() != handed_over_at:
                note("ends, since another has begun")
                os._exit(1)
            note("resumes")
        elif saying in (STOP, LEAVE):
            note("stops" if saying == STOP else "leaves")
            os._exit(0)
