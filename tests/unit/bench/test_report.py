"""What the comparison's tables and plots say of runs, of runs that are made up here."""

import contextlib
import dataclasses
import itertools
import pathlib
import sys
import types

PROJECT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(PROJECT / "perf" / "bench"), str(PROJECT / "tests" / "vm")]

import figures  # noqa: E402
import machine  # noqa: E402
import plot  # noqa: E402
import report  # noqa: E402
import run  # noqa: E402
from contender import Reading  # noqa: E402
from figures import NewFlows  # noqa: E402
from generator import Traffic  # noqa: E402
from run import Run  # noqa: E402
from work import HOST_RULES, READS_ADDRESSES, WORKS  # noqa: E402

MANY = next(work for work in WORKS if work.own_target)


def a_run(work="64", number=1, contender="Sluice", cycles=100.0, busy=0.99, limit="switch"):
    return Run(work, number, contender, cycles, 32, 1.46e6, 0.7e9, 0.0, busy, limit, 70.0)


def test_a_rate_says_how_busy_the_pmd_was_unless_it_was_so_all_the_time():
    def rate(**how):
        return report._rate([a_run(**how)], "64", "Sluice")
    assert rate(busy=0.69) == "1.46, 0.7 (PMD busy 69%)"
    assert rate(busy=0.69, limit="generator") == "1.46, 0.7 (generator; PMD busy 69%)"
    assert rate(busy=0.95) == "1.46, 0.7"


def test_a_rate_says_how_much_was_lost_if_that_is_much():
    def rate(loss):
        return report._rate([dataclasses.replace(a_run(), loss=loss)], "64", "Sluice")
    assert rate(0.3) == "1.46, 0.7 (30% lost)"
    assert rate(0.005) == "1.46, 0.7"


def measured(monkeypatch, runs, wanted=0.0):
    """What is said of runs over and over: each a list of stretches, a cycles' figure and what the looks at the distance found."""
    counts = dict(received=25, expected=100, lost=0, corrupted=0, duplicated=0, reordered=0)
    runs = itertools.cycle(runs)

    def in_stretches(*_):
        return ([run.Stretch(Reading(1, cycles, 32, 1.0), looks) for cycles, looks in next(runs)], 0,
                Traffic(1.0, 1.0, 0.0, "switch", {"total": counts}))
    monkeypatch.setattr(run, "contest", lambda *_, **__: contextlib.nullcontext(types.SimpleNamespace(resident_bytes=lambda: 0)))
    monkeypatch.setattr(run, "in_stretches", in_stretches)
    return run.measure(types.SimpleNamespace(name="Sluice"), WORKS[0], 1, 1.0, wanted)


def test_a_dropped_packet_is_no_work_done_and_what_was_dropped_is_of_the_same_stretch_of_time():
    intervals = [{"clock_s": clock, "total": {"sent": 100, "received": received}} for clock, received in ((10.05, 5), (10.10, 100), (10.15, 300), (10.20, 0))]
    assert run.share_received(intervals, 10.04, 10.16, copies=4) == 0.5
    assert run.share_received(intervals, 10.04, 10.09, copies=4) == 1, "no interval is inside"
    assert run.share_received(intervals, 10.0, 10.11, copies=0.5) == 1, "what was on its way before"
    assert run._through(Reading(100, 1000, 32, 1.0), 0.5).cycles == 20


def test_stretches_count_in_which_the_cores_were_as_far_apart_as_is_wanted(monkeypatch):
    def at_300(*runs):
        found = measured(monkeypatch, runs, wanted=300)
        return found.cycles, found.distance, found.steady
    assert measured(monkeypatch, [[(10, [900, 300, 910]), (20, [300, 290, 920])]]).cycles == 15  # at any distance
    assert at_300([(10, [300, 310]), (20, [290, 300]), (99, [900, 900])]) == (15, 300, 2)
    assert at_300([(99, [300, 900]), (10, [300, 300])], [(20, [300, 290])]) == (15, 300, 2)
    assert at_300([(99, [900])], [(98, [901])], [(10, [300])], [(20, [300])]) == (10, 300, 1)
    assert at_300([(99, [900])], [(98, [901])], [(97, [902])], [(10, [300])]) == (10, 300, 1)
    assert at_300([(10, [900])], [(20, [900])], [(30, [900])]) == (20, 900, 0)
    assert at_300([(10, [])]) == (10, 0, 0)  # the cores never met


