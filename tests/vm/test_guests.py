"""Two Linux guests in QEMU over one switch: what people run in VMs works, offloads on."""

import pytest

from guest import transfer
from guest_pair import ADDRESSES, MACS, config, guest, two_guests
from process import wait_until
from qmp import Qmp
from switch import Switch

MEGABYTE = 1 << 20
GUEST_CSUM, GUEST_TSO4, GUEST_TSO6 = 1, 7, 8  # virtio's feature bits

pytestmark = pytest.mark.timeout(240)


def assert_checksums_were_right(*guests):
    for each in guests:
        tcp = each.snmp("Tcp")
        assert tcp["InCsumErrors"] == 0 and tcp["InErrs"] == 0, f"{each.name}: {tcp}"


@pytest.mark.parametrize("mode", ["client", "server"])
def test_guests_ping_each_other(place, mode):
    with two_guests(place, mode) as (switch, one, two):
        assert one.pings(ADDRESSES[1]) == 3
        assert two.pings(ADDRESSES[0]) == 3
        assert {(0, MACS[0]): "vm1", (0, MACS[1]): "vm2"}.items() <= switch.fdb().items()


@pytest.mark.parametrize("packed", ["off", "on"])
def test_tcp_crosses_with_segmentation_and_checksums_offloaded(place, packed):
    with two_guests(place, device=(f",packed={packed}", f",packed={packed}")) as (switch, one, two):
        for each in (one, two):
            offloads = each.offloads()
            assert offloads["tcp-segmentation-offload"] and offloads["tx-checksumming"] and offloads["rx-checksumming"], offloads
        transfer(one, two, ADDRESSES[1], MEGABYTE)
        transfer(two, one, ADDRESSES[0], MEGABYTE)
        assert_checksums_were_right(one, two)
        ports = switch.wait_at_rest()
        # Segments longer than the MTU went through whole: that is what offloading means.
        data_frames = MEGABYTE / 1448
        assert ports["vm1"]["rx_packets"] < 2 * data_frames and ports["vm1"]["rx_bytes"] > MEGABYTE


@pytest.mark.parametrize("ip_version", [4, 6])
def test_a_receiver_without_offloads_gets_small_segments_with_whole_checksums(place, ip_version):
    plain = ",guest_csum=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off"
    with two_guests(place, device=("", plain)) as (switch, one, two):
        address = ADDRESSES[1]
        if ip_version == 6:
            one.run("ip addr add fd00::1/64 dev eth0")
            two.run("ip addr add fd00::2/64 dev eth0")
            address = "fd00::2"
        # Not by ethtool, which says that any virtio device checks checksums.
        features = two.run("cat /sys/class/net/eth0/device/features")
        assert [features[bit] for bit in (GUEST_CSUM, GUEST_TSO4, GUEST_TSO6)] == ["0", "0", "0"], features
        transfer(one, two, address, MEGABYTE)
        assert_checksums_were_right(one, two)
        assert mean_frame(two) <= 1514


