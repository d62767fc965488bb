"""How the switch ends, and how its ports find VMs: SIGTERM under traffic, and sockets that appear beside traffic.

How long it takes is printed by the long forms, and not judged.
"""

import contextlib
import os
import pathlib
import signal
import socket
import time

import pytest

import aims
import hugepages
import vmgen
from process import wait_until
from switch import Switch, vhost_port
from trial import Trial, two_vms, vhost_ports
from vhost_user import F_PROTOCOL_FEATURES, F_VERSION_1, FrontEnd, Request

PATIENCE = 60.0  # seconds, with a slow machine


@pytest.fixture(scope="module", autouse=True)
def memory():
    with hugepages.reserved(vmgen.HUGEPAGES):
        yield


def gone(pid: int) -> bool:
    return not os.path.exists(f"/proc/{pid}")


@pytest.mark.parametrize("kind", ["split", "packed"])
def test_sigterm_ends_the_switch_in_order_and_a_later_start_goes_on(place, times, figures, kind):
    """Of the VMs, two listen, and see the switch come back; one is connected to a socket of the switch's own."""
    config = vhost_ports(place)
    own = place / "own.sock"
    config["ports"].append(vhost_port("own", own, "server"))
    took = []
    with contextlib.ExitStack() as stack:
        switch = stack.enter_context(Switch(place, config))
        switch.wait_ready()
        vms = stack.enter_context(two_vms(place, place, kind))
        vms.wait_sending()
        for _ in range(times(3, 50)):
            Trial(switch, vms, queues=1).wait_traffic()
            worker, other = switch.worker_pid, FrontEnd(own, PATIENCE)
            switch.wait_link("vm0", "vm1")
            assert other.ask(Request.GET_FEATURES) & F_VERSION_1
            took.append(1000 * switch.end(signal.SIGTERM, PATIENCE))
            assert switch.child.returncode == 0, switch.log()[-4000:]
            assert not own.exists() and not switch.socket.exists(), "its sockets are removed"
            assert (place / "vm0.sock").is_socket() and (place / "vm1.sock").is_socket(), "those of the VMs are not"
            assert gone(worker), "nobody is left of it"
            other.wait_closed()
            other.close()
            switch.killed = True  # that it has ended is as it should be
            switch = stack.enter_context(Switch(place, place / "switch.yaml"))
            switch.wait_ready()
        Trial(switch, vms, queues=1).wait_traffic()
        vms.signal(signal.SIGTERM)
        # DPDK's VMs start their rings, when a switch has come back, before they enable them: what waits in them is dropped then, as
        # the vhost-user document has it.
        total = vms.wait_report()["total"]
        assert total["corrupted"] == total["reordered"] == total["duplicated"] == 0, total
        figures.add(f"SIGTERM under traffic, {kind}, until the switch has ended", took, aims.CLEAN_STOP)


def test_of_a_worker_that_had_to_be_killed_the_sockets_are_removed_and_nobody_elses(place):
    own, anothers = place / "own.sock", place / "anothers.sock"
    config = vhost_ports(place)
    config["ports"] = [vhost_port("own", own, "server"), vhost_port("taken", anothers, "server")]
    with Switch(place, config) as switch, socket.socket(socket.AF_UNIX) as another:
        switch.wait_ready()
        anothers.unlink()
        another.bind(str(anothers))
        worker = switch.worker_pid
        os.kill(worker, signal.SIGSTOP)
        switch.child.send_signal(signal.SIGTERM)
        wait_until(lambda: "the switch ends" in switch.log(), "the keeper has told it")
        os.kill(worker, signal.SIGKILL)
        switch.child.wait(PATIENCE)
        switch.killed, switch.deaths_expected = True, 1
        assert "was killed by signal 9" in switch.log()
        assert not own.exists() and anothers.is_socket()


@contextlib.contextmanager
def accepted(listener: socket.socket):
    """The switch's connection, once it is there."""
    connection, _ = listener.accept()
    with contextlib.closing(FrontEnd(connected=connection, seconds=PATIENCE)) as front_end:
        yield front_end


def bound(listener: socket.socket, path: pathlib.Path) -> float:
    """As QEMU does it: the socket is there before it listens. Returns when it appeared, or a moment before."""
    began = time.monotonic()
    listener.bind(str(path))
    listener.listen()
    return began


def moved(listener: socket.socket, path: pathlib.Path) -> float:
    """It listens when it appears."""
    aside = path.with_suffix(".aside")
    listener.bind(str(aside))
    listener.listen()
    began = time.monotonic()
    aside.rename(path)
    return began


def in_a_new_folder(listener: socket.socket, path: pathlib.Path) -> float:
    """So does the folder that the switch waits for."""
    path.parent.rmdir()
    path.parent.mkdir()
    return bound(listener, path)


@pytest.mark.parametrize("appear", [bound, moved, in_a_new_folder])
def test_a_port_connects_when_its_socket_appears(place, times, figures, appear):
    folder = place / "late"
    folder.mkdir()
    path = folder / "late.sock"
    config = vhost_ports(place)
    for other in config["ports"]:
        other["vlan"] = {"access": 1}
    config["ports"].append(vhost_port("late", path, vlan={"access": 99}))
    with Switch(place, config) as switch:
        switch.wait_ready()
        with two_vms(place, place) as vms:
            vms.wait_sending()
            traffic = Trial(switch, vms, queues=1)
            took = []
            for _ in range(times(5, 50)):
                traffic.wait_traffic()
                with socket.socket(socket.AF_UNIX) as listener:
                    listener.settimeout(PATIENCE)
                    began = appear(listener, path)
                    with accepted(listener) as front_end:
                        took.append(1000 * (time.monotonic() - began))
                        assert front_end.ask(Request.GET_FEATURES) & F_PROTOCOL_FEATURES
                        wait_until(lambda: switch.ports()["late"]["state"] == "connected", "the port says so")
                    path.unlink()
                wait_until(lambda: switch.ports()["late"]["state"] == "connecting", "the connection's end is noticed", 30)
            vms.signal(signal.SIGTERM)
            total = vms.wait_report()["total"]
            assert total["lost"] == total["duplicated"] == total["reordered"] == total["corrupted"] == 0, total
            figures.add(f"a socket appears ({appear.__name__.replace('_', ' ')}), until the port has connected", took, aims.CONNECT, total)