def test_the_table_says_how_far_apart_the_cores_were():
    runs = [dataclasses.replace(a_run(number=number), distance=distance, steady=steady) for number, (distance, steady) in enumerate([(300.0, 0), (900.0, 2), (950.0, 6)], 1)]
    assert report._distances(runs) == ["- between the cores, there and back: 900 cycles; in 1 of 3 runs never the usual one for 0.4 s"]
    assert report._distances(runs[1:]) == ["- between the cores, there and back: 925 cycles"]
    assert report._distances([a_run()]) == []


def test_a_ratio_tells_its_rounds_and_testpmd_is_compared_within_them():
    runs = []
    for number, (mine, ovs, testpmd) in enumerate([(50, 100, 60), (90, 100, 80), (150, 300, 151)], 1):
        runs += [a_run("64", number, "Sluice", mine), a_run("64", number, "OVS-DPDK", ovs), a_run("64", number, "testpmd", testpmd)]
    assert report._verdict(WORKS[0], runs) == ["0.50 (0.50–0.90); 0.90", "0.50: met by rounds alone, below testpmd (is 0.99 of it; of medians 1.12): met by rounds alone"]
    assert report._verdict(WORKS[0], runs[:3]) == ["0.50 (0.50–0.50); 0.50", "0.50: met, below testpmd (is 0.83 of it; of medians 0.83): met"]
    assert report._verdict(WORKS[0], runs[3:6])[1].startswith("0.50: **not met**, by 80%, ")
    assert report._cycles(report.of(runs[:6], "64", "Sluice"), 3) == "**70** (50–90; 2 rounds)"


def test_many_flows_are_compared_with_one_flow_of_the_same_round():
    runs = []
    for number, (many, one) in enumerate([(300, 100), (150, 100), (180, 100)], 1):
        runs += [a_run(MANY.name, number, cycles=many), a_run(MANY.name, number, "OVS-DPDK", 1000), a_run(MANY.name, number, report.ONE_FLOW_BESIDE, one)]
    assert "(is 1.80, 1.50–3.00): met" in report._verdict(MANY, runs)[1]


def test_each_number_of_flows_has_both_forms_of_the_rules_and_the_plot_both_lines(tmp_path):
    def counts(rules):
        return [work.flows for work in WORKS if work.rules == rules and work.on_flow_plot]
    assert counts(HOST_RULES) == counts(READS_ADDRESSES) == [1_000, 10_000, 100_000, 500_000]
    runs = [a_run(work.name, 1, contender, 150.0) for work in WORKS for contender in ("Sluice", "OVS-DPDK")]
    plot.flows(tmp_path / "flows.svg", list(WORKS), runs)
    lines = [line for line in (tmp_path / "flows.svg").read_text().splitlines() if line.startswith("<polyline") and 'stroke-width="2"' in line]
    assert len(lines) == 4 and sum("dasharray" in line for line in lines) == 2


def test_a_switch_that_does_not_have_all_flows_in_its_table_is_told_and_not_on_the_line(tmp_path):
    work = next(work for work in WORKS if work.name == "flows-100k")
    def runs(flows):
        others = [a_run(work.name, 1, contender, 150.0) for work in WORKS for contender in ("Sluice", "OVS-DPDK") if work.name != "flows-100k"]
        return [*others, *(dataclasses.replace(a_run(work.name, 1, "OVS-DPDK"), flows=count) for count in flows)]
    def drawn(flows):
        plot.flows(tmp_path / "flows.svg", list(WORKS), runs(flows))
        return "not all in the table" in (tmp_path / "flows.svg").read_text()
    assert report._flows(work, runs([30_000]), "OVS-DPDK") == ", with 30,000 of the 200,000 flows in its table" and drawn([30_000])
    assert report._flows(work, runs([200_010]), "OVS-DPDK") == "" and not drawn([200_010])
    assert report._flows(WORKS[0], [dataclasses.replace(a_run(), flows=1)], "Sluice") == "", "plain switching has one flow for many"


