"""What the figures were taken with: the machine and the versions, in a few words each."""

from __future__ import annotations

import json
import pathlib
import platform
import statistics
import subprocess

PROJECT = pathlib.Path(__file__).resolve().parents[2]

core_distance_program: pathlib.Path
two_pmds_program: pathlib.Path


def core_distances(here: int, there: int, seconds: float, *more: str) -> list[float]:
    """Cycles that a word takes from one core to the other and back, ten times a second, for so long: it takes that time. What
    runs on the cores is held up 20 to 200 us each time. `more`: words of the program's command line."""
    return [float(line) for line in _output(core_distance_program, here, there, "--seconds", seconds, *more).split()]


def usual_core_distance(here: int, there: int) -> float:
    """The median of some seconds in which both cores are busy, as they are in a run: a host puts cores elsewhere that rest."""
    return statistics.median(core_distances(here, there, 10.0, "--busy"))


def two_pmds(first: int, second: int, rounds: int, *more: str) -> dict[str, dict[str, list[list[float]]]]:
    """Cycles a `packet` of two PMDs on these cores, and of some `arithmetic`, `alone` and `both` at once, of each one's rounds."""
    return json.loads(_output(two_pmds_program, "--cores", f"{first},{second}", "--rounds", rounds, *more))


def _output(*command) -> str:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout.strip()


def _last_core() -> dict[str, str]:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def tsc_hz() -> float:
    """With a constant TSC, the kernel's BogoMIPS are two a TSC cycle."""
    return float(_last_core()["bogomips"]) / 2 * 1e6


def cpu() -> str:
    fields = _last_core()
    virtual = ", a virtual machine" if "hypervisor" in fields["flags"].split() else ""
    return (f"{fields['model name']} (family {fields['cpu family']}, model {fields['model']}), {int(fields['processor']) + 1} cores{virtual}, "
            f"TSC {tsc_hz() / 1e9:.2f} GHz")


def commit(binary: pathlib.Path) -> str:
    """Of the checkout that `binary` was built in; says so if its files differ, but for results and text."""
    def git(*words: str) -> str:
        return _output("git", "-c", "safe.directory=*", "-C", binary.resolve().parent, *words)
    try:
        root = git("rev-parse", "--show-toplevel")
        changed = _output("git", "-c", "safe.directory=*", "-C", root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!perf/results", ":!*.md")
        return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
    except subprocess.CalledProcessError:
        return "unknown"


def versions(sluice: pathlib.Path) -> dict[str, str]:
    def package(name: str) -> str:
        found = subprocess.run(["dpkg-query", "--show", "--showformat", "${Version}", name], capture_output=True, text=True)
        return found.stdout or "not installed"
    return {
        "Sluice": f"{_output(sluice, '--version').split()[-1]}, commit {commit(sluice)}",
        "OVS-DPDK": package("openvswitch-switch-dpdk"),
        "testpmd, net_vhost": f"DPDK {package('dpdk')}",
        "kernel": platform.release(),
        "CPU": cpu(),
    }
