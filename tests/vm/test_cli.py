"""What an operator does with a running switch: every command, over traffic."""

import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import tempfile

import pytest

from hostile import HostileGuest
from process import wait_until
from switch import BINARY, RpcError, Switch, vhost_port
from testpmd import TestpmdVm, VirtioUser
from vhost_user import FrontEnd

MACS = ("02:00:00:00:01:00", "02:00:00:00:01:01")
VIEWS = ("status", "ports", "flows", "fdb", "pmds", "drops", "rules", "memory")


@pytest.fixture(scope="module")
def busy(testpmd_memory):
    """A switch that forwards between two VMs."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="sluice-"))
    ports = [VirtioUser(place / f"vm{i + 1}.sock", mac) for i, mac in enumerate(MACS)]
    with Switch(place, {"ports": [vhost_port(f"vm{i + 1}", port.path) for i, port in enumerate(ports)]}) as switch, \
            TestpmdVm(place, ports) as vm:
        switch.wait_ready()
        vm.wait_ready()
        switch.wait_link("vm1", "vm2")
        vm.start("mac", first=1)
        vm.wait_for_traffic()
        switch.vm = vm
        yield switch
    shutil.rmtree(place)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_for_people_and_for_programs(busy, view):
    assert busy.cli("show", view).stdout.strip()
    assert json.loads(busy.cli("show", view, "--json").stdout).keys() == busy.rpc(view).keys()


def test_output_that_is_no_terminal_has_no_colour(busy):
    for view in VIEWS:
        assert "\033" not in busy.cli("show", view).stdout


def test_ports_show_traffic_and_links(busy):
    text = busy.cli("show", "ports").stdout
    assert re.search(r"^vm1\b.*up", text, re.MULTILINE) or ("vm1" in text and "connected" in text), text


def test_flows_read_like_an_ovs_operator_expects(busy):
    flows = busy.rpc("flows")["flows"]
    assert any("in_port=vm1" in flow["key"] and flow["actions"] == "output:vm2" and flow["packets"] > 0 for flow in flows), flows


def test_the_fdb_knows_both_vms(busy):
    assert busy.fdb() == {(0, MACS[0]): "vm1", (0, MACS[1]): "vm2"}


def test_pmds_show_core_queues_and_cycles(busy):
    (pmd,) = busy.rpc("pmds")["pmds"]
    assert pmd["core"] == 1 and pmd["packets"] > 0 and pmd["busy_cycles_per_packet"] > 0
    assert {(queue["port"], queue["queue"]) for queue in pmd["queues"]} >= {("vm1", 0), ("vm2", 0)}
    assert all(queue["cycle_share"] > 0 for queue in pmd["queues"])
    assert sum(queue["cycle_share"] for queue in pmd["queues"]) <= pmd["busy_share"] <= 1
    (thread,) = [tid for tid in os.listdir(f"/proc/{busy.worker_pid}/task") if allowed_cpus(busy.worker_pid, tid) == "1"]
    assert thread


def allowed_cpus(pid, tid):
    with open(f"/proc/{pid}/task/{tid}/status") as status:
        return re.search(r"Cpus_allowed_list:\s*(\S+)", status.read()).group(1)


def test_a_rule_takes_effect_and_is_gone_again(busy):
    rule = f"priority=100,in_port=vm1,dl_dst={MACS[1]}"
    busy.cli("rule", "add", f"{rule},actions=drop")
    try:
        wait_until(lambda: busy.drops().get(("vm1", "rule"), 0) > 0, "the rule drops", 10)
        assert any(each["packets"] > 0 for each in busy.rpc("rules")["rules"])
        assert "drop" in busy.cli("trace", f"in_port=vm1,dl_src={MACS[0]},dl_dst={MACS[1]}").stdout
    finally:
        busy.cli("rule", "del", rule)
    # What the rule dropped was the VMs' whole loop: it has to be started again.
    busy.vm.stop_forwarding()
    busy.vm.start("mac", first=1)
    busy.vm.wait_for_traffic()
    assert busy.rpc("rules")["rules"] == []
    assert "output:vm2" in busy.cli("trace", f"in_port=vm1,dl_src={MACS[0]},dl_dst={MACS[1]}").stdout


def test_a_rule_with_an_error_is_refused_with_its_column(busy):
    refused = busy.cli("rule", "add", "priority=100,in_prt=vm1,actions=drop", check=False)
    assert refused.returncode != 0 and "in_prt" in refused.stderr and "column" in refused.stderr
    with pytest.raises(RpcError):
        busy.rpc("rule_add", rule="priority=100,in_prt=vm1,actions=drop")


def test_a_port_is_added_and_deleted_under_traffic(busy):
    path = busy.socket.parent / "vm3.sock"
    busy.cli("port", "add", "name=vm3", "type=vhost-user", f"path={path}", "mode=server")
    assert path.exists() and "vm3" in busy.ports()
    busy.cli("port", "del", "vm3")
    assert not path.exists() and "vm3" not in busy.ports()
    busy.vm.wait_for_traffic()
    again = busy.cli("port", "del", "vm3", check=False)
    assert again.returncode != 0 and "vm3" in again.stderr


@pytest.mark.parametrize("mode", ["server", "client"])
def test_no_port_is_added_at_the_control_socket(busy, mode):
    before = busy.ports().keys()
    refused = busy.cli("port", "add", "name=vm3", "type=vhost-user", f"path={busy.socket}", f"mode={mode}", check=False)
    assert refused.returncode == 1 and f"port 'vm3': path {busy.socket} is the control socket; right is another" in refused.stderr
    assert busy.ports().keys() == before


def test_stats_are_cleared_and_the_fdb_flushed(busy):
    busy.vm.stop_forwarding()
    busy.vm.take_what_is_left()
    busy.wait_at_rest()
    busy.cli("stats", "clear")
    assert all(port["rx_packets"] == 0 for port in busy.ports().values())
    busy.cli("fdb", "flush")
    assert busy.fdb() == {}
    busy.vm.start("mac", first=1)
    busy.vm.wait_for_traffic()
    assert busy.fdb() == {(0, MACS[0]): "vm1", (0, MACS[1]): "vm2"}


LEVELS = ("debug", "info", "warning", "error", "off")


def test_the_log_has_what_its_level_asks_for_until_the_worker_is_another(place):
    with Switch(place, {"ports": [vhost_port("vm1", place / "vm1.sock", "server")]}) as switch:
        switch.wait_ready()

        def said():
            """What the log says, by level, of a request, a VM, another that is turned away, and a message that is none."""
            before = len(switch.log())
            switch.rpc("fdb")
            vm = HostileGuest(place / "vm1.sock")
            switch.wait_link("vm1")
            second = FrontEnd(place / "vm1.sock")
            second.wait_closed()
            second.close()
            vm.front_end.send(99)
            vm.front_end.wait_closed()
            vm.close()
            switch.wait_link("vm1", up=False)
            return {level: text for level in LEVELS if (text := "\n".join(re.findall(rf" {level} (.*)$", switch.log()[before:], re.MULTILINE)))}

        for number, level in enumerate(LEVELS):
            switch.cli("log", level)
            log = said()
            assert tuple(log) == LEVELS[number:-1], f"at {level}: {log}"
            if level == "debug":
                assert "control socket: fdb {}" in log["debug"]
                assert re.search(r"port 'vm1': rings in use: to guest 0 \(size 64\), from guest 0 \(size 64\), features .*VERSION_1", log["debug"]), log["debug"]
                assert "port 'vm1': rings in use: none" in log["debug"]
                assert "front end connected" in log["info"] and "turned away" in log["warning"] and "message 99 is unknown" in log["error"]
        refused = switch.cli("log", "loud", check=False)
        assert refused.returncode == 2 and "loud" in refused.stderr
        assert said() == {}, "a level that is none changes nothing"
        # The keeper's lines are not the level's.
        before = len(switch.log())
        switch.kill_worker()
        wait_until(lambda: re.search(r" error worker \d+ was killed(.|\n)* info worker \d+ is running", switch.log()[before:]), "the keeper tells of it", 10)
        assert tuple(said()) == ("info", "warning", "error")


def test_the_control_socket_is_for_its_owner_alone(busy):
    assert stat.S_IMODE(os.stat(busy.socket).st_mode) == 0o600


def test_without_a_switch_the_client_says_where_it_looked(place):
    run = subprocess.run([BINARY, "show", "ports", "--socket", place / "none.sock"], capture_output=True, text=True, timeout=20)
    assert run.returncode != 0 and "none.sock" in run.stderr and not run.stdout


def test_a_second_switch_on_the_same_socket_is_refused(busy):
    run = subprocess.run([BINARY, "run", busy.socket.parent / "switch.yaml", "--socket", busy.socket], capture_output=True, text=True, timeout=30)
    assert run.returncode != 0 and str(busy.socket) in run.stderr
    assert busy.rpc("status")["ports"] == 2


def test_a_configuration_with_errors_is_refused_with_lines_and_columns(place):
    file = place / "wrong.yaml"
    file.write_text("ports:\n  - {name: vm1, type: vhost-usr, path: /tmp/x}\n  - {name: vm1, type: null}\nbrige: {}\n")
    for command in ("check", "run"):
        run = subprocess.run([BINARY, command, file], capture_output=True, text=True, timeout=30)
        assert run.returncode != 0
        assert f"{file}:2:" in run.stderr and f"{file}:4:1" in run.stderr, run.stderr


def test_the_completion_script_is_bash(place):
    script = subprocess.run([BINARY, "completion", "bash"], check=True, capture_output=True, text=True).stdout
    subprocess.run(["bash", "-n"], input=script, check=True, text=True)
    words = subprocess.run(["bash", "-c", f"{script}\nCOMP_WORDS=(sluice show po); COMP_CWORD=2; "
                            "$(complete -p sluice | sed -E 's/.*-F ([^ ]+).*/\\1/') sluice po show; echo ${COMPREPLY[@]}"],
                           check=True, capture_output=True, text=True).stdout
    assert words.split() == ["ports"]