def test_new_flows_are_judged_beside_the_share_of_capacity_that_was_offered(monkeypatch):
    def judged(*shares):
        runs = iter([share for share in shares for _ in figures.BOTH])
        monkeypatch.setattr(figures, "_new_flows_once", lambda *_: NewFlows(next(runs), 0.005, 0.001, 0.7, 0.0, 3e5, 3e5, 0.0, 0.0, 600_000))
        return figures.new_flows(figures.Samples(), {kind.name: 16e6 for kind in figures.BOTH}, len(shares), 30.0)
    rows = judged(0.33, 0.31, 0.35)
    assert rows[0][1] == "under 1 % at half of capacity: **not shown**; at 33% of it, all that the VMs could offer in time: met"
    assert rows[1][2] == "33% (31%–35%) of capacity"
    assert judged(0.5)[0][1] == "under 1 % at half of capacity: met"


def test_latency_is_judged_within_rounds_and_says_so_where_more_frames_are_missing_than_are_asked_about(monkeypatch):
    def judged(missing):
        def run_of(latency):
            return (Reading(100, 1.0, 4, 0.9), Traffic(1, 1, 0, "rate", {"total": {
                "latency_us": dict.fromkeys(("p50", "p99", "p99_9"), latency), "offered": 10_000, "lost": 0, "refused": missing, "skipped": 0}}))
        runs = iter([(*run_of(latency), number > 1) for number, latency in enumerate((10, 20, 60, 50, 11, 20))])  # Sluice's and OVS's, of three rounds
        monkeypatch.setattr(figures, "traffic_at_distance", lambda *_: next(runs))
        return figures.latency(figures.Samples(), 8e6, 3, 1.0, 0.0, {})
    rows = judged(9)
    assert rows[2][0].endswith("(in 2 of 6 runs the cores never at the usual distance), p99.9")
    assert rows[2][1] == "at most OVS's (is 0.55 of it; of medians 0.55): met"
    assert rows[2][2] == "11.0 (10.0–60.0) µs"
    rows = judged(11)
    assert rows[1][1] == "at most OVS's (is 0.55 of it; of medians 0.55): met"
    assert rows[2][1] == "at most OVS's, of the frames that were sent (is 0.55 of it; of medians 0.55): met"


def test_traffic_is_tried_again_until_the_cores_are_where_they_are_wanted_before_it_and_behind_it(monkeypatch):
    def tried(*looks):
        coming, runs = iter(looks), []
        monkeypatch.setattr(run.machine, "core_distances", lambda *_: [next(coming)])
        monkeypatch.setattr(run, "contest", lambda *_: contextlib.nullcontext())
        monkeypatch.setattr(run, "traffic", lambda *_: runs.append(len(runs) + 1) or (runs[-1], "traffic"))
        return run.traffic_at_distance(figures.Sluice, figures.ONE_FLOW, 1000.0, 1.0)
    assert tried(1000, 900) == (1, "traffic", True)
    assert tried(300, 1000, 1000, 300, 1000, 1400) == (3, "traffic", True)
    assert tried(*[300] * 12) == (6, "traffic", False), "the last one, if they never are"


def test_latency_that_is_met_by_one_of_the_two_ratios_alone_says_so(monkeypatch):
    def run_of(latency):
        return (Reading(100, 1.0, 4, 0.9), Traffic(1, 1, 0, "rate", {"total": {
            "latency_us": dict.fromkeys(("p50", "p99", "p99_9"), latency), "offered": 10_000, "lost": 0, "refused": 0, "skipped": 0}}), True)
    runs = iter([run_of(latency) for latency in (40, 41, 10, 11, 42, 20)])
    monkeypatch.setattr(figures, "traffic_at_distance", lambda *_: next(runs))
    (row, *_) = figures.latency(figures.Samples(), 8e6, 3, 1.0, 0.0, {})
    assert row[:2] == ("latency at 4.0 Mpps, half of OVS's capacity, p50", "at most OVS's (is 0.98 of it; of medians 2.00): met by rounds alone")


