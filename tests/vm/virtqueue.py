"""Virtqueues from the driver's side, in memory shared with the switch: split and packed (virtio 1.2, 2.7 and 2.8).

A chain is a list of (address, length, flags); NEXT is added between its parts unless the caller is after a malformed one.
"""

from __future__ import annotations

import struct

NEXT, WRITE, INDIRECT = 1, 2, 4
AVAIL, USED = 1 << 7, 1 << 15

Chain = list[tuple[int, int, int]]


def indirect_table(chain: Chain, link: bool) -> bytes:
    """An indirect table. Split tables are linked by `next`; packed ones are in order and have no NEXT."""
    parts = []
    for i, (address, length, flags) in enumerate(chain):
        last = i == len(chain) - 1
        if link:
            parts.append(struct.pack("<QIHH", address, length, flags | (0 if last else NEXT), 0 if last else i + 1))
        else:
            parts.append(struct.pack("<QIHH", address, length, 0, flags))
    return b"".join(parts)


class Split:
    packed = False

    def __init__(self, memory, base: int, size: int):
        self.memory, self.size = memory, size
        self.desc, self.avail = base, base + 16 * size
        self.used = (self.avail + 6 + 2 * size + 3) & ~3
        self.end = self.used + 6 + 8 * size
        self.next_desc = self.avail_idx = self.used_idx = 0
        memory.write(base, bytes(self.end - base))

    def write_desc(self, index: int, address: int, length: int, flags: int, following: int) -> None:
        self.memory.write(self.desc + 16 * index, struct.pack("<QIHH", address & (1 << 64) - 1, length, flags, following))

    def add(self, chain: Chain) -> None:
        head = self.next_desc
        for i, (address, length, flags) in enumerate(chain):
            index = (head + i) % self.size
            more = i < len(chain) - 1
            self.write_desc(index, address, length, flags | (NEXT if more else 0), (index + 1) % self.size)
        self.next_desc = (head + len(chain)) % self.size
        self.offer(head)

    def add_endless(self, address: int, flags: int = 0) -> None:
        """A chain that bites its tail."""
        head = self.next_desc
        other = (head + 1) % self.size
        self.write_desc(head, address, 64, flags | NEXT, other)
        self.write_desc(other, address, 64, flags | NEXT, head)
        self.next_desc = (head + 2) % self.size
        self.offer(head)

    def offer(self, head: int) -> None:
        self.memory.write(self.avail + 4 + 2 * (self.avail_idx % self.size), struct.pack("<H", head))
        self.set_avail_idx(self.avail_idx + 1)

    def set_avail_idx(self, index: int) -> None:
        self.avail_idx = index & 0xFFFF
        self.memory.write(self.avail + 2, struct.pack("<H", self.avail_idx))

    def take_used(self) -> list[tuple[int, int]]:
        """(id, length) of the chains that the switch has given back since the last call."""
        end = struct.unpack("<H", self.memory.read(self.used + 2, 2))[0]
        taken = []
        while self.used_idx != end:
            taken.append(struct.unpack("<II", self.memory.read(self.used + 4 + 8 * (self.used_idx % self.size), 8)))
            self.used_idx = (self.used_idx + 1) & 0xFFFF
        return taken


class Packed:
    packed = True

    def __init__(self, memory, base: int, size: int):
        self.memory, self.size = memory, size
        self.desc = base
        self.avail, self.used = base + 16 * size, base + 16 * size + 4  # driver and device event suppression
        self.end = self.used + 4
        self.slot = self.used_slot = 0
        self.wrap = self.used_wrap = True
        self.lengths: dict[int, int] = {}
        memory.write(base, bytes(self.end - base))

    def write_desc(self, slot: int, address: int, length: int, buffer_id: int, flags: int) -> None:
        at = self.desc + 16 * slot
        self.memory.write(at, struct.pack("<Q", address & (1 << 64) - 1))
        self.memory.write_word(at + 8, length | buffer_id << 32 | flags << 48)  # which the device writes too, as soon as it is there

    def add(self, chain: Chain) -> None:
        buffer_id = self.slot
        self.lengths[buffer_id] = len(chain)
        slots = []
        for i, (address, length, flags) in enumerate(chain):
            ours = AVAIL if self.wrap else USED
            slots.append((self.slot, address, length, flags | ours | (NEXT if i < len(chain) - 1 else 0)))
            self.slot += 1
            if self.slot == self.size:
                self.slot, self.wrap = 0, not self.wrap
        # The first last: its flags make the chain available.
        for slot, address, length, flags in reversed(slots):
            self.write_desc(slot, address, length, buffer_id, flags)

    def add_endless(self, address: int, flags: int = 0) -> None:
        """NEXT in every slot: no end within the ring."""
        for i in reversed(range(self.size)):
            slot = (self.slot + i) % self.size
            wrap = self.wrap if self.slot + i < self.size else not self.wrap
            self.write_desc(slot, address, 64, 0, flags | NEXT | (AVAIL if wrap else USED))

    def take_used(self) -> list[tuple[int, int]]:
        taken = []
        while True:
            _, length, buffer_id, flags = struct.unpack("<QIHH", self.memory.read(self.desc + 16 * self.used_slot, 16))
            if bool(flags & AVAIL) != self.used_wrap or bool(flags & USED) != self.used_wrap or buffer_id not in self.lengths:
                return taken
            taken.append((buffer_id, length))
            self.used_slot += self.lengths.pop(buffer_id)
            if self.used_slot >= self.size:
                self.used_slot -= self.size
                self.used_wrap = not self.used_wrap
