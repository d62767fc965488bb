"""Two Linux guests in QEMU: queues that the driver turns off and on while traffic runs, and frames beyond 1500 bytes."""

import re

import pytest

from guest_pair import ADDRESSES, guest, two_guests
from process import wait_until
from switch import Switch, vhost_port

pytestmark = pytest.mark.timeout(240)

JUMBO = 9000
FULL = JUMBO - 20 - 8  # of a ping: IPv4's and ICMP's headers


def enabled(switch, port):
    """The port's rings that the driver has turned on."""
    return {name for name, text in switch.ports()[port]["details"].items() if " guest " in name and "enabled" in text}


def test_queues_are_turned_off_and_on_while_traffic_runs(place):
    with two_guests(place, queues=2) as (switch, one, two):
        two.run(f"ping -i 0.02 {ADDRESSES[0]} >/tmp/pings & echo $! >/tmp/ping.pid")
        for pairs in (1, 2, 1, 2, 1):
            for each in (one, two):
                each.run(f"ethtool -L eth0 combined {pairs}")
            expected = {f"{direction} guest {queue}" for direction in ("to", "from") for queue in range(pairs)}
            wait_until(lambda: enabled(switch, "vm1") == enabled(switch, "vm2") == expected, f"{pairs} queues are on", 10)
            heard = int(two.run("wc -l </tmp/pings"))
            wait_until(lambda: int(two.run("wc -l </tmp/pings")) >= heard + 20, "pings are answered", 20)
            assert one.pings(ADDRESSES[1]) == 3
        two.run("kill -INT $(cat /tmp/ping.pid); wait $(cat /tmp/ping.pid)", check=False)
        wait_until(lambda: "packet loss" in two.run("tail -3 /tmp/pings"), "ping sums up", 10)
        sent, answered = map(int, re.search(r"(\d+) packets transmitted, (\d+) packets received", two.run("tail -3 /tmp/pings")).groups())
        # A request that was in a ring at the moment it was turned off stays there, as the driver leaves it.
        assert sent - answered <= 10, f"{answered} of {sent}"


def test_jumbo_frames_cross_whole(place):
    jumbo = f",host_mtu={JUMBO}"
    with two_guests(place, device=(jumbo, jumbo), mtu=[JUMBO, JUMBO]) as (switch, one, two):
        for each in (one, two):
            assert each.run("cat /sys/class/net/eth0/mtu").strip() == str(JUMBO)
        before = switch.wait_at_rest()["vm1"]
        drops = switch.drops()  # of what the first guest floods while the second boots and has given no buffers
        assert one.pings(ADDRESSES[1], size=FULL) == 3
        assert two.pings(ADDRESSES[0], size=FULL) == 3
        assert one.snmp("Ip")["FragCreates"] == two.snmp("Ip")["FragCreates"] == 0
        after = switch.wait_at_rest()["vm1"]
        assert after["rx_bytes"] - before["rx_bytes"] >= 6 * (JUMBO + 14)
        assert switch.drops() == drops


def test_frames_longer_than_a_ports_mtu_are_dropped_by_name(place):
    with two_guests(place, device=(f",host_mtu={JUMBO}", ""), mtu=[JUMBO, 1500]) as (switch, one, two):
        assert one.pings(ADDRESSES[1], size=1472) == 3
        assert one.pings(ADDRESSES[1], size=FULL) == 0
        assert switch.drops()["vm2", "tx_mtu"] >= 3
        assert one.pings(ADDRESSES[1]) == 3
        switch.assert_accounts_for_every_frame()


def test_a_guest_that_wants_a_larger_mtu_than_its_port_has_is_told_so(place):
    with Switch(place, {"ports": [vhost_port("vm1", place / "vm1.sock", mtu=1500)]}) as switch:
        switch.wait_ready()
        with guest(place, 1, device=f",host_mtu={JUMBO}"):
            wait_until(lambda: "MTU 9000 is refused" in switch.log(), "the refusal is logged", 90)
        assert switch.running()
