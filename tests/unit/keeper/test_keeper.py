"""The keeper, with workers that are scripts: what it holds, and how it follows workers that end in every way."""

import contextlib
import fcntl
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = pathlib.Path(os.environ["SLUICE_TEST_PROGRAMS"]) / "keeper" / "run_keeper"
sys.path.insert(0, str(HERE))

# The part that all have: ready, and waiting to go.
WAITS = "say(READY, '1'); assert hear()[0] == GO\n"
LIVES = WAITS + "settings(); say(RUNNING); note('runs', os.getpid()); until_told_to_end()\n"


def script(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_text(f"#!/usr/bin/python3\nimport sys\nsys.path.insert(0, {str(HERE)!r})\nfrom fake_worker import *\n{text}")
    path.chmod(0o755)
    return path


class Keeper:
    def __init__(self, place: pathlib.Path, text: str, *, env=None, command=(), fds=(), arguments=()):
        self.worker = script(place / "worker", text)
        self.log_path = place / "log"
        self.log_path.touch()
        self._from = self.log_path.stat().st_size
        (place / "switch.yaml").write_text("as it is now")
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen([*command, PROGRAM, self.worker, place / "switch.yaml", *arguments], stdout=log, stderr=log,
                                          env={**os.environ, **(env or {})}, pass_fds=fds)

    def log(self) -> str:
        return self.log_path.read_bytes()[self._from:].decode()

    def waits_for(self, pattern: str, seconds: float = 20) -> re.Match:
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.log())):
            assert time.monotonic() < deadline, f"{pattern!r} is not in the log:\n{self.log()}"
            time.sleep(0.01)
        return found

    def ends(self, number=signal.SIGTERM) -> int:
        self.child.send_signal(number)
        return self.child.wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()


