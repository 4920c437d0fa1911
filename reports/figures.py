"""Figures: a static SVG for every reader, and the same data for the interactive view on top of it.

Colour is never the only sign: every arm has its own marker as well, and verdicts are words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from reports.answer import digits, interval, number
from reports.comparison import ArmAgreement, Column, Comparison, Contrast, Line, StatisticTable
from reports.intervals import Estimate
from reports.multiples import Rule, Trace, panel
from reports.svg import MUTED, Mark, interval_chart, scatter_chart
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


@dataclass(frozen=True)
class Figure:
    """One figure: the static picture, what it says in words, and the data of the interactive view."""

    key: str
    svg: str
    summary: str
    data: Mapping[str, Any]


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
    return Figure(key, interval_chart(rows, label, summary, zero=False), summary, data)


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
        figures.append(Figure(key, interval_chart(rows, label, summary, zero=True), summary, data))
    return figures


def agreement_panels(one: ArmAgreement, lines: Sequence[Line], style: tuple[str, str]) -> list[str]:
    """Bland and Altman's plot of every row: error over the mean of prediction and target, with limits."""
    panels = []
    for line, found, pairs in zip(lines, one.rows, one.pairs, strict=True):
        if found is None:
            continue
        unit = f" ({line.unit})" if line.unit else ""
        decimals = digits(found.bias, 1)
        bias, lower, upper = (
            interval(end, decimals, signed=True) for end in (found.bias, found.lower, found.upper)
        )
        summary = f"{line.label}: bias {bias}, limits of agreement {lower} and {upper}"
        dots = [((target + predicted) / 2, predicted - target) for target, predicted in pairs]
        rules = [Rule(end.value or 0.0, end.low, end.high) for end in (found.lower, found.upper)]
        rules.append(Rule(found.bias.value or 0.0, found.bias.low, found.bias.high, dashed=False))
        panels.append(
            panel(
                line.label + unit,
                [Trace(dots, style[0], kind="dots")],
                ("mean of prediction and target", "error"),
                summary,
                rules=rules,
            )
        )
    return panels


def draws_figure(tuned: TaskTuning, style: Mapping[str, tuple[str, str]]) -> Figure | None:
    """Validation score by draw; `style` by name of the arm."""
    points = [(arm, style[arm.name]) for arm in tuned.arms if arm.scores]
    if not points:
        return None
    summary = "; ".join(f"{arm.title}: {_range([score for _, score in arm.scores])}" for arm, _ in points)
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
    return Figure(
        f"draws-{tuned.task}",
        scatter_chart(
            [(arm.title, look, arm.scores) for arm, look in points],
            ("draw", f"validation {tuned.label}"),
            summary,
        ),
        summary,
        data,
    )


def plain(text: str) -> str:
    """Text for the interactive view, which reads a few tags: no tag survives."""
    return escape(text, quote=False)


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


def _range(values: Sequence[float]) -> str:
    low, high = number(min(values), 3), number(max(values), 3)
    return low if low == high else f"{low} to {high}"


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
            f"{verdicts.count(word)} {word}"
            for word in ("better", "worse", "inconclusive", "not judged")
            if word in verdicts
        ]
        words.append(f"{titles[contrast.first]} against {titles[contrast.second]}: {', '.join(counts)}")
    return f"{'; '.join(words)} (of {len(indices)})"
