"""Static charts as SVG: what stands on paper, in mail and without scripts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from reports.answer import number

WIDTH = 760
LABEL_WIDTH = 190
INK = "#1d2530"
MUTED = "#5b6673"
GRID = "#e3e6ea"

Place = Callable[[float], float]


@dataclass(frozen=True)
class Mark:
    """A point with its interval on one line of a chart."""

    value: float
    low: float | None
    high: float | None
    colour: str
    symbol: str
    note: str = ""


def interval_chart(rows: Sequence[tuple[str, Sequence[Mark]]], label: str, summary: str, zero: bool) -> str:
    """Points with intervals, one block per row; with a line at zero for differences."""
    marks = [mark for _, row in rows for mark in row]
    ends = [x for mark in marks for x in (mark.value, mark.low, mark.high) if x is not None]
    ends += [0.0] if zero else []
    ticks = nice_ticks(min(ends), max(ends))
    left, right = LABEL_WIDTH, WIDTH - 110
    heights = [16 * max(1, len(row)) + 10 for _, row in rows]
    bottom = 8 + sum(heights)
    x = scale(ticks, left, right)
    parts = [_open(bottom + 44, summary)]
    for tick in ticks:
        parts.append(line(x(tick), 4, x(tick), bottom))
        parts.append(text(x(tick), bottom + 16, tick_label(tick, ticks), MUTED))
    if zero:
        parts.append(line(x(0), 4, x(0), bottom, colour=INK, more='stroke-dasharray="4 3"'))
    top = 4
    for (title, row), height in zip(rows, heights, strict=True):
        middle = top + height / 2
        parts.append(text(left - 12, middle + 4, shortened(title), INK, anchor="end", size=13))
        for index, mark in enumerate(row):
            parts += _drawn(mark, x, middle + 16 * (index - (len(row) - 1) / 2), right)
        top += height
    parts += [text((left + right) / 2, bottom + 36, label, MUTED), "</svg>"]
    return "".join(parts)


def scatter_chart(
    series: Sequence[tuple[str, tuple[str, str], Sequence[tuple[int, float]]]],
    labels: tuple[str, str],
    summary: str,
) -> str:
    """Points over whole numbers; `series` as (name, (colour, symbol), points), `labels` of x and y."""
    points = [point for _, _, own in series for point in own]
    ticks = nice_ticks(min(y for _, y in points), max(y for _, y in points))
    left, right, top, bottom = 70, WIDTH - 170, 10, 250
    places = sorted({x for x, _ in points})
    x, y = scale(places, left + 20, right - 20), scale(ticks, bottom, top)
    parts = [_open(300, summary)]
    for tick in ticks:
        parts.append(line(left, y(tick), right, y(tick)))
        parts.append(text(left - 8, y(tick) + 4, tick_label(tick, ticks), MUTED, anchor="end"))
    parts += [text(x(place), bottom + 18, str(place), MUTED) for place in places[:: 1 + len(places) // 12]]
    for index, (name, (colour, marker), own) in enumerate(series):
        parts += [symbol(marker, x(place), y(value), colour) for place, value in own]
        parts.append(symbol(marker, right + 22, top + 14 + 22 * index, colour))
        parts.append(
            text(right + 34, top + 18 + 22 * index, shortened(name, 18), INK, anchor="start", size=13)
        )
    parts.append(text((left + right) / 2, bottom + 40, labels[0], MUTED))
    turned = f'transform="rotate(-90 16 {(top + bottom) / 2})"'
    parts += [text(16, (top + bottom) / 2, labels[1], MUTED, more=turned), "</svg>"]
    return "".join(parts)


def scale(values: Sequence[float], start: float, end: float) -> Place:
    """Linear from the first and last of `values` to `start` and `end`."""
    low, span = values[0], (values[-1] - values[0]) or 1

    def place(value: float) -> float:
        return start + (value - low) / span * (end - start)

    return place


def text(
    x: float,
    y: float,
    content: str,
    colour: str,
    *,
    anchor: Literal["start", "middle", "end"] = "middle",
    size: float = 12,
    more: str = "",
) -> str:
    """A line of text, escaped."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{colour}" font-size="{size}" {more}>{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, *, colour: str = GRID, more: str = "") -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {more}/>'


def symbol(name: str, x: float, y: float, colour: str, size: float = 5.0) -> str:
    """A marker; names are plotly's."""
    if name.startswith("circle"):
        fill = "#ffffff" if name.endswith("open") else colour
        place = f'cx="{x:.1f}" cy="{y:.1f}" r="{size - 0.5}"'
        return f'<circle {place} fill="{fill}" stroke="{colour}" stroke-width="1.6"/>'
    s = size
    shapes: Mapping[str, Sequence[tuple[float, float]]] = {
        "square": [(-s + 1, -s + 1), (s - 1, -s + 1), (s - 1, s - 1), (-s + 1, s - 1)],
        "diamond": [(0, -s - 1), (s + 1, 0), (0, s + 1), (-s - 1, 0)],
        "triangle-up": [(0, -s - 1), (s, s - 1), (-s, s - 1)],
        "triangle-down": [(0, s + 1), (s, -s + 1), (-s, -s + 1)],
    }
    if name in shapes:
        corners = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in shapes[name])
        return f'<polygon points="{corners}" fill="{colour}"/>'
    d = s - 0.5
    strokes = [(-d, -d, d, d), (-d, d, d, -d)] if name == "x" else [(-s, 0.0, s, 0.0), (0.0, -s, 0.0, s)]
    path = " ".join(f"M{x + a:.1f} {y + b:.1f}L{x + c:.1f} {y + e:.1f}" for a, b, c, e in strokes)
    return f'<path d="{path}" stroke="{colour}" stroke-width="2.4" fill="none"/>'


def nice_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round tick values that enclose [low, high].

    Examples
    --------
    >>> nice_ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high - low > 1e-9 * max(abs(low), abs(high)):  # one value, up to rounding
        low, high = low - max(abs(low), 1.0) * 0.1, high + max(abs(high), 1.0) * 0.1
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = 1 - math.floor(math.log10(step))
    return [round(index * step, digits) for index in range(first, last + 1)]


def tick_label(value: float, ticks: Sequence[float]) -> str:
    """A tick with as many digits as the step between ticks needs."""
    digits = -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9)
    return number(value, max(0, digits)) if digits <= 6 else f"{value:.0e}"


def shortened(name: str, length: int = 27) -> str:
    """A label that fits beside a chart; tables carry it whole."""
    return name if len(name) <= length else name[: length - 1] + "…"


def _open(height: float, summary: str) -> str:
    return (
        f'<svg role="img" viewBox="0 0 {WIDTH} {height}" xmlns="http://www.w3.org/2000/svg"'
        f' aria-label="{escape(summary)}">'
    )


def _drawn(mark: Mark, x: Place, y: float, right: float) -> Iterator[str]:
    if mark.low is not None and mark.high is not None:
        yield line(x(mark.low), y, x(mark.high), y, colour=mark.colour, more='stroke-width="2"')
    yield symbol(mark.symbol, x(mark.value), y, mark.colour)
    if mark.note:
        yield text(right + 10, y + 4, mark.note, mark.colour, anchor="start")
