"""Aims: for how many ms VMs may be without traffic, a stop may last, and so on. The long forms print beside each figure
whether its aim is met; they judge nothing by it, for a slow machine is no mistake.
"""

from __future__ import annotations

Aim = dict[str, float]  # of "p50", "p99" and "longest", those that are bounded

KILL: Aim = {"p50": 150, "p99": 400}  # -9 of the worker
KILL_WITH_STANDBY: Aim = {"p99": 20}
UPGRADE: Aim = {"p99": 5}
STOPPED_PMD: Aim = {"longest": 2000}  # SIGSTOP
MIGRATION: Aim = {"longest": 1000}  # from its end
CLEAN_STOP: Aim = {"longest": 1000}  # from SIGTERM to the end
CONNECT: Aim = {"longest": 20}  # from the socket's appearance


def statistics(milliseconds) -> dict[str, float]:
    found = sorted(milliseconds)
    rank = {name: found[min(len(found) - 1, int(share * len(found)))] for name, share in (("p50", 0.5), ("p99", 0.99))}
    return {**rank, "longest": found[-1]}


def verdict(value: float, bound: float) -> str:
    return f"at most {bound:g}: {'met' if value <= bound else 'NOT met'}"


def described(milliseconds, aim: Aim) -> str:
    """p50 3.1 ms, p99 9.0 ms (at most 5: NOT met), longest 9.0 ms"""
    return ", ".join(f"{name} {value:.1f} ms" + (f" ({verdict(value, aim[name])})" if name in aim else "")
                     for name, value in statistics(milliseconds).items())
