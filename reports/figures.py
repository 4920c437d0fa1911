"""Figures: SVG for every reader, the same on the screen, on paper and as a file.

Colour is never the only sign: every arm has its own marker as well, and verdicts are words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reports.answer import digits, interval, number
from reports.charts import Mark, Row, interval_chart, scatter_chart
from reports.comparison import WITH_UNIT, ArmAgreement, Column, Comparison, Contrast, Line, StatisticTable
from reports.heat import heat_map
from reports.multiples import Rule, Trace, panel
from reports.statistics.intervals import Estimate
from reports.statistics.limits import Agreement, deming_line
from reports.svg import INK, MUTED, Style
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

#: Target and prediction of every person shown.
Pairs = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Figure:
    """One figure: its name among the page's figures and files, the picture, what it says in words."""

    key: str
    svg: str
    summary: str


def arm_styles(names: Iterable[str]) -> dict[str, Style]:
    """Colour and marker of every arm, by its place in the declared order."""
    return {name: STYLES[index % len(STYLES)] for index, name in enumerate(names)}


def styles(columns: Sequence[Column]) -> dict[str, Style]:
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
        words = f"{column.title}: {interval(cell, decimals)}"
        mark = Mark(cell.value, cell.low, cell.high, *style[column.key], number(cell.value, decimals), words)
        rows.append(Row(column.title, [mark]))
    label = comparison.endpoint.label + (f" ({line.unit})" if line.unit else "")
    summary = "; ".join(f"{row.title} {row.marks[0].note}" for row in rows)
    key = f"endpoint-{comparison.task}-{'-'.join(comparison.protocols)}"
    return Figure(key, interval_chart(rows, label, summary, zero=False), summary)


def ranks_figure(comparison: Comparison) -> Figure | None:
    """In how many of the resamples each arm takes each rank, arms in declared order."""
    places = {rank.column: rank.places for rank in comparison.ranks}
    rows = [(column.title, places[column.key]) for column in comparison.columns if column.key in places]
    if not rows:
        return None
    summary = "; ".join(f"{title} best in {100 * shares[0]:.1f} %" for title, shares in rows)
    ranks = [str(rank + 1) for rank in range(len(rows))]
    key = f"ranks-{comparison.task}-{'-'.join(comparison.protocols)}"
    return Figure(key, heat_map(rows, ranks, "rank", summary), summary)


def forest_figures(comparison: Comparison, table: str, statistic: StatisticTable) -> list[Figure]:
    """Paired differences to the reference arm, one figure for each set of rows that share an axis."""
    style = styles(comparison.columns)
    titles = {column.key: column.title for column in comparison.columns}
    shown = [contrast for contrast in statistic.contrasts if contrast.kind == "reference"]
    names = [(f"{titles[one.first]} minus {titles[one.second]}", style[one.first]) for one in shown]
    groups: dict[str, list[int]] = {}
    for index, line in enumerate(statistic.lines):
        groups.setdefault(_axis(statistic, line), []).append(index)
    figures = []
    for position, indices in enumerate(groups.values()):
        lines = [statistic.lines[index] for index in indices]
        unit = lines[0].unit if statistic.name in WITH_UNIT else ""
        label = f"difference in {lines[0].label if statistic.name == 'mean' else statistic.label}"
        label += f" ({unit})" if unit else ""
        rows = [
            Row(line.label, _marks(shown, index, style, titles), _margin(shown, index))
            for line, index in zip(lines, indices, strict=True)
        ]
        if not any(row.marks for row in rows):
            continue
        summary = _forest_summary(shown, indices, titles)
        key = f"forest-{comparison.task}-{'-'.join(comparison.protocols)}-{table}-{statistic.name}-{position}"
        figures.append(Figure(key, interval_chart(rows, label, summary, zero=True, names=names), summary))
    return figures


def agreement_panels(
    one: ArmAgreement, lines: Sequence[Line], changes: Mapping[str, float], style: Style
) -> list[tuple[str, str]]:
    """Two panels for every row: predictions over targets, and errors with their limits of agreement."""
    return [
        (_identity_panel(line, found, pairs, style), _error_panel(line, found, pairs, changes, style))
        for line, found, pairs in zip(lines, one.rows, one.pairs, strict=True)
        if found is not None
    ]


