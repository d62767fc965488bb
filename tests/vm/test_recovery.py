"""VMs outlive the switch: its worker is killed, stopped, hung and upgraded under traffic, and the VMs' driver, which
checks every frame, sees neither a new connection nor a frame that is wrong.

How long traffic stops is printed by the long forms, and not judged: here is only what holds on a machine of any speed.
"""

import contextlib
import ctypes
import os
import pathlib
import re
import resource
import signal
import threading
import time

import pytest

import aims
import hugepages
import vmgen
from process import wait_until
from switch import BINARY, Switch, pmd_of, wait_standby
from trial import FLOWS, FRAMES, KINDS, RATE, SOAK_RATE, Trial, queues_of, two_vms, vhost_ports, wait_between_kills


@pytest.fixture(scope="module", autouse=True)
def memory():
    with hugepages.reserved(vmgen.HUGEPAGES):
        yield


@contextlib.contextmanager
def trial(place: pathlib.Path, kind: str = "split", mode: str = "client", rate: int = RATE, own_core: bool = False, flows: int = FLOWS, **config):
    with Switch(place, {**vhost_ports(place, mode), **config}) as switch:
        switch.wait_ready()
        with two_vms(place, place, kind, mode, rate, own_core, flows) as vms:
            vms.wait_sending()
            yield Trial(switch, vms, queues_of(kind))


