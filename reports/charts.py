"""Charts in one column: intervals over rows, points over draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reports.svg import (
    INK,
    MUTED,
    Place,
    Style,
    band,
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

WIDTH = 760
#: Space for the titles of rows, and for titles of more letters than fit in it.
LABEL_WIDTH, LETTERS, WIDE_LABELS = 190, 27, 330
ROW, GAP = 16, 10

#: Intervals beyond the values by more than this many times the middle interval are cut.
WIDEST = 4.0


@dataclass(frozen=True)
class Mark:
    """A point with its interval on one line of a chart; `words` appear under the pointer."""

    value: float
    low: float | None
    high: float | None
    colour: str
    symbol: str
    note: str = ""
    words: str = ""


@dataclass(frozen=True)
class Row:
    """One line of a chart; `margin` is half the width of the band of differences that do not matter."""

    title: str
    marks: Sequence[Mark]
    margin: float | None = None


def interval_chart(
    rows: Sequence[Row], label: str, summary: str, *, zero: bool, names: Sequence[tuple[str, Style]] = ()
) -> str:
    """Points with intervals, one block per row.

    Parameters
    ----------
    label, summary
        What the axis shows; what the chart says, for readers who cannot see it.
    zero
        Whether the values are differences: a line at zero, and the rows' margins.
    names
        Name and style of what the marks stand for.
    """
    ticks = nice_ticks(*shown_range([mark for row in rows for mark in row.marks], zero))
    letters = max([len(row.title) for row in rows] + [0])
    left, right = (LABEL_WIDTH if letters <= LETTERS else WIDE_LABELS), WIDTH - 110
    keys, top = legend(names, left, WIDTH)
    heights = [ROW * max(1, len(row.marks)) + GAP for row in rows]
    tops = [top + 4 + sum(heights[:index]) for index in range(len(rows))]
    bottom = top + 8 + sum(heights)
    x = scale(ticks, left, right)
    parts = [opening(WIDTH, bottom + 44, summary), *keys]
    for row, start, height in zip(rows, tops, heights, strict=True):
        parts += _margin(row.margin, x, (ticks[0], ticks[-1]), start, height)
    for tick in ticks:
        parts.append(line(x(tick), top + 4, x(tick), bottom))
        parts.append(text(x(tick), bottom + 16, tick_label(tick, ticks), MUTED))
    if zero:
        parts.append(line(x(0), top + 4, x(0), bottom, colour=INK, more='stroke-dasharray="4 3"'))
    for row, start, height in zip(rows, tops, heights, strict=True):
        middle = start + height / 2
        title = shortened(row.title, LETTERS if left == LABEL_WIDTH else 2 * LETTERS)
        name = text(left - 12, middle + 4, title, INK, anchor="end", size=13)
        parts.append(told(row.title if title != row.title else "", name))
        for index, mark in enumerate(row.marks):
            y = middle + ROW * (index - (len(row.marks) - 1) / 2)
            parts += _drawn(mark, x, y, (ticks[0], ticks[-1]), right)
    parts += [text((left + right) / 2, bottom + 36, label, MUTED), "</svg>"]
    return "".join(parts)


def scatter_chart(
    series: Sequence[tuple[str, Style, Sequence[tuple[int, float]]]],
    labels: tuple[str, str],
    summary: str,
) -> str:
    """Points over whole numbers; `series` as (name, style, points), `labels` of x and y."""
    points = [point for _, _, own in series for point in own]
    ticks = nice_ticks(min(y for _, y in points), max(y for _, y in points))
    keys, start = legend([(name, style) for name, style, _ in series], 70, WIDTH)
    left, right, top, bottom = 70, WIDTH - 20, start + 10, start + 240
    places = sorted({x for x, _ in points})
    x, y = scale(places, left + 20, right - 20), scale(ticks, bottom, top)
    parts = [opening(WIDTH, bottom + 48, summary), *keys]
    for tick in ticks:
        parts.append(line(left, y(tick), right, y(tick)))
        parts.append(text(left - 8, y(tick) + 4, tick_label(tick, ticks), MUTED, anchor="end"))
    parts += [text(x(place), bottom + 18, str(place), MUTED) for place in places[:: 1 + len(places) // 12]]
    for name, (colour, marker), own in series:
        for place, value in own:
            words = f"{name}, {labels[0]} {place}: {value:.4g}"
            parts.append(told(words, symbol(marker, x(place), y(value), colour)))
    parts.append(text((left + right) / 2, bottom + 40, labels[0], MUTED))
    turned = f'transform="rotate(-90 16 {(top + bottom) / 2})"'
    parts += [text(16, (top + bottom) / 2, labels[1], MUTED, more=turned), "</svg>"]
    return "".join(parts)


def _margin(
    margin: float | None, x: Place, ends: tuple[float, float], top: float, height: float
) -> Iterator[str]:
    if margin is None:
        return
    low, high = max(-margin, ends[0]), min(margin, ends[1])
    yield told(f"margin \N{PLUS-MINUS SIGN}{margin:g}", band(x(low), top, x(high) - x(low), height))


def shown_range(marks: Sequence[Mark], zero: bool) -> tuple[float, float]:
    """What the axis covers: every value, and intervals unless they dwarf the others.

    An interval that is many times wider than the middle one would press all the rest into a line: it is cut
    there, and drawn with an arrow.
    """
    values = [mark.value for mark in marks] + ([0.0] if zero else [])
    known = [(mark.low, mark.high) for mark in marks if mark.low is not None and mark.high is not None]
    lows, highs = [low for low, _ in known], [high for _, high in known]
    widths = sorted(high - low for low, high in known)
    room = WIDEST * widths[len(widths) // 2] if widths else 0.0
    return (
        max(min([*values, *lows]), min(values) - room),
        min(max([*values, *highs]), max(values) + room),
    )


def _drawn(mark: Mark, x: Place, y: float, ends: tuple[float, float], right: float) -> Iterator[str]:
    shapes = []
    if mark.low is not None and mark.high is not None:
        low, high = max(mark.low, ends[0]), min(mark.high, ends[1])
        shapes.append(line(x(low), y, x(high), y, colour=mark.colour, more='stroke-width="2"'))
        shapes += [
            symbol(f"triangle-{way}", x(end), y, mark.colour, 4.0)
            for way, end, cut in (("left", low, low > mark.low), ("right", high, high < mark.high))
            if cut
        ]
    shapes.append(symbol(mark.symbol, x(mark.value), y, mark.colour))
    yield told(mark.words, *shapes)
    if mark.note:
        yield text(right + 10, y + 4, mark.note, INK, anchor="start")


def strip_chart(
    rows: Sequence[tuple[str, Style, Sequence[tuple[float, str]]]], label: str, summary: str
) -> str:
    """Single values, a row each; `rows` as (title, style, (value, words under the pointer))."""
    values = [value for _, _, points in rows for value, _ in points]
    ticks = nice_ticks(min(values), max(values))
    left, right, step = LABEL_WIDTH, WIDTH - 20, 30
    bottom = 8 + step * len(rows)
    x = scale(ticks, left, right)
    parts = [opening(WIDTH, bottom + 44, summary)]
    for tick in ticks:
        parts.append(line(x(tick), 4, x(tick), bottom))
        parts.append(text(x(tick), bottom + 16, tick_label(tick, ticks), MUTED))
    for index, (title, (colour, marker), points) in enumerate(rows):
        y = 4 + step * (index + 0.5)
        parts.append(told(title, text(left - 12, y + 4, shortened(title), INK, anchor="end", size=13)))
        parts += [told(words, symbol(marker, x(value), y, colour, 4.5)) for value, words in points]
    parts += [text((left + right) / 2, bottom + 36, label, MUTED), "</svg>"]
    return "".join(parts)
