"""`sluice replay`, the program: any difference is found and told, none of the files it reads is harmed, and its summary
says what became of each frame. Each test changes a copy of a case."""

import os
import pathlib
import re
import shutil
import struct
import subprocess

import pytest

from make_captures import pcap

SLUICE = pathlib.Path(os.environ["SLUICE_BUILD_DIR"]) / "sluice"
CASES = pathlib.Path(__file__).resolve().parent
DONE, DIFFERS, FAILED = 0, 1, 2  # as the command's help says


def frames(file):
    """(time, bytes) of each frame of a capture that make_captures.pcap or the switch wrote."""
    data, found, at = file.read_bytes(), [], 24
    while at < len(data):
        seconds, nanoseconds, size, _ = struct.unpack_from("<IIII", data, at)
        found.append((seconds * 10**9 + nanoseconds, data[at + 16:at + 16 + size]))
        at += 16 + size
    return found


class Case:
    """A copy of a case's folder, to be changed and replayed."""

    def __init__(self, name, place):
        self.place = place / name
        shutil.copytree(CASES / name, self.place)

    def file(self, kind, port):
        return self.place / kind / f"{port}.pcap"

    def expect(self, port, change):
        file = self.file("expect", port)
        file.write_bytes(pcap(change(frames(file))))

    def replay(self, *more, inputs=None, out="out"):
        inputs = inputs or {file.stem: file for file in sorted((self.place / "in").iterdir())}
        command = [SLUICE, "replay", "config.yaml", *(f"--in={port}={file}" for port, file in inputs.items()), "--out", out, *more]
        return subprocess.run(command, cwd=self.place, capture_output=True, text=True, timeout=60)


@pytest.fixture
def case(tmp_path):
    """Of three frames each that vm2 and vm3 are to be sent, and two for vm1."""
    return Case("001-learning", tmp_path)


def test_what_was_expected_exits_0_and_writes_nothing_to_stderr(case):
    outcome = case.replay("--expect", "expect")
    assert (outcome.returncode, outcome.stderr) == (DONE, "")


def with_a_bit_flipped(frame, at):
    time, data = frame
    return time, data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


# The expected frames of vm2 changed, and what is told of it; a frame's time ends in milliseconds.
DIFFERENCES = {
    "byte": (lambda f: [f[0], with_a_bit_flipped(f[1], 26), f[2]],
             ["vm2: frame 2 differs (3 frames, expected 3)", "  byte 26 is the first that differs; from byte 16 on:"]),
    "byte_of_the_source": (lambda f: [with_a_bit_flipped(f[0], 11), *f[1:]],
                           ["vm2: frame 1 differs (3 frames, expected 3)", "  dl_src: 02:00:00:00:00:01, expected 02:00:00:00:00:00"]),
    "length": (lambda f: [*f[:2], (f[2][0], f[2][1] + b"!")],
               ["vm2: frame 3 differs (3 frames, expected 3)", "  length: 27, expected 28"]),
    "time_by_a_nanosecond": (lambda f: [*f[:2], (f[2][0] + 1, f[2][1])],
                             ["vm2: frame 3 differs (3 frames, expected 3)",
                              "  time: 2023-11-14 22:13:20.004000000 UTC, expected 2023-11-14 22:13:20.004000001 UTC"]),
    "order": (lambda f: [(f[0][0], f[2][1]), f[1], (f[2][0], f[0][1])], ["vm2: frame 1 differs (3 frames, expected 3)"]),
    "frame_too_few": (lambda f: [*f, (f[2][0] + 1, f[2][1])],
                      ["vm2: frame 4 differs (3 frames, expected 4)", "  expected and not there: 2023-11-14 22:13:20.004000001 UTC, 27 bytes"]),
    "frame_too_many": (lambda f: [f[0], f[2]],
                       ["vm2: frame 2 differs (3 frames, expected 2)", "  there and not expected: 2023-11-14 22:13:20.002000000 UTC, 27 bytes"]),
    "frame_where_none_is_expected": (lambda f: [],
                                     ["vm2: frame 1 differs (3 frames, expected 0)", "  there and not expected: 2023-11-14 22:13:20.000000000 UTC"]),
}


@pytest.mark.parametrize("what", DIFFERENCES)
def test_what_was_not_expected_exits_1_and_is_told(case, what):
    change, told = DIFFERENCES[what]
    case.expect("vm2", change)
    outcome = case.replay("--expect", "expect")
    assert outcome.returncode == DIFFERS
    for line in told:
        assert f"\n{line}" in f"\n{outcome.stderr}", outcome.stderr
    assert outcome.stderr.count(" differs (") == 1, f"the other ports send what is expected\n{outcome.stderr}"
    assert outcome.stdout.startswith("port "), "the summary comes all the same"
    assert case.replay().returncode == DONE, "without --expect nothing is compared"


