"""perf/vmgen against the switch: what it reports is what the switch has done, for every kind of traffic.

Frames may be lost here: on a busy machine the generator itself may not be there to take them. None is corrupted,
duplicated or reordered, and none vanishes from the sums.
"""

import contextlib
import os
import pathlib
import re
import signal

import pytest

import gaps
import hugepages
import vmgen
from process import wait_until
from switch import Switch, vhost_port
from vmgen import Vmgen

FRAMES = 5_000  # that make a trial


@pytest.fixture(scope="module", autouse=True)
def memory():
    with hugepages.reserved(vmgen.HUGEPAGES):
        yield


@contextlib.contextmanager
def switch_with(place, count, mode="client"):
    ports = [vhost_port(f"vm{i}", place / f"vm{i}.sock", mode, mtu=9000) for i in range(count)]
    with Switch(place, {"ports": ports}) as switch:
        switch.wait_ready()
        yield switch


def vms_in(place, count, more=""):
    return [f"path={place}/vm{i}.sock{more}" for i in range(count)]


def times_slept(pid):
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE).group(1))


def sent_until_enough(generator, frames=FRAMES):
    """Lets it send until every VM that is sent to has got some; the report."""
    generator.wait_sending()

    def enough():
        intervals = generator.events("interval")
        return sum(interval["total"]["received"] for interval in intervals) >= frames
    wait_until(lambda: enough() or not generator.running(), f"{frames} frames arrive", 60)
    generator.signal(signal.SIGTERM)
    return generator.wait_report()


def assert_flawless(report):
    for counts in (*report["vms"], report["total"]):
        assert counts["expected"] == counts["received"] + counts["lost"], counts
        assert counts["corrupted"] == counts["duplicated"] == counts["reordered"] == 0, counts
    total = report["total"]
    assert total["offered"] == total["sent"] + total["refused"]
    receivers = len(report["vms"]) - 1 if report["settings"]["pattern"] == "flood" else 1
    assert total["expected"] == total["sent"] * receivers
    assert total["received"] > 0.5 * total["expected"], f"most is lost: {total}"


