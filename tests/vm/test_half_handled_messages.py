"""A worker is killed while front ends negotiate with it. What was half handled is completed by the worker that follows, or
that one connection is closed and the port is there for the next; whoever said nothing meanwhile keeps all.
"""

import os
import pathlib
import random
import re
import signal
import threading
import time

import pytest

from arena import RINGS
from hostile import REGION, RX, TX, USER, HostileGuest
from process import wait_until
from switch import Switch, vhost_port
from trial import wait_between_kills
from vhost_user import Closed, Region, Request

KILLS = 5  # in the short form: as many as are followed at once (control/keeper/crash_loop.hpp)
TALKERS = 8  # each kill is in the middle of what all of them say
LATEST = 0.03  # seconds: about what it takes all of them to negotiate twice
PATIENCE = 60.0  # with another worker, on a slow machine
STEADY_MAC = "020000000e00"


def mac(talker: int) -> str:
    return f"020000000f{talker:02x}"


def frame(to: str, sender: str, number: int) -> bytes:
    return (bytes.fromhex(to + sender + "88b5") + number.to_bytes(4, "big")).ljust(60, b"\0")


class Talker(threading.Thread):
    """A front end that connects, and negotiates again and again until it has done so after the kill."""

    def __init__(self, path: pathlib.Path, packed: bool, killed: threading.Event):
        super().__init__()
        self.guest = HostileGuest(path, packed=packed, start=False, seconds=PATIENCE)
        self.killed = killed
        self.wrong: BaseException | None = None
        self.closed = False
        self.start()

    def run(self) -> None:
        try:
            self.talk()
        except Closed:
            self.closed = True
        except BaseException as wrong:  # the test's to judge
            self.wrong = wrong

    def talk(self) -> None:
        guest, more = self.guest, Region(4 * REGION, REGION, USER + 64 * REGION, 0)
        guest.negotiate()
        guest.share_memory()
        bases = {RX: None, TX: None}
        while True:
            last = self.killed.is_set()
            for ring, base in bases.items():
                guest.start_ring(ring, base)
            assert guest.front_end.acknowledged(Request.ADD_MEM_REG, bytes(8) + more.bytes(), [guest.memory.fd]) == 0
            assert guest.front_end.acknowledged(Request.REM_MEM_REG, bytes(8) + more.bytes()) == 0
            if last:
                return
            bases = {ring: guest.stop_ring(ring) for ring in bases}
            guest.share_memory()


def assert_frames_pass(guest: HostileGuest, talker: int, steady: HostileGuest, number: int) -> None:
    """Both ways."""
    guest.front_end.ask(Request.GET_FEATURES)  # all that was said before is done: frames on rings that are not enabled are dropped
    guest.give_buffers()
    to, back = frame(STEADY_MAC, mac(talker), number), frame(mac(talker), STEADY_MAC, number)
    for sender, receiver, sent in ((guest, steady, to), (steady, guest, back)):
        sender.send(sent)
        got: list[bytes] = []
        wait_until(lambda: got.extend(receiver.received()) or sent in got, f"frame {number} passes", 30)


@RINGS
def test_a_message_half_handled_at_a_kill_is_completed_or_its_connection_closed(place, times, packed):
    kills = times(KILLS, 50)
    killed_at: list[float] = []
    ports = [place / f"talker{i}.sock" for i in range(TALKERS)]
    with Switch(place, {"ports": [vhost_port("steady", place / "steady.sock", "server"),
                                  *(vhost_port(path.stem, path, "server") for path in ports)]}) as switch:
        switch.wait_ready()
        with HostileGuest(place / "steady.sock", packed=packed, seconds=PATIENCE) as steady:
            steady.give_buffers()
            closed = 0
            for kill in range(kills):
                if kills > KILLS:
                    wait_between_kills(killed_at)
                pid, killed = switch.worker_pid, threading.Event()
                switch.deaths_expected += 1
                talkers = [Talker(path, packed, killed) for path in ports]
                time.sleep(random.uniform(0, LATEST))
                killed_at.append(time.monotonic())
                os.kill(pid, signal.SIGKILL)
                killed.set()
                for i, talker in enumerate(talkers):
                    talker.join()
                    assert talker.wrong is None, f"talker {i}, kill {kill}: {talker.wrong!r}\n{switch.log()[-4000:]}"
                    if not talker.closed:
                        assert_frames_pass(talker.guest, i, steady, 2 * kill)
                    closed += talker.closed
                    talker.guest.close()
                    with HostileGuest(ports[i], packed=packed, seconds=PATIENCE) as following:
                        assert_frames_pass(following, i, steady, 2 * kill + 1)
                switch.wait_other_worker(pid)
            assert steady.front_end.ask(Request.GET_FEATURES)
        log = switch.log()
        assert closed < kills * TALKERS, "no connection outlived a kill"
        assert log.count("port 'steady': front end connected") == 1
        reasons = [line for line in log.splitlines() if "connection closed" in line]
        assert all(re.search(r"the process before this one ended while it (answered|closed)", line) for line in reasons), reasons
