"""The arena: a switch with a victim pair that exchanges traffic all the time, and two ports for the ill-behaved.

`evil` and `peer` share a VLAN of their own, so that a frame that evil sends is seen by peer, and the victims see only
their own. One arena serves a whole file of tests; if one of them brings the switch down, the next one gets a new one.
"""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import tempfile

import pytest

import hugepages
from hostile import HostileGuest
from process import wait_until
from switch import Switch, vhost_port
from testpmd import HUGEPAGES, TestpmdVm, VirtioUser

EVIL_MAC, PEER_MAC = "020000000e01", "020000000e02"
VICTIM_MACS = ("02:00:00:00:01:00", "02:00:00:00:01:01")


def frame(number: int = 0, size: int = 60) -> bytes:
    """From evil to peer, of a local experimental ethertype; `number` tells one from another."""
    return (bytes.fromhex(PEER_MAC + EVIL_MAC + "88b5") + number.to_bytes(4, "big")).ljust(size, bytes([number & 0xFF]))


def answer(number: int = 0, size: int = 60) -> bytes:
    """From peer to evil."""
    return (bytes.fromhex(EVIL_MAC + PEER_MAC + "88b5") + number.to_bytes(4, "big")).ljust(size, bytes([number & 0xFF]))


class Arena:
    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sluice-"))
        self.evil, self.peer = self.directory / "evil.sock", self.directory / "peer.sock"
        self.stack = contextlib.ExitStack()
        self.stack.callback(shutil.rmtree, self.directory)
        victims = [VirtioUser(self.directory / f"vm{i + 1}.sock", mac) for i, mac in enumerate(VICTIM_MACS)]
        try:
            self.switch = self.stack.enter_context(Switch(self.directory, {"ports": [
                *(vhost_port(f"vm{i + 1}", victim.path, vlan={"access": 1}) for i, victim in enumerate(victims)),
                vhost_port("evil", self.evil, "server", vlan={"access": 66}),
                vhost_port("peer", self.peer, "server", vlan={"access": 66})]}))
            self.stack.enter_context(hugepages.reserved(HUGEPAGES))
            self.victims = self.stack.enter_context(TestpmdVm(self.directory, victims))
            self.switch.wait_ready()
            self.victims.wait_ready()
            self.switch.wait_link("vm1", "vm2")
            self.victims.start("mac", first=1)
        except BaseException:
            self.stack.close()
            raise

    def received_by_victims(self) -> int:
        ports = self.switch.ports()
        return min(ports[name]["tx_packets"] for name in ("vm1", "vm2"))

    def assert_victims_keep_their_traffic(self) -> None:
        assert self.switch.running() and not self.switch.deaths(), f"the switch has died:\n{self.switch.log()[-4000:]}"
        before = self.received_by_victims()
        wait_until(lambda: self.received_by_victims() > before + 2_000, "the victims' traffic goes on", 10)
        ports = self.switch.ports()
        assert ports["vm1"]["link_up"] and ports["vm2"]["link_up"]
        lost = {where: count for where, count in self.switch.drops().items() if where[0] in ("vm1", "vm2")}
        assert not lost, f"victims lost frames: {lost}"

    def hostile(self, **options) -> HostileGuest:
        return HostileGuest(self.evil, **options)

    def complaints(self) -> int:
        """Malformed chains and the like, that evil was counted for; dropped frames included."""
        return sum(count for (port, reason), count in self.switch.drops().items() if port == "evil" and reason.startswith("rx_"))

    def close(self) -> None:
        self.stack.close()


@contextlib.contextmanager
def attached_pair(arena: Arena, packed: bool, features: int = 0):
    """evil and peer, both well-behaved so far; frames pass from one to the other."""
    with arena.hostile(packed=packed, features=features) as evil, HostileGuest(arena.peer, packed=packed, features=features) as peer:
        arena.switch.wait_link("evil", "peer")
        peer.give_buffers()
        evil.give_buffers()
        peer.send(answer(0xFFFF))  # peer is learnt
        wait_until(lambda: answer(0xFFFF) in evil.received(), "evil hears peer", 10)
        assert_frames_pass(evil, peer)
        yield evil, peer


def assert_frames_pass(evil: HostileGuest, peer: HostileGuest, number: int = 1) -> None:
    evil.send(frame(number))
    got: list[bytes] = []
    wait_until(lambda: got.extend(peer.received()) or frame(number) in got, "a well-formed frame of evil's reaches peer", 10)


@pytest.fixture(scope="module")
def arenas():
    """The arena of the moment, in a list of at most one."""
    current: list[Arena] = []
    yield current
    for arena in current:
        arena.close()


@pytest.fixture
def arena(arenas):
    if arenas and (not arenas[0].switch.running() or arenas[0].switch.deaths()):
        with contextlib.suppress(AssertionError):
            arenas.pop().close()
    if not arenas:
        arenas.append(Arena())
    yield arenas[0]
    # Whatever the test has done: the victims and the switch are as they were.
    arenas[0].assert_victims_keep_their_traffic()


RINGS = pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