def _identity_panel(line: Line, found: Agreement, pairs: Pairs, style: Style) -> str:
    """Predictions over targets on one scale: dashed where they are equal, whole for Deming's line."""
    low, high = min(map(min, pairs)), max(map(max, pairs))
    slope = f"{interval(found.deming, 2)}" if found.deming.value is not None else "undefined"
    summary = f"{line.label}: predictions over targets, Deming's slope {slope}"
    traces = [
        Trace(((low, low), (high, high)), MUTED, dash="4 3"),
        Trace(pairs, style[0], kind="dots"),
        Trace(deming_line(found, low, high), INK),
    ]
    return panel(_titled(line), traces, ("target", "prediction"), summary)


def _error_panel(
    line: Line, found: Agreement, pairs: Pairs, changes: Mapping[str, float], style: Style
) -> str:
    """Bland and Altman's plot: error over the mean of prediction and target."""
    decimals = digits(found.bias, 1)
    bias, lower, upper = (
        interval(end, decimals, signed=True) for end in (found.bias, found.lower, found.upper)
    )
    summary = f"{line.label}: bias {bias}, limits of agreement {lower} and {upper}"
    dots = [((target + predicted) / 2, predicted - target) for target, predicted in pairs]
    rules = [Rule(end.value or 0.0, end.low, end.high) for end in (found.lower, found.upper)]
    rules.append(Rule(found.bias.value or 0.0, found.bias.low, found.bias.high, dash=""))
    if change := changes.get(line.key):
        summary += f"; least significant change \N{PLUS-MINUS SIGN}{number(change, decimals)}"
        rules += [Rule(end, dash="1 3") for end in (-change, change)]
    axes = ("mean of prediction and target", "error")
    return panel(_titled(line), [Trace(dots, style[0], kind="dots")], axes, summary, rules=rules)


def _titled(line: Line) -> str:
    return f"{line.label} ({line.unit})" if line.unit else line.label


def draws_figure(tuned: TaskTuning, style: Mapping[str, Style]) -> Figure | None:
    """Validation score by draw; `style` by name of the arm."""
    points = [(arm, style[arm.name]) for arm in tuned.arms if arm.scores]
    if not points:
        return None
    summary = "; ".join(f"{arm.title}: {_range([score for _, score in arm.scores])}" for arm, _ in points)
    series = [(arm.title, look, arm.scores) for arm, look in points]
    drawn = scatter_chart(series, ("draw", f"validation {tuned.label}"), summary)
    return Figure(f"draws-{tuned.task}", drawn, summary)


def _drawable(cell: Estimate | None) -> bool:
    return cell is not None and cell.value is not None


def _axis(statistic: StatisticTable, line: Line) -> str:
    """Rows that share an axis: all of a pure number, rows of one unit, each score by itself."""
    if statistic.name == "mean":
        return line.key
    return line.unit if statistic.name in WITH_UNIT else ""


def _marks(
    contrasts: Sequence[Contrast], index: int, style: Mapping[str, Style], titles: Mapping[str, str]
) -> list[Mark]:
    found = []
    for contrast in contrasts:
        difference = contrast.differences[index]
        if difference is not None and difference.estimate.value is not None:
            one = difference.estimate
            word = "" if difference.verdict == "not judged" else difference.verdict
            effect = interval(one, digits(one, 2), signed=True)
            pair = f"{titles[contrast.first]} minus {titles[contrast.second]}"
            words = f"{pair}: {effect}{', ' + word if word else ''}"
            found.append(
                Mark(difference.estimate.value, one.low, one.high, *style[contrast.first], word, words)
            )
    return found


def _margin(contrasts: Sequence[Contrast], index: int) -> float | None:
    """The declared margin of a row, the same for every contrast."""
    found = [diff for one in contrasts if (diff := one.differences[index]) is not None]
    return found[0].margin if found else None


def _range(values: Sequence[float]) -> str:
    low, high = number(min(values), 3), number(max(values), 3)
    return low if low == high else f"{low} to {high}"


def _forest_summary(contrasts: Sequence[Contrast], indices: Sequence[int], titles: Mapping[str, str]) -> str:
    words = []
    for contrast in contrasts:
        verdicts = [diff.verdict for index in indices if (diff := contrast.differences[index]) is not None]
        counts = [
            f"{verdicts.count(word)} {word}"
            for word in ("better", "worse", "equivalent", "inconclusive", "not judged")
            if word in verdicts
        ]
        words.append(f"{titles[contrast.first]} against {titles[contrast.second]}: {', '.join(counts)}")
    return f"{'; '.join(words)} (of {len(indices)})"
