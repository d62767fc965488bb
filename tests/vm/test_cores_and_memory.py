"""Where the switch's PMDs run, which queues they poll, and what its memory is made of: as the configuration says."""

import json
import re
import subprocess

import pytest

import hugepages
from process import wait_until
from switch import BINARY, Switch, vhost_port
from testpmd import HUGEPAGES, TestpmdVm, VirtioUser

MEGABYTES = 64
MACS = ("02:00:00:00:01:00", "02:00:00:00:01:01")


def switch_for_two(place, **config):
    return Switch(place, {"ports": [vhost_port(f"vm{i}", place / f"vm{i}.sock") for i in (1, 2)], **config})


def exchange_frames(switch, place, queues=1):
    """Two VMs attach, send to each other for a while, and rest. They are gone afterwards."""
    with TestpmdVm(place, [VirtioUser(place / f"vm{i + 1}.sock", mac, queues=queues) for i, mac in enumerate(MACS)]) as vm:
        vm.wait_ready()
        switch.wait_link("vm1", "vm2")
        vm.start("mac", first=1)
        vm.wait_for_traffic()
        vm.stop_forwarding()
        switch.assert_accounts_for_every_frame()
        return switch.rpc("pmds")["pmds"]


@pytest.mark.usefixtures("testpmd_memory")
def test_queues_are_polled_where_they_are_pinned_and_the_others_where_there_is_least_to_do(place):
    pinned = {("vm1", 0): 1, ("vm1", 1): 1, ("vm2", 0): 1}
    pmd = {"cores": [0, 1], "idle": "sleep up to 50 us",
           "pin": [{"port": port, "queue": queue, "core": core} for (port, queue), core in pinned.items()]}
    with switch_for_two(place, pmd=pmd) as switch:
        switch.wait_ready()
        pmds = exchange_frames(switch, place, queues=2)
        assert {(queue["port"], queue["queue"]): each["core"] for each in pmds for queue in each["queues"]} == {**pinned, ("vm2", 1): 0}
        assert all(queue["packets"] > 0 for each in pmds for queue in each["queues"])


def hugetlb_kilobytes(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"HugetlbPages:\s*(\d+) kB", status.read()).group(1))


@pytest.mark.parametrize("asked_for", [True, False])
def test_a_switch_has_its_memory_in_hugepages_if_it_is_to(place, asked_for):
    with hugepages.reserved(HUGEPAGES + MEGABYTES // 2), \
            switch_for_two(place, memory={"hugepages": asked_for, "amount": f"{MEGABYTES} MiB"}) as switch:
        switch.wait_ready()
        assert hugetlb_kilobytes(switch.worker_pid) == (MEGABYTES << 10 if asked_for else 0)
        assert switch.rpc("memory")["hugepages"] == asked_for
        exchange_frames(switch, place)


def test_without_hugepages_to_be_had_the_switch_says_what_would_help(place):
    file = place / "switch.yaml"
    file.write_text("memory: {hugepages: true, amount: 512 GiB}\nports: [{name: hole, type: 'null'}]\n")
    run = subprocess.run([BINARY, "run", file, "--socket", place / "control.sock"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert "hugepages" in run.stderr and "/proc/sys/vm/nr_hugepages" in run.stderr, run.stderr


def test_a_switch_that_has_fewer_pmds_than_before_is_not_taken_for_one_that_hangs(place):
    with switch_for_two(place, pmd={"cores": [0, 1], "idle": "sleep up to 50 us"}) as switch:
        switch.wait_ready()
        file = place / "switch.yaml"
        config = json.loads(file.read_text())
        file.write_text(json.dumps({**config, "pmd": {**config["pmd"], "cores": [1]}}))
        switch.cli("upgrade", "--binary", BINARY)
        # The next one says that it lives where the first one did, which had two.
        pid = switch.worker_pid
        switch.kill_worker()
        switch.wait_other_worker(pid)
        pid = switch.worker_pid
        wait_until(lambda: switch.rpc("status")["uptime_seconds"] > 2.5, "it has had time to be looked at", 60)
        assert switch.worker_pid == pid and "has stood still" not in switch.log()
        assert len(switch.rpc("pmds")["pmds"]) == 1
