"""The keeper, with workers that are scripts: upgrades, and what becomes of them when either of the two fails."""

import os
import pathlib
import re
import signal

import pytest

from keepers import Keeper, LIVES, WAITS, script


# An upgrade: the first worker asks for it, and both tell what becomes of them.
ASKS = WAITS + """
say(RUNNING)
say(KEEP, slot=1, kind=KICK, fd=0)
say(WANTS_UPGRADE, sys.argv[-1] + ".next", index=3000)
until_told_to_end()
"""


# The same, and whoever follows it says that it runs.
ASKS_ONCE = WAITS + """
say(RUNNING)
say(WANTS_UPGRADE, sys.argv[-1] + ".next", index=20000) if first() else note("old version runs")
until_told_to_end()
"""


def upgraded(place: pathlib.Path, text: str, asks: str = ASKS, **more):
    script(place / "switch.yaml.next", text)
    return Keeper(place, asks, **more)


def test_an_upgrade_hands_over_and_lets_the_old_one_leave(tmp_path):
    with upgraded(tmp_path, WAITS + """
note("configuration:", os.pread(5, 100, 0).decode(), kept_places())
settings(); beat(1); say(RUNNING); beat(50); until_told_to_end()
""") as keeper:
        keeper.waits_for(r"worker configuration: as it is now \[\(1, 4, 0\)\]")
        keeper.waits_for("worker upgraded: well\nworker leaves")
        assert keeper.ends() == 0 and " error " not in keeper.log()


# It has flows to tell of.
LISTS = """
import fake_worker
fake_worker.flows = os.memfd_create("flows")
os.pwrite(fake_worker.flows, b"these flows", 0)
"""


def test_the_flows_of_the_old_one_are_told_to_the_new_one_before_it_is_to_go(tmp_path):
    with upgraded(tmp_path, WAITS + """
note("goes"); settings(); beat(1); say(RUNNING); beat(50); until_told_to_end()
""", asks=LISTS + ASKS) as keeper:
        keeper.waits_for("worker upgraded: well\nworker leaves")
        assert re.search("worker adopts b'these flows'\nworker goes", keeper.log())


def test_one_that_hangs_over_flows_is_not_waited_for(tmp_path):
    with upgraded(tmp_path, "import fake_worker; fake_worker.adopt = lambda: time.sleep(1000)\n" + WAITS, asks=LISTS + ASKS) as keeper:
        keeper.waits_for("worker upgraded: it was not ready in time\n")
        assert "leaves" not in keeper.log()


def test_one_that_dies_over_flows_leaves_the_old_one_where_it_is(tmp_path):
    with upgraded(tmp_path, "import fake_worker; fake_worker.adopt = lambda: os._exit(6)\n" + WAITS, asks=LISTS + ASKS) as keeper:
        keeper.waits_for("worker upgraded: it ended with exit code 6\n")
        assert "leaves" not in keeper.log()


def test_one_that_dies_as_soon_as_it_has_the_flows_leaves_the_old_one_where_it_is(tmp_path):
    # The keeper hears of both at once, as it may when it has waited for its core.
    with upgraded(tmp_path, """
import fake_worker

def adopt():
    keeper, me = os.getppid(), os.getpid()
    os.kill(keeper, signal.SIGSTOP)
    if os.fork() == 0:
        while os.getppid() == me: time.sleep(0.01)
        os.kill(keeper, signal.SIGCONT)
        os._exit(0)
    say(FLOWS_ADOPTED)
    os._exit(6)

fake_worker.adopt = adopt
""" + WAITS, asks=LISTS + ASKS) as keeper:
        keeper.waits_for("worker upgraded: it ended with exit code 6\n")
        keeper.ends()  # when the first has done all that it was told
        assert "resumes" not in keeper.log()


@pytest.mark.parametrize("answers", ["", "say(FLOWS_LISTED, index=index - 1, fd=flows)"], ids=["not", "a question of before"])
def test_an_old_one_that_does_not_list_its_flows_is_not_waited_for(tmp_path, answers):
    with upgraded(tmp_path, WAITS + """
settings(); beat(1); say(RUNNING); beat(50); until_told_to_end()
""", asks=f"import fake_worker; fake_worker.list_flows = lambda index: {answers or None}\n" + ASKS) as keeper:
        keeper.waits_for("worker upgraded: well\nworker leaves")
        assert "adopts" not in keeper.log()