def gone(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def waits(condition, what: str):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_what_a_worker_said_before_it_died_reaches_the_next_one(tmp_path):
    with Keeper(tmp_path, WAITS + """
if first():
    say(RUNNING)
    for i in range(300):
        say(KEEP, slot=7, kind=KICK, index=i, fd=os.memfd_create(f"kick {i}"))
    say(KEEP, slot=8, kind=CONNECTION, fd=0)
    say(FORGET, slot=7, kind=KICK, index=5)
    say(KEEP, slot=7, kind=KICK, index=6, fd=os.memfd_create("another"))
    say(FORGET_SLOT, slot=8)
    os.kill(os.getpid(), 9)
names = [os.readlink(f"/proc/self/fd/{fd}") for (slot, kind, index), fd in sorted(kept.items()) if slot == 7]
note("places", kept_places() == [(7, KICK, i) for i in range(300) if i != 5])
note("names", names == [f"/memfd:{'another' if i == 6 else f'kick {i}'} (deleted)" for i in range(300) if i != 5])
note("control socket", (NO_SLOT, CONTROL_SOCKET, 0) in kept)
say(RUNNING); until_told_to_end()
""") as keeper:
        keeper.waits_for(r"was killed by signal 9 \(Killed\); another is started")
        keeper.waits_for("worker places True\nworker names True\nworker control socket True")
        assert keeper.ends() == 0


def test_a_descriptor_that_was_forgotten_is_closed(tmp_path):
    with Keeper(tmp_path, WAITS + """
a, b = socket.socketpair()
say(KEEP, slot=1, kind=CONNECTION, fd=a.fileno()); a.close()
say(RUNNING)
say(FORGET, slot=1, kind=CONNECTION)
note("end of file", b.recv(1) == b"")
until_told_to_end()
""") as keeper:
        keeper.waits_for("worker end of file True")


def test_a_worker_that_follows_gets_the_configuration_of_the_one_before(tmp_path):
    with Keeper(tmp_path, WAITS + """
note("configuration:", os.pread(5, 100, 0).decode())
say(RUNNING)
if first():
    os.kill(os.getpid(), 11)
until_told_to_end()
""") as keeper:
        keeper.waits_for(r"signal 11 \(Segmentation fault\)")
        keeper.waits_for("(?s)(worker configuration: as it was at the start.*){2}")


def test_workers_that_die_again_and_again_are_followed_later_and_later(tmp_path):
    with Keeper(tmp_path, WAITS + "say(RUNNING); os._exit(3)") as keeper:
        keeper.waits_for("exit code 3; this happens again and again: another is started in 200 ms")
        text = keeper.log()
        assert text.count("ended with exit code 3; another is started\n") == 5
        assert "again and again: another is started in 100 ms" in text
        assert keeper.ends() == 0


def test_a_first_worker_that_fails_is_not_followed(tmp_path):
    with Keeper(tmp_path, "say(REFUSED, 'there is no such core'); sys.exit(1)") as keeper:
        assert keeper.child.wait(20) == 1
        assert "worker" in keeper.log() and "ended with exit code 1: there is no such core" in keeper.log()


def test_a_clean_stop_tells_the_worker_and_returns_0(tmp_path):
    for number in (signal.SIGTERM, signal.SIGINT):
        with Keeper(tmp_path, LIVES) as keeper:
            keeper.waits_for("worker runs")
            assert keeper.ends(number) == 0
            assert "worker stops" in keeper.log() and " error " not in keeper.log()


def test_what_is_left_to_the_service_manager_is_parked_and_not_put_in_order(tmp_path):
    with Keeper(tmp_path, LIVES, arguments=("leave",)) as keeper:
        keeper.waits_for("worker runs")
        assert keeper.ends() == 0
        assert "worker leaves" in keeper.log() and "worker stops" not in keeper.log()


def test_a_worker_that_has_no_ports_yet_leaves_without_handing_over(tmp_path):
    with Keeper(tmp_path, """
if not first(): note("is started"); note("is told to leave:", hear()[0] == LEAVE); sys.exit(0)
say(READY, '1'); hear(); say(RUNNING); os.kill(os.getpid(), 9)
""", arguments=("leave",)) as keeper:
        keeper.waits_for("worker is started")
        assert keeper.ends() == 0
        assert "worker is told to leave: True" in keeper.log()


def test_a_worker_that_does_not_stop_is_made_to(tmp_path):
    with Keeper(tmp_path, WAITS + "settings(); say(RUNNING); note('runs', os.getpid()); time.sleep(1000)") as keeper:
        pid = int(keeper.waits_for(r"worker runs (\d+)")[1])
        assert keeper.ends() == 0
        assert gone(pid)


def test_a_worker_does_not_outlive_its_keeper(tmp_path):
    with Keeper(tmp_path, LIVES) as keeper:
        pid = int(keeper.waits_for(r"worker runs (\d+)")[1])
        keeper.ends(signal.SIGKILL)
        waits(lambda: gone(pid), "the worker goes with its keeper")


def test_a_worker_that_stands_still_is_replaced(tmp_path):
    with Keeper(tmp_path, WAITS + """
settings(hang_timeout_ms=200)
if first():
    struct.pack_into("<I", shared, mine + 8, os.getpid())
    signal = __import__("signal")
    signal.signal(signal.SIGQUIT, lambda *_: note("shows its stack"))
    say(RUNNING); beat(20); time.sleep(1000)
say(RUNNING); note("follows"); beat()
""") as keeper:
        keeper.waits_for("the control thread has stood still for 200 ms")
        keeper.waits_for("worker shows its stack")
        keeper.waits_for(r"was killed by signal 9 \(Killed\): the control thread has stood still for 200 ms; another is started")
        keeper.waits_for("worker follows")


def test_a_stopped_worker_is_replaced(tmp_path):
    with Keeper(tmp_path, WAITS + "settings(hang_timeout_ms=200); say(RUNNING); note('runs', os.getpid()); beat()") as keeper:
        pid = int(keeper.waits_for(r"worker runs (\d+)")[1])
        os.kill(pid, signal.SIGSTOP)
        keeper.waits_for(r"(?s)worker runs.*worker runs")
        assert gone(pid)


def test_one_that_stands_by_takes_over_with_all_that_was_kept_meanwhile(tmp_path):
    with Keeper(tmp_path, """
say(READY, "1")
note("ready", os.getpid())
saying, _ = hear()
if saying == STOP: sys.exit(0)
settings(standby=1); say(RUNNING)
note("runs", os.getpid(), "with", kept_places())
if not kept_places():
    while not os.path.exists(sys.argv[-1] + ".keep"): time.sleep(0.01)
    say(KEEP, slot=2, kind=KICK, index=1, fd=0); note("has said so")
until_told_to_end()
""") as keeper:
        first = int(keeper.waits_for(r"worker runs (\d+)")[1])
        standby = int(keeper.waits_for(r"(?s)worker runs.*worker ready (\d+)")[1])
        (tmp_path / "switch.yaml.keep").touch()
        keeper.waits_for("worker has said so")
        os.kill(first, signal.SIGKILL)
        keeper.waits_for("the one that stands by takes over")
        keeper.waits_for(rf"worker runs {standby} with \[\(2, 4, 1\)\]")
        keeper.waits_for(rf"(?s)worker runs {standby}.*worker ready")  # and the next one stands by


# An upgrade: the first worker asks for it, and both tell what becomes of them.
ASKS = WAITS + """
say(RUNNING)
say(KEEP, slot=1, kind=KICK, fd=0)
say(WANTS_UPGRADE, sys.argv[-1] + ".next", index=3000)
until_told_to_end()
"""


def upgraded(place: pathlib.Path, text: str):
    script(place / "switch.yaml.next", text)
    return Keeper(place, ASKS)


def test_an_upgrade_hands_over_and_lets_the_old_one_leave(tmp_path):
    with upgraded(tmp_path, WAITS + """
note("configuration:", os.pread(5, 100, 0).decode(), kept_places())
settings(); beat(1); say(RUNNING); beat(50); until_told_to_end()
""") as keeper:
        keeper.waits_for(r"worker configuration: as it is now \[\(1, 4, 0\)\]")
        keeper.waits_for("worker upgraded: well\nworker leaves")
        assert keeper.ends() == 0 and " error " not in keeper.log()


@pytest.mark.parametrize("text, why", [
    ("sys.exit(5)", "it ended with exit code 5"),
    ("os.kill(os.getpid(), 11)", r"it was killed by signal 11 \(Segmentation fault\)"),
    ("time.sleep(1000)", "it was not ready in time"),
    ("say(REFUSED, 'the state is of version 1, mine of 2'); sys.exit(1)", "the state is of version 1, mine of 2"),
    (WAITS + "sys.exit(6)", "it ended with exit code 6"),
    (WAITS + "time.sleep(1000)", "it did not take up the ports in time"),
    (WAITS + "say(FORGET, slot=1, kind=KICK); sys.exit(7)", "it ended with exit code 7"),
], ids=["exits", "crashes", "hangs", "refuses", "fails-to-take-up", "hangs-in-taking-up", "forgets-and-fails"])
def test_when_the_new_one_does_not_come_up_the_old_one_goes_on(tmp_path, text, why):
    with upgraded(tmp_path, text) as keeper:
        keeper.waits_for(f"worker upgraded: {why}\n")
        if "GO" in text:
            keeper.waits_for("worker resumes")
        assert "leaves" not in keeper.log()
        old = int(re.search(r"started beside worker (\d+)", keeper.log())[1])
        os.kill(old, signal.SIGKILL)  # what it kept is still kept
        script(keeper.worker, WAITS + "say(RUNNING); note('kept', kept_places()); until_told_to_end()")
        keeper.waits_for(r"worker kept \[\(1, 4, 0\)\]")


def test_devices_take_longer_to_close_and_open_than_guests_may_wait(tmp_path):
    with Keeper(tmp_path, WAITS + """
settings(); say(RUNNING); say(WANTS_UPGRADE, sys.argv[-1] + ".next", index=5000)
assert hear()[0] == HAND_OVER
time.sleep(1.2); say(PARKING); say(HANDED_OVER); until_told_to_end()
""") as keeper:
        script(tmp_path / "switch.yaml.next", WAITS + "say(TAKEN_UP); time.sleep(1.2); settings(); beat(1); say(RUNNING); beat(50); until_told_to_end()")
        keeper.waits_for("worker upgraded: well\nworker leaves")
        pause = float(keeper.waits_for(r"nobody had the VMs' ports for ([\d.]+) ms")[1])
        assert pause < 1200, "that devices were closed and opened is no part of it"


def test_a_new_one_that_dies_when_it_has_begun_is_followed_by_the_old_version(tmp_path):
    with Keeper(tmp_path, WAITS + """
say(RUNNING); note("old version runs", kept_places())
if first(): say(WANTS_UPGRADE, sys.argv[-1] + ".next", index=3000); say(KEEP, slot=1, kind=KICK, fd=0)
until_told_to_end()
""") as keeper:
        script(tmp_path / "switch.yaml.next", WAITS + "say(RUNNING); sys.exit(8)")
        keeper.waits_for("worker upgraded: the new version was running, and then worker .* ended with exit code 8\n")
        keeper.waits_for(r"worker old version runs \[\(1, 4, 0\)\]")
        assert "leaves" in keeper.log()


def test_in_a_crash_loop_a_new_version_that_is_ready_follows_at_once(tmp_path):
    with Keeper(tmp_path, WAITS + """
struct.pack_into("<Q", shared, 24, 1 + struct.unpack_from("<Q", shared, 24)[0])
say(RUNNING)
if struct.unpack_from("<Q", shared, 24)[0] < 6: os.kill(os.getpid(), 9)
say(WANTS_UPGRADE, sys.argv[-1] + ".next", index=5000)
assert hear()[0] == HAND_OVER
say(PARKING); say(HANDED_OVER)
while not os.path.exists(sys.argv[-1] + ".goes"): time.sleep(0.01)
os.kill(os.getpid(), 9)
""") as keeper:
        script(tmp_path / "switch.yaml.next", WAITS + """
open(sys.argv[-1] + ".goes", "w").close()
while not os.path.exists(sys.argv[-1] + ".takes"): time.sleep(0.01)
settings(); beat(1); say(RUNNING); note("new version runs"); beat(50); until_told_to_end()
""")
        keeper.waits_for(r"(?s)(was killed by signal 9.*){6}")
        assert "again and again" not in keeper.log()
        (tmp_path / "switch.yaml.takes").touch()
        keeper.waits_for("worker new version runs(?s:.*)has taken over")
        assert keeper.ends() == 0


@pytest.mark.parametrize("hangs, why", [
    ("say(PARKING)", "it did not hand over in time"),
    ("", "the control thread has stood still for 400 ms"),
], ids=["parking", "closing its devices"])
def test_an_old_one_that_hangs_when_it_is_to_hand_over_is_replaced(tmp_path, hangs, why):
    with Keeper(tmp_path, WAITS + f"""
settings(hang_timeout_ms=400); beat(1); say(RUNNING); beat(10)
say(WANTS_UPGRADE, sys.argv[-1] + ".next", index=5000)
threading.Thread(target=lambda: hear() and gone.set(), daemon=True).start(); gone.clear()
while not gone.is_set(): beat(1)
{hangs}
time.sleep(1000)
""") as keeper:
        script(tmp_path / "switch.yaml.next", LIVES)
        keeper.waits_for(why)
        keeper.waits_for("worker runs")
        assert keeper.child.poll() is None


class ServiceManager:
    """Keeps what it is given, as systemd does with FileDescriptorStoreMax=."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.told: list[str] = []
        self.store: list[tuple[str, int]] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            text, fds, _, _ = socket.recv_fds(self.socket, 4096, 4)
            fields = dict(line.split("=", 1) for line in text.decode().splitlines())
            self.told.append(text.decode())
            if fields.get("FDSTOREREMOVE") == "1":
                self.store = [(name, fd) for name, fd in self.store if name != fields["FDNAME"]]
            elif fields.get("FDSTORE") == "1":
                self.store.append((fields["FDNAME"], fds[0]))

    def heard(self, text: str) -> bool:
        return any(text in told for told in self.told)


def test_a_service_manager_keeps_all_for_another_keeper(tmp_path):
    manager = ServiceManager(tmp_path / "notify")
    env = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "100000"}
    lives = WAITS + """
settings(); say(RUNNING)
if first():
    say(KEEP, slot=3, kind=KICK, index=1, fd=os.memfd_create("the kick"))
    say(KEEP, slot=3, kind=KICK, index=2, fd=os.memfd_create("gone soon"))
    say(FORGET, slot=3, kind=KICK, index=2)
else:
    note("finds", kept_places(), os.readlink(f"/proc/self/fd/{kept[3, KICK, 1]}"))
note("variables", [name for name in os.environ if name.startswith(("NOTIFY_", "LISTEN_", "WATCHDOG_"))])
until_told_to_end()
"""
    with Keeper(tmp_path, lives, env=env) as keeper:
        waits(lambda: manager.heard("READY=1") and manager.heard("WATCHDOG=1"), "the service manager hears that it is ready and lives")
        waits(lambda: "sluice-3-4-1" in dict(manager.store), "the descriptor is stored")
        waits(lambda: manager.heard("FDSTOREREMOVE=1\nFDNAME=sluice-3-4-2"), "the other one is not")
        keeper.ends(signal.SIGKILL)
    names, fds = zip(*manager.store)
    assert sorted(names) == ["sluice-3-4-1", "sluice-4294967295-64-0", "sluice-state"]
    # As systemd passes them: from 3 on, to the process that it starts.
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in fds]
    moves = " ".join(f"{3 + i}<&{fd}" for i, fd in enumerate(high))
    shell = f'exec {moves}; export LISTEN_PID=$$; exec "$@"'
    env |= {"LISTEN_FDS": str(len(high)), "LISTEN_FDNAMES": ":".join(names)}
    with Keeper(tmp_path, lives, env=env, command=("bash", "-c", shell, "sh"), fds=high) as keeper:
        keeper.waits_for(r"worker finds \[\(3, 4, 1\)\] /memfd:the kick")
        keeper.waits_for(r"worker variables \[\]")
        assert keeper.ends() == 0
    waits(lambda: manager.heard("STOPPING=1"), "the service manager hears that it stops")


# A process that still has what a dead worker had: it is let go when the keeper shuts the lifeline down, and takes its time.
ANCHOR = """
def anchored():
    if os.fork() == 0:
        lifeline = socket.socket(fileno=6)
        lifeline.recv(1)
        note("is let go")
        while not os.path.exists("{release}"): time.sleep(0.01)
        os._exit(0)
"""


def children_of(keeper: Keeper) -> list[int]:
    return [int(pid) for pid in pathlib.Path(f"/proc/{keeper.child.pid}/task/{keeper.child.pid}/children").read_text().split()]


def test_what_a_dead_worker_had_is_let_go_when_guests_have_been_taken_up(tmp_path):
    release, take = tmp_path / "release", tmp_path / "take"
    with Keeper(tmp_path, ANCHOR.format(release=release) + f"""
say(READY, '1')
note("is ready")
assert hear()[0] == GO
settings(standby=1)
if first():
    anchored()
    note("alone", alone.wait(20) if listen() else None)
    say(RUNNING); beat()
note("goes")
while not os.path.exists("{take}"): time.sleep(0.01)
say(TAKEN_UP)
listen()
note("knows that it is alone", alone.wait(20))
say(RUNNING); beat()
""") as keeper:
        keeper.waits_for("worker alone True")
        keeper.waits_for("(?s)(worker is ready.*){2}")
        os.kill(children_of(keeper)[0], signal.SIGKILL)
        keeper.waits_for("the one that stands by takes over(?s:.*)worker goes")
        assert "is let go" not in keeper.log()
        take.touch()
        keeper.waits_for("worker is let go")
        assert "knows that it is alone" not in keeper.log()
        release.touch()
        keeper.waits_for("worker knows that it is alone True")
        waits(lambda: len(children_of(keeper)) == 2, "the dead are buried, and another stands by")


def test_what_a_dead_worker_had_is_let_go_for_one_that_waits_for_it(tmp_path):
    release, wait = tmp_path / "release", tmp_path / "wait"
    with Keeper(tmp_path, ANCHOR.format(release=release) + f"""
listen()
if first():
    anchored()
    say(READY, '1'); gone.wait(20)
    say(RUNNING)
    os.kill(os.getpid(), 9)
note("follows, alone", alone.is_set())
while not os.path.exists("{wait}"): time.sleep(0.01)
say(WANTS_ALONE)
note("is alone", alone.wait(20))
say(READY, '1'); gone.wait(20)
note("goes, alone", alone.wait(20))
say(RUNNING); beat()
""") as keeper:
        keeper.waits_for("worker follows, alone False")
        assert "is let go" not in keeper.log()
        wait.touch()
        keeper.waits_for("worker is let go")
        assert "is alone" not in keeper.log()
        release.touch()
        keeper.waits_for("worker is alone True")
        keeper.waits_for("worker goes, alone True")
        waits(lambda: len(children_of(keeper)) == 1, "the dead are buried")


def test_a_worker_that_is_never_all_gone_is_not_waited_for_for_ever(tmp_path):
    release = tmp_path / "release"
    with contextlib.ExitStack() as at_end, Keeper(tmp_path, ANCHOR.format(release=release) + """
listen()
if first():
    anchored()
    say(READY, '1'); gone.wait(20)
    say(RUNNING)
    os.kill(os.getpid(), 9)
say(READY, '1'); gone.wait(20)
say(TAKEN_UP)
note("is alone", alone.wait(20))
say(RUNNING); beat()
""") as keeper:
        at_end.callback(release.touch)
        keeper.waits_for("5000 ms after its death the system has not yet taken down all that it had")
        keeper.waits_for("worker is alone True")


def test_what_the_dead_had_is_let_go_though_the_one_that_was_to_take_up_their_guests_has_died_too(tmp_path):
    with Keeper(tmp_path, ANCHOR.format(release=tmp_path) + """
number = struct.unpack_from("<Q", shared, 24)[0]
first()
if number == 2: listen(); say(WANTS_ALONE); note("is alone", alone.wait(20))
say(READY, '1'); note("is ready", os.getpid()); assert hear()[0] == GO
if number == 1: os.kill(os.getpid(), 9)
if number == 0: anchored()
settings(standby=number == 0); say(RUNNING); beat()
""") as keeper:
        keeper.waits_for("(?s)(worker is ready.*){2}")
        os.kill(int(keeper.waits_for(r"worker is ready (\d+)")[1]), signal.SIGKILL)
        keeper.waits_for("worker is let go")
        keeper.waits_for("worker is alone True")


def test_an_upgrade_does_without_the_one_that_stands_by_and_whatever_is_left_of_it(tmp_path):
    release, second, upgrade = tmp_path / "release", tmp_path / "second", tmp_path / "upgrade"
    with Keeper(tmp_path, ANCHOR.format(release=release) + f"""
say(READY, '1')
if os.path.exists("{second}"):
    anchored()
    note("stands by")
open("{second}", "w")
assert hear()[0] == GO
settings(standby=1); say(RUNNING)
while not os.path.exists("{upgrade}"): time.sleep(0.01)
say(WANTS_UPGRADE, sys.argv[-1] + ".next", index=20000); until_told_to_end()
""") as keeper:
        script(tmp_path / "switch.yaml.next", WAITS + "settings(); say(RUNNING); beat(50); until_told_to_end()")
        keeper.waits_for("worker stands by")
        upgrade.touch()
        keeper.waits_for("worker is let go")
        keeper.waits_for("worker upgraded: well\nworker leaves")
        release.touch()
        waits(lambda: len(children_of(keeper)) == 1, "the dead are buried")
        assert " error " not in keeper.log()


def test_standbys_that_die_again_and_again_are_followed_later_and_later(tmp_path):
    with Keeper(tmp_path, ANCHOR.format(release=tmp_path) + """
if not first(): anchored(); note("begins at", time.monotonic()); os._exit(3)
say(READY, '1'); hear(); settings(standby=1); say(RUNNING); beat()
""") as keeper:
        keeper.waits_for(r"(?s)(worker begins at.*){8}")
        begun = [float(time) for time in re.findall(r"worker begins at ([\d.]+)", keeper.log())]
        assert begun[6] - begun[5] > 0.1 and begun[7] - begun[6] > 0.2, begun
