"""Predictions that could not be made: who is missing, and what the tables say with the gaps filled.

A scan that an arm could not analyse counts for no arm in the main tables (complete cases), which flatters an
arm that fails on hard scans. Two fillings stand beside them: the mean of the training targets, and the
largest error that any arm or baseline made in that row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from reports.comparison import Comparison, StatisticTable
from reports.frame import Run
from reports.layouts import LayoutResults, holds_endpoint
from reports.sample import Sample, build_sample, entries_of, final_trials, valid_everywhere
from reports.statistics.arrays import Array
from reports.statistics.intervals import LEVEL

Flags = NDArray[np.bool_]

RULES: Mapping[str, str] = {
    "training mean": "missing predictions replaced by the mean of the training targets",
    "worst error": "missing predictions replaced by target + the largest error that any arm or baseline made"
    " in that row; missing scores by the worst one",
}


@dataclass(frozen=True)
class Analysable:
    """How many test scans an arm or baseline could analyse, in all rows that it has and in all its trials."""

    column: str
    title: str
    scans: int
    analysable: int


@dataclass(frozen=True)
class AnalysableContrast:
    """Which scans two columns could analyse.

    Parameters
    ----------
    both, only_first, only_second, neither
        Scans.
    difference, low, high
        Share of first minus share of second, with Newcombe's interval.
    p
        Exact McNemar test of the discordant scans, two-sided; 1 where there are none.
    """

    first: str
    second: str
    both: int
    only_first: int
    only_second: int
    neither: int
    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class FilledTable:
    """The table with its gaps filled.

    Parameters
    ----------
    rule, filled
        How, and how many values by column.
    endpoint
        The primary endpoint of the task, where this table holds it.
    """

    method: str
    rule: str
    filled: Mapping[str, int]
    statistics: tuple[StatisticTable, ...]
    endpoint: StatisticTable | None


@dataclass(frozen=True)
class Fillings:
    """Gaps of one table of a task, and the fillings that were possible; `heading` is the table's title."""

    task: str
    title: str
    protocols: tuple[str, ...]
    table: str
    heading: str
    analysable: tuple[Analysable, ...]
    contrasts: tuple[AnalysableContrast, ...]
    tables: tuple[FilledTable, ...]
    resampled: str = "as in the table of complete cases"


def fillings(run: Run, comparison: Comparison, draws: int) -> list[Fillings]:
    """Every table of a task in which an arm or baseline lacks a value."""
    task, columns, reference = run.tasks[comparison.task], comparison.columns, comparison.reference
    trials = final_trials(run, comparison.task, comparison.protocols[0])
    entries = [entry.key for entry in entries_of(run, task)]
    found = []
    for layout in run.layouts.get(task["name"], []):
        rows = [row["key"] for row in layout["rows"]]
        sample = build_sample(run, trials, layout["source"], rows, entries)
        if sample is None or not any(_gaps(sample, key).any() for key in sample.values):
            continue
        titles = {column.key: column.title for column in columns}
        made = {key: np.asarray(~_gaps(sample, key).any((0, 2))) for key in sample.values}
        tables = []
        for method in RULES:
            filled, counts = _filled(sample, layout, method)
            if sum(counts.values()):
                results = LayoutResults(run, task, layout, filled, columns, reference, draws)
                endpoint = results.endpoint() if holds_endpoint(layout, task["primary"]) else None
                statistics = tuple(map(results.statistic, results.statistics))
                tables.append(FilledTable(method, RULES[method], counts, statistics, endpoint))
        found.append(
            Fillings(
                comparison.task,
                comparison.title,
                comparison.protocols,
                layout["key"],
                layout["title"],
                tuple(Analysable(key, titles[key], len(one), int(one.sum())) for key, one in made.items()),
                tuple(
                    compare_analysable(key, reference, made[key], made[reference])
                    for key in made
                    if key != reference and reference in made
                ),
                tuple(tables),
            )
        )
    return found


def compare_analysable(first: str, second: str, one: Flags, other: Flags) -> AnalysableContrast:
    """Exact McNemar test of two columns of yes and no over the same scans."""
    only_first, only_second = int((one & ~other).sum()), int((~one & other).sum())
    discordant = only_first + only_second
    p = float(stats.binomtest(only_first, discordant).pvalue) if discordant else 1.0
    counts = (int((one & other).sum()), only_first, only_second, int((~one & ~other).sum()))
    low, high = newcombe(*counts)
    return AnalysableContrast(first, second, *counts, (only_first - only_second) / len(one), low, high, p)


def newcombe(
    both: int, only_first: int, only_second: int, neither: int, level: float = LEVEL
) -> tuple[float, float]:
    """Interval of the difference of two shares of the same scans (Newcombe 1998, method 10).

    Wilson's intervals of both shares, squared and added with the correlation of the two (its continuity
    corrected). It holds where no scan is discordant, too.
    """
    n = both + only_first + only_second + neither
    first, second = (both + only_first) / n, (both + only_second) / n
    (low_1, high_1), (low_2, high_2) = wilson(first, n, level), wilson(second, n, level)
    margins = first * (1 - first) * second * (1 - second) * float(n) ** 4
    product = float(both * neither - only_first * only_second)
    if product > 0:
        product = max(product - n / 2, 0.0)
    phi = product / margins**0.5 if margins else 0.0
    below = _added(first - low_1, high_2 - second, phi)
    above = _added(high_1 - first, second - low_2, phi)
    return first - second - below, first - second + above


def wilson(share: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a share."""
    z = float(special.ndtri(0.5 + level / 2))
    centre = share + z**2 / (2 * n)
    half = z * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)


def _added(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one**2 - 2 * phi * one * other + other**2))


def _gaps(sample: Sample, key: str) -> Flags:
    """(replicates, scans, rows) where a value is missing though the row exists and the scan has a target."""
    values = sample.values[key]
    gaps = ~np.isfinite(values) & ~np.isnan(values).all((0, 1))
    if sample.targets is not None:
        gaps &= np.isfinite(sample.targets)
    return np.asarray(gaps)


def _filled(sample: Sample, layout: Mapping[str, Any], method: str) -> tuple[Sample, dict[str, int]]:
    values, counts = {}, {}
    stand_in = _worst(sample, layout) if method == "worst error" else None
    for key, own in sample.values.items():
        gaps = _gaps(sample, key)
        replacement = stand_in if stand_in is not None else sample.fallbacks[key][:, None, :]
        filled = np.where(gaps, replacement, own)
        values[key] = filled
        counts[key] = int((gaps & np.isfinite(filled)).sum())
    return replace(sample, values=values, valid=valid_everywhere(values, sample.targets)), counts


def _worst(sample: Sample, layout: Mapping[str, Any]) -> Array:
    """(scans, rows) the target with the largest error of any entry, or the worst score."""
    if sample.targets is None:
        every = np.concatenate([one.reshape(-1, len(sample.rows)) for one in sample.values.values()])
        declared = layout["statistics"][0]["direction"]
        largest = [(row.get("direction") or declared) == "min" for row in layout["rows"]]
        worst = np.where(largest, np.nanmax(every, axis=0), np.nanmin(every, axis=0))
        return np.broadcast_to(worst, sample.valid.shape)
    errors = np.concatenate(
        [(one - sample.targets).reshape(-1, len(sample.rows)) for one in sample.values.values()]
    )
    errors = np.where(np.isfinite(errors), errors, 0.0)
    worst = errors[np.abs(errors).argmax(0), np.arange(errors.shape[1])]
    return np.asarray(sample.targets + worst)
