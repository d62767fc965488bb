"""The switch as a service of systemd, by the unit that is shipped: started, reloaded, restarted, killed, stopped and watched
by a real systemd, while VMs exchange frames and notice nothing."""

import contextlib
import os
import pathlib
import re
import signal

import pytest

import hugepages
import vmgen
from hostile import RX, TX, HostileGuest
from process import wait_until
from switch import vhost_port
from systemd import Service, Systemd
from trial import Trial, at_most_duplicated, queues_of, two_vms, vhost_ports

GUESTS = pathlib.Path("/run/sluice")  # where they and the switch meet, as the service has it


@pytest.fixture(scope="module", autouse=True)
def memory():
    with hugepages.reserved(vmgen.HUGEPAGES):
        yield


@pytest.fixture
def systemd(place):
    with Systemd(place) as manager:
        yield manager


@contextlib.contextmanager
def trial(systemd: Systemd, kind: str = "split", mode: str = "client", drop_in: str = ""):
    """The service and two VMs, whose frames pass."""
    service = Service(systemd, vhost_ports(GUESTS, mode), drop_in)
    service.ctl("enable", "--now", "sluice")
    with two_vms(systemd.place, systemd.root / "run/sluice", kind, mode) as vms:
        vms.wait_sending()
        t = Trial(service, vms, queues_of(kind))
        t.wait_traffic()
        yield t


def with_another_port(config: dict) -> dict:
    return {**config, "ports": [*config["ports"], {"name": "new", "type": "null", "no_rx": True}]}


def ports_of(service: Service) -> dict[str, dict]:
    return {port["name"]: port for port in service.rpc("ports")["ports"]}


def test_a_start_comes_back_when_the_switch_answers(systemd):
    service = Service(systemd, vhost_ports(GUESTS))
    service.ctl("enable", "--now", "sluice")
    status = service.rpc("status")
    shown = service.ctl("status", "sluice").stdout
    assert 'Active: active (running)' in shown and 'Status: "Switching"' in shown, shown
    assert f"Main PID: {service.keeper()} (sluice)" in shown and status["pid"] != service.keeper(), shown
    assert (systemd.root / "etc/systemd/system/multi-user.target.wants/sluice.service").is_symlink()
    environment = systemd.run("cat", f"/proc/{status['pid']}/environ").stdout
    assert "JOURNAL_STREAM" in environment and not re.search("NOTIFY_|WATCHDOG_|LISTEN_", environment), "workers speak with their keeper alone"
    # Lines have a priority, and no time of their own, which the journal has.
    assert re.search("^sluice [0-9.]+ runs /etc/sluice/switch.yaml", service.log(), re.M), service.log()


def test_a_configuration_with_an_error_fails_the_start_which_says_why(systemd):
    service = Service(systemd, {"ports": [{"name": "vm0", "type": "null", "typ": 1}]})
    assert service.ctl("start", "sluice", check=False).returncode == 1
    shown = service.ctl("status", "sluice", check=False).stdout
    assert "Active: failed" in shown and "unknown key 'typ'" in shown, shown


def test_a_reload_loses_nothing_and_reads_the_configuration_anew(systemd):
    with trial(systemd) as t:
        service, keeper, workers = t.switch, t.switch.keeper(), {t.worker()["pid"]}
        service.write_config(with_another_port(vhost_ports(GUESTS)))
        for number in range(2, 4):
            service.ctl("reload", "sluice")
            workers.add(t.worker()["pid"])
            assert len(workers) == number and service.keeper() == keeper
            assert service.property("ActiveState") == "active" and service.property("StatusText") == "Switching"
            t.wait_traffic()
        assert "new" in ports_of(service)
        service.config.write_text("ports: [{name: vm0, type: null, typ: 1}]")
        assert service.ctl("reload", "sluice", check=False).returncode == 1
        assert "unknown key 'typ'" in service.log()
        assert service.property("ActiveState") == "active" and t.worker()["pid"] in workers
        t.wait_traffic()
        total = t.report()
        assert total["lost"] == total["duplicated"] == 0, total


def wait_other_keeper(service: Service, than: int) -> None:
    wait_until(lambda: service.keeper() not in (0, than) and service.property("ActiveState") == "active", "another keeper is ready", 30)


