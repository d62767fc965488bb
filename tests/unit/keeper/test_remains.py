"""The keeper, with workers that are scripts: what is left of dead ones, and who waits for it."""

import contextlib
import os
import pathlib
import re
import signal
import time

from keepers import Keeper, WAITS, script, waits


# A process that still has what a dead worker had: it is let go when the keeper shuts the lifeline down, and takes its time.
ANCHOR = """
def anchored():
    if os.fork() == 0:
        lifeline = socket.socket(fileno=6)
        lifeline.recv(1)
        note("is let go")
        while not os.path.exists("{release}") and os.getppid() != 1: time.sleep(0.01)
        os._exit(0)
"""

# The first of all serves guests, and is killed.
FIRST_DIES = """
listen()
if first():
    anchored()
    say(READY, '1'); gone.wait(20)
    say(RUNNING)
    os.kill(os.getpid(), 9)
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
    with Keeper(tmp_path, ANCHOR.format(release=release) + FIRST_DIES + f"""
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
    with contextlib.ExitStack() as at_end, Keeper(tmp_path, ANCHOR.format(release=release) + FIRST_DIES + """
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
