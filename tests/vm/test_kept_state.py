"""What a worker has learnt, counted and been told, the next one knows: after a crash, from a worker that stood by, and
after an upgrade. Guests are front ends by hand, who see each frame that reaches them.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket

import pytest

import hugepages
import vmgen
from hostile import HostileGuest
from process import wait_until
from switch import BINARY, Switch, vhost_port

NAMES = "abc"
BROADCAST = "ffffffffffff"
HOW = ("crash", "standby", "upgrade")


def mac(name: str) -> str:
    return f"0200000000{ord(name):02x}"


def frame(to: str, source: str, number: int) -> bytes:
    return (bytes.fromhex((BROADCAST if to == "all" else mac(to)) + mac(source) + "88b5") + number.to_bytes(4, "big")).ljust(60, b"\0")


def replace_worker(switch: Switch, how: str) -> None:
    pid = switch.worker_pid
    if how == "upgrade":
        switch.cli("upgrade", "--binary", BINARY)
    else:
        switch.deaths_expected += 1
        os.kill(pid, signal.SIGKILL)

    def followed():
        with contextlib.suppress(OSError, ValueError):
            return switch.worker_pid != pid
    wait_until(followed, "another worker answers", 30)
    if how == "standby":
        assert "takes over" in switch.log()


class Site:
    """A switch and its guests, which stay connected whatever becomes of the worker."""

    def __init__(self, place: pathlib.Path, stack: contextlib.ExitStack, how: str, **config):
        self.how, self.place, self.stack = how, place, stack
        self.sockets = place / "sockets"
        self.sockets.mkdir()
        self.ports = [vhost_port(name, self.socket(name), "server") for name in NAMES]
        ports = [*self.ports, {"name": "unused", "type": "null", "no_rx": True}]
        self.config = {"ports": ports, "pmd": {"cores": [1], "idle": "sleep up to 50 us"}, **config}
        self.write_config()
        self.switch = stack.enter_context(Switch(place, place / "switch.yaml"))
        self.switch.wait_ready()
        self.guests: dict[str, HostileGuest] = {}
        for name in NAMES:
            self.attach(name)
        self.number = 0

    def socket(self, name: str) -> pathlib.Path:
        return self.sockets / f"{name}.sock"

    def write_config(self) -> None:
        # A worker that a busy machine holds up is not to be replaced for that.
        recovery = f"\nrecovery: {{standby: {str(self.how == 'standby').lower()}, hang_timeout: 30 s}}\n"
        (self.place / "switch.yaml").write_text("\n".join(f"{key}: {json.dumps(value)}" for key, value in self.config.items()) + recovery)

    def attach(self, name: str) -> None:
        self.guests[name] = self.stack.enter_context(HostileGuest(self.socket(name)))
        self.switch.wait_link(name)
        self.guests[name].give_buffers()

    def pass_frame(self, to: str, source: str) -> bytes:
        """Sends a frame, and waits until it has come. Whatever else comes meanwhile is dropped."""
        self.number += 1
        sent = frame(to, source, self.number)
        self.guests[source].send(sent)
        got: list[bytes] = []
        wait_until(lambda: got.extend(self.guests[to].received()) or sent in got, f"a frame of {source}'s reaches {to}")
        return sent

    def workers(self) -> list[int]:
        children = pathlib.Path(f"/proc/{self.switch.pid}/task/{self.switch.pid}/children").read_text().split()
        return [int(child) for child in children]

    def wait_standby(self) -> int:
        """One that is ready has a thread for its PMD. Returns its number."""
        def ready():
            for pid in self.workers():
                with contextlib.suppress(OSError):
                    if pid != self.switch.worker_pid and any((task / "comm").read_text() == "pmd-1\n" for task in pathlib.Path(f"/proc/{pid}/task").iterdir()):
                        return pid
            return None
        return wait_until(ready, "another worker stands by", 30)

    def replace_worker(self) -> None:
        replace_worker(self.switch, self.how)

    def counts(self) -> dict:
        ports = self.switch.wait_at_rest()
        keys = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "rx_dropped", "tx_dropped")
        return {"drops": self.switch.drops(), **{name: [port[key] for key in keys] for name, port in ports.items()}}


@pytest.fixture(params=HOW)
def site(place, request):
    with contextlib.ExitStack() as stack:
        site = Site(place, stack, request.param, rules=["priority=7,udp,actions=drop", "priority=8,tcp,actions=drop"])
        if site.how == "standby":
            site.wait_standby()
        yield site


def test_a_known_pair_is_not_flooded(site):
    site.guests["a"].send(frame("all", "a", 0))
    site.pass_frame("a", "b")
    site.pass_frame("b", "a")
    before = site.switch.fdb()
    assert set(before.values()) == {"a", "b"}

    def old() -> bool:
        return min(entry["age_seconds"] for entry in site.switch.rpc("fdb")["fdb"]) > 1
    for _ in range(2):
        wait_until(old, "addresses have not been heard for a while", 30)
        site.replace_worker()
        assert site.switch.fdb() == before
        assert old(), "addresses are as old as they were"
        site.guests["c"].received()
        site.pass_frame("b", "a")
        site.number += 1
        mark = frame("all", "a", site.number)
        site.guests["a"].send(mark)
        came: list[bytes] = []
        wait_until(lambda: came.extend(site.guests["c"].received()) or mark in came, "c receives what is for all")
        assert came == [mark], "c has seen a frame of others"


def test_counters_go_on(site):
    site.pass_frame("b", "a")
    site.guests["c"].send(b"\1" * 10)  # shorter than a header
    site.guests["c"].wait_taken()
    before = site.counts()
    assert before["a"][0] == 1 and before["b"][2] == 1 and before["drops"] == {("c", "rx_runt"): 1}
    site.replace_worker()
    assert site.counts() == before
    site.switch.cli("stats", "clear")
    site.pass_frame("a", "b")
    since = site.counts()
    assert since["b"][0] == 1 and since["drops"] == {}
    site.replace_worker()
    assert site.counts() == since, "what was cleared stays so"
    site.pass_frame("a", "b")
    assert site.counts()["b"][0] == 2


@pytest.mark.parametrize("how", ["crash", "upgrade"])
def test_every_frame_stays_accounted_for(place, how):
    times = 3
    ports = [vhost_port(f"vm{i}", place / f"vm{i}.sock") for i in range(2)]
    with hugepages.reserved(vmgen.HUGEPAGES), Switch(place, {"ports": ports}) as switch:
        switch.wait_ready()
        with vmgen.Vmgen(place, [f"path={place}/vm{i}.sock" for i in range(2)], "--rate", 2_000, "--flows", 10, "--duration", 0) as vms:
            vms.wait_sending()
            for _ in range(times):
                before = switch.ports()
                wait_until(lambda: all(port["tx_packets"] > before[name]["tx_packets"] + 500 for name, port in switch.ports().items()),
                           "frames reach both VMs", 30)
                replace_worker(switch, how)
            vms.signal(signal.SIGTERM)
            vms.wait_report()
        ports = switch.wait_at_rest()
        drops = switch.drops()
        taken, given = (sum(port[key] for port in ports.values()) for key in ("rx_packets", "tx_packets"))
        missing = taken - given - sum(drops.values())
        # A worker that is killed has at most a burst of each queue in hand, some of it already given.
        assert 0 <= missing <= (2 * 32 * times if how == "crash" else 0), (ports, drops)


def rules(switch: Switch) -> list[str]:
    return [rule["rule"] for rule in switch.rpc("rules")["rules"]]


def test_rules_and_ports_stay_as_they_were_changed(site):
    switch = site.switch
    switch.cli("rule", "add", "priority=9,in_port=c,actions=drop")
    switch.cli("rule", "add", "priority=7,udp,actions=normal")
    switch.cli("rule", "del", "priority=8,tcp")
    switch.cli("port", "add", "name=d", "type=vhost-user", f"path={site.socket('d')}", "mode=server")
    switch.cli("rule", "add", "in_port=d,dl_type=0x1234,actions=output:a")
    switch.cli("port", "del", "unused")
    site.attach("d")
    site.pass_frame("a", "d")
    before, ports = rules(switch), list(switch.ports())
    assert len(before) == 3 and ports == [*NAMES, "d"]
    for _ in range(2):
        site.replace_worker()
        assert rules(switch) == before and list(switch.ports()) == ports
        site.pass_frame("d", "a")
        site.pass_frame("a", "d")
        site.guests["c"].send(frame("a", "c", 0))
        site.guests["c"].wait_taken()
        wait_until(lambda: switch.drops().get(("c", "rule")), "c's frames are dropped")
        if site.how == "standby":
            site.wait_standby()
    switch.cli("rule", "del", "all")
    switch.cli("port", "del", "d")
    site.replace_worker()
    assert rules(switch) == [] and list(switch.ports()) == [*NAMES] and not site.socket("d").exists()


def test_one_that_stands_by_has_the_memory_of_guests_that_are_there_and_of_no_other(place):
    with contextlib.ExitStack() as stack:
        site = Site(place, stack, "standby")
        standby = site.wait_standby()
        memory = os.fstat(site.guests["c"].memory.fd).st_ino

        def mapped() -> bool:
            return any("memfd:" in line and int(line.split()[4]) == memory for line in pathlib.Path(f"/proc/{standby}/maps").read_text().splitlines())
        wait_until(mapped, "it has mapped a guest's memory")
        site.switch.cli("port", "del", "c")
        wait_until(lambda: not mapped(), "the memory of a port that is gone is given back")
        site.replace_worker()
        site.pass_frame("a", "b")


def test_a_device_that_cannot_be_had_any_more_does_not_keep_the_switch_from_going_on_and_is_back_when_it_is_there(site):
    capture = site.place / "frames.pcap"
    capture.write_bytes(bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"))
    site.switch.cli("port", "add", "name=p", "type=pcap", f"rx={capture}")
    content = capture.read_bytes()
    capture.unlink()
    site.replace_worker()
    assert site.switch.ports()["p"]["state"] == "missing" and str(capture) in site.switch.ports()["p"]["details"]["why"]
    assert "the switch goes on without it" in site.switch.log()
    site.pass_frame("b", "a")
    capture.write_bytes(content)
    wait_until(lambda: site.switch.ports()["p"]["link_up"], "it is found", 30)
    assert "port 'p' is back" in site.switch.log()


@pytest.mark.parametrize("how", ["crash", "standby"])
def test_a_port_whose_socket_s_directory_is_gone_keeps_its_guest_and_listens_again_after_an_upgrade(place, how):
    with contextlib.ExitStack() as stack:
        site = Site(place, stack, how)
        site.pass_frame("b", "a")
        shutil.rmtree(site.sockets)
        for _ in range(2):
            if how == "standby":
                site.wait_standby()
            site.replace_worker()
            site.pass_frame("b", "a")
            site.pass_frame("c", "b")
        assert f"port 'a': path '{site.socket('a')}': cannot make the socket: No such file or directory" in site.switch.log()
        refused = site.switch.cli("upgrade", "--binary", BINARY, check=False)
        assert refused.returncode == 1 and "cannot make the socket" in refused.stderr, "an upgrade has the old one to fall back to"
        site.pass_frame("b", "a")
        site.sockets.mkdir()
        replace_worker(site.switch, "upgrade")
        site.pass_frame("b", "a")
        assert site.switch.log().count("front end connected") == 3, "the guests have noticed nothing"
        assert all(site.socket(name).is_socket() for name in NAMES)


def test_what_others_put_in_the_place_of_a_port_s_socket_is_left_alone_and_keeps_nobody_from_going_on(place):
    with contextlib.ExitStack() as stack:
        site = Site(place, stack, "crash")
        taken, file = site.socket("a"), site.socket("b")
        taken.unlink()
        other = stack.enter_context(socket.socket(socket.AF_UNIX))
        other.bind(str(taken))
        other.listen()
        file.unlink()
        file.write_text("not a socket")
        for _ in range(2):
            site.replace_worker()
            site.pass_frame("b", "a")
            site.pass_frame("c", "b")
        log = site.switch.log()
        assert f"port 'a': path '{taken}': another program listens there" in log
        assert f"port 'b': path '{file}': a file that is not a socket is there" in log
        assert log.count("front end connected") == 3, "the guests have noticed nothing"
        assert taken.is_socket() and file.read_text() == "not a socket"


@contextlib.contextmanager
def upgradable(place, **config):
    with contextlib.ExitStack() as stack:
        yield Site(place, stack, "upgrade", **config)


def test_a_port_that_is_renamed_keeps_its_guest_its_counters_and_addresses(place):
    with upgradable(place) as site:
        site.pass_frame("b", "a")
        site.pass_frame("a", "b")
        before = site.counts()
        config = site.config
        # Two change names with each other.
        config["ports"][0]["name"], config["ports"][1]["name"] = "b", "a"
        site.write_config()
        site.replace_worker()
        after = site.counts()
        assert after["a"] == before["b"] and after["b"] == before["a"]
        assert set(site.switch.fdb().items()) == {((0, "02:00:00:00:00:61"), "b"), ((0, "02:00:00:00:00:62"), "a")}
        site.pass_frame("b", "a")
        assert site.switch.log().count("front end connected") == 3


def test_a_new_version_that_fails_when_it_has_the_ports_already_leaves_them_as_they_were(place):
    with upgradable(place) as site:
        site.switch.cli("rule", "add", "priority=9,in_port=c,actions=drop")
        site.pass_frame("b", "a")
        site.pass_frame("a", "b")
        known = site.switch.fdb()
        ports = list(site.switch.ports())
        # A device is opened when guests are served already: there is no such file.
        site.config["ports"] = [{"name": "p", "type": "pcap", "rx": str(place / "none.pcap")}, *site.config["ports"][:2]]
        site.config["ports"][1]["name"] = "renamed"
        site.write_config()
        site.switch.deaths_expected += 2  # the new one, and the old one, of whose ports nobody can know how they are
        refused = site.switch.cli("upgrade", check=False)
        # On a busy machine it may be killed for its slowness before it gets there: that is the same to all others.
        assert refused.returncode == 1 and ("none.pcap" in refused.stderr or "in time" in refused.stderr), refused

        def followed():
            with contextlib.suppress(OSError, ValueError):
                return list(site.switch.ports())
        assert wait_until(followed, "a worker answers", 30) == ports
        assert site.switch.fdb() == known and rules(site.switch) == ["priority=9,in_port=c actions=drop"]
        site.pass_frame("b", "a")
        site.pass_frame("c", "b")
        assert site.switch.log().count("front end connected") == 3, "the guests have noticed nothing"


# The program itself, killed as soon as it answers as the switch that has port n.
SHORT_LIVED = """#!/usr/bin/python3 -BI
import contextlib, os, socket, sys, time
worker = os.getpid()
if os.fork() == 0:
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    answer = b""
    while b'"n"' not in answer:
        time.sleep(0.001)
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as switch:
            switch.settimeout(0.02)
            switch.connect("{control}")
            switch.sendall(b'{{"jsonrpc":"2.0","id":1,"method":"ports"}}\\n')
            answer = switch.recv(65536)
    os.kill(worker, 9)
    os._exit(0)
