"""Figures of tuning: what a budget buys, and what was drawn with what came of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from reports.answer import number
from reports.figures import Figure
from reports.frame import Run
from reports.multiples import DASHES, thinned
from reports.plane import Axis, Dot, Series, Strand, parallel, plane
from reports.searches import Search
from reports.svg import Style
from reports.tuning import settings

#: More draws than this are thinned evenly over their scores, and the figure says so.
STRANDS_SHOWN = 200

#: The best draws of an arm are drawn heavy: this share of them.
HEAVY_SHARE = 0.25


def search_figure(search: Search, looks: Mapping[str, Style]) -> Figure | None:
    """Best validation score over the number of draws: expected where draws are independent, else so far."""
    series, words = [], []
    expected = search.independent and any(curve.expected for curve in search.curves)
    for index, curve in enumerate(search.curves):
        points = curve.expected if expected else curve.incumbents
        values = [(one.draws, one.unbiased if expected else one.incumbent) for one in points]
        dots = [
            Dot(float(draws), value, words=f"{curve.title}, best of {draws}: {number(value, 4)}")
            for draws, value in values
            if value is not None
        ]
        if dots:
            style = looks[curve.column.partition(":")[2]]
            series.append(Series(curve.title, style, dots, DASHES[index % len(DASHES)]))
            words.append(f"{curve.title} {number(dots[0].y, 3)} to {number(dots[-1].y, 3)}")
    if not series:
        return None
    last = int(max(dot.x for own in series for dot in own.dots))
    ticks = [(float(draws), str(draws)) for draws in range(1, last + 1, 1 + last // 12)]
    if last == 1:
        ticks.append((2.0, "2"))
    label = f"{'expected best' if expected else 'best so far of'} validation {search.metric}"
    summary = f"{label}: {'; '.join(words)}"
    return Figure(f"search-{search.task}", plane(series, ("draws", label), summary, ticks=ticks), summary)


def parallel_figure(
    run: Run, task: Mapping[str, Any], looks: Mapping[str, Style]
) -> tuple[Figure, int, int] | None:
    """Hyperparameters of every tuning trial of a task and the validation score that they led to.

    Returns
    -------
    Figure, int, int
        The figure, how many draws it shows, and of how many.
    """
    tuned = run.trials.filter(
        (pl.col("stage") == "tune")
        & (pl.col("task") == task["name"])
        & pl.col("strategy").is_in(list(run.main_arms))
        & pl.col("validation_score").is_finite()
    ).sort("validation_score", "key", descending=task["primary"]["direction"] == "min")
    rows = [
        (row["strategy"], json.loads(row["hyperparameters"] or "{}"), float(row["validation_score"]))
        for row in tuned.iter_rows(named=True)
    ]
    names = list(dict.fromkeys(name for _, chosen, _ in rows for name in chosen))
    varied = [name for name in names if len({json.dumps(one.get(name)) for _, one, _ in rows}) > 1]
    if not varied or len(rows) < 2:
        return None
    scales = [_Scale(name, [one.get(name) for _, one, _ in rows], task["space"]) for name in varied]
    scores = _Scale(f"validation {task['primary']['label']}", [score for _, _, score in rows], {})
    shown = thinned(rows, STRANDS_SHOWN)
    arms = [arm for arm in run.main_arms if any(arm == strategy for strategy, _, _ in shown)]
    heavy = set()
    for arm in arms:
        own = [index for index, (strategy, _, _) in enumerate(shown) if strategy == arm]
        heavy |= set(own[-max(1, round(HEAVY_SHARE * len(own))) :])
    strands = [
        Strand(
            [*(one.place(chosen.get(one.name)) for one in scales), scores.place(score)],
            looks[strategy],
            2.2 if index in heavy else 1.0,
            0.9 if index in heavy else 0.35,
            DASHES[arms.index(strategy) % len(DASHES)],
            f"{run.arms[strategy]['title']}: {settings(chosen)}; {scores.name} {number(score, 4)}",
        )
        for index, (strategy, chosen, score) in enumerate(shown)
    ]
    titles = [(run.arms[arm]["title"], looks[arm]) for arm in arms]
    summary = f"{len(rows)} draws over {', '.join(varied)} to {scores.name}"
    axes = [one.axis() for one in (*scales, scores)]
    figure = Figure(f"parallel-{task['name']}", parallel(axes, strands, titles, summary), summary)
    return figure, len(shown), len(rows)


class _Scale:
    """Values of one hyperparameter as places from 0 to 1: numbers by size, anything else evenly."""

    def __init__(self, name: str, values: Sequence[Any], space: Mapping[str, str]) -> None:
        self.name = name
        known = [value for value in values if value is not None]
        self.numeric = all(isinstance(one, int | float) and not isinstance(one, bool) for one in known)
        self.log = self.numeric and min(known) > 0 and "log" in space.get(name, "")
        self.choices = [] if self.numeric else sorted({_text(one) for one in known})
        self.low = self._size(min(known)) if self.numeric else 0.0
        self.high = self._size(max(known)) if self.numeric else len(self.choices) - 1.0

    def _size(self, value: float) -> float:
        return math.log10(value) if self.log else float(value)

    def place(self, value: Any) -> float | None:
        """Where a value stands; `None` where an arm has no such hyperparameter."""
        if value is None:
            return None
        at = self._size(value) if self.numeric else self.choices.index(_text(value))
        return (at - self.low) / (self.high - self.low) if self.high > self.low else 0.5

    def axis(self) -> Axis:
        """The axis with its ends, or with its choices."""
        if not self.numeric:
            return Axis(self.name, [(self.place_of(index), one) for index, one in enumerate(self.choices)])
        ends = (self.low, (self.low + self.high) / 2, self.high)
        words = [f"{10**end if self.log else end:.3g}" for end in ends]
        return Axis(self.name, list(zip((0.0, 0.5, 1.0), words, strict=True)))

    def place_of(self, index: int) -> float:
        """Where a choice stands."""
        return index / (len(self.choices) - 1) if len(self.choices) > 1 else 0.5


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
