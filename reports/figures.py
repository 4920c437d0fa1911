"""Figures: a static SVG for every reader, and the same data for the interactive view on top of it.

Colour is never the only sign: every arm has its own marker as well, and verdicts are words.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from reports.answer import number
from reports.intervals import Estimate
from reports.tables import Column, Comparison, Contrast, Line, StatisticTable
from reports.tuning import TaskTuning

#: Colour and marker of the arms in declared order; every colour has a contrast above 3:1 on white.
STYLES = (
    ("#0072b2", "circle"),
    ("#d55e00", "square"),
    ("#00805e", "diamond"),
    ("#aa3377", "triangle-up"),
    ("#000000", "x"),
    ("#4b6a14", "triangle-down"),
    ("#6a51a3", "cross"),
)
BASELINE_STYLE = ("#6b6459", "circle-open")

WIDTH = 760
LABEL_WIDTH = 190
TEXT = "#1d2530"
MUTED = "#5b6673"
GRID = "#e3e6ea"


@dataclass(frozen=True)
class Figure:
    """One figure: the static picture, what it says in words, and the data of the interactive view."""

    key: str
    svg: str
    summary: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Mark:
    """A point with its interval on one line of a chart."""

    value: float
    low: float | None
    high: float | None
    colour: str
    symbol: str
    note: str = ""


def arm_styles(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of every arm, by its place in the declared order."""
    return {name: STYLES[index % len(STYLES)] for index, name in enumerate(names)}


def styles(columns: Sequence[Column]) -> dict[str, tuple[str, str]]:
    """Colour and marker by column key."""
    arms = arm_styles(column.name for column in columns if not column.baseline)
    return {column.key: BASELINE_STYLE if column.baseline else arms[column.name] for column in columns}


def endpoint_figure(comparison: Comparison) -> Figure | None:
    """The primary endpoint of every arm and baseline with its interval."""
    if not comparison.endpoint.lines:
        return None
    line, style = comparison.endpoint.lines[0], styles(comparison.columns)
    shown = [column for column in comparison.columns if _drawable(line.cells[column.key])]
    if not shown:
        return None
    decimals = comparison.endpoint.decimals
    rows = []
    for column in shown:
        cell = line.cells[column.key]
        assert cell is not None and cell.value is not None  # noqa: S101  _drawable said so
        text = number(cell.value, decimals)
        rows.append((column.title, [Mark(cell.value, cell.low, cell.high, *style[column.key], text)]))
    label = comparison.endpoint.label + (f" ({line.unit})" if line.unit else "")
    summary = "; ".join(f"{title} {marks[0].note}" for title, marks in rows)
    key = f"endpoint-{comparison.task}-{'-'.join(comparison.protocols)}"
    data = {
        "kind": "points",
        "axis": plain(label),
        "series": [_series(title, marks, [title]) for title, marks in rows],
    }
    return Figure(key, chart(rows, label, summary, zero=False), summary, data)


def forest_figures(comparison: Comparison, table: str, statistic: StatisticTable) -> list[Figure]:
    """Paired differences to the reference arm, one figure for each set of rows that share an axis.

    The interactive view offers every other pair as well.
    """
    style = styles(comparison.columns)
    titles = {column.key: column.title for column in comparison.columns}
    groups: dict[str, list[int]] = {}
    for index, line in enumerate(statistic.lines):
        groups.setdefault(_axis(statistic, line), []).append(index)
    figures = []
    for position, indices in enumerate(groups.values()):
        lines = [statistic.lines[index] for index in indices]
        unit = lines[0].unit if statistic.name in ("rmse", "bias", "mean") else ""
        label = f"difference in {lines[0].label if statistic.name == 'mean' else statistic.label}"
        label += f" ({unit})" if unit else ""
        shown = [contrast for contrast in statistic.contrasts if contrast.kind == "reference"]
        rows = [(line.label, _marks(shown, index, style)) for line, index in zip(lines, indices, strict=True)]
        if not any(marks for _, marks in rows):
            continue
        summary = _forest_summary(shown, indices, titles)
        data = {
            "kind": "forest",
            "axis": plain(label),
            "contrasts": [
                {
                    "label": plain(f"{titles[one.first]} minus {titles[one.second]}"),
                    "reference": one.kind == "reference",
                    "series": _series(
                        f"{titles[one.first]} minus {titles[one.second]}",
                        [mark for index in indices for mark in _marks([one], index, style)],
                        [
                            line.label
                            for line, index in zip(lines, indices, strict=True)
                            if _marks([one], index, style)
                        ],
                    ),
                }
                for one in statistic.contrasts
            ],
        }
        key = f"forest-{comparison.task}-{'-'.join(comparison.protocols)}-{table}-{statistic.name}-{position}"
        figures.append(Figure(key, chart(rows, label, summary, zero=True), summary, data))
    return figures