os.execv("{binary}", ["sluice", *sys.argv[1:]])
"""


def fails_before_it_has_proven_to_live(place: pathlib.Path) -> bool:
    """Whether it has; on a busy machine it may be killed too late."""
    place.mkdir()
    with upgradable(place, rules=["priority=7,udp,actions=drop"]) as site:
        site.switch.cli("rule", "add", "priority=9,in_port=c,tcp,actions=drop")
        site.switch.cli("rule", "del", "priority=7,udp")
        before, ports = rules(site.switch), list(site.switch.ports())
        site.pass_frame("b", "a")
        site.pass_frame("a", "c")
        known = site.switch.fdb()
        assert set(known.values()) == {"a", "c"}
        config = site.config
        config["ports"] = [port for port in config["ports"] if port["name"] != "c"] + [{"name": "n", "type": "null", "no_rx": True}]
        config["rules"] = []
        site.write_config()
        short_lived = place / "short_lived"
        short_lived.write_text(SHORT_LIVED.format(control=site.switch.socket, binary=BINARY))
        short_lived.chmod(0o755)
        site.switch.deaths_expected += 1
        refused = site.switch.cli("upgrade", "--binary", short_lived, check=False)
        if refused.returncode == 0:
            return False
        assert "was running, and then" in refused.stderr, refused

        def followed():
            with contextlib.suppress(OSError, ValueError):
                return list(site.switch.ports())
        assert wait_until(followed, "a worker answers", 30) == ports
        assert rules(site.switch) == before and site.switch.fdb() == known
        site.pass_frame("c", "b")
        site.pass_frame("b", "c")
        assert site.switch.log().count("front end connected") == 3, "the guests have noticed nothing"
    return True


def test_what_the_configuration_has_no_more_is_left_alone_until_the_new_version_has_proven_to_live(place):
    assert any(fails_before_it_has_proven_to_live(place / number) for number in "123")


def test_of_a_port_that_the_configuration_has_no_more_nothing_is_left(place):
    with upgradable(place) as site:
        site.pass_frame("b", "a")
        site.pass_frame("c", "a")
        site.pass_frame("a", "c")
        config = site.config
        config["ports"] = [port for port in config["ports"] if port["name"] != "c"]
        site.write_config()
        site.replace_worker()
        wait_until(lambda: not site.socket("c").exists(), "the socket is removed")
        site.guests["c"].front_end.wait_closed()
        assert "c" not in site.switch.fdb().values()
        site.switch.cli("port", "add", "name=c", "type=vhost-user", f"path={site.socket('c')}", "mode=server")
        assert site.counts()["c"] == [0] * 6, "another port of this name begins anew"


def test_where_the_configuration_has_changed_too_it_counts_and_the_log_says_so(place):
    with upgradable(place, rules=["udp,actions=drop"]) as site:
        switch = site.switch
        switch.cli("rule", "add", "tcp,actions=drop")
        switch.cli("rule", "add", "arp,in_port=b,actions=drop")
        switch.cli("port", "add", "name=d", "type=null", "no_rx=true")
        config = site.config
        config["rules"] = ["udp,actions=drop", "tcp,actions=normal"]
        config["ports"] = [port for port in config["ports"] if port["name"] != "b"]
        site.write_config()
        site.replace_worker()
        assert rules(switch) == ["udp actions=drop", "tcp actions=normal"]
        assert list(switch.ports()) == ["a", "c", "unused", "d"]
        log = switch.log()
        assert "rule 'tcp actions=drop', which was added while the switch ran: the change is dropped" in log
        assert "rule 'arp,in_port=b actions=drop', which was added while the switch ran: the change is dropped" in log
        # What was dropped stays so, whatever becomes of the configuration.
        config["rules"] = ["udp,actions=drop"]
        site.write_config()
        site.replace_worker()
        assert rules(switch) == ["udp actions=drop"] and "d" in switch.ports()