@pytest.mark.parametrize("mode", ["client", "server"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_worker_is_followed_by_one_that_goes_on(place, times, figures, halts, kind, mode):
    kills = times(2, 50)  # of each kind in each mode
    soak = kills > 2
    with trial(place, kind, mode, SOAK_RATE if soak else RATE) as t:
        for _ in range(kills):
            if soak:
                wait_between_kills(t.began)
            t.kill()
        assert t.worker()["restarts"] == kills
        total = t.report()
        t.assert_each_kill_duplicates_a_burst_at_most(total)
        t.assert_each_kill_loses_a_burst_at_most(total)
        figures.add_gaps(f"kill -9, {kind}, {mode}; {t.found_full()} frames found a ring full", t.outages(), halts, aims.KILL, total)


@pytest.mark.parametrize("kind", ["split-two-queues", "packed-two-queues"])
def test_a_killed_worker_of_two_pmds_is_followed_by_one_that_goes_on(place, times, figures, halts, kind):
    kills = times(2, 25)
    with trial(place, kind, rate=RATE, pmd={"cores": [0, 1], "idle": "sleep up to 50 us"}) as t:
        pmds = t.switch.rpc("pmds")["pmds"]
        assert all(any(queue["port"].startswith("vm") for queue in pmd["queues"]) for pmd in pmds) and len(pmds) == 2
        for _ in range(kills):
            if kills > 2:
                wait_between_kills(t.began)
            t.kill()
        total = t.report()
        t.assert_each_kill_duplicates_a_burst_at_most(total)
        t.assert_each_kill_loses_a_burst_at_most(total)
        figures.add_gaps(f"kill -9, two PMDs, one on the VMs' core, {kind}", t.outages(), halts, aims.KILL, total)


def test_vms_that_connect_to_the_switch_stay_connected(place):
    with trial(place, mode="server") as t:
        t.kill()
        t.kill(signal.SIGSEGV)
        t.report()
        assert "stack of thread" in t.switch.log()


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_worker_that_dumps_core_says_so_and_is_followed(place, monkeypatch, number):
    monkeypatch.chdir(place)  # the switch's too, where a core is put unless this machine has them handled otherwise
    with trial(place) as t:
        pid = t.worker()["pid"]
        resource.prlimit(pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        t.kill(number)
        t.report()
        assert re.search(rf"worker {pid} was killed by signal {number:d} \([^)]*\), core dumped; another is started", t.switch.log())
        pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
        if not pattern.startswith(("|", "/")):
            (core,) = place.glob("core*") if pattern == "core" else place.glob(f"{pattern.split('%')[0]}*")
            guests = vmgen.HUGEPAGES * 2 << 20
            assert core.stat().st_blocks * 512 < guests, "a core holds no guest's memory"


def slice_ns(thread: int) -> int:
    """What sched_getattr(2) says of a thread that is not real-time: how long a slice it has asked for, 0: none."""
    attributes = (ctypes.c_uint64 * 6)(48)
    sched_getattr = 315
    assert ctypes.CDLL(None).syscall(sched_getattr, thread, attributes, 48, 0) == 0
    return attributes[3]


def test_a_worker_that_was_in_a_hurry_is_scheduled_like_any_other_afterwards(place):
    short = 100_000 if tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 12) else 0
    with trial(place) as t:
        t.kill()
        worker = t.switch.worker_pid
        anchor = pathlib.Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
        threads = [thread for process in (worker, *anchor) for thread in pathlib.Path(f"/proc/{process}/task").iterdir()]
        assert len(anchor) == 1 and len(threads) > 4
        ordinary = os.sched_getscheduler(0)
        wait_until(lambda: {os.sched_getscheduler(int(thread.name)) for thread in threads} == {ordinary}, "no thread is urgent")
        wait_until(lambda: {slice_ns(int(thread.name)) for thread in threads} == {short}, "all have short slices, where the kernel has them")


@pytest.mark.parametrize("kind, mode", [("split", "client"), ("packed", "client"), ("packed-two-queues", "server")])
def test_a_worker_that_stands_by_takes_over(place, times, figures, halts, kind, mode):
    kills = times(2, 50)
    soak = kills > 2
    with trial(place, kind, mode, SOAK_RATE if soak else RATE, recovery={"standby": True}) as t:
        for _ in range(kills):
            if soak:
                wait_between_kills(t.began)
            t.kill()
        total = t.report()
        t.assert_each_kill_duplicates_a_burst_at_most(total)
        t.assert_each_kill_loses_a_burst_at_most(total)
        assert "takes over" in t.switch.log()
        figures.add_gaps(f"kill -9 with standby, {kind}, {mode}: nobody has the ports", t.without_a_worker(), halts, aims.KILL_WITH_STANDBY, total)
        figures.add_gaps("… as the VMs see it", t.outages(), halts, aims.KILL_WITH_STANDBY)
        figures.add_halts(halts, t.began)
        if soak:
            figures.add(f"… the machine alone, {kind}, {mode}", [gap.ms for gap in t.outages_of_the_machine()], aims.KILL_WITH_STANDBY)


DETACH, SEIZE, INTERRUPT, LISTEN, WALL = 17, 0x4206, 0x4207, 0x4208, 0x40000000  # ptrace(2), waitpid(2)


def trace(request: int, thread: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.ptrace(request, thread, None, None) == 0, os.strerror(ctypes.get_errno())


def hold(thread: int) -> None:
    """Stops one thread, and not its process, as a debugger would, for the rest of its life."""
    trace(SEIZE, thread)
    trace(INTERRUPT, thread)
    os.waitpid(thread, WALL)
    # A process is not gone before whoever traces its threads has seen their ends.
    threading.Thread(target=os.waitpid, args=(thread, WALL), daemon=True).start()


def hold_until_asked(thread: int) -> threading.Thread:
    """Stops one thread, and not its process, until its process is told to go on, which is what the keeper does after it
    has asked for its stack; then the thread answers. Whoever holds it may not be late: it is killed soon."""
    held = threading.Event()

    def holds():
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        trace(SEIZE, thread)
        trace(INTERRUPT, thread)
        os.waitpid(thread, WALL)
        trace(LISTEN, thread)
        held.set()
        _, status = os.waitpid(thread, WALL)
        if os.WIFSTOPPED(status):
            trace(DETACH, thread)

    holder = threading.Thread(target=holds)
    holder.start()
    assert held.wait(30)
    return holder


def ends_of_threads_can_be_awaited() -> bool:
    """By others than their process: since Linux 6.9."""
    fd = ctypes.CDLL(None).syscall(434, threading.get_native_id(), os.O_EXCL)  # pidfd_open with PIDFD_THREAD
    if fd >= 0:
        os.close(fd)
    return fd >= 0


@pytest.mark.parametrize("kind", ["split", "packed"])
def test_a_worker_that_stands_by_does_not_wait_until_the_dead_ones_process_is_gone(place, kind):
    with trial(place, kind, recovery={"standby": True}) as t:
        wait_standby(t.switch)
        pid = t.worker()["pid"]
        other = next(int(thread) for thread in os.listdir(f"/proc/{pid}/task") if int(thread) not in (pid, pmd_of(pid)))
        trace(SEIZE, other)  # a thread whose end nobody has seen keeps its process from being gone
        t.switch.deaths_expected += 1
        t.began.append(time.monotonic())
        os.kill(pid, signal.SIGKILL)
        early = ends_of_threads_can_be_awaited()
        if early:
            t.switch.wait_other_worker(pid)
            t.wait_traffic()
        assert os.path.exists(f"/proc/{pid}"), "all threads but one are gone, and the process is not"
        os.waitpid(other, WALL)
        t.switch.wait_other_worker(pid)
        wait_until(lambda: f"worker {pid} was killed by signal 9" in t.switch.log(), "the end of the process is noticed", 30)
        assert (f"worker {pid} is dying; the one that stands by takes over" in t.switch.log()) == early
        t.kill()
        total = t.report()
        t.assert_each_kill_duplicates_a_burst_at_most(total)


def test_a_pmd_that_stands_is_found_also_while_the_control_thread_waits_for_it(place):
    with trial(place, pmd={"cores": [1], "idle": "spin"}) as t:  # one that was found asleep would be given a look more
        t.switch.cli("port", "add", "name=other", "type=null")
        pid = t.worker()["pid"]
        t.switch.deaths_expected += 1
        hold(pmd_of(pid))
        with contextlib.suppress(OSError, ValueError):
            t.switch.rpc("port_del", name="other")  # waits for the PMD to let go of the port
        t.switch.wait_other_worker(pid)
        t.wait_traffic()
        t.report()
        assert "PMD 0 has stood still for 1000 ms" in t.switch.log()


@pytest.mark.parametrize("whose, idle", [("control", "spin"), ("pmd", "spin"), ("pmd", "sleep up to 1 ms")])
def test_one_thread_that_stands_is_found_alone_and_says_where(place, whose, idle):
    with trial(place, pmd={"cores": [1], "idle": idle}) as t:
        t.wait_traffic()
        pid = t.worker()["pid"]
        t.switch.deaths_expected += 1
        holder = hold_until_asked(pid if whose == "control" else pmd_of(pid))
        wait_until(lambda: "its stack follows" in t.switch.log(), "it is found", 30)
        holder.join()
        t.switch.wait_other_worker(pid)
        t.wait_traffic()
        t.report()
        log = t.switch.log()
        thread = "the control thread" if whose == "control" else "PMD 0"
        # Of one that is found asleep, the time in which it may be is rounded up to a look of the keeper's, 125 ms.
        stood = "1000" if idle == "spin" else "1000|1125"
        assert re.search(rf"worker {pid}: {thread} has stood still for ({stood}) ms; its stack follows", log), log
        stacks = dict(re.findall(r"stack of thread (\S+):\n((?:.*\[0x[0-9a-f]+\]\n)+)", log))
        # Those of PMDs are asked for whoever stands: the control thread may wait for them.
        assert set(stacks) == ({"sluice-worker", "pmd-1"} if whose == "control" else {"pmd-1"}), log
        assert all("sluice(" in stack for stack in stacks.values()), "each of them was in the program itself"


def test_a_stopped_pmd_is_a_crash(place, times, figures):
    stops = times(1, 10)
    with trial(place) as t:
        for _ in range(stops):
            if stops > 1:
                wait_between_kills(t.began)
            pid = t.worker()["pid"]
            t.switch.deaths_expected += 1
            t.began.append(time.monotonic())
            os.kill(pmd_of(pid), signal.SIGSTOP)
            t.switch.wait_other_worker(pid)
            t.wait_traffic()
        figures.add("SIGSTOP of a PMD, until traffic goes on", [gap.ms for gap in t.outages()], aims.STOPPED_PMD, t.report())
        assert "has stood still for 1000 ms" in t.switch.log() and "stack of thread" in t.switch.log()


def pauses(t: Trial) -> list[float]:
    """For how many ms nobody had the ports, in each upgrade, as the switch says."""
    return [float(found) for found in re.findall(r"nobody had the VMs' ports for ([\d.]+) ms", t.switch.log())]


def upgrade_again_and_again(place, figures, halts, what: str, kind: str, times: int, rate: int, own_core: bool, flows: int = FLOWS):
    """What the VMs see is put beside what they see of the machine alone, as often and for as long, without an upgrade."""
    with trial(place, kind, rate=rate, own_core=own_core, flows=flows) as t:
        wait_until(lambda: t.worker()["flows"] >= 2 * flows, "all flows are there", 60)
        before = sum(t.switch.drops().values())  # of many flows that begin at once
        quiet = []
        for _ in range(times):
            if times > 3:
                time.sleep(0.3)  # by then, what the last upgrade has left to be done is done
            quiet.append(time.monotonic() - 0.1)
            t.upgrade()
        total = t.report()
        total["lost"] -= before
        t.assert_nothing_lost(total, rate)
        figures.add(f"{what}: nobody has the ports", pauses(t), aims.UPGRADE, total)
        figures.add_gaps(f"{what}: as the VMs see it", t.gaps(t.taken_up()), halts, aims.UPGRADE)
        figures.add_halts(halts, t.began)
        figures.add(f"{what}: the machine alone, as they see it", [gap.ms for gap in t.gaps(quiet)], {})


@pytest.mark.parametrize("kind, own_core", [("split", True), ("packed", True), ("split-two-queues", True), ("split", False)])
def test_an_upgrade_loses_nothing(place, times, figures, halts, kind, own_core):
    core = "a core of their own" if own_core else "the new worker's core"
    upgrade_again_and_again(place, figures, halts, f"upgrade, {kind}, VMs on {core}", kind, times(3, 50), times(RATE, SOAK_RATE), own_core)


@pytest.mark.parametrize("kind", ["split", "packed"])
def test_an_upgrade_loses_nothing_at_a_rate_that_rings_hold_for_5_ms(place, times, figures, halts, kind):
    upgrade_again_and_again(place, figures, halts, f"upgrade at 200,000 frames a second each, {kind}", kind, times(2, 50), 200_000, own_core=True)


def test_an_upgrade_with_many_flows_loses_nothing(place, times, figures, halts):
    flows = times(10_000, 400_000)  # fewer than the table holds, so that none has to go
    upgrades = times(2, 20)
    upgrade_again_and_again(place, figures, halts, f"upgrade at 200,000 frames a second each, of {flows:,} flows each", "split", upgrades, 200_000,
                            own_core=True, flows=flows)
    handed_over = re.findall(r"info (\d+) of the (\d+) flows of the worker before are here", (place / "switch.log").read_text())
    assert len(handed_over) == upgrades
    assert all(here == all_of_them and int(here) >= 2 * flows for here, all_of_them in handed_over), handed_over


@pytest.mark.parametrize("how", ["kill", "upgrade"])
def test_a_flow_stays_with_the_queue_that_it_comes_on(place, how):
    def flows_by_queue(t: Trial) -> list[int]:
        """Each flow has its share of a VM's frames."""
        before = t.received_by_queue()
        wait_until(lambda: sum(t.received_by_queue()) - sum(before) >= 2 * 60 * FLOWS, "each flow has come sixty times", 60)
        found = [now - then for now, then in zip(t.received_by_queue(), before)]
        return [round(FLOWS * frames / sum(found[vm:vm + 2])) for vm in (0, 2) for frames in found[vm:vm + 2]]

    with trial(place, "split-two-queues") as t:
        t.wait_traffic()
        # Masks that were changed and are as they were count for nothing: they are counted anew by the next worker.
        t.switch.cli("rule", "add", "priority=1,udp,tp_dst=9,actions=drop")
        t.switch.cli("rule", "del", "priority=1,udp,tp_dst=9")
        before = flows_by_queue(t)
        for _ in range(3):
            t.kill() if how == "kill" else t.upgrade()
            assert flows_by_queue(t) == before
        t.report()


def test_after_an_upgrade_no_packet_of_a_flow_that_was_there_waits_for_a_decision(place):
    with trial(place) as t:
        for _ in range(2):
            t.wait_traffic()
            flows = t.worker()["flows"]
            assert flows >= 2 * FLOWS
            t.upgrade()
            (pmd,) = t.switch.rpc("pmds")["pmds"]
            assert pmd["hits"] > FRAMES and pmd["misses"] == 0 and t.worker()["flows"] == flows
        assert re.search(rf"info {flows} of the {flows} flows of the worker before are here", t.switch.log())
        t.assert_nothing_lost(t.report(), RATE)


def test_an_upgrade_of_two_pmds_moves_no_queue_of_a_vm_while_devices_are_closed(place, times):
    ports = [{"name": "device", "type": "null", "no_rx": True}, *vhost_ports(place)["ports"]]
    with trial(place, "split-two-queues", ports=ports, pmd={"cores": [0, 1], "idle": "sleep up to 50 us"}) as t:
        t.wait_traffic()
        for _ in range(times(3, 20)):
            t.upgrade()
            pmds = t.switch.rpc("pmds")["pmds"]
            assert all(pmd["misses"] == 0 < pmd["hits"] for pmd in pmds) and len(pmds) == 2, pmds
        t.assert_nothing_lost(t.report(), RATE)


def test_an_upgrade_reads_the_configuration_anew(place):
    with trial(place) as t:
        file = place / "switch.yaml"
        file.write_text(file.read_text().replace('"ports": [', '"ports": [{"name": "new", "type": "null", "no_rx": true},'))
        t.switch.cli("upgrade")
        assert "new" in t.switch.ports()
        file.write_text("ports: [{name: vm0, type: null, typ: 1}]")
        refused = t.switch.cli("upgrade", check=False)
        assert refused.returncode == 1 and "unknown key 'typ'" in refused.stderr
        assert "new" in t.switch.ports()
        t.wait_traffic()
        t.report()


def program(path: pathlib.Path, *lines: str) -> pathlib.Path:
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)
    return path


# The program itself, to which the running switch is one of another version: of the state in memory, and of what the keeper says.
OTHER_STATE = f"""#!/usr/bin/python3
import os, sys
STATE = 4  # as the keeper hands it over; its layout's version is 32 bits after the magic number's 64
other = os.memfd_create("state")
os.ftruncate(other, os.fstat(STATE).st_size)
head = bytearray(os.pread(STATE, 4096, 0))
head[8:12] = (int.from_bytes(head[8:12], "little") + 1).to_bytes(4, "little")
os.pwrite(other, head, 0)
os.dup2(other, STATE)
os.execv("{BINARY}", ["sluice", *sys.argv[1:]])"""
OTHER_PROTOCOL = f"""#!/usr/bin/python3
import os, sys
arguments = sys.argv[1:]
version = arguments.index("--protocol") + 1
arguments[version] = str(int(arguments[version]) + 1)
os.execv("{BINARY}", ["sluice", *arguments])"""


def test_when_the_new_version_does_not_come_up_the_old_one_goes_on(place, times):
    crashes = program(place / "crashes", "#!/bin/sh", "kill -SEGV $$")
    hangs = program(place / "hangs", "#!/bin/sh", "exec sleep 1000")
    other_state = program(place / "other_state", OTHER_STATE)
    other_protocol = program(place / "other_protocol", OTHER_PROTOCOL)
    with trial(place) as t:
        pid = t.worker()["pid"]
        refusals = (("/bin/false", 1, "exit code 1"), (crashes, 1, "killed by signal 11"), (hangs, 1, "was not ready in time"),
                    (place / "switch.yaml", 1, "cannot be executed"), (other_state, 30, "it cannot take over from it"),
                    (other_protocol, 30, "of the keeper's protocol"))
        for binary, seconds, why in refusals * times(1, 5):
            refused = t.switch.cli("upgrade", "--binary", binary, "--timeout", str(seconds), check=False)
            assert refused.returncode == 1 and why in refused.stderr, refused
            t.wait_traffic()
        assert t.worker()["pid"] == pid
        total = t.report()
        assert total["lost"] == total["duplicated"] == 0, total