def test_each_port_that_differs_is_told(case):
    for port in ("vm1", "vm2", "vm3"):
        case.expect(port, lambda frames: frames[1:])
    outcome = case.replay("--expect", "expect")
    assert outcome.returncode == DIFFERS
    assert re.findall(r"^vm\d: frame \d differs .*$", outcome.stderr, re.M) == [
        "vm1: frame 1 differs (2 frames, expected 1)", "vm2: frame 1 differs (3 frames, expected 2)", "vm3: frame 1 differs (3 frames, expected 2)"]


def test_a_port_without_a_file_is_expected_to_send_nothing(case):
    case.file("expect", "vm3").unlink()
    outcome = case.replay("--expect", "expect")
    assert (outcome.returncode, outcome.stderr) == (DIFFERS, "vm3: 3 frames, expected none: there is no expect/vm3.pcap\n")
    # Of vm1 alone nothing comes back to it.
    silent = case.replay("--expect", "expect", inputs={"vm1": "in/vm1.pcap"})
    assert "vm1" in silent.stderr, "two frames were expected of it"
    case.file("expect", "vm1").unlink()
    assert "vm1" not in case.replay("--expect", "expect", inputs={"vm1": "in/vm1.pcap"}).stderr


def test_an_expected_capture_that_is_no_ports_is_refused(case):
    case.file("expect", "vm2").rename(case.file("expect", "vm4"))
    outcome = case.replay("--expect", "expect")
    assert (outcome.returncode, outcome.stderr) == (FAILED, "sluice: expect/vm4.pcap: config.yaml has no port of that name\n")


def test_what_is_not_there_is_named_and_exits_2(case):
    for more, named in (({"inputs": {"vm1": "in/none.pcap"}}, "in/none.pcap"), ({"inputs": {"vn1": "in/vm1.pcap"}}, "--in vn1=")):
        outcome = case.replay(**more)
        assert outcome.returncode == FAILED and named in outcome.stderr, outcome.stderr
    outcome = case.replay("--expect", "none")
    assert (outcome.returncode, outcome.stderr) == (FAILED, "sluice: --expect none: No such file or directory\n")
    case.file("expect", "vm1").write_bytes(b"no capture")
    outcome = case.replay("--expect", "expect")
    assert outcome.returncode == FAILED and "expect/vm1.pcap" in outcome.stderr, outcome.stderr


def test_what_is_read_is_never_written_over(case):
    before = {file: file.read_bytes() for file in case.place.rglob("*.pcap")}
    (case.place / "linked").symlink_to("in")
    for out in ("in", "linked", f"{case.place}/in"):
        outcome = case.replay(out=out)
        assert outcome.returncode == FAILED
        assert outcome.stderr == f"sluice: --out {out} would overwrite {case.file('in', 'vm1')}, which is read; right is another folder\n"
    outcome = case.replay("--expect", "expect", out="./expect")
    assert (outcome.returncode, outcome.stderr) == (FAILED, "sluice: --out ./expect is the folder of --expect; right is another\n")
    assert {file: file.read_bytes() for file in before} == before


def table(stdout):
    """The summary's first table: by port, what is in its columns."""
    rows = [line.split() for line in stdout.split("\n\n")[0].splitlines()]
    assert rows[0] == "port in frames bytes out frames bytes dropped".split()
    return {row[0]: [int(cell) for cell in row[1:]] for row in rows[1:]}


DROPS = {
    "001-learning": [],
    "003-access-refuses-tags": [("vm1", 2, "vlan_not_allowed")],
    "006-rules": [("client", 2, "rule")],
    "008-ttl": [("vm1", 3, "ttl_expired")],
    "011-not-forwarded": [("vm1", 1, "rx_runt"), ("vm1", 16, "reserved_address"), ("vm1", 1, "same_port")],
    "012-mtu-and-sizes": [("vm1", 1, "tx_mtu"), ("vm2", 1, "tx_mtu"), ("big", 1, "tx_mtu")],
}


@pytest.mark.parametrize("name", DROPS)
def test_the_summary_counts_what_is_in_the_captures_and_gives_each_drops_reason(tmp_path, name):
    case = Case(name, tmp_path)
    outcome = case.replay()
    counts = table(outcome.stdout)
    for port, (*passed, dropped) in counts.items():
        came = frames(case.file("in", port)) if case.file("in", port).exists() else []
        went = frames(case.file("out", port))
        assert passed == [len(came), sum(len(f) for _, f in came), len(went), sum(len(f) for _, f in went)], port
    reasons = re.findall(r"^(\w+) +(\d+)  (\w+): .+$", outcome.stdout, re.M)
    assert ("\ndropped\n" in outcome.stdout) == bool(reasons)
    for port, (*_, dropped) in counts.items():
        assert sum(int(count) for at, count, _ in reasons if at == port) == dropped, outcome.stdout
    assert [(port, int(count), reason) for port, count, reason in reasons] == DROPS[name]


def test_the_summary_ends_with_what_the_flows_did(case):
    assert re.search(r"^6 frames of 0\.005000 s in .*; 1 found a flow, 5 asked the slow path; 5 flows and 3 learnt MACs at the end$",
                     case.replay().stdout, re.M)