def test_a_stop_while_flows_are_told_is_a_stop(tmp_path):
    with upgraded(tmp_path, "import fake_worker; fake_worker.adopt = lambda: time.sleep(1000)\n" + WAITS, asks=LISTS + ASKS) as keeper:
        keeper.waits_for("worker adopts b'these flows'")
        assert keeper.ends() == 0


def test_without_another_path_an_upgrade_is_to_the_program_that_the_switch_was_started_with(tmp_path):
    with upgraded(tmp_path, WAITS + """
settings(); beat(1); say(RUNNING)
threading.Thread(target=beat, daemon=True).start()
note("other version runs")
threading.Thread(target=lambda: proven.wait() and say(WANTS_UPGRADE, "", index=20000), daemon=True).start()
until_told_to_end()
""", asks=WAITS + """
settings(); beat(1); say(RUNNING)
threading.Thread(target=beat, daemon=True).start()
note("first version runs")
if before() == 0: say(WANTS_UPGRADE, sys.argv[-1] + ".next", index=20000)
until_told_to_end()
""") as keeper:
        keeper.waits_for(r"first version runs\n(.*\n)*.*other version runs\n(.*\n)*.*first version runs\n(.*\n)*.*upgraded: well")


def test_a_new_one_is_told_when_it_has_proven_to_live_and_not_before(tmp_path):
    with upgraded(tmp_path, WAITS + """
listen(); settings(hang_timeout_ms=30000); beat(1); say(RUNNING)
note("has", *([] if proven.wait(1) else ["not"]), "proven to live")
threading.Thread(target=beat, daemon=True).start()
proven.wait()
note("lives")
""") as keeper:
        keeper.waits_for("worker has not proven to live")
        keeper.waits_for("worker lives")


def test_a_pmd_that_sleeps_for_as_long_as_it_may_lives(tmp_path):
    with upgraded(tmp_path, WAITS + """
settings(hang_timeout_ms=30000, idle_sleep_ms=30000); pmd(os.getpid(), loop=8)
threading.Thread(target=beat, daemon=True).start()
say(RUNNING)
until_told_to_end()
""") as keeper:
        keeper.waits_for("worker upgraded: well")


def test_a_first_one_and_one_that_follows_a_crash_have_nothing_to_prove(tmp_path):
    with Keeper(tmp_path, WAITS + """
listen(); say(RUNNING); proven.wait()
if first(): sys.exit(3)
note("follows")
time.sleep(1000)
""") as keeper:
        keeper.waits_for("worker follows")


@pytest.mark.parametrize("text, why", [
    ("sys.exit(5)", "it ended with exit code 5"),
    ("os.kill(os.getpid(), 11)", r"it was killed by signal 11 \(Segmentation fault\)"),
    ("time.sleep(1000)", "it was not ready in time"),
    ("say(REFUSED, 'the state is of version 1, mine of 2'); sys.exit(1)", "the state is of version 1, mine of 2"),
    (WAITS + "sys.exit(6)", "it ended with exit code 6"),
    (WAITS + "time.sleep(1000)", "it did not take up the ports in time"),
], ids=["exits", "crashes", "hangs", "refuses", "fails-to-take-up", "hangs-in-taking-up"])
def test_when_the_new_one_does_not_come_up_the_old_one_goes_on(tmp_path, text, why):
    with upgraded(tmp_path, text) as keeper:
        keeper.waits_for(f"worker upgraded: {why}\n")
        if "GO" in text:
            keeper.waits_for("worker resumes")
        assert "leaves" not in keeper.log()
        old = int(re.search(r"started beside worker (\d+)", keeper.log())[1])
        script(keeper.worker, WAITS + "say(RUNNING); note('kept', kept_places()); until_told_to_end()")
        os.kill(old, signal.SIGKILL)  # what it kept is still kept
        keeper.waits_for(r"worker kept \[\(1, 4, 0\)\]")


def test_who_follows_a_crash_has_to_go_on_and_who_begins_or_upgrades_may_refuse(tmp_path):
    says = "note(('first', 'follows', 'candidate')[turn], 'has to go on' if '--has-to-go-on' in sys.argv else 'may refuse')\n"
    with Keeper(tmp_path, "turn = before()\n" + says + WAITS + """
say(RUNNING)
if turn == 0: os.kill(os.getpid(), 9)
say(WANTS_UPGRADE, sys.argv[0], index=3000); until_told_to_end()
""") as keeper:
        keeper.waits_for("worker first may refuse\n(?s:.*)worker follows has to go on\n(?s:.*)worker candidate may refuse\n")


