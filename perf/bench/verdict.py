"""Verdict: whether a target is met, in words for a table; and if not, by how much."""

from __future__ import annotations


def at_most(asked: str, found: float, target: float) -> str:
    return _told(asked, found <= target, found / target - 1)


def at_most_either_way(asked: str, rounds: float, medians: float, target: float) -> str:
    """Of a ratio: the median of the rounds' own, and that of the medians. They differ where the machine has changed between rounds."""
    if (rounds <= target) != (medians <= target):
        return f"{asked}: met by {'rounds' if rounds <= target else 'medians'} alone"
    return at_most(asked, max(rounds, medians), target)


def at_least(asked: str, found: float, target: float) -> str:
    return _told(asked, found >= target, 1 - found / target)


def _told(asked: str, met: bool, missed_by: float) -> str:
    return f"{asked}: met" if met else f"{asked}: **not met**, by {missed_by:.{0 if missed_by >= 0.01 else 1}%}"
