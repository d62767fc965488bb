"""Live migration of a Linux guest from one port of the switch to another, under traffic: what the switch has written to its
memory arrives with it, and so do the frames that others send to it."""

import contextlib
import re
import time

import pytest

from guest import Guest, Nic
from guest_pair import ADDRESSES, MACS
from process import wait_until
from qmp import Qmp
from switch import Switch, vhost_port

pytestmark = pytest.mark.timeout(300)

MOVING, STAYING = 0, 1
BANDWIDTH = 16 << 20  # bytes a second: the guest moves for some seconds, in which its memory is written to


class Machine:
    """One QEMU that the moving guest is in, or is to come to."""

    def __init__(self, place, port: str, packed: str, incoming: bool):
        monitor = place / f"{port}.monitor"
        monitor.unlink(missing_ok=True)
        (place / f"{port}.sock").unlink(missing_ok=True)
        self.port = port
        self.incoming = place / f"{port}.incoming"
        self.guest = Guest(place, f"guest-{port}", Nic(place / f"{port}.sock", MACS[MOVING], device=f",packed={packed}"),
                           arguments=("-qmp", f"unix:{monitor},server=on,wait=off", *(("-incoming", f"unix:{self.incoming}") if incoming else ())))
        self.qmp = Qmp(monitor)

    def migrate_to(self, other: "Machine") -> None:
        self.qmp.command("migrate-set-parameters", max_bandwidth=BANDWIDTH)
        self.qmp.command("migrate", uri=f"unix:{other.incoming}")

        def completed():
            status = self.qmp.command("query-migrate")
            assert status["status"] not in ("failed", "cancelled"), status
            return status["status"] == "completed"
        wait_until(completed, f"the guest has moved from {self.port} to {other.port}", 120)

    def stop(self) -> None:
        self.qmp.__exit__()
        self.guest.stop()


def answered(guest: Guest) -> list[int]:
    """The numbers of the pings that were answered."""
    return [int(number) for number in re.findall(r"seq=(\d+)", guest.run("cat /tmp/pings"))]


@pytest.mark.parametrize("packed", ["off", "on"], ids=["split", "packed"])
def test_a_guest_moves_to_another_port_with_its_memory_and_its_traffic(place, times, figures, packed):
    ports = [vhost_port(name, place / f"{name}.sock") for name in ("here", "there", "peer")]
    with contextlib.ExitStack() as stack:
        switch = stack.enter_context(Switch(place, {"ports": ports}))
        switch.wait_ready()
        peer = stack.enter_context(Guest(place, "peer", Nic(place / "peer.sock", MACS[STAYING])))

        def new_machine(port: str, incoming: bool) -> Machine:
            machine = Machine(place, port, packed, incoming)
            stack.callback(machine.stop)
            return machine

        machine = new_machine("here", incoming=False)
        machine.guest.wait_booted(f"{ADDRESSES[MOVING]}/24")
        peer.wait_booted(f"{ADDRESSES[STAYING]}/24")
        switch.wait_link("here", "peer")
        assert peer.pings(ADDRESSES[MOVING]) == 3
        # Never written again: its digest is of what was migrated. And a stream of bytes, whose receiver is stopped while the
        # guest moves: they wait where the switch has written them, and are read when it has arrived.
        digest = machine.guest.run("dd if=/dev/urandom of=/tmp/still bs=1M count=24 2>/dev/null; sha256sum </tmp/still", seconds=60)
        machine.guest.run("echo 4096 4000000 6000000 >/proc/sys/net/ipv4/tcp_rmem; mkfifo /tmp/endless; (nc -l -p 5000 0<>/tmp/endless | tee /tmp/all | sha256sum >/tmp/digest; touch /tmp/done) & "
                          "until netstat -ltn | grep -q :5000; do sleep 0.05; done")
        peer.run("mkfifo /tmp/copy; sha256sum </tmp/copy >/tmp/digest & "
                 "(while test ! -e /tmp/stop; do dd if=/dev/urandom bs=16k count=1 2>/dev/null; sleep 0.1; done | tee /tmp/copy | "
                 f"nc {ADDRESSES[MOVING]} 5000) & ping -i 0.05 {ADDRESSES[MOVING]} >/tmp/pings &")
        silences = []
        for _ in range(times(1, 10)):
            other = new_machine("there" if machine.port == "here" else "here", incoming=True)
            machine.guest.run("killall -STOP nc")
            machine.migrate_to(other)
            ended = time.monotonic()
            heard = len(answered(peer))
            wait_until(lambda: len(answered(peer)) > heard, "pings are answered at the new place", 60)
            silences.append(1000 * (time.monotonic() - ended))
            assert switch.fdb()[0, MACS[MOVING]] == other.port
            machine.stop()
            machine = other
            machine.guest.run("killall -CONT nc")
            assert machine.guest.run("sha256sum </tmp/still", seconds=60) == digest
        peer.run("touch /tmp/stop")
        wait_until(lambda: machine.guest.run("ls /tmp/done", check=False) == "/tmp/done\n", "the stream has ended", 30, interval=0.2)
        digests = [guest.run("cat /tmp/digest") for guest in (machine.guest, peer)]
        assert digests[0] == digests[1]
        assert machine.guest.run("sha256sum </tmp/all", seconds=60) == digests[1], "and lies in memory as it came"
        figures.outages(f"live migration, {packed=}, from its end to the next answered ping", silences)
