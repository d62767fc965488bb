"""Linux guests whose switch is killed and upgraded in the middle of a TCP transfer: the transfer completes, its digest is
right, and their QEMUs, which would not connect again, never have to."""

import re

import pytest

from guest import Guest, Nic
from guest_pair import ADDRESSES, MACS, config
from process import wait_until
from switch import BINARY, Switch

pytestmark = pytest.mark.timeout(300)

RECEIVED = "cat /sys/class/net/eth0/statistics/rx_bytes"


def start_transfer(sender: Guest, receiver: Guest) -> None:
    """Random bytes without end, digested at both ends as they pass."""
    receiver.run("mkfifo /tmp/endless; (nc -l -p 5000 0<>/tmp/endless | sha256sum >/tmp/digest; touch /tmp/done) & "
                 "until netstat -ltn | grep -q :5000; do sleep 0.05; done")
    sender.run("mkfifo /tmp/copy; sha256sum </tmp/copy >/tmp/digest & "
               "(while test ! -e /tmp/stop; do dd if=/dev/urandom bs=16k count=1 2>/dev/null; sleep 0.05; done | tee /tmp/copy | "
               f"nc {ADDRESSES[1]} 5000; touch /tmp/done) &")


def wait_bytes(receiver: Guest) -> None:
    before = int(receiver.run(RECEIVED))
    wait_until(lambda: int(receiver.run(RECEIVED)) > before + 100_000, "the transfer goes on", 60, interval=0.2)


@pytest.mark.parametrize("mode, packed", [("client", "on"), ("server", "off")], ids=["QEMU listens, packed", "QEMU connects, split"])
def test_a_tcp_transfer_survives_kills_and_upgrades(place, times, mode, packed):
    rounds = times(1, 5)
    nics = [Nic(place / f"vm{i + 1}.sock", mac, server=mode == "client", device=f",packed={packed}", reconnect=False) for i, mac in enumerate(MACS)]
    with Switch(place, config(place, mode)) as switch:
        switch.wait_ready()
        with Guest(place, "guest1", nics[0]) as one, Guest(place, "guest2", nics[1]) as two:
            for guest, address in zip((one, two), ADDRESSES):
                guest.wait_booted(f"{address}/24")
            switch.wait_link("vm1", "vm2")
            start_transfer(one, two)
            wait_bytes(two)
            for _ in range(rounds):
                switch.kill_worker()
                wait_bytes(two)
                switch.cli("upgrade", "--binary", BINARY)
                wait_bytes(two)
            one.run("touch /tmp/stop")
            for guest in (one, two):
                wait_until(lambda: guest.run("ls /tmp/done", check=False) == "/tmp/done\n", f"{guest.name} has ended the transfer", 30, interval=0.2)
            assert re.fullmatch(r"[0-9a-f]{64}  -\n", one.run("cat /tmp/digest"))
            assert one.run("cat /tmp/digest") == two.run("cat /tmp/digest")
            assert switch.log().count("front end connected") == 2, switch.log()
            assert switch.rpc("status")["restarts"] == 2 * rounds