SETTINGS = {
    "split": (2, "", ()),
    "split-without-mergeable-and-in-order": (2, ",mergeable=0,in_order=0", ()),
    "packed": (2, ",packed=1", ()),
    "packed-without-mergeable": (2, ",packed=1,mergeable=0", ()),
    "two-queues": (2, ",queues=2", ("--flows", 16)),
    "each-to-each": (4, "", ("--pattern", "each", "--flows", 10)),
    "one-way": (2, "", ("--pattern", "one-way",)),
    "flood": (4, "", ("--pattern", "flood",)),
    "thousand-flows": (2, "", ("--flows", 1000, "--vary", "src-ip", "dst-ip", "dst-port", "--distribution", "zipf")),
    "new-flows": (2, "", ("--flows", 10, "--new-flows", 1000)),
    "tcp": (2, "", ("--protocol", "tcp", "--flows", 10)),
    "tcp-with-checksum-offload": (2, "", ("--protocol", "tcp", "--checksum-offload", "--size", 1500)),
    "imix": (2, "", ("--size", "imix")),
    "jumbo": (2, ",packed=1", ("--size", 9000, "--rate", 2000)),
    "tso": (2, "", ("--protocol", "tcp", "--tso", 60_000, "--rate", 500)),
    "tso-without-in-order": (2, ",in_order=0", ("--protocol", "tcp", "--tso", 60_000, "--rate", 500)),
    "tso-packed": (2, ",packed=1", ("--protocol", "tcp", "--tso", 60_000, "--rate", 500)),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_frame_is_changed_repeated_or_overtaken_and_none_vanishes(place, setting):
    count, rings, options = SETTINGS[setting]
    rate = () if "--rate" in options else ("--rate", 5_000)
    with switch_with(place, count) as switch:
        with Vmgen(place, vms_in(place, count, rings), *options, *rate, "--verify", "full", "--interval", 50, "--duration", 0) as generator:
            report = sent_until_enough(generator, 1000 if "--tso" in options else FRAMES)
        assert_flawless(report)
        settings = report["settings"]
        assert settings["verify"] == "full" and len(report["vms"]) == count
        receivers = {vm["name"] for vm in report["vms"] if vm["expected"]}
        assert receivers == {"one-way": {"vm1"}, "flood": {"vm1", "vm2", "vm3"}}.get(setting, {f"vm{i}" for i in range(count)})
        if setting == "new-flows":
            assert report["total"]["new_flows"]["received"] > 0
        # The switch has counted no less; what it has beyond is what the VMs greeted each other with.
        ports = switch.ports()
        for vm in report["vms"]:
            assert ports[vm["name"]]["rx_packets"] >= vm["sent"]
            assert ports[vm["name"]]["tx_packets"] >= vm["received"]


def test_vms_that_are_clients_send_as_fast_as_the_rings_take_it(place):
    with switch_with(place, 2, "server"), Vmgen(place, vms_in(place, 2), "--client", "--interval", 50, "--duration", 0) as generator:
        report = sent_until_enough(generator, 50_000)
    assert_flawless(report)
    assert report["total"]["refused"] == report["total"]["skipped"] == 0, "without a rate nothing is due"
    assert report["generator"]["limit"] in ("switch", "generator") and report["generator"]["cycles_per_packet"] > 0
    assert [vm["server"] for vm in report["vms"]] == [False, False]


def test_what_the_switch_drops_is_lost_and_counted_by_both(place):
    """vm1 may not receive UDP to one address of ten."""
    with switch_with(place, 2) as switch:
        switch.cli("rule", "add", "in_port=vm0,udp,nw_dst=81.0.0.3,actions=drop")
        with Vmgen(place, vms_in(place, 2), "--pattern", "one-way", "--flows", 10, "--rate", 5_000, "--interval", 50, "--duration", 0) as generator:
            report = sent_until_enough(generator)
    vm1 = report["vms"][1]
    assert vm1["lost"] >= vm1["expected"] // 10 > 0
    assert vm1["duplicated"] == vm1["reordered"] == vm1["corrupted"] == 0
    assert vm1["latency_us"]["count"] == vm1["received"]


def test_what_a_rule_rewrites_without_care_for_numbers_is_still_good(place):
    """A TTL that is decremented changes the header and its checksum, and nothing of what the frame carries."""
    with switch_with(place, 2) as switch:
        switch.cli("rule", "add", "in_port=vm0,ip,actions=dec_ttl,normal")
        with Vmgen(place, vms_in(place, 2), "--rate", 5_000, "--verify", "full", "--interval", 50, "--duration", 0) as generator:
            report = sent_until_enough(generator)
    assert_flawless(report)


def test_no_more_are_on_their_way_than_a_window_has(place):
    with switch_with(place, 4), Vmgen(place, vms_in(place, 4), "--pattern", "each", "--window", 1, "--interval", 50, "--duration", 0) as generator:
        report = sent_until_enough(generator)
    assert_flawless(report)
    assert report["generator"]["limit"] == "window"
    # Of three senders to each VM, three frames at most wait in its ring.
    assert 1 <= report["generator"]["packets_per_rx_burst"] <= 3


def test_a_window_that_is_never_full_is_not_what_holds_senders_up(place):
    with switch_with(place, 2), Vmgen(place, vms_in(place, 2), "--window", 1_000_000, "--interval", 50, "--duration", 0) as generator:
        report = sent_until_enough(generator)
    assert report["generator"]["limit"] in ("switch", "generator"), report["generator"]


@pytest.mark.parametrize("rings", ["", ",packed=1"], ids=["split", "packed"])
def test_it_goes_on_when_the_switch_comes_back_and_the_gap_tells_how_long_that_took(place, rings):
    with Vmgen(place, vms_in(place, 2, rings), "--rate", 5_000, "--new-flows", 1_000, "--interval", 50, "--duration", 0) as generator:
        with switch_with(place, 2):
            generator.wait_sending()
            wait_until(lambda: sum(i["total"]["received"] for i in generator.events("interval")) > 1000, "frames arrive", 60)
        # The first switch is gone.
        wait_until(lambda: any(not vm["link_up"] for i in generator.events("interval") for vm in i["vms"]), "the link goes down", 30)
        wait_until(lambda: generator.events("interval")[-1]["total"]["refused"] > 0, "the rings are full", 30)
        silent = generator.events("interval")[-1]["clock_s"]
        with switch_with(place, 2):
            wait_until(lambda: sum(i["total"]["received"] for i in generator.events("interval") if i["clock_s"] > silent) > 1000,
                       "frames arrive again", 60)
            generator.signal(signal.SIGINT)
            report = generator.wait_report()
    total = report["total"]
    assert total["corrupted"] == total["reordered"] == 0
    assert total["expected"] == total["received"] + total["lost"]
    assert total["refused"] > 0 and total["expected"] == total["sent"], "while nobody empties the rings, frames are refused, and were not sent"
    assert 0 < total["new_flows"]["refused"] < total["refused"], "those of new flows among the others"
    outage = max(i["total"]["longest_gap_us"] for i in generator.events("interval"))
    assert outage == pytest.approx(total["longest_gap_us"], rel=0.001) and outage > 0
    assert 0 < total["longest_gap_at_s"] < report["duration_s"]
    assert gaps.outage(generator.events("interval"), report["clock_s"] + total["longest_gap_at_s"]).ms == pytest.approx(outage / 1000)


def test_an_outage_is_a_gap_that_began_soon_after_what_made_it():
    def interval(clock, *found):
        return {"clock_s": clock, "t_s": clock - 1000, "vms": [{"longest_gap_at_s": at - 1000, "longest_gap_us": ms * 1000} for at, ms in found]}
    intervals = [interval(1000.05, (1000.01, 30)), interval(1000.10, (1000.055, 4)), interval(1000.15, (1000.055, 80), (1000.12, 7)),
                 interval(1000.90, (1000.8, 90))]
    assert gaps.outage(intervals, 1000.06).ms == 80, "the whole of it, not what of it was over in an interval; not what came later"
    assert gaps.outage(intervals[3:], 1000.06 + gaps.WITHIN).ms == 90
    assert gaps.outage(intervals[:3], 1000.04).ms == 80
    assert gaps.outage(intervals[:1], 1000.04).ms == 30, "one of before, in the same interval"


def test_a_search_reports_a_rate_that_it_has_verified(place):
    with switch_with(place, 2), Vmgen(place, vms_in(place, 2), "--search", 50, "--search-trial", 0.1, "--search-precision", 20) as generator:
        generator.wait_for_log('"ready"', 60)
        report = generator.wait_report()
    search = report["search"]
    assert search["loss_percent"] == 50 and search["trials"]
    if search["rate"] is not None:
        assert any(trial["verification"] and trial["passed"] and trial["rate"] == search["rate"] and trial["loss_percent"] <= 50
                   for trial in search["trials"])


def test_vms_that_nap_come_ahead_of_others_on_their_core_and_leave_it_to_them(place):
    with switch_with(place, 2), Vmgen(place, vms_in(place, 2), "--nap", 50, "--rate", 5_000, "--interval", 50, "--duration", 0) as generator:
        generator.wait_sending()
        assert os.sched_getscheduler(generator.pid) == os.SCHED_FIFO
        slept = times_slept(generator.pid)
        wait_until(lambda: times_slept(generator.pid) > slept + 1000, "it sleeps again and again", 60)
        assert_flawless(sent_until_enough(generator))


def test_without_a_switch_it_says_who_was_not_attached(place):
    with Vmgen(place, vms_in(place, 2), "--timeout", 1) as generator:
        assert generator.wait(30) == 3
        assert "not every VM has been attached" in generator.log()


def test_arguments_that_cannot_be_are_refused_by_name(place):
    for options, word in [((), "even number"), (("--pattern", "each"), "at least two"), (("--tso", 60_000, "--pattern", "echo"), "--protocol tcp"),
                          (("--flows", 70_000, "--vary", "dst-port", "--pattern", "echo"), "64000"),
                          (("--nap", 50, "--pattern", "echo"), "--nap needs"),
                          (("--window", 4, "--rate", 100, "--pattern", "echo"), "--window is for"),
                          (("--new-flows", 10, "--vary", "dst-port", "--pattern", "echo"), "--new-flows")]:
        with Vmgen(place, vms_in(place, 1), *options, name=f"refused{len(word)}") as generator:
            assert generator.wait(30) == 1
            assert word in generator.log()
