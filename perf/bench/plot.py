"""Plots as SVG, drawn by hand: few shapes, readable in a diff, light and dark backgrounds alike."""

from __future__ import annotations

import html
import math
import pathlib
import statistics

import report
from report import CONTENDERS, of, ratio
from run import Run
from work import HOST_RULES, READS_ADDRESSES, Work

COLOURS = {"Sluice": "#0a7d6c", "OVS-DPDK": "#c2571a", "testpmd": "#6b7280"}
GREY = "#8a8f98"
FONT = 'font-family="sans-serif" font-size="13"'


class Drawing:
    def __init__(self, width: int, height: int, title: str):
        self._size = width, height
        self._shapes: list[str] = []
        self.text(10, 22, title, weight="bold")

    def text(self, x: float, y: float, text: str, colour: str = GREY, anchor: str = "start", weight: str = "normal") -> None:
        self._shapes.append(f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}" {FONT}>{html.escape(text)}</text>')

    def line(self, points: list[tuple[float, float]], colour: str = GREY, width: float = 1, dash: str = "") -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._shapes.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{f" stroke-dasharray={chr(34)}{dash}{chr(34)}" if dash else ""}/>')

    def dot(self, x: float, y: float, colour: str, radius: float = 3, opacity: float = 1.0) -> None:
        self._shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}" fill-opacity="{opacity}"/>')

    def bar(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self._shapes.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" fill="{colour}" fill-opacity="0.35"/>')

    def legend(self, x: float, y: float, names: list[str]) -> None:
        for name in names:
            self.dot(x, y - 4, COLOURS[name], 5)
            self.text(x + 10, y, name)
            x += 30 + 8 * len(name)

    def save(self, path: pathlib.Path) -> None:
        width, height = self._size
        body = "\n".join(self._shapes)
        path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">\n{body}\n</svg>\n')


def ratios(path: pathlib.Path, works: list[Work], runs: list[Run]) -> None:
    """Cycles a packet, OVS's being 1: the median as a bar, each round as a dot, the target as a line."""
    left, right, top, row = 30 + round(7.2 * max(len(work.title) for work in works)), 40, 62, 30
    most, width = 1.5, left + 560
    height = top + row * len(works) + 40
    drawing = Drawing(width, height, "Busy cycles a packet, relative to OVS-DPDK in the same round (less is better)")
    drawing.legend(left, 44, ["Sluice", "testpmd"])
    drawing.text(left + 190, 44, "thick lines: targets")
    scale = (width - left - right) / most

    def x(value: float) -> float:
        return left + scale * min(value, most)
    for tick in (0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5):
        drawing.line([(x(tick), top - 6), (x(tick), height - 34)], width=1.5 if tick == 1 else 0.4)
        drawing.text(x(tick), height - 16, f"{tick:g}", anchor="middle")
    for number, work in enumerate(works):
        y = top + row * number
        drawing.text(left - 10, y + 17, work.title, anchor="end")
        if not math.isnan(found := ratio(runs, work.name)):
            drawing.bar(left, y + 5, x(found) - left, row - 12, COLOURS["Sluice"])
        for contender in ("Sluice", "testpmd"):
            found = report.ratios(runs, work.name, contender)
            for value in found:
                drawing.dot(x(value), y + row / 2 - 1, COLOURS[contender], opacity=0.8)
            if off := [value for value in found if value > most]:
                drawing.text(x(most) - 8, y + row / 2 + 3, f"off the scale: {', '.join(f'{value:.1f}' for value in sorted(off))}", COLOURS[contender], anchor="end")
        if work.target is not None:
            drawing.line([(x(work.target), y + 1), (x(work.target), y + row - 3)], width=3)
    drawing.save(path)


def flows(path: pathlib.Path, works: list[Work], runs: list[Run]) -> None:
    """Cycles a packet by the number of flows, both logarithmic; a line for each form of the rules."""
    points = [work for work in works if work.on_flow_plot]
    if len(points) < 2:
        path.unlink(missing_ok=True)
        return
    left, right, top, bottom, width, height = 70, 40, 60, 50, 640, 380
    drawing = Drawing(width, height, "Busy cycles a packet by flows (64 B; medians, and each round)")
    drawing.legend(left, 44, ["Sluice", "OVS-DPDK"])
    drawing.text(left + 190, 44, "whole lines: rules on the host part; dashed: on /32")
    most_flows = max(2 * work.flows for work in points)
    values = [run.cycles for run in runs if run.work in {work.name for work in points} and run.contender in CONTENDERS[:2]]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))

    def x(count: float) -> float:
        return left + (width - left - right) * math.log(count / 2) / math.log(most_flows / 2)

    def y(cycles: float) -> float:
        return height - bottom - (height - top - bottom) * math.log(cycles / low) / math.log(high / low)
    tick = low
    while tick <= high:
        drawing.line([(left, y(tick)), (width - right, y(tick))], width=0.4)
        drawing.text(left - 8, y(tick) + 4, f"{tick:,.0f}", anchor="end")
        tick *= 10
    for count in sorted({work.flows for work in points}):
        drawing.text(x(2 * count), height - bottom + 20, f"2 × {_short(count)}", anchor="middle")
    drawing.text(width / 2, height - 8, "flows", anchor="middle")
    for contender in CONTENDERS[:2]:
        for rules, dash, radius in ((READS_ADDRESSES, "", 3.0), (HOST_RULES, "6 4", 1.5)):
            there = [work for work in points if (not work.rules or work.rules == rules) and of(runs, work.name, contender)]
            whole = [work for work in there if not report.missing_flows(work, runs, contender)]
            drawing.line([(x(2 * work.flows), y(statistics.median(of(runs, work.name, contender)))) for work in whole], COLOURS[contender], 2, dash)
            for work in there:
                for value in of(runs, work.name, contender):
                    drawing.dot(x(2 * work.flows), y(value), COLOURS[contender], radius, opacity=0.7 if work in whole else 0.2)
                if work not in whole:
                    drawing.text(x(2 * work.flows) - 8, y(max(of(runs, work.name, contender))) + 4, "not all in the table", COLOURS[contender], anchor="end")
    drawing.save(path)


