r"""Label efficiency: how an arm's result grows with the labels, and how many of them an arm saves.

The area under a curve is the mean of the endpoint over :math:`\log_2` of the share of labels (trapezoids), a
linear combination of its points, so that it has the same crossed interval as every other number. The labels
that an arm needs to reach another arm's result on all labels come from a monotone fit, made anew in every
resample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from reports.comparison import Comparison, Contrast
from reports.endpoint import Endpoint, endpoint_of, resampled_words
from reports.frame import Run
from reports.sample import every_final_trial
from reports.statistics.arrays import Array
from reports.statistics.intervals import Estimate, estimate
from reports.statistics.tests import judge


@dataclass(frozen=True)
class LabelPoint:
    """An arm trained on a share of the labels.

    Parameters
    ----------
    fraction
        Share of the labelled training patients; 1 for all of them.
    trials, draws
        Final trials, and how many different subsets of the labels they saw.
    resampled
        What the interval speaks about, in words.
    """

    fraction: float
    trials: int
    draws: int
    estimate: Estimate
    resampled: str


@dataclass(frozen=True)
class LabelCurve:
    """The points of an arm by growing fraction, and the area under its curve over the shared fractions."""

    column: str
    title: str
    points: tuple[LabelPoint, ...]
    area: Estimate | None


@dataclass(frozen=True)
class LabelSaving:
    """The labels that `first` needs to reach what `second` reaches with all of them.

    Parameters
    ----------
    target
        The endpoint of `second` on all labels.
    fraction, low, high
        The share of the labels, with its 95 % percentile interval; `None` for "not reached with all labels".
    saved, saved_low, saved_high
        1 - fraction: labels saved at equal error.
    reached
        Share of the resamples in which the target is reached at all.
    at_most
        The smallest fraction that was run reaches it already: `fraction` is an upper bound.
    """

    first: str
    second: str
    target: float
    fraction: float | None
    low: float | None
    high: float | None
    saved: float | None
    saved_low: float | None
    saved_high: float | None
    reached: float
    at_most: bool
    resampled: str


@dataclass(frozen=True)
class LabelEfficiency:
    """Label efficiency of a task under one protocol.

    Parameters
    ----------
    fractions
        That every arm has; areas are taken over these.
    contrasts
        Differences of areas between arms, corrected (Holm) over all pairs.
    savings
        Every ordered pair of arms.
    """

    task: str
    title: str
    protocols: tuple[str, ...]
    label: str
    direction: str
    fractions: tuple[float, ...]
    curves: tuple[LabelCurve, ...]
    contrasts: tuple[Contrast, ...]
    savings: tuple[LabelSaving, ...]


def label_efficiency(run: Run, comparison: Comparison, draws: int) -> LabelEfficiency | None:
    """Label efficiency of the competing arms; `None` without trials on a part of the labels."""
    task = run.tasks[comparison.task]
    trials = every_final_trial(run, comparison.task, comparison.protocols[0]).filter(
        pl.col("split").fill_null(0) == 0
    )
    arms = {f"arm:{name}": arm["title"] for name, arm in run.main_arms.items()}
    trials = trials.filter(pl.col("entry").is_in(list(arms)) & (pl.col("status") == "done"))
    trials = trials.with_columns(
        arm=pl.col("entry"), fraction=pl.col("label_fraction").fill_null(1.0)
    ).with_columns(entry=pl.format("{}|{}", pl.col("arm"), pl.col("fraction")))
    partial = trials.filter(pl.col("fraction") < 1)
    if partial.is_empty():
        return None
    trials = trials.filter(pl.col("arm").is_in(partial["arm"].unique().to_list()))
    entries = list(dict.fromkeys(trials.sort("fraction")["entry"]))
    endpoint = endpoint_of(run, task, trials, entries, [], draws=draws)
    if endpoint is None:
        return None
    present = trials.filter(pl.col("entry").is_in(list(endpoint.sample.values)))
    by_arm = {
        arm: sorted(present.filter(pl.col("arm") == arm)["fraction"].unique().to_list())
        for arm in arms
        if arm in present["arm"]
    }
    shared = tuple(sorted(set.intersection(*(set(one) for one in by_arm.values()))))
    curves = tuple(
        LabelCurve(
            arm,
            arms[arm],
            tuple(_point(endpoint, present, arm, fraction) for fraction in fractions),
            _area(endpoint, {arm: 1.0}, shared),
        )
        for arm, fractions in by_arm.items()
    )
    return LabelEfficiency(
        comparison.task,
        comparison.title,
        comparison.protocols,
        endpoint.label,
        endpoint.direction,
        shared,
        curves,
        _contrasts(endpoint, list(by_arm), shared, comparison.reference),
        _savings(endpoint, by_arm),
    )


def _point(endpoint: Endpoint, trials: pl.DataFrame, arm: str, fraction: float) -> LabelPoint:
    entry = f"{arm}|{fraction}"
    own = trials.filter(pl.col("entry") == entry)
    return LabelPoint(
        fraction,
        len(own),
        own["label_draw"].n_unique(),
        estimate(endpoint.of(entry))[0],
        endpoint.resampled(entry),
    )


def area_weights(fractions: Sequence[float]) -> Array:
    """Weights that sum to 1: the trapezoid rule over the logarithm of the fractions.

    Examples
    --------
    >>> area_weights([0.25, 0.5, 1.0]).tolist()
    [0.25, 0.5, 0.25]
    """
    place = np.log2(np.asarray(fractions, dtype=np.float64))
    width = np.diff(place)
    weights = np.zeros(len(place))
    weights[:-1] += width / 2
    weights[1:] += width / 2
    return np.asarray(weights / weights.sum())


def _area(endpoint: Endpoint, signs: Mapping[str, float], fractions: Sequence[float]) -> Estimate | None:
    if len(fractions) < 2:
        return None
    weights = {
        f"{arm}|{fraction}": sign * float(weight)
        for arm, sign in signs.items()
        for fraction, weight in zip(fractions, area_weights(fractions), strict=True)
    }
    return estimate(endpoint.combination(weights))[0]


def _contrasts(
    endpoint: Endpoint, arms: Sequence[str], fractions: Sequence[float], reference: str
) -> tuple[Contrast, ...]:
    others = [arm for arm in arms if arm != reference]
    pairs = [(arm, reference, "reference") for arm in others if reference in arms]
    pairs += [(second, first, "arms") for i, first in enumerate(others) for second in others[i + 1 :]]
    areas = [_area(endpoint, {first: 1.0, second: -1.0}, fractions) for first, second, _ in pairs]
    found = [(pair, area) for pair, area in zip(pairs, areas, strict=True) if area is not None]
    count = len(found)
    judged = judge(
        [area for _, area in found],
        [endpoint.direction] * count,
        [endpoint.rounding] * count,
        [endpoint.margin] * count,
    )
    return tuple(
        Contrast(
            first,
            second,
            kind,
            endpoint.resampled(*(f"{arm}|{one}" for arm in (first, second) for one in fractions)),
            (difference,),
        )
        for ((first, second, kind), _), difference in zip(found, judged, strict=True)
    )


def _savings(endpoint: Endpoint, by_arm: Mapping[str, Sequence[float]]) -> tuple[LabelSaving, ...]:
    sign = 1.0 if endpoint.direction == "max" else -1.0
    found = []
    for first, fractions in by_arm.items():
        for second in by_arm:
            if first == second or 1.0 not in by_arm[second] or len(fractions) < 2:
                continue
            curve = [endpoint.of(f"{first}|{fraction}") for fraction in fractions]
            goal = endpoint.of(f"{second}|1.0")
            needed = labels_needed(
                fractions,
                sign * np.column_stack([[one.value[0], *one.draws[:, 0]] for one in curve]),
                sign * np.concatenate([goal.value, goal.draws[:, 0]]),
            )
            words = resampled_words([one.replicates for one in (*curve, goal)], endpoint.patients)
            found.append(_saving((first, second), float(goal.value[0]), min(fractions), needed, words))
    return tuple(found)


def _saving(pair: tuple[str, str], target: float, smallest: float, needed: Array, words: str) -> LabelSaving:
    """From the fractions `needed` in the data (first) and in the resamples (the others)."""
    value, drawn = needed[0], needed[1:][~np.isnan(needed[1:])]
    ends = np.quantile(drawn, [0.025, 0.975], method="nearest") if len(drawn) else [math.nan, math.nan]
    fraction, low, high = (float(one) if math.isfinite(one) else None for one in (value, *ends))
    return LabelSaving(
        *pair,
        target,
        fraction,
        low,
        high,
        None if fraction is None else 1 - fraction,
        None if high is None else 1 - high,
        None if low is None else 1 - low,
        float(np.isfinite(drawn).mean()) if len(drawn) else 0.0,
        fraction is not None and fraction <= smallest,
        words,
    )


def labels_needed(fractions: Sequence[float], curves: Array, goals: Array) -> Array:
    """The smallest fraction at which the monotone fit of a curve reaches its goal, interpolated in log2.

    Parameters
    ----------
    fractions
        (points,) ascending.
    curves, goals
        (cases, points) and (cases,); larger is better.

    Returns
    -------
    Array
        (cases,) the smallest fraction where the first point reaches the goal already, infinite where none
        does, NaN where a value is missing.

    Examples
    --------
    >>> labels_needed([0.25, 0.5, 1.0], np.array([[0.2, 0.4, 0.6]]), np.array([0.4])).round(9).tolist()
    [0.5]
    """
    place = np.log2(np.asarray(fractions, dtype=np.float64))
    fit = monotone(curves)
    reached = fit >= goals[:, None]
    index = reached.argmax(1)
    lines = np.arange(len(fit))
    before = np.maximum(index - 1, 0)
    low, high = fit[lines, before], fit[lines, index]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(high > low, (goals - low) / (high - low), 0.0)
    found = 2 ** np.where(index == 0, place[0], place[before] + share * (place[index] - place[before]))
    found = np.where(reached.any(1), found, np.inf)
    return np.asarray(np.where(np.isfinite(curves).all(1) & np.isfinite(goals), found, np.nan))


def monotone(curves: Array) -> Array:
    """The nearest nondecreasing curves, least squares: max over i <= k of min over j >= k of mean(i..j)."""
    points = curves.shape[1]
    sums = np.concatenate([np.zeros((len(curves), 1)), curves.cumsum(1)], axis=1)
    fitted = np.full(curves.shape, -np.inf)
    for place in range(points):
        for first in range(place + 1):
            ends = np.arange(place, points)
            means = (sums[:, ends + 1] - sums[:, [first]]) / (ends + 1 - first)
            fitted[:, place] = np.maximum(fitted[:, place], means.min(1))
    return fitted
