"""Small multiples: one compact SVG per panel, so that the page can lay them out in any width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from reports.svg import (
    INK,
    MUTED,
    Place,
    band,
    line,
    nice_ticks,
    opening,
    scale,
    shortened,
    symbol,
    text,
    tick_label,
    told,
)

Point = TypeVar("Point")

WIDTH, HEIGHT = 250, 178
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 24, 34

#: Line patterns, in step with the markers of the arms: colour is never the only sign.
DASHES = ("", "6 3", "2 2", "8 2 2 2", "1 3", "10 4", "4 1")


@dataclass(frozen=True)
class Trace:
    """Points of one colour, joined as a line (its marker at the end) or each as a dot."""

    points: Sequence[tuple[float, float]]
    colour: str
    symbol: str = ""
    kind: Literal["line", "dots"] = "line"
    dash: str = ""


@dataclass(frozen=True)
class Rule:
    """A horizontal line (whole where `dash` is empty), with the band of its interval behind it."""

    value: float
    low: float | None = None
    high: float | None = None
    dash: str = "4 3"


def panel(
    title: str,
    traces: Sequence[Trace],
    labels: tuple[str, str],
    summary: str,
    *,
    rules: Sequence[Rule] = (),
    log: bool = False,
) -> str:
    """One panel; `labels` of x and y, `summary` for readers who cannot see it."""
    points = [point for trace in traces for point in trace.points]
    heights = [y for _, y in points]
    heights += [end for rule in rules for end in (rule.value, rule.low, rule.high) if end is not None]
    up: list[float] = [math.log10(value) for value in heights] if log else list(heights)
    across = nice_ticks(min(x for x, _ in points), max(x for x, _ in points), 4)
    upward = nice_ticks(min(up), max(up), 4)
    x = scale(across, LEFT, WIDTH - RIGHT)
    linear = scale(upward, HEIGHT - BOTTOM, TOP)
    y: Place = (lambda value: linear(math.log10(value))) if log else linear
    parts = [
        opening(WIDTH, HEIGHT, summary),
        told(title, text(WIDTH / 2, 14, shortened(title, 36), INK, size=12)),
    ]
    for tick in upward:
        word = f"{10**tick:.2g}" if log else tick_label(tick, upward)
        parts.append(line(LEFT, linear(tick), WIDTH - RIGHT, linear(tick)))
        parts.append(text(LEFT - 5, linear(tick) + 3.5, word, MUTED, anchor="end", size=10))
    for tick in across:
        parts.append(text(x(tick), HEIGHT - BOTTOM + 13, tick_label(tick, across), MUTED, size=10))
    for rule in rules:
        parts += _ruled(rule, y)
    for trace in traces:
        parts += _drawn(trace, x, y)
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5, labels[0], MUTED, size=10))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        text(10, middle, labels[1], MUTED, size=10, more=f'transform="rotate(-90 10 {middle})"') + "</svg>"
    )
    return "".join(parts)


def sheet(panels: Sequence[str], summary: str, columns: int = 4) -> str:
    """Panels as one picture, row by row."""
    rows = math.ceil(len(panels) / columns)
    columns = min(columns, len(panels))
    parts = [opening(columns * (WIDTH + 8), rows * (HEIGHT + 8), summary)]
    for index, one in enumerate(panels):
        x, y = index % columns * (WIDTH + 8), index // columns * (HEIGHT + 8)
        place = f'<svg x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" '
        parts.append(place + one.removeprefix("<svg "))
    return "".join([*parts, "</svg>"])


def thinned(points: Sequence[Point], limit: int) -> list[Point]:
    """At most `limit` points, evenly spaced, the first and the last among them.

    Examples
    --------
    >>> thinned(list(range(101)), 5)
    [0, 25, 50, 75, 100]
    """
    if len(points) <= limit:
        return list(points)
    return [points[round(index * (len(points) - 1) / (limit - 1))] for index in range(limit)]


def _ruled(rule: Rule, y: Place) -> list[str]:
    parts = []
    if rule.low is not None and rule.high is not None:
        top, height = y(rule.high), y(rule.low) - y(rule.high)
        parts.append(band(LEFT, top, WIDTH - RIGHT - LEFT, height))
    more = f'stroke-dasharray="{rule.dash}"' if rule.dash else ""
    return [*parts, line(LEFT, y(rule.value), WIDTH - RIGHT, y(rule.value), colour=INK, more=more)]


def _drawn(trace: Trace, x: Place, y: Place) -> list[str]:
    places = [(x(a), y(b)) for a, b in trace.points]
    if not places:
        return []
    if trace.kind == "dots":
        path = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in places)
        return [
            f'<path d="{path}" stroke="{trace.colour}" stroke-width="3.4" stroke-linecap="round"'
            ' stroke-opacity="0.55" fill="none"/>'
        ]
    path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in places)
    dash = f' stroke-dasharray="{trace.dash}"' if trace.dash else ""
    end = symbol(trace.symbol, *places[-1], trace.colour, 4.0) if trace.symbol else ""
    return [f'<path d="{path}" stroke="{trace.colour}" stroke-width="1.5" fill="none"{dash}/>', end]
