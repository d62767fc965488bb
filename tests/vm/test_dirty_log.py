"""A front end that migrates its guest, as far as the switch can tell: LOG_ALL goes on and off, and logs are exchanged,
while a VM's frames come in and are sent back.

Other than in a real migration, what has arrived can be compared with what was left, byte by byte: a copy of the memory that
was made when logging was on, and then followed the marked pages alone (and the guest's own writes), is the memory. Of those
it follows the bytes and not the pages: most that the switch writes into a ring is in a page that the guest writes to as well.
"""

import contextlib
import mmap
import os
import signal
import struct
import time

import pytest

import hugepages
import vmgen
from arena import RINGS
from hostile import REGION, RX, TX, GuestMemory, HostileGuest
from process import wait_until
from switch import Switch, vhost_port
from trial import wait_between_kills
from vhost_user import F_EVENT_IDX, F_LOG_ALL, Request, memfd
from vmgen import Vmgen

PAGE = 4096  # VHOST_LOG_PAGE
PAGES = 2 * REGION // PAGE
ECHO_MAC = bytes.fromhex("02000000ee00")
RING_SIZE = 1024  # so that a ring is of several pages
IN_FLIGHT = 32  # frames that are being sent back: memory for more is not there
RATE = 1_000  # frames a second
ENOUGH = 100  # frames, between two of the things that this test does
PATIENCE = 60.0  # seconds, with another worker, on a slow machine


class CopiedMemory(GuestMemory):
    """What the guest itself writes is in the copy at once."""

    def __init__(self):
        self.copy = bytearray(PAGES * PAGE)
        super().__init__()

    def write(self, address: int, data: bytes) -> None:
        super().write(address, data)
        self.copy[address:address + len(data)] = data

    def write_word(self, address: int, word: int) -> None:
        super().write_word(address, word)
        self.copy[address:address + 8] = word.to_bytes(8, "little")

    def copy_page(self, page: int) -> None:
        here = slice(page * PAGE, (page + 1) * PAGE)
        self.copy[here] = self.bytes[here]

    def differing(self) -> list[int]:
        """Addresses at which the copy is not the memory."""
        return [at for at, (copied, here) in enumerate(zip(self.copy, self.bytes[:])) if copied != here]