def test_what_a_new_one_said_of_descriptors_counts_also_if_it_then_fails(tmp_path):
    """It has the ports by then, and the old one, told to go on, ends."""
    with Keeper(tmp_path, WAITS + """
say(RUNNING); note("old version runs", kept_places())
if first(): say(KEEP, slot=1, kind=KICK, fd=0); say(WANTS_UPGRADE, sys.argv[-1] + ".next", index=3000)
until_told_to_end()
""") as keeper:
        script(tmp_path / "switch.yaml.next", WAITS + """
before()
say(KEEP, slot=1, kind=KICK, index=1, fd=0); say(FORGET, slot=1, kind=KICK)
sys.exit(7)
""")
        keeper.waits_for("worker upgraded: it ended with exit code 7\nworker ends, since another has begun")
        keeper.waits_for(r"worker old version runs \[\(1, 4, 1\)\]")
        assert keeper.ends() == 0


def test_a_configuration_that_is_a_pipe_by_now_is_not_waited_for(tmp_path):
    script(tmp_path / "switch.yaml.next", LIVES)
    with Keeper(tmp_path, "os.unlink(sys.argv[-1]); os.mkfifo(sys.argv[-1])\n" + ASKS) as keeper:
        keeper.waits_for("worker upgraded: .*switch.yaml: cannot be read anew: it is no regular file")
        assert keeper.ends() == 0


def test_a_binary_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "switch.yaml.next", 0o755)
    with Keeper(tmp_path, ASKS) as keeper:
        keeper.waits_for("worker upgraded: .*switch.yaml.next' cannot be executed: it is no regular file\n")
        assert keeper.ends() == 0


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


def test_a_new_one_that_has_the_ports_has_as_long_to_open_its_devices_as_one_that_follows_a_crash(tmp_path):
    with upgraded(tmp_path, WAITS + "say(TAKEN_UP); hang()", arguments=("impatient",)) as keeper:
        keeper.waits_for("worker upgraded: it did not open its devices in time\n")
        assert keeper.ends() == 0


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


def test_a_new_one_that_stands_still_as_soon_as_it_runs_is_followed_by_the_old_version(tmp_path):
    with upgraded(tmp_path, WAITS + "settings(hang_timeout_ms=400); beat(1); say(RUNNING); hang()", ASKS_ONCE) as keeper:
        keeper.waits_for("the control thread has stood still for 400 ms", 30)
        keeper.waits_for("worker upgraded: the new version was running, and then worker .*stood still")
        keeper.waits_for("worker old version runs")
        assert "has taken over" not in keeper.log()
        assert keeper.ends() == 0


@pytest.mark.parametrize("says, ends", [("TAKEN_UP", "worker upgraded: PMD 0 has stood still for 400 ms"),
                                        ("RUNNING", "worker upgraded: the new version was running, and then worker .*PMD 0 has stood still for 400 ms")],
                         ids=["opening its devices", "running"])
def test_a_new_one_whose_pmd_stands_still_is_followed_by_the_old_version(tmp_path, says, ends):
    with upgraded(tmp_path, WAITS + f"""
before(); shows_stack(); settings(hang_timeout_ms=400); pmd(os.getpid(), loop=7)
say({says}); beat()
""", ASKS_ONCE) as keeper:
        keeper.waits_for("PMD 0 has stood still for 400 ms; its stack follows\nworker shows its stack", 30)
        keeper.waits_for(ends)
        keeper.waits_for("worker old version runs")
        assert "has taken over" not in keeper.log()
        assert keeper.ends() == 0


def test_a_pmd_that_is_held_up_is_interrupted(tmp_path):
    with Keeper(tmp_path, WAITS + """
signal.signal(signal.SIGURG, lambda *_: (note("is interrupted"), pmd(0, loop=8)))
settings(hang_timeout_ms=400); pmd(os.getpid(), loop=7)
say(RUNNING); beat(100); note("goes on"); until_told_to_end()
""") as keeper:
        keeper.waits_for("worker is interrupted(?s:.*)worker goes on")
        assert keeper.ends() == 0


def test_an_upgrade_whose_old_one_dies_meanwhile_is_given_up(tmp_path):
    with upgraded(tmp_path, "time.sleep(1000)", ASKS_ONCE) as keeper:
        os.kill(int(keeper.waits_for(r"started beside worker (\d+)")[1]), signal.SIGKILL)
        keeper.waits_for("upgrade: given up, since the worker that was to hand over has died")
        keeper.waits_for("worker old version runs")
        assert keeper.ends() == 0


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
