"""The keeper, with workers that are scripts: what it holds, how it follows workers that end in every way, and how it
ends."""

import contextlib
import os
import re
import signal
import socket
import time

import pytest

from keepers import Keeper, LIVES, WAITS, gone, waits


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
        keeper.waits_for(r"worker \d+ has the VMs' ports, [\d.]+ ms after the death of the one before was noticed")


def test_a_worker_that_vms_wait_for_begins_as_urgent_as_the_keeper_and_any_other_as_the_keeper_was(tmp_path):
    with Keeper(tmp_path, """
begins = os.sched_getscheduler(0)
ordinary = int(sys.argv[sys.argv.index("--policy") + 1])
""" + WAITS + """
ordinary_as_given = ordinary == int(os.environ["ORDINARY"])
if first():
    note("of no VM", ordinary_as_given and begins == ordinary)
    open(os.environ["KEEPER"], "w").write(str(os.sched_getscheduler(os.getppid())))
    say(RUNNING)
    say(KEEP, slot=1, kind=CONNECTION, fd=0)
    os.kill(os.getpid(), 9)
note("awaited", ordinary_as_given and begins == int(open(os.environ["KEEPER"]).read()))
say(RUNNING); until_told_to_end()
""", env={"ORDINARY": str(os.sched_getscheduler(0)), "KEEPER": str(tmp_path / "as the keeper")}) as keeper:
        keeper.waits_for("(?s)worker of no VM True.*worker awaited True")


def test_workers_that_die_again_and_again_are_followed_later_and_later(tmp_path):
    with Keeper(tmp_path, WAITS + "say(RUNNING); os._exit(3)") as keeper:
        keeper.waits_for("exit code 3; this happens again and again: another is started in 200 ms")
        text = keeper.log()
        assert text.count("ended with exit code 3; another is started\n") == 5
        assert "again and again: another is started in 100 ms" in text
        assert keeper.ends() == 0


def taken_out(end: int) -> bytes:
    os.set_blocking(end, False)
    taken = b""
    with contextlib.suppress(BlockingIOError):
        while more := os.read(end, 65536):
            taken += more
    return taken


@pytest.mark.parametrize("ends", [os.pipe, lambda: [end.detach() for end in socket.socketpair()]], ids=["pipe", "journal"])
def test_a_log_that_nobody_reads_holds_nobody_up(tmp_path, ends):
    reads, writes = ends()
    os.set_blocking(writes, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writes, b"x")
    os.set_blocking(writes, True)
    runs, stream = tmp_path / "runs", os.fstat(writes)
    with Keeper(tmp_path, WAITS + f"say(RUNNING); print(os.getpid(), file=open({str(runs)!r}, 'a')); until_told_to_end()",
                stderr=writes, env={"JOURNAL_STREAM": f"{stream.st_dev}:{stream.st_ino}"}) as keeper:
        os.close(writes)
        for run in (1, 2, 3):
            waits(lambda: runs.exists() and len(runs.read_text().split()) == run, f"worker {run}")
            if run < 3:
                os.kill(int(runs.read_text().split()[-1]), signal.SIGKILL)
        text = taken_out(reads)
        assert keeper.ends() == 0
        text = (text + taken_out(reads)).decode().lstrip("x")
    os.close(reads)
    assert re.match(r"\n\([2-9] lines are missing here: nobody read them\)\n(.*\n)*.*SIGTERM: the switch ends", text), text


def test_a_first_worker_that_fails_is_not_followed(tmp_path):
    with Keeper(tmp_path, "say(REFUSED, 'there is no such core'); sys.exit(1)") as keeper:
        assert keeper.child.wait(20) == 1
        assert "worker" in keeper.log() and "ended with exit code 1: there is no such core" in keeper.log()


# Guests of a keeper before are connected. Each worker notes its configuration and what it is given.
INHERITS = """
note("configuration:", os.pread(5, 100, 0).decode())
{begins}
say(READY, '1'); assert hear()[0] == GO
note("kept", kept_places()); say(RUNNING); until_told_to_end()
"""


@pytest.mark.parametrize("begins", ["say(REFUSED, 'there is no such core'); sys.exit(1)", "os.kill(os.getpid(), 11)"], ids=["refused", "crashes-always"])
def test_guests_of_the_keeper_before_go_on_with_its_configuration_if_no_worker_comes_up_with_this_one(tmp_path, begins):
    text = INHERITS.format(begins=f"if 'at the start' in os.pread(5, 100, 0).decode(): {begins}")
    with Keeper(tmp_path, text, arguments=("inherit",)) as keeper:
        keeper.waits_for(r"the switch goes on with the configuration of before\nworker configuration: as it was before(?s:.*)"
                         r"worker kept \[\(1, 1, 0\)\]")


def test_a_first_worker_that_is_killed_is_followed_if_guests_of_the_keeper_before_are_connected(tmp_path):
    with Keeper(tmp_path, INHERITS.format(begins="if first(): os.kill(os.getpid(), 9)"), arguments=("inherit",)) as keeper:
        keeper.waits_for("(?s)(worker configuration: as it was at the start.*){2}kept")
        assert "configuration of before" not in keeper.log()


def test_a_clean_stop_tells_the_worker_and_returns_0(tmp_path):
    for number, arguments in ((signal.SIGTERM, ()), (signal.SIGINT, ()), (signal.SIGINT, ("leave",))):
        with Keeper(tmp_path, LIVES, arguments=arguments) as keeper:
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


def test_a_worker_that_is_not_ready_yet_does_not_hold_up_the_end(tmp_path):
    with Keeper(tmp_path, "note('begins'); hang()") as keeper:
        keeper.waits_for("worker begins")
        began = time.monotonic()
        keeper.ends()
        assert "it did not end when told to" in keeper.log()
        assert time.monotonic() - began < 8, "that would be the patience with one that has ports"


def test_a_worker_that_hangs_when_it_is_told_to_stop_is_not_waited_for(tmp_path):
    with Keeper(tmp_path, WAITS + "settings(hang_timeout_ms=200); say(RUNNING); note('runs', os.getpid()); beat(20); hang()") as keeper:
        pid = int(keeper.waits_for(r"worker runs (\d+)")[1])
        assert keeper.ends() == 0
        assert gone(pid)
        assert "the control thread has stood still for 200 ms" in keeper.log(), "it was not given the time that a stop may take"


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
    say(RUNNING); beat(20); hang()
say(RUNNING); note("follows"); beat()
""") as keeper:
        keeper.waits_for("the control thread has stood still for 200 ms")
        keeper.waits_for("worker shows its stack")
        keeper.waits_for(r"was killed by signal 9 \(Killed\): the control thread has stood still for 200 ms; another is started")
        keeper.waits_for("worker follows")


def test_how_long_a_pmd_has_stood_that_may_sleep_is_told(tmp_path):
    with Keeper(tmp_path, WAITS + """
settings(hang_timeout_ms=200, idle_sleep_ms=100)
shows_stack(); pmd(os.getpid() if first() else 0, loop=2)
say(RUNNING); beat()
""") as keeper:
        keeper.waits_for(r"worker shows its stack(?s:.*)was killed by signal 9 \(Killed\): PMD 0 has stood still for 300 ms; another is started")


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