class Log:
    """One bitmap. It is read when the switch has another: to clear what somebody else sets takes more than Python has."""

    def __init__(self):
        self.fd = memfd(mmap.PAGESIZE)

    def marked(self) -> set[int]:
        bits = os.pread(self.fd, PAGES // 8, 0)
        return {page for page in range(PAGES) if bits[page // 8] >> page % 8 & 1}

    def close(self) -> None:
        os.close(self.fd)


class MigratingGuest(HostileGuest):
    """Sends back to VM 0 what comes from it."""

    def __init__(self, path, packed: bool, features: int, pieces: list[int]):
        super().__init__(path, packed=packed, features=features, start=False, seconds=PATIENCE, memory=CopiedMemory(), ring_size=RING_SIZE)
        self.log = Log()
        self.marked = self.echoed = self.in_flight = 0
        self.buffer_pieces = pieces
        self.negotiate()
        self.share_memory()
        self.start_ring(RX)
        self.start_ring(TX)
        self.give_buffers()

    def echo(self) -> None:
        self.in_flight -= len(self.tx.take_used())
        for frame in self.received():
            if frame[:6] == ECHO_MAC and self.in_flight < IN_FLIGHT:
                self.send(frame[6:12] + frame[:6] + frame[12:])
                self.in_flight += 1
                self.echoed += 1
        time.sleep(0.001)

    def echo_until(self, condition, what: str) -> None:
        def done():
            self.echo()
            return condition()
        wait_until(done, what, PATIENCE, interval=0)

    def echo_more(self) -> None:
        enough = self.echoed + ENOUGH
        self.echo_until(lambda: self.echoed >= enough, "frames pass both ways")

    def set_log(self) -> Log:
        """A new one; returns the one of before, to which nobody writes any more."""
        before, self.log = self.log, Log()
        alarm = os.eventfd(0)
        self.front_end.send(Request.SET_LOG_FD, b"", [alarm])  # as QEMU does not, but may
        os.close(alarm)
        self.front_end.send(Request.SET_LOG_BASE, struct.pack("<QQ", mmap.PAGESIZE, 0), [self.log.fd])
        answered, _ = self.front_end.receive()
        assert answered == Request.SET_LOG_BASE
        return before

    def switch_logging(self, on: bool) -> None:
        features = self.features | (F_LOG_ALL if on else 0)
        assert self.front_end.acknowledged(Request.SET_FEATURES, struct.pack("<Q", features)) == 0
        self.logs_rings = on
        for index in (RX, TX):
            self.set_addresses(index)
        self.front_end.ask(Request.GET_FEATURES)  # and so all before it is done

    def copy_all(self) -> None:
        for page in range(PAGES):
            self.memory.copy_page(page)

    def copy_what_has_changed(self) -> None:
        with contextlib.closing(self.set_log()) as log:
            marked = log.marked()
        self.marked += len(marked)
        for page in marked:
            self.memory.copy_page(page)

    def assert_the_copy_is_the_memory(self) -> None:
        wrong = self.memory.differing()
        rings = (("the receive ring", self.rx), ("the transmit ring", self.tx))
        where = {next((name for name, ring in rings if ring.desc <= at < ring.end), f"page {at // PAGE:#x}") for at in wrong}
        assert not wrong, f"written and not marked: {len(wrong)} bytes in {', '.join(sorted(where))}"

    def close(self) -> None:
        self.log.close()
        super().close()


def migrate(guest: MigratingGuest, switch: Switch, disturb) -> None:
    """And stays where it was, as after a migration that has failed in the end. disturb() is called under way."""
    guest.set_log().close()
    guest.switch_logging(True)
    assert switch.ports()["guest"]["details"]["dirty log"] == "on"
    guest.copy_all()
    guest.marked = 0
    for _ in range(3):
        guest.echo_more()
        disturb()
        guest.echo_more()
        guest.copy_what_has_changed()
    guest.echo_more()
    bases = {index: guest.stop_ring(index) for index in (RX, TX)}
    guest.copy_what_has_changed()
    assert guest.marked, "the switch has written"
    guest.assert_the_copy_is_the_memory()

    for index, base in bases.items():
        guest.start_ring(index, base)
    guest.echo_more()
    guest.switch_logging(False)
    assert switch.ports()["guest"]["details"]["dirty log"] == "off"
    guest.set_log().close()
    guest.echo_more()
    assert not guest.log.marked(), "without LOG_ALL nothing is marked"


@pytest.fixture(scope="module", autouse=True)
def memory():
    with hugepages.reserved(vmgen.HUGEPAGES):
        yield


@pytest.mark.parametrize("what", ["plain", "event index", "buffers in pieces", "worker killed"])
@RINGS
def test_a_copy_that_follows_the_dirty_log_under_traffic_is_the_memory(place, times, packed, what):
    kill = what == "worker killed"
    features, pieces = F_EVENT_IDX if what == "event index" else 0, [100, 500] if what == "buffers in pieces" else []
    with Switch(place, {"ports": [vhost_port("vm0", place / "vm0.sock"), vhost_port("guest", place / "guest.sock", "server")]}) as switch:
        switch.wait_ready()
        with MigratingGuest(place / "guest.sock", packed, features, pieces) as guest, \
                Vmgen(place, [f"path={place}/vm0.sock"], "--pattern", "echo", "--echo-mac", ECHO_MAC.hex(":"), "--size", "imix", "--rate", RATE,
                      "--duration", 0, "--verify", "full") as vm:
            guest.echo_until(lambda: '{"event":"start"' in vm.log(), "the VM's frames come back")
            migrations = times(1, 5) if kill else times(2, 20)
            killed: list[float] = []

            def kill_worker():
                if migrations > 1:
                    wait_between_kills(killed)
                killed.append(time.monotonic())
                switch.kill_worker()

            for _ in range(migrations):
                migrate(guest, switch, kill_worker if kill else lambda: None)
            vm.signal(signal.SIGTERM)
            guest.echo_until(lambda: not vm.running(), "the VM reports")
            total = vm.wait_report()["total"]
            assert total["received"] and total["corrupted"] == total["reordered"] == 0, total
        assert switch.log().count("port 'guest': front end connected") == 1