def test_a_rate_without_loss_says_in_how_many_rounds_it_was_the_vms(monkeypatch):
    def found(limit):
        return {"rate": 1e6, "rx_pps": 1e6, "limit": limit, "trials": [{"spoiled": limit == "generator"}]}
    limits = ["generator", "switch", "generator", "switch", "switch", "rate"]  # Sluice's and OVS's in turn
    runs = iter([found(limit) for limit in limits * 2])
    monkeypatch.setattr(figures, "contest", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setattr(figures, "searched", lambda *_: next(runs))
    rows = figures.no_loss(figures.Samples(), 3)
    assert rows[0][2].endswith(" Mpps (generator in 2 of 3)") and rows[0][3].endswith(" Mpps")


def two_pmds(monkeypatch, arithmetic_of_both):
    costs = {"alone": {"packet": [[100, 100, 100, 100], [90, 90, 90, 90]], "arithmetic": [[1000] * 4, [1010] * 4]},
             "both": {"packet": [[100, 125, 200, 200], [90, 90, 180, 180]], "arithmetic": arithmetic_of_both}}
    monkeypatch.setattr(figures.machine, "two_pmds", lambda *_: costs)
    return figures.two_pmds(figures.Samples(), 4)


def test_what_a_second_pmd_adds_is_of_both(monkeypatch):
    row, packed = two_pmds(monkeypatch, [[1000, 1050, 1000, 2000], [1010, 1010, 1000, 2000]])
    assert row[1] == "at least 0.9: **not met**, by 11%" and row[2] == "0.80 (0.00–1.00)" and "packed" in packed[0]
    assert "the 3 of 4 rounds in which the machine had two cores" in row[0]


def test_two_threads_of_one_core_show_nothing_of_a_second_pmd(monkeypatch):
    row, _ = two_pmds(monkeypatch, [[2000] * 4, [1010] * 4])
    assert row[1] == "at least 0.9: **not shown**" and row[2] == "–"


def test_new_flows_have_to_arrive(monkeypatch):
    def judged(arrived):
        monkeypatch.setattr(figures, "_new_flows_once", lambda *_: NewFlows(0.5, 0.005, 0.001, 0.7, 0.0, 3e5, arrived, 0.0, 0.0, 600_000))
        rows = figures.new_flows(figures.Samples(), {kind.name: 16e6 for kind in figures.BOTH}, 1, 30.0)
        return next(row[1] for row in rows if "arrived" in row[0])
    assert judged(297_000) == "300,000, within 1 %: met"
    assert judged(290_000) == "300,000, within 1 %: **not met**, by 2%"


def test_vms_that_cannot_offer_half_of_the_capacity_are_asked_for_what_they_can_send_in_time(monkeypatch):
    class AtRest:
        def pmd_waited(self):
            return 0.0

        def flows(self):
            return 0

    def asked(made):
        """For 8 million frames a second, of VMs that make so many and as many new flows as they are asked for."""
        rates = []

        def traffic(_, seconds, rate, new_flows):
            rates.append(2 * float(rate.removeprefix("--rate=")))
            established, new = round(made * seconds), round(2 * float(new_flows.removeprefix("--new-flows=")) * seconds)
            total = {"offered": established + new, "received": established + new, "refused": 0,
                     "new_flows": {"sent": new, "refused": 0, "received": new}}
            return Reading(100, 1.0, 4, 0.5), Traffic(1, 1, 0, "rate", {"total": total, "duration_s": seconds})
        monkeypatch.setattr(figures, "contest", lambda *_, **__: contextlib.nullcontext(AtRest()))
        monkeypatch.setattr(figures, "traffic", traffic)
        figures._new_flows_once(figures.Sluice, 16e6, 30.0, 300_000)
        return rates
    assert asked(made=3e6) == [8e6, 2.4e6]
    assert asked(made=7.9e6) == [8e6, 8e6]


def test_what_each_round_of_a_figure_has_found_is_in_a_file(tmp_path):
    samples = figures.Samples()
    samples.note("start", figures.Sluice, 2, seconds=0.25)
    report._write_csv(tmp_path / "figures.csv", figures.Sample, samples)
    assert (tmp_path / "figures.csv").read_text() == "figure,contender,round,what,value\nstart,Sluice,2,seconds,0.25\n"


def test_figures_by_themselves_are_a_table_without_runs(tmp_path):
    report.write(tmp_path, {}, [], [], [("what it is", "at most 1: met", "0.5", "–")], [], [], 60.0)
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert lines[-1] == "| what it is | at most 1: met | 0.5 | – |" and not any(line.startswith("| work |") for line in lines)
