"""Live migration of a Linux guest from one port of the switch to another, under traffic: what the switch has written to its
memory arrives with it, and so do the frames that others send to it.

QEMU copies the memory once, and then again and again what has changed since. Received bytes that nobody has read yet lie
where the switch has written them, in pages that the guest's processor does not write to: if they come when the whole memory
has been copied once, they arrive with the guest only if the switch has logged those pages.
"""

import contextlib
import re
import time

import pytest

import aims
from guest import Guest, Nic
from guest_pair import ADDRESSES, MACS
from process import wait_until
from qmp import Qmp
from switch import Switch, vhost_port

pytestmark = pytest.mark.timeout(300)

MOVING, STAYING = 0, 1
MEMORY_ONCE = 32 << 20  # bytes a second, for the first copy of the memory
HARDLY = 1 << 16  # so that a round of copying lasts as long as the test wants it to
SWIFT = 1 << 30
ARRIVED = 160 * 1024  # fewer frames than a ring holds: into buffers that were there before all was copied


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

    def status(self) -> dict:
        status = self.qmp.command("query-migrate")
        assert status["status"] not in ("failed", "cancelled"), status
        return status

    def limit(self, bandwidth: int, downtime: int) -> None:
        self.qmp.command("migrate-set-parameters", max_bandwidth=bandwidth, downtime_limit=downtime)

    def begin_migration(self, other: "Machine") -> None:
        """Until all memory has been copied once. It does not end before it is told to: the guest changes more than fits
        into a pause of 1 ms."""
        self.guest.run("dd if=/dev/urandom of=/tmp/noise bs=1M count=8 2>/dev/null; "
                       "(while test ! -e /tmp/calm; do cat /tmp/noise 1<>/tmp/changing; done; rm /tmp/calm) &", seconds=60)
        self.limit(MEMORY_ONCE, 1)
        self.qmp.command("migrate", uri=f"unix:{other.incoming}")
        wait_until(lambda: self.status().get("ram", {}).get("dirty-sync-count", 0) >= 2, "the memory has been copied once", 120)
        self.limit(HARDLY, 1)
        assert self.status()["status"] == "active"

    def end_migration(self) -> None:
        assert self.status()["status"] == "active", "what came meanwhile came too late"
        self.guest.run("touch /tmp/calm")
        self.limit(SWIFT, 300)
        wait_until(lambda: self.status()["status"] == "completed", f"the guest has moved away from {self.port}", 120)

    def stop(self) -> None:
        self.qmp.__exit__()
        self.guest.stop()


def last_answered(guest: Guest) -> int:
    """The number of the last ping that was answered; a whole log would take the guest's console a second."""
    return max(map(int, re.findall(r"seq=(\d+)", guest.run("tail -n 2 /tmp/pings"))), default=-1)


def start_listener(guest: Guest) -> None:
    """One who does not read what comes."""
    guest.run("rm -f /tmp/endless; mkfifo /tmp/endless; nc -l -p 5000 0<>/tmp/endless >/tmp/got & "
              "until netstat -ltn | grep -q :5000; do sleep 0.05; done; killall -STOP nc")


def send(guest: Guest) -> str:
    """The digest of what is sent."""
    digest = guest.run(f"dd if=/dev/urandom of=/tmp/sent bs=1024 count={ARRIVED // 1024} 2>/dev/null; sha256sum </tmp/sent")
    guest.run(f"nc {ADDRESSES[MOVING]} 5000 </tmp/sent &")
    return digest


def waiting(guest: Guest) -> int:
    """Bytes that have come and that nobody has read."""
    lines = [line.split() for line in guest.run("cat /proc/net/tcp /proc/net/tcp6").splitlines()]
    queues = [line[4] for line in lines if line[1].endswith(":1388")]  # 5000
    return max((int(queue.split(":")[1], 16) for queue in queues), default=0)


def received(guest: Guest) -> str:
    """The digest of what comes when it is read at last."""
    guest.run("killall -CONT nc")
    wait_until(lambda: int(guest.run("wc -c </tmp/got")) >= ARRIVED, "all that was sent has been read", 30, interval=0.2)
    return guest.run("sha256sum </tmp/got")


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
        # Never written again: its digest is of what was migrated.
        digest = machine.guest.run("dd if=/dev/urandom of=/tmp/still bs=1M count=8 2>/dev/null; sha256sum </tmp/still", seconds=60)
        machine.guest.run("echo 4096 4000000 6000000 >/proc/sys/net/ipv4/tcp_rmem")
        peer.run(f"ping -i 0.05 {ADDRESSES[MOVING]} >/tmp/pings &")
        silences = []
        for _ in range(times(1, 5)):
            other = new_machine("there" if machine.port == "here" else "here", incoming=True)
            start_listener(machine.guest)
            machine.begin_migration(other)
            sent = send(peer)
            wait_until(lambda: waiting(machine.guest) >= ARRIVED, "what was sent waits in the guest", 60)
            machine.end_migration()
            ended = time.monotonic()
            heard = last_answered(peer)
            wait_until(lambda: last_answered(peer) > heard, "pings are answered at the new place", 60)
            silences.append(1000 * (time.monotonic() - ended))
            assert switch.fdb()[0, MACS[MOVING]] == other.port
            machine.stop()
            machine = other
            assert received(machine.guest) == sent, "what the switch has written is in the memory that has arrived"
            assert machine.guest.run("sha256sum </tmp/still", seconds=60) == digest
        figures.add(f"live migration, {packed=}, from its end to the next answered ping", silences, aims.MIGRATION)