@pytest.mark.parametrize("kind", ["split", "packed"])
def test_a_restart_replaces_the_keeper_and_vms_notice_a_pause(systemd, kind):
    with trial(systemd, kind) as t:
        keeper = t.switch.keeper()
        t.switch.ctl("daemon-reexec")  # as after an upgrade of systemd
        t.switch.ctl("restart", "sluice")
        assert t.switch.keeper() != keeper
        t.wait_traffic()
        total = t.report()
        assert total["lost"] == total["duplicated"] == 0, total


def test_a_restart_with_an_error_in_the_configuration_goes_on_with_the_one_of_before(systemd):
    with trial(systemd) as t:
        service = t.switch
        service.write_config(with_another_port(vhost_ports(GUESTS)))
        service.ctl("reload", "sluice")
        service.config.write_text("ports: [{name: vm0, type: null, typ: 1}]")
        for _ in range(2):
            service.ctl("restart", "sluice")
            assert "new" in ports_of(service)
            t.wait_traffic()
        assert "unknown key 'typ'" in service.log() and "goes on with the configuration of before" in service.log()
        t.report()


def test_a_restart_with_a_configuration_that_this_machine_cannot_have_goes_on_with_the_one_of_before(systemd):
    with trial(systemd) as t:
        service = t.switch
        service.write_config({**with_another_port(vhost_ports(GUESTS)), "pmd": {"cores": [os.cpu_count()]}})
        for _ in range(2):
            service.ctl("restart", "sluice")
            assert "new" not in ports_of(service)
            t.wait_traffic()
        assert re.search("core.*the switch goes on with the configuration of before", service.log()), service.log()
        t.report()