def mean_frame(guest):
    """Bytes a frame that the guest received on average, rounded up."""
    fields = guest.run("cat /sys/class/net/eth0/statistics/rx_bytes /sys/class/net/eth0/statistics/rx_packets").split()
    return -(-int(fields[0]) // int(fields[1]))


def test_a_driver_with_two_queues_uses_both(place):
    with two_guests(place, queues=2) as (switch, one, two):
        one.run("ethtool -L eth0 combined 2")
        two.run("ethtool -L eth0 combined 2")
        assert one.pings(ADDRESSES[1]) == 3
        transfer(one, two, ADDRESSES[1], MEGABYTE)
        polled = {(queue["port"], queue["queue"]) for pmd in switch.rpc("pmds")["pmds"] for queue in pmd["queues"]}
        assert polled == {(port, queue) for port in ("vm1", "vm2") for queue in (0, 1)}


def test_access_ports_of_different_vlans_do_not_see_each_other(place):
    with two_guests(place, vlan=[{"access": 10}, {"access": 20}]) as (switch, one, two):
        assert one.pings(ADDRESSES[1]) == 0
        assert two.pings(ADDRESSES[0]) == 0
        assert "lladdr" not in one.run("ip neigh") and "lladdr" not in two.run("ip neigh")
        assert switch.fdb() == {(10, MACS[0]): "vm1", (20, MACS[1]): "vm2"}
        assert switch.drops()[("vm1", "no_destination")] > 0


def test_access_ports_of_one_vlan_do(place):
    with two_guests(place, vlan=[{"access": 10}, {"access": 10}]) as (switch, one, two):
        assert one.pings(ADDRESSES[1]) == 3
        assert switch.fdb() == {(10, MACS[0]): "vm1", (10, MACS[1]): "vm2"}


@pytest.mark.parametrize("mode", ["client", "server"])
def test_a_guest_is_killed_and_another_follows_while_the_other_stays(place, mode):
    with Switch(place, config(place, mode)) as switch:
        switch.wait_ready()
        with guest(place, 2, mode) as two:
            with guest(place, 1, mode) as one:
                one.wait_booted(f"{ADDRESSES[0]}/24")
                two.wait_booted(f"{ADDRESSES[1]}/24")
                assert two.pings(ADDRESSES[0]) == 3
                one.kill()
            switch.wait_link("vm1", up=False)
            with guest(place, 1, mode) as one:
                one.wait_booted(f"{ADDRESSES[0]}/24")
                switch.wait_link("vm1")
                assert two.pings(ADDRESSES[0]) == 3
                assert one.pings(ADDRESSES[1]) == 3


@pytest.mark.parametrize("mode", ["client", "server"])
def test_a_guest_that_is_reset_boots_again_on_the_same_connection(place, mode):
    monitor = place / "qmp"
    with Switch(place, config(place, mode)) as switch:
        switch.wait_ready()
        with guest(place, 2, mode) as two, guest(place, 1, mode, arguments=("-qmp", f"unix:{monitor},server=on,wait=off")) as one:
            two.wait_booted(f"{ADDRESSES[1]}/24")
            one.wait_booted(f"{ADDRESSES[0]}/24")
            assert one.pings(ADDRESSES[1]) == 3
            qmp = Qmp(monitor)
            qmp.command("set-action", reboot="reset")
            qmp.command("system_reset")
            wait_until(lambda: one.log().count("guest is ready\n") == 2, "it has booted again", 90)
            one.wait_booted(f"{ADDRESSES[0]}/24")
            assert one.pings(ADDRESSES[1]) == 3
            assert two.pings(ADDRESSES[0]) == 3
            assert switch.log().count("front end connected") == 2, "one connection each"


def test_a_guest_that_resets_its_device_is_back(place):
    with two_guests(place) as (switch, one, two):
        assert one.pings(ADDRESSES[1]) == 3
        # The driver lets go of the device and takes it anew: the rings are stopped and set up again on one connection.
        one.run("device=$(basename $(readlink /sys/class/net/eth0/device)); cd /sys/bus/virtio/drivers/virtio_net; "
                "echo $device > unbind; echo $device > bind; cd /; ip addr add 10.0.0.1/24 dev eth0; ip link set eth0 up")
        assert one.pings(ADDRESSES[1]) == 3
        assert two.pings(ADDRESSES[0]) == 3


@pytest.mark.parametrize("new_switch", ["asked to end", "killed"])
def test_guests_that_listen_go_on_with_a_new_switch(place, new_switch):
    with guest(place, 1) as one, guest(place, 2) as two:
        for attempt in range(2):
            with Switch(place, config(place)) as switch:
                switch.wait_ready()
                if attempt == 0:
                    one.wait_booted(f"{ADDRESSES[0]}/24")
                    two.wait_booted(f"{ADDRESSES[1]}/24")
                switch.wait_link("vm1", "vm2")
                assert one.pings(ADDRESSES[1]) == 3
                if new_switch == "killed":
                    switch.kill()
