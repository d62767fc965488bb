"""Gaps: for how long VMs are without frames, as vmgen's intervals tell it."""

from __future__ import annotations

WITHIN = 0.5  # seconds: by then another worker has the ports, and what is left of the one before has been taken down


def outage(intervals: list[dict], instant: float) -> float:
    """For how many ms a VM received nothing, because of what was done at `instant` (time.monotonic()): the longest gap of those that
    began no later than WITHIN after it. A gap of before counts too if its interval lasted then, so that none is missed."""
    def began(interval: dict, vm: dict) -> float:
        return interval["clock_s"] - interval["t_s"] + vm["longest_gap_at_s"]
    return max(vm["longest_gap_us"] for each in intervals if each["clock_s"] >= instant for vm in each["vms"]
               if began(each, vm) <= instant + WITHIN) / 1000