def draws_figure(tuned: TaskTuning, style: Mapping[str, tuple[str, str]]) -> Figure | None:
    """Validation score by draw; `style` by name of the arm."""
    points = [(arm, style[arm.name]) for arm in tuned.arms if arm.scores]
    if not points:
        return None
    summary = "; ".join(
        f"{arm.title}: {min(s for _, s in arm.scores):.3f} to {max(s for _, s in arm.scores):.3f}"
        for arm, _ in points
    )
    data = {
        "kind": "draws",
        "axis": plain(f"validation {tuned.label}"),
        "series": [
            {
                "name": plain(arm.title),
                "colour": colour,
                "symbol": symbol,
                "x": [draw for draw, _ in arm.scores],
                "y": [score for _, score in arm.scores],
            }
            for arm, (colour, symbol) in points
        ],
    }
    return Figure(f"draws-{tuned.task}", _draws_svg(tuned, points, summary), summary, data)


def chart(rows: Sequence[tuple[str, Sequence[Mark]]], label: str, summary: str, zero: bool) -> str:
    """Points with intervals, one block per row, as a self-contained SVG."""
    marks = [mark for _, row in rows for mark in row]
    ends = [x for mark in marks for x in (mark.value, mark.low, mark.high) if x is not None]
    ticks = nice_ticks(min([*ends, 0.0] if zero else ends), max([*ends, 0.0] if zero else ends))
    left, right = LABEL_WIDTH, WIDTH - 110
    heights = [16 * max(1, len(row)) + 10 for _, row in rows]
    bottom = 8 + sum(heights)

    def x(value: float) -> float:
        return left + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (right - left)

    parts = [
        f'<svg role="img" viewBox="0 0 {WIDTH} {bottom + 44}" xmlns="http://www.w3.org/2000/svg"'
        f' aria-label="{escape(summary)}">'
    ]
    for tick in ticks:
        parts.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="4" y2="{bottom}" stroke="{GRID}"/>')
        parts.append(
            f'<text x="{x(tick):.1f}" y="{bottom + 16}" text-anchor="middle" fill="{MUTED}" font-size="12">'
            f"{tick_label(tick, ticks)}</text>"
        )
    if zero:
        parts.append(
            f'<line x1="{x(0):.1f}" x2="{x(0):.1f}" y1="4" y2="{bottom}" stroke="{TEXT}" stroke-dasharray="4 3"/>'
        )
    top = 4
    for (title, row), height in zip(rows, heights, strict=True):
        middle = top + height / 2
        parts.append(
            f'<text x="{left - 12}" y="{middle + 4:.1f}" text-anchor="end" fill="{TEXT}" font-size="13">'
            f"{escape(shortened(title))}</text>"
        )
        for index, mark in enumerate(row):
            y = middle + 16 * (index - (len(row) - 1) / 2)
            parts += _drawn(mark, x, y, right)
        top += height
    parts.append(
        f'<text x="{(left + right) / 2:.0f}" y="{bottom + 36}" text-anchor="middle" fill="{MUTED}"'
        f' font-size="12.5">{escape(label)}</text></svg>'
    )
    return "".join(parts)


def _drawn(mark: Mark, x: Any, y: float, right: int) -> Iterator[str]:
    if mark.low is not None and mark.high is not None:
        yield (
            f'<line x1="{x(mark.low):.1f}" x2="{x(mark.high):.1f}" y1="{y:.1f}" y2="{y:.1f}"'
            f' stroke="{mark.colour}" stroke-width="2"/>'
        )
    yield symbol(mark.symbol, x(mark.value), y, mark.colour)
    if mark.note:
        yield (
            f'<text x="{right + 10}" y="{y + 4:.1f}" fill="{mark.colour}" font-size="12">'
            f"{escape(mark.note)}</text>"
        )


def symbol(name: str, x: float, y: float, colour: str, size: float = 5.0) -> str:
    """One marker, as SVG."""
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
    d = s - 0.5 if name == "x" else 0.0
    lines = [(-d, -d, d, d), (-d, d, d, -d)] if name == "x" else [(-s, 0.0, s, 0.0), (0.0, -s, 0.0, s)]
    path = " ".join(f"M{x + a:.1f} {y + b:.1f}L{x + c:.1f} {y + e:.1f}" for a, b, c, e in lines)
    return f'<path d="{path}" stroke="{colour}" stroke-width="2.4" fill="none"/>'


def nice_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round tick values that enclose [low, high].

    Examples
    --------
    >>> nice_ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high > low:
        low, high = low - max(abs(low), 1.0) * 0.1, high + max(abs(high), 1.0) * 0.1
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def tick_label(value: float, ticks: Sequence[float]) -> str:
    """A tick with as many digits as the step between ticks needs."""
    step = ticks[1] - ticks[0]
    return number(value + 0.0, max(0, -math.floor(math.log10(step) + 1e-9)))