# The program itself, to which the state that it is given by systemd is one of another version.
OTHER_STATE = """
import os, sys
names = os.environ["LISTEN_FDNAMES"].split(":") if "LISTEN_FDNAMES" in os.environ else []
assert "state" in names, names
state = 3 + names.index("state")
(version,) = os.pread(state, 1, 8)
os.pwrite(state, bytes([version + 1]), 8)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("mode", ["client", "server"])
def test_a_restart_to_a_program_that_keeps_its_state_in_another_way_begins_anew(systemd, mode):
    with trial(systemd, mode=mode) as t:
        service = t.switch
        (systemd.root / "root/other.py").write_text(OTHER_STATE)
        start = re.search("^ExecStart=(.*)$", (systemd.root / "etc/systemd/system/sluice.service").read_text(), re.MULTILINE)[1]
        drop_in = systemd.root / "etc/systemd/system/sluice.service.d"
        drop_in.mkdir()
        (drop_in / "other.conf").write_text(f"[Service]\nExecStart=\nExecStart=/bin/python3 /root/other.py {start}\n")
        service.ctl("daemon-reload")
        service.ctl("restart", "sluice")
        assert "what the service manager has kept is let go: the state" in service.log(), service.log()
        assert service.property("NRestarts") == "0", service.log()
        if mode == "client":  # the VMs' sockets are there, and connected to anew
            t.wait_traffic()
            assert service.log().count("front end connected") == 4
        else:
            assert {port["state"] for port in ports_of(service).values()} == {"listening"}, "for VMs that connect again"


@pytest.mark.parametrize("kind, mode", [("split", "server"), ("packed", "client"), ("split-two-queues", "client")])
def test_a_killed_keeper_is_followed_by_one_that_finds_all_that_it_held(systemd, kind, mode):
    with trial(systemd, kind, mode) as t:
        keeper = t.switch.keeper()
        t.switch.ctl("kill", "--kill-whom=main", "--signal=KILL", "sluice")
        wait_other_keeper(t.switch, keeper)
        t.wait_traffic()
        assert t.switch.property("NRestarts") == "1"
        total = t.report()
        assert total["duplicated"] <= at_most_duplicated(kind, 1), total


def test_a_keeper_that_stands_still_is_replaced(systemd):
    with trial(systemd, drop_in="WatchdogSec=2") as t:
        keeper, first_sign = t.switch.keeper(), t.switch.property("WatchdogTimestampMonotonic")
        wait_until(lambda: t.switch.property("WatchdogTimestampMonotonic") != first_sign, "the keeper says that it lives")
        assert t.switch.property("NRestarts") == "0"
        t.switch.ctl("kill", "--kill-whom=main", "--signal=STOP", "sluice")
        wait_other_keeper(t.switch, keeper)
        t.wait_traffic()
        assert "Watchdog timeout" in t.switch.log()
        total = t.report()
        assert total["duplicated"] <= at_most_duplicated("split", 1), total


@pytest.mark.parametrize("mode", ["client", "server"])
def test_a_stop_leaves_what_is_the_vms_and_nothing_else(systemd, mode):
    with trial(systemd, mode=mode) as t:
        service = t.switch
        service.ctl("stop", "sluice")
        assert (service.property("ActiveState"), service.property("Result"), service.property("ExecMainStatus")) == ("inactive", "success", "0")
        wait_until(lambda: service.property("NFileDescriptorStore") == "0", "nothing is stored any more")
        assert set(os.listdir(service.socket.parent)) == ({"vm0.sock", "vm1.sock"} if mode == "client" else set())


@pytest.mark.parametrize("kind", ["split", "packed"])
def test_a_start_after_a_stop_finds_the_vms_again(systemd, kind):
    with trial(systemd, kind) as t:
        t.switch.ctl("stop", "sluice")
        t.switch.ctl("start", "sluice")
        t.wait_traffic()
        t.vms.signal(signal.SIGTERM)
        total = t.vms.wait_report()["total"]
        assert total["corrupted"] == total["reordered"] == total["duplicated"] == 0, total


class Guest(HostileGuest):
    """Its memory is two regions of one file, as that of a VM that has more of it than fits below 4 GiB; and its queues
    call by one eventfd, as those of a VM do whose queues share an interrupt."""

    def __init__(self, path: pathlib.Path, mac: str):
        super().__init__(path, start=False)
        os.close(self.calls[TX])
        self.calls[TX] = os.dup(self.calls[RX])
        self.negotiate()
        self.share_memory()
        for ring in (RX, TX):
            self.start_ring(ring)
        self.give_buffers()
        self.mac = bytes.fromhex(mac)

    def is_called(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            return os.eventfd_read(self.calls[0]) > 0
        return False

    def reaches(self, other: "Guest") -> None:
        """A frame from here gets there, and is told of."""
        other.is_called()
        frame = (other.mac + self.mac + b"\x88\xb5" + os.urandom(46))
        self.send(frame)
        wait_until(lambda: frame in other.received(), "the frame comes")
        wait_until(other.is_called, "the guest is called")


def test_what_is_one_file_at_several_places_is_found_again_at_each(systemd):
    service = Service(systemd, {"ports": [vhost_port(name, GUESTS / f"{name}.sock", "server") for name in "ab"]})
    service.ctl("enable", "--now", "sluice")
    here, stored = systemd.root / "run/sluice", service.property("NFileDescriptorStore")
    with Guest(here / "a.sock", "0200000000aa") as a, Guest(here / "b.sock", "0200000000bb") as b:
        wait_until(lambda: all(port["link_up"] for port in ports_of(service).values()), "both are linked")
        a.reaches(b)
        keeper = service.keeper()
        service.ctl("kill", "--kill-whom=main", "--signal=KILL", "sluice")
        wait_other_keeper(service, keeper)
        b.reaches(a)
        a.reaches(b)
        assert service.log().count("front end connected") == 2, service.log()
    wait_until(lambda: service.property("NFileDescriptorStore") == stored, "what was of the guests is not stored any more")


def test_as_many_descriptors_as_are_stored_can_be_handed_to_the_next_keeper(systemd):
    service = Service(systemd, {"ports": [vhost_port("a", GUESTS / "a.sock", "server")]})
    service.ctl("enable", "--now", "sluice")
    with Guest(systemd.root / "run/sluice/a.sock", "0200000000aa"):
        wait_until(lambda: ports_of(service)["a"]["link_up"], "the guest is linked")
        service.ctl("restart", "sluice")
        environment = systemd.run("cat", f"/proc/{service.keeper()}/environ").stdout
    names = [name for name in re.search(r"LISTEN_FDNAMES=([^\0]*)", environment)[1].split(":") if name.startswith("0-")]
    assert len(names) >= 8, names
    # One variable has them all, and execve(2) takes none that is longer than 128 KiB. A port's number may have four digits.
    assert (max(map(len, names)) + len("1023:") - len("0")) * int(service.property("FileDescriptorStoreMax")) < 128 << 10
