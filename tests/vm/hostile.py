"""HostileGuest: a vhost-user front end with its own memory and rings, that does as it is told, however wrong.

Memory is two regions of one memfd that lie next to each other in guest-physical addresses and apart in user
addresses, so that what straddles the border is in no region. Frames live in the upper half of the first.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import pathlib
import struct

from process import wait_until
from vhost_user import (F_EVENT_IDX, F_INDIRECT, F_MRG_RXBUF, F_PROTOCOL_FEATURES, F_RING_PACKED, F_VERSION_1, FrontEnd,
                        PROTOCOL_F_CONFIGURE_MEM_SLOTS, PROTOCOL_F_LOG_SHMFD, PROTOCOL_F_MQ, PROTOCOL_F_REPLY_ACK, Region, Request, memfd)
from virtqueue import WRITE, Chain, Packed, Split, indirect_table

REGION = 1 << 20
USER = 0x7F0000000000
RX, TX = 0, 1
RING_SIZE = 64
BUFFER = 2048
HEADER = struct.Struct("<BBHHHHH")  # struct virtio_net_hdr of 12 bytes


def header(flags=0, gso_type=0, hdr_len=0, gso_size=0, csum_start=0, csum_offset=0) -> bytes:
    return HEADER.pack(flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, 0)


class GuestMemory:
    def __init__(self):
        self.fd = memfd(2 * REGION)
        self.bytes = mmap.mmap(self.fd, 2 * REGION)
        self.regions = [Region(0, REGION, USER, 0), Region(REGION, REGION, USER + 16 * REGION, REGION)]
        self.free = REGION // 2

    def write(self, address: int, data: bytes) -> None:
        self.bytes[address:address + len(data)] = data

    def write_word(self, address: int, word: int) -> None:
        """64 bits, in one store. write() may store bytes twice, the second time over what somebody else has written since."""
        ctypes.c_uint64.from_buffer(self.bytes, address).value = word

    def read(self, address: int, size: int) -> bytes:
        return self.bytes[address:address + size]

    def put(self, data: bytes) -> int:
        """Writes into memory that was not used lately; returns where."""
        if self.free + len(data) > REGION:
            self.free = REGION // 2
        address, self.free = self.free, self.free + (len(data) + 15 & ~15)
        self.write(address, data)
        return address

    def close(self) -> None:
        self.bytes.close()
        os.close(self.fd)


class HostileGuest:
    def __init__(self, path: pathlib.Path, *, packed: bool = False, features: int = 0, start: bool = True, seconds: float = 10.0,
                 memory: GuestMemory | None = None, ring_size: int = RING_SIZE):
        """`seconds`: how long it waits for each of the switch's answers. `memory`: its own, to be closed with it."""
        self.packed = packed
        self.memory = memory or GuestMemory()
        self.kicks = [os.eventfd(0), os.eventfd(0)]
        self.calls = [os.eventfd(0, os.EFD_NONBLOCK), os.eventfd(0, os.EFD_NONBLOCK)]
        self.features = F_VERSION_1 | F_PROTOCOL_FEATURES | F_INDIRECT | features | (F_RING_PACKED if packed else 0)
        self.logs_rings = False  # asks for what the switch writes into rings to be marked too (VHOST_VRING_F_LOG)
        self.buffer_pieces: list[int] = []  # sizes of a receive buffer's descriptors, but of the last
        self.buffers: dict[int, int] = {}  # given to the receive ring: the key it comes back by, and its address
        self.front_end = FrontEnd(path, seconds)
        kind = Packed if packed else Split
        self.rings = [kind(self.memory, 0x1000, ring_size)]
        self.rings.append(kind(self.memory, (self.rings[RX].end + 0xFFF & ~0xFFF) + 0x1000, ring_size))
        if start:
            self.negotiate()
            self.share_memory()
            self.start_ring(RX)
            self.start_ring(TX)

    def negotiate(self) -> None:
        fe = self.front_end
        offered = fe.ask(Request.GET_FEATURES)
        assert offered & self.features == self.features, f"offered {offered:#x}, wanted {self.features:#x}"
        protocol = fe.ask(Request.GET_PROTOCOL_FEATURES)
        wanted = PROTOCOL_F_MQ | PROTOCOL_F_LOG_SHMFD | PROTOCOL_F_REPLY_ACK | PROTOCOL_F_CONFIGURE_MEM_SLOTS
        assert protocol & wanted == wanted, f"offered {protocol:#x}"
        fe.send(Request.SET_PROTOCOL_FEATURES, struct.pack("<Q", wanted))
        fe.send(Request.SET_OWNER)
        fe.send(Request.SET_FEATURES, struct.pack("<Q", self.features))

    def share_memory(self) -> None:
        self.front_end.send(Request.SET_MEM_TABLE, struct.pack("<II", 2, 0) + b"".join(r.bytes() for r in self.memory.regions),
                            [self.memory.fd] * 2)

    def start_ring(self, index: int, base: int | None = None) -> None:
        """`base`: where the ring was when it was stopped; None: at its beginning."""
        fe, ring = self.front_end, self.rings[index]
        if base is None:
            # Packed: slot 0 and wrap counter 1, for avail and used (the document's "vring state", bits 15 and 31).
            base = 0x80008000 if self.packed else 0
        fe.vring(Request.SET_VRING_NUM, index, ring.size)
        fe.vring(Request.SET_VRING_BASE, index, base)
        self.set_addresses(index)
        fe.vring_fd(Request.SET_VRING_KICK, index, self.kicks[index])
        fe.vring_fd(Request.SET_VRING_CALL, index, self.calls[index])
        fe.vring(Request.SET_VRING_ENABLE, index, 1)

    def set_addresses(self, index: int) -> None:
        ring, log = self.rings[index], self.logs_rings
        self.front_end.vring_addr(index, USER + ring.desc, USER + ring.used, USER + ring.avail, ring.used if log else 0, int(log))

    def stop_ring(self, index: int) -> int:
        """Returns its base."""
        self.front_end.vring(Request.GET_VRING_BASE, index, 0)
        answered, state = self.front_end.receive()
        assert answered == Request.GET_VRING_BASE
        answered_index, base = struct.unpack("<II", state)
        assert answered_index == index
        return base

    @property
    def tx(self):
        return self.rings[TX]

    @property
    def rx(self):
        return self.rings[RX]

    def chain_of(self, data: bytes, pieces: list[int] | None = None) -> Chain:
        """Puts bytes into memory; in one descriptor, or in pieces of these sizes and the rest."""
        address = self.memory.put(data)
        chain, at = [], 0
        for size in [*(pieces or []), len(data) - sum(pieces or [])]:
            chain.append((address + at, size, 0))
            at += size
        return chain

    def send(self, frame: bytes, head: bytes = header(), pieces: list[int] | None = None) -> None:
        self.tx.add(self.chain_of(head + frame, pieces))

    def send_indirect(self, chain: Chain, *, table: bytes | None = None) -> None:
        table = indirect_table(chain, link=not self.packed) if table is None else table
        self.tx.add([(self.memory.put(table), len(table), 4)])

    def give_buffers(self, count: int = 16, size: int = BUFFER) -> None:
        """Receive buffers until there are `count`, to be taken by received()."""
        while len(self.buffers) < count:
            chain = self.chain_of(bytes(size), self.buffer_pieces)
            self.buffers[self.rx.slot if self.packed else self.rx.next_desc] = chain[0][0]
            self.rx.add([(address, length, WRITE) for address, length, _ in chain])

    def received(self) -> list[bytes]:
        """Frames that have come since the last call, without the virtio-net header; their buffers are given anew."""
        used = [(key, length) for key, length in self.rx.take_used() if key in self.buffers]
        frames = [self.memory.read(self.buffers.pop(key) + HEADER.size, length - HEADER.size) for key, length in used]
        self.give_buffers()
        return [frame for frame in frames if frame]

    def wait_taken(self, chains: int = 1) -> list[tuple[int, int]]:
        """Waits until the switch has given back so many chains of the transmit queue."""
        taken: list[tuple[int, int]] = []
        wait_until(lambda: taken.extend(self.tx.take_used()) or len(taken) >= chains, f"{chains} chains are given back", 10)
        return taken

    def close(self) -> None:
        self.front_end.close()
        for fd in (*self.kicks, *self.calls):
            os.close(fd)
        self.memory.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