def _short(number: int) -> str:
    return f"{number // 1000}k" if number >= 1000 else str(number)


def latency(path: pathlib.Path, percentiles: dict[str, dict[str, float]]) -> None:
    """Microseconds by contender and percentile, logarithmic."""
    names = [name for name in CONTENDERS if name in percentiles]
    labels = list(next(iter(percentiles.values())))
    left, top, bottom, width, height = 70, 60, 40, 640, 320
    drawing = Drawing(width, height, "Latency at half of OVS-DPDK's capacity, µs (logarithmic; less is better)")
    drawing.legend(left, 44, names)
    values = [value for of_contender in percentiles.values() for value in of_contender.values()]
    low, high = 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))

    def y(value: float) -> float:
        return height - bottom - (height - top - bottom) * math.log(value / low) / math.log(high / low)
    tick = low
    while tick <= high:
        drawing.line([(left, y(tick)), (width - 20, y(tick))], width=0.4)
        drawing.text(left - 8, y(tick) + 4, f"{tick:,g}", anchor="end")
        tick *= 10
    step = (width - left - 20) / len(labels)
    for group, label in enumerate(labels):
        drawing.text(left + step * (group + 0.5), height - bottom + 20, label, anchor="middle")
        for number, name in enumerate(names):
            value = percentiles[name][label]
            at = left + step * group + 14 + number * (step - 28) / len(names)
            drawing.bar(at, y(value), (step - 28) / len(names) - 4, height - bottom - y(value), COLOURS[name])
            drawing.text(at + (step - 28) / len(names) / 2 - 2, y(value) - 4, f"{value:.{1 if value < 100 else 0}f}", COLOURS[name], anchor="middle")
    drawing.save(path)