def plain(text: str) -> str:
    """Text for the interactive view, which reads a few tags: no tag survives."""
    return escape(text, quote=False)


def shortened(text: str, length: int = 27) -> str:
    """A label that fits beside a chart; tables carry it whole."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _drawable(cell: Estimate | None) -> bool:
    return cell is not None and cell.value is not None


def _axis(statistic: StatisticTable, line: Line) -> str:
    """Rows that share an axis: all of a pure number, rows of one unit, each score by itself."""
    if statistic.name == "mean":
        return line.key
    return line.unit if statistic.name in ("rmse", "bias") else ""


def _marks(contrasts: Sequence[Contrast], index: int, style: Mapping[str, tuple[str, str]]) -> list[Mark]:
    found = []
    for contrast in contrasts:
        difference = contrast.differences[index]
        if difference is not None and difference.estimate.value is not None:
            one = difference.estimate
            word = "" if difference.verdict == "not judged" else difference.verdict
            found.append(Mark(difference.estimate.value, one.low, one.high, *style[contrast.first], word))
    return found


def _series(name: str, marks: Sequence[Mark], labels: Sequence[str]) -> dict[str, Any]:
    return {
        "name": plain(name),
        "colour": marks[0].colour if marks else MUTED,
        "symbol": marks[0].symbol if marks else "circle",
        "labels": [plain(label) for label in labels],
        "value": [mark.value for mark in marks],
        "low": [mark.low for mark in marks],
        "high": [mark.high for mark in marks],
        "note": [plain(mark.note) for mark in marks],
    }


def _forest_summary(contrasts: Sequence[Contrast], indices: Sequence[int], titles: Mapping[str, str]) -> str:
    words = []
    for contrast in contrasts:
        verdicts = [diff.verdict for index in indices if (diff := contrast.differences[index]) is not None]
        counts = [
            f"{verdicts.count(word)} {word}"  # type: ignore[arg-type]  # a plain string is compared
            for word in ("better", "worse", "inconclusive", "not judged")
            if word in verdicts
        ]
        words.append(f"{titles[contrast.first]} against {titles[contrast.second]}: {', '.join(counts)}")
    return f"{'; '.join(words)} (of {len(indices)})"


def _draws_svg(tuned: TaskTuning, points: Sequence[tuple[Any, tuple[str, str]]], summary: str) -> str:
    draws = sorted({draw for arm, _ in points for draw, _ in arm.scores})
    scores = [score for arm, _ in points for _, score in arm.scores]
    ticks = nice_ticks(min(scores), max(scores))
    left, right, top, bottom = 70, WIDTH - 170, 10, 250

    def x(draw: int) -> float:
        span = max(draws) - min(draws) or 1
        return left + 20 + (draw - min(draws)) / span * (right - left - 40)

    def y(score: float) -> float:
        return bottom - (score - ticks[0]) / (ticks[-1] - ticks[0]) * (bottom - top)

    parts = [
        f'<svg role="img" viewBox="0 0 {WIDTH} 300" xmlns="http://www.w3.org/2000/svg"'
        f' aria-label="{escape(summary)}">'
    ]
    for tick in ticks:
        parts.append(
            f'<line x1="{left}" x2="{right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="{GRID}"/>'
        )
        parts.append(
            f'<text x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end" fill="{MUTED}" font-size="12">'
            f"{tick_label(tick, ticks)}</text>"
        )
    for draw in draws[:: max(1, len(draws) // 12)]:
        parts.append(
            f'<text x="{x(draw):.1f}" y="{bottom + 18}" text-anchor="middle" fill="{MUTED}" font-size="12">{draw}</text>'
        )
    for index, (arm, (colour, marker)) in enumerate(points):
        parts += [symbol(marker, x(draw), y(score), colour) for draw, score in arm.scores]
        parts.append(symbol(marker, right + 22, top + 14 + 22 * index, colour))
        parts.append(
            f'<text x="{right + 34}" y="{top + 18 + 22 * index}" fill="{TEXT}" font-size="13">'
            f"{escape(shortened(arm.title, 18))}</text>"
        )
    parts.append(
        f'<text x="{(left + right) / 2}" y="{bottom + 40}" text-anchor="middle" fill="{MUTED}" font-size="12.5">'
        f"draw</text>"
        f'<text transform="translate(16 {(top + bottom) / 2}) rotate(-90)" text-anchor="middle" fill="{MUTED}"'
        f' font-size="12.5">{escape(f"validation {tuned.label}")}</text></svg>'
    )
    return "".join(parts)
