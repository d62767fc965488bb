"""The keeper, with workers that are scripts: how long it waits for one that starts."""

import os
import signal

from keepers import Keeper, WAITS


def test_one_that_hangs_when_vms_wait_for_it_is_replaced_before_long(tmp_path):
    with Keeper(tmp_path, WAITS + """
turn = before()
if turn == 0: say(RUNNING); os.kill(os.getpid(), 9)
if turn == 1: hang()
say(RUNNING); note("follows"); until_told_to_end()
""") as keeper:
        keeper.waits_for("it did not take up the ports within 2000 ms; its stack follows\nworker shows its stack")
        keeper.waits_for("it did not take up the ports within 2000 ms; another is started\n(?s:.*)worker follows")
        assert keeper.ends() == 0


def test_one_that_has_taken_up_guests_may_take_longer_than_they_could_wait_to_open_its_devices(tmp_path):
    with Keeper(tmp_path, WAITS + """
if first(): say(RUNNING); os.kill(os.getpid(), 9)
say(TAKEN_UP); time.sleep(2.2); say(RUNNING); note("follows"); until_told_to_end()
""") as keeper:
        keeper.waits_for("worker follows")
        assert "within" not in keeper.log()


def test_one_that_hangs_with_its_devices_is_replaced(tmp_path):
    with Keeper(tmp_path, WAITS + """
turn = before()
if turn == 0: say(RUNNING); os.kill(os.getpid(), 9)
if turn == 1: say(TAKEN_UP); hang()
say(RUNNING); note("follows"); until_told_to_end()
""", arguments=("impatient",)) as keeper:
        keeper.waits_for("it did not open its devices within 2500 ms; another is started\n(?s:.*)worker follows")


# The first to stand by hangs before it is ready.
STANDS_BY = """
turn = before()
if turn == 1: note("prepares"); hang()
say(READY, "1"); note("is ready:", turn)
assert hear()[0] == GO
settings(standby=1); say(RUNNING); note("runs:", turn, os.getpid())
until_told_to_end()
"""


def test_one_that_hangs_before_it_stands_by_is_replaced(tmp_path):
    with Keeper(tmp_path, STANDS_BY, arguments=("impatient",)) as keeper:
        keeper.waits_for("it was not ready within 2500 ms; its stack follows\nworker shows its stack")
        keeper.waits_for("it was not ready within 2500 ms, standing by\nworker is ready: 2")
        assert "another is started" not in keeper.log(), "the one that works goes on"
        assert keeper.ends() == 0


def test_one_that_hangs_before_it_is_ready_to_take_over_is_replaced(tmp_path):
    with Keeper(tmp_path, STANDS_BY, arguments=("impatient",)) as keeper:
        works = int(keeper.waits_for(r"worker runs: 0 (\d+)")[1])
        keeper.waits_for("worker prepares")
        os.kill(works, signal.SIGKILL)
        keeper.waits_for("the one that stands by takes over")
        keeper.waits_for("it was not ready within 2500 ms; another is started\nworker is ready: 2(?s:.*)worker runs: 2")
        assert keeper.ends() == 0
