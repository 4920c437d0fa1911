"""Drawings of distributions: all scans as a histogram, each split as a box below it, in one SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from registry.dxa.cohort.specification import SPLITS

# Colours that stay apart for most kinds of colour vision, on white and on black.
SPLIT_COLOURS = {"train": "#4477aa", "validation": "#a08a00", "test": "#aa3377"}
BINS = 16
_WIDTH, _LEFT, _RIGHT = 400, 72, 12
_TOP, _BARS, _AXIS, _BOX = 14, 120, 20, 18


def distribution_svg(label: str, values: Mapping[str, npt.NDArray[np.float64]]) -> str:
    """Shares of all scans by bin, and of each split the median, the quartiles and 5 to 95 %.

    A box says at any number of scans how a split lies beside the others; steps of a few scans would not.

    Parameters
    ----------
    label
        For those who cannot see it.
    values
        One number per scan, by split.
    """
    everything = np.concatenate(list(values.values()))
    edges = np.linspace(everything.min(), everything.max() + 1e-9, BINS + 1)
    shares = np.histogram(everything, edges)[0] / len(everything)
    top, low = float(shares.max()), _TOP + _BARS
    scale = (_WIDTH - _LEFT - _RIGHT) / (edges[-1] - edges[0])

    def x(value: float) -> float:
        return float(_LEFT + (value - edges[0]) * scale)

    width = x(edges[1]) - x(edges[0])
    lines = [
        f'<rect x="{x(start) + 0.5:.1f}" y="{low - share / top * _BARS:.1f}" width="{width - 1:.1f}" '
        f'height="{share / top * _BARS:.1f}" class="all"/>'
        for share, start in zip(shares, edges[:-1], strict=True)
    ]
    lines += [
        f'<line x1="{_LEFT}" y1="{low}" x2="{_WIDTH - _RIGHT}" y2="{low}" stroke="currentColor"/>',
        f'<text x="{_LEFT - 6}" y="{_TOP + 4}" text-anchor="end">{100 * top:.0f} %</text>',
        f'<text x="{_LEFT - 6}" y="{low}" text-anchor="end">all scans</text>',
    ]
    for tick in _ticks(float(edges[0]), float(edges[-1])):
        lines.append(f'<line x1="{x(tick):.1f}" y1="{low}" x2="{x(tick):.1f}" y2="{low + 4}" class="tick"/>')
        lines.append(f'<text x="{x(tick):.1f}" y="{low + 15}" text-anchor="middle">{tick:g}</text>')
    present = [split for split in SPLITS if split in values]
    for number, split in enumerate(present):
        middle = low + _AXIS + _BOX * (number + 0.5)
        marks = [x(float(value)) for value in np.percentile(values[split], [5, 25, 50, 75, 95])]
        lines.append(_box(marks, middle, SPLIT_COLOURS[split]))
        lines.append(f'<text x="{_LEFT - 6}" y="{middle + 4:.1f}" text-anchor="end">{split}</text>')
    height = low + _AXIS + _BOX * len(present) + 4
    head = f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{label}">'
    return "".join([head, *lines, "</svg>"])


def _box(marks: Sequence[float], middle: float, colour: str) -> str:
    """A line from 5 to 95 %, a box over the quartiles and a bar at the median."""
    least, first, median, third, most = marks
    return (
        f'<g stroke="{colour}" fill="{colour}">'
        f'<line x1="{least:.1f}" y1="{middle}" x2="{most:.1f}" y2="{middle}"/>'
        f'<rect x="{first:.1f}" y="{middle - 5}" width="{max(third - first, 1.0):.1f}" height="10" '
        f'fill-opacity="0.25"/><line x1="{median:.1f}" y1="{middle - 5}" x2="{median:.1f}" y2="{middle + 5}" '
        'stroke-width="2.5"/></g>'
    )


def _ticks(low: float, high: float, wanted: int = 5) -> Sequence[float]:
    step = 10.0 ** np.floor(np.log10(max(high - low, 1e-9) / wanted))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= wanted)
    return [float(tick) for tick in np.arange(np.ceil(low / step) * step, high, step)]
