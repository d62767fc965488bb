"""Gaps: for how long VMs are without frames, as vmgen's intervals tell it."""

from __future__ import annotations

import dataclasses

WITHIN = 0.5  # seconds: by then another worker has the ports, and what is left of the one before has been taken down


@dataclasses.dataclass(frozen=True)
class Gap:
    """`began`: time.monotonic()."""
    began: float
    ms: float


def gaps_of(interval: dict) -> list[Gap]:
    """The longest of each VM; one that lasts on into another interval is in both."""
    return [Gap(interval["clock_s"] - interval["t_s"] + vm["longest_gap_at_s"], vm["longest_gap_us"] / 1000) for vm in interval["vms"]]


def longest(gaps) -> Gap:
    return max(gaps, key=lambda gap: gap.ms)


def outage(intervals: list[dict], instant: float) -> Gap:
    """When a VM received nothing because of what was done at `instant` (time.monotonic()): the longest gap of those that
    began no later than WITHIN after it. A gap of before counts too if its interval lasted then, so that none is missed."""
    return longest(gap for each in intervals if each["clock_s"] >= instant for gap in gaps_of(each) if gap.began <= instant + WITHIN)
