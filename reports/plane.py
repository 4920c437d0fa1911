"""Charts in the plane: lines with bands and points with intervals; parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reports.svg import (
    INK,
    MUTED,
    PAPER,
    Place,
    Style,
    legend,
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

WIDTH, HEIGHT = 760, 300
LEFT, RIGHT = 78, 24


@dataclass(frozen=True)
class Dot:
    """A point with its interval; `words` appear under the pointer."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    words: str = ""


@dataclass(frozen=True)
class Series:
    """Points of one name; joined, unless `dash` is `None`; `banded`: intervals as a band, else as bars."""

    name: str
    style: Style
    dots: Sequence[Dot]
    dash: str | None = ""
    banded: bool = False


def plane(
    series: Sequence[Series],
    labels: tuple[str, str],
    summary: str,
    *,
    log: bool = False,
    ticks: Sequence[tuple[float, str]] = (),
) -> str:
    """Points in the plane.

    Parameters
    ----------
    labels, summary
        What the axes show; what the chart says, for readers who cannot see it.
    log
        Whether the horizontal axis is logarithmic; its values are positive then.
    ticks
        Places and words of the horizontal axis; otherwise round numbers.
    """
    dots = [dot for one in series for dot in one.dots]
    heights = [end for dot in dots for end in (dot.y, dot.low, dot.high) if end is not None]
    keys, start = legend([(one.name, one.style) for one in series], LEFT, WIDTH)
    top, bottom = start + 10, start + 10 + HEIGHT
    upward = nice_ticks(min(heights), max(heights))
    across = list(ticks) or _ticks([dot.x for dot in dots], log)
    y = scale(upward, bottom, top)
    ends = [_stretched(place, log) for place, _ in across]
    linear = scale([ends[0], ends[-1]], LEFT + 16, WIDTH - RIGHT - 16)

    def x(value: float) -> float:
        return linear(_stretched(value, log))

    parts = [opening(WIDTH, bottom + 50, summary), *keys]
    for tick in upward:
        parts.append(line(LEFT, y(tick), WIDTH - RIGHT, y(tick)))
        parts.append(text(LEFT - 8, y(tick) + 4, tick_label(tick, upward), MUTED, anchor="end"))
    for place, words in across:
        parts.append(line(x(place), bottom, x(place), bottom + 4, colour=MUTED))
        parts.append(text(x(place), bottom + 18, words, MUTED))
    for one in series:
        parts += _series(one, x, y)
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, bottom + 42, labels[0], MUTED))
    middle = (top + bottom) / 2
    parts.append(text(16, middle, labels[1], MUTED, more=f'transform="rotate(-90 16 {middle:.1f})"'))
    return "".join([*parts, "</svg>"])


def _stretched(value: float, log: bool) -> float:
    return math.log10(value) if log else value


def _ticks(values: Sequence[float], log: bool) -> list[tuple[float, str]]:
    """Round numbers that enclose the values; 1, 2 and 5 times powers of ten on a logarithmic axis."""
    if not log:
        found = nice_ticks(min(values), max(values))
        return [(tick, tick_label(tick, found)) for tick in found]
    low, high = min(values), max(values)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 3 else (1,)
    every = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    inner = [tick for tick in every if low <= tick <= high]
    below = [tick for tick in every if tick < low][-1:]
    above = [tick for tick in every if tick > high][:1]
    return [(tick, f"{tick:g}") for tick in [*below, *inner, *above]]


def _series(one: Series, x: Place, y: Place) -> Iterator[str]:
    colour, marker = one.style
    ends = [(dot, dot.low, dot.high) for dot in one.dots if dot.low is not None and dot.high is not None]
    if one.banded and len(ends) > 1:
        up = [f"{x(dot.x):.1f},{y(high):.1f}" for dot, _, high in ends if high is not None]
        down = [f"{x(dot.x):.1f},{y(low):.1f}" for dot, low, _ in reversed(ends) if low is not None]
        yield f'<polygon points="{" ".join(up + down)}" fill="{colour}" fill-opacity="0.13"/>'
    if one.dash is not None and len(one.dots) > 1:
        path = "L".join(f"{x(dot.x):.1f} {y(dot.y):.1f}" for dot in one.dots)
        dashed = f' stroke-dasharray="{one.dash}"' if one.dash else ""
        yield f'<path d="M{path}" stroke="{colour}" stroke-width="1.8" fill="none"{dashed}/>'
    for dot in one.dots:
        shapes = []
        if not one.banded and dot.low is not None and dot.high is not None:
            shapes.append(
                line(x(dot.x), y(dot.low), x(dot.x), y(dot.high), colour=colour, more='stroke-width="2"')
            )
        yield told(dot.words, *shapes, symbol(marker, x(dot.x), y(dot.y), colour))


@dataclass(frozen=True)
class Axis:
    """One axis of parallel coordinates: its name, and the places (0 to 1) and words of its ticks."""

    name: str
    ticks: Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Strand:
    """One line through all axes: a place (0 to 1) on each, `None` where it has none (it ends there)."""

    places: Sequence[float | None]
    style: Style
    width: float
    opacity: float
    dash: str
    words: str


def parallel(
    axes: Sequence[Axis], strands: Sequence[Strand], names: Sequence[tuple[str, Style]], summary: str
) -> str:
    """Parallel coordinates: what was drawn, axis by axis, up to what came of it."""
    keys, start = legend(names, LEFT, WIDTH)
    top, bottom = start + 34, start + 34 + 240
    across = scale([0, max(1, len(axes) - 1)], LEFT, WIDTH - 2.4 * LEFT / 2)
    y = scale([0.0, 1.0], bottom, top)
    parts = [opening(WIDTH, bottom + 20, summary), *keys]
    for index, axis in enumerate(axes):
        parts.append(line(across(index), top, across(index), bottom, colour=MUTED))
        length = max(8, int(0.9 * 76 * 8 / len(axes)) // 8)
        name = text(across(index), top - 14, shortened(axis.name, length), INK, size=12)
        parts.append(told(axis.name, name))
    for strand in strands:
        known = [(across(index), y(place)) for index, place in enumerate(strand.places) if place is not None]
        path = "L".join(f"{a:.1f} {b:.1f}" for a, b in known)
        dashed = f' stroke-dasharray="{strand.dash}"' if strand.dash else ""
        drawn = (
            f'<path d="M{path}" stroke="{strand.style[0]}" stroke-width="{strand.width}"'
            f' stroke-opacity="{strand.opacity}" fill="none"{dashed}/>'
        )
        end = symbol(strand.style[1], *known[-1], strand.style[0], 4.0) if len(known) == len(axes) else ""
        parts.append(told(strand.words, drawn, end))
    for index, axis in enumerate(axes):
        for place, words in axis.ticks:
            left, middle = across(index) + 7, y(place)
            plate = f'width="{6.4 * len(words) + 6:.0f}" height="15" fill="{PAPER}" fill-opacity="0.8"'
            parts.append(f'<rect x="{left - 3:.1f}" y="{middle - 8:.1f}" {plate}/>')
            parts.append(text(left, middle + 4, words, MUTED, anchor="start", size=11))
    return "".join([*parts, "</svg>"])
