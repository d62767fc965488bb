"""What the figures were taken with: the machine and the versions, in a few words each."""

from __future__ import annotations

import pathlib
import platform
import subprocess

PROJECT = pathlib.Path(__file__).resolve().parents[2]


def _output(*command) -> str:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout.strip()


def cpu() -> str:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    virtual = ", a virtual machine" if "hypervisor" in fields["flags"].split() else ""
    # With a constant TSC, the kernel's BogoMIPS are two a TSC cycle.
    return (f"{fields['model name']} (family {fields['cpu family']}, model {fields['model']}), {int(fields['processor']) + 1} cores{virtual}, "
            f"TSC {float(fields['bogomips']) / 2000:.2f} GHz")


def commit() -> str:
    """Of the project; says so if files differ from it."""
    git = ("git", "-c", f"safe.directory={PROJECT}", "-C", PROJECT)
    changed = _output(*git, "status", "--porcelain", "--untracked-files=no", "--", "flowtable", "ports", "datapath", "control")
    return _output(*git, "rev-parse", "--short", "HEAD") + (" with changes" if changed else "")


def versions(sluice: pathlib.Path) -> dict[str, str]:
    def package(name: str) -> str:
        return _output("dpkg-query", "--show", "--showformat", "${Version}", name)
    return {
        "Sluice": f"{_output(sluice, '--version').split()[-1]}, commit {commit()}",
        "OVS-DPDK": package("openvswitch-switch-dpdk"),
        "testpmd, net_vhost": f"DPDK {package('dpdk')}",
        "kernel": platform.release(),
        "CPU": cpu(),
    }
