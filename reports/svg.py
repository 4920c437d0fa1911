"""SVG as text: lines, words, markers, ticks; what every chart is drawn from.

Colours stand in presentation attributes, which a style sheet overrides: the page exchanges them in dark mode
(`page/assets/report.css`), a file on its own keeps them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Literal

from reports.answer import number

INK = "#1d2530"
MUTED = "#5b6673"
GRID = "#e3e6ea"
BAND = "#c9ced4"
PAPER = "#ffffff"
FONT = "Inter, 'Source Sans 3', 'Segoe UI', Helvetica, Arial, sans-serif"

Place = Callable[[float], float]

#: Colour and marker of an arm.
Style = tuple[str, str]


def opening(width: float, height: float, summary: str) -> str:
    """The first tag of a picture, with its name for readers who cannot see it."""
    return (
        f'<svg role="img" viewBox="0 0 {width:.0f} {height:.0f}" xmlns="http://www.w3.org/2000/svg"'
        f' font-family="{FONT}" aria-label="{escape(summary)}">'
    )


def told(words: str, *shapes: str) -> str:
    """Shapes that say something under the pointer."""
    inner = "".join(shapes)
    return f"<g><title>{escape(words)}</title>{inner}</g>" if words else inner


def band(x: float, y: float, width: float, height: float) -> str:
    """A gray area: an interval of a line, or differences that do not matter."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
        f' fill="{BAND}" fill-opacity="0.45"/>'
    )


def legend(names: Sequence[tuple[str, Style]], left: float, right: float) -> tuple[list[str], float]:
    """Markers with their names in rows that fit, and the height that they take."""
    parts: list[str] = []
    x, y = left, 12.0
    for name, (colour, marker) in names:
        width = 26 + 7.2 * len(name)
        if x > left and x + width > right:
            x, y = left, y + 20
        parts += [symbol(marker, x + 6, y, colour), text(x + 18, y + 4, name, INK, anchor="start", size=13)]
        x += width + 14
    return parts, (y + 12 if names else 0.0)


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
    """A marker: circle, circle-open, square, diamond, triangle-up (-down, -left, -right), x, cross."""
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
        "triangle-left": [(-s - 1, 0), (s - 1, s), (s - 1, -s)],
        "triangle-right": [(s + 1, 0), (-s + 1, s), (-s + 1, -s)],
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
