"""Tests of differences: p values, their correction for many rows, margins, verdicts in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from reports.statistics.arrays import Array
from reports.statistics.intervals import Estimate

ALPHA = 0.05
POWER = 0.80

Verdict = Literal["better", "worse", "equivalent", "inconclusive", "not judged"]
Correction = Literal["holm", "bh"]


@dataclass(frozen=True)
class Companions:
    """What else is known about a difference, over patients alone: seeds as they are.

    Parameters
    ----------
    bca_low, bca_high
        Bias-corrected and accelerated bootstrap interval.
    p_flip
        Two-sided, from flipping the signs of the patients' differences in loss.
    p_max_t
        The same, corrected for all rows of the table with the same flips (step-down max-T).
    """

    bca_low: float | None
    bca_high: float | None
    p_flip: float | None
    p_max_t: float | None


@dataclass(frozen=True)
class Difference:
    """A paired difference and what may be said about it.

    Parameters
    ----------
    estimate
        First arm minus second arm.
    p, p_adjusted
        Two-sided, raw and after the correction; `None` where there is no interval.
    verdict
        `better` or `worse` (of the first arm) where `p_adjusted` is below .05; else `equivalent` where the
        difference is shown to lie within the margin; else `inconclusive`, which does not claim that the arms
        are equal. `not judged` where neither direction is better, or where the difference is rounding.
    minimum_detectable
        The smallest true difference that this design would have found with a power of 80 %.
    companions
        Intervals and tests over patients alone; no verdict depends on them.
    correction
        How `p_adjusted` came about: `holm`, or `bh` (false discovery rate) for exploratory rows.
    adjusted_low, adjusted_high
        The interval at the level that the correction left to this row: it excludes 0 exactly where
        `p_adjusted` is below .05.
    margin
        The largest difference that does not matter, as declared before the run; `None` without one.
    p_equivalence
        Of the difference lying outside the margin (two one-sided tests), corrected like `p_adjusted`.
    material
        Whether a better or worse arm differs by more than the margin, corrected likewise; `None` without a
        margin or without such a verdict.
    """

    estimate: Estimate
    p: float | None
    p_adjusted: float | None
    verdict: Verdict
    minimum_detectable: float | None
    companions: Companions | None = None
    correction: Correction = "holm"
    adjusted_low: float | None = None
    adjusted_high: float | None = None
    margin: float | None = None
    p_equivalence: float | None = None
    material: bool | None = None


def p_value(estimate: Estimate) -> float | None:
    """Two-sided p of a difference being zero, from t = value / standard error.

    Identical arms (difference and standard error both zero) have p = 1.

    Examples
    --------
    >>> p_value(Estimate(2.0, standard_error=1.0, degrees_of_freedom=1e9)).__round__(4)
    0.0455
    """
    value, error, freedom = estimate.value, estimate.standard_error, estimate.degrees_of_freedom
    if value is None or error is None or freedom is None:
        return None
    if error == 0:
        return 1.0 if value == 0 else None
    return float(2 * special.stdtr(freedom, -abs(value) / error))


def p_equivalence(estimate: Estimate, margin: float) -> float | None:
    r"""P of two one-sided tests (Schuirmann 1987): that the difference lies outside :math:`\pm` margin.

    Below .05 exactly where the 90 % interval lies within the margin.

    Examples
    --------
    >>> round(p_equivalence(Estimate(0.0, standard_error=1.0, degrees_of_freedom=1e9), margin=1.645), 3)
    0.05
    """
    value, error, freedom = estimate.value, estimate.standard_error, estimate.degrees_of_freedom
    if value is None or not error or freedom is None:
        return None
    return float(special.stdtr(freedom, (abs(value) - margin) / error))


def p_material(estimate: Estimate, margin: float) -> float | None:
    """Two-sided p of the difference being no larger than the margin in the direction that was observed."""
    value, error, freedom = estimate.value, estimate.standard_error, estimate.degrees_of_freedom
    if value is None or not error or freedom is None:
        return None
    return float(min(1.0, 2 * special.stdtr(freedom, (margin - abs(value)) / error)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction (Holm 1979); missing p values stay missing and do not count.

    Examples
    --------
    >>> holm([0.01, None, 0.04])
    [0.02, None, 0.04]
    """
    order = _ordered(p_values)
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for step, index in enumerate(order):
        running = max(running, min(1.0, (len(order) - step) * (p_values[index] or 0.0)))
        adjusted[index] = running
    return adjusted


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Correction that keeps the false discovery rate (Benjamini & Hochberg 1995); missing ones do not count.

    Examples
    --------
    >>> benjamini_hochberg([0.01, None, 0.04])
    [0.02, None, 0.04]
    """
    order = _ordered(p_values)
    adjusted: list[float | None] = [None] * len(p_values)
    running = 1.0
    for step, index in reversed(list(enumerate(order, start=1))):
        running = min(running, len(order) / step * (p_values[index] or 0.0))
        adjusted[index] = running
    return adjusted


CORRECTIONS: Mapping[str, Callable[[Sequence[float | None]], list[float | None]]] = {
    "holm": holm,
    "bh": benjamini_hochberg,
}


def _ordered(p_values: Sequence[float | None]) -> list[int]:
    known = [index for index, p in enumerate(p_values) if p is not None]
    return sorted(known, key=lambda index: p_values[index] or 0.0)


def minimum_detectable(estimate: Estimate, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """(t(1 - alpha/2) + t(power)) times the standard error, before any correction for many rows."""
    if estimate.standard_error is None or estimate.degrees_of_freedom is None:
        return None
    quantiles = special.stdtrit(estimate.degrees_of_freedom, [1 - alpha / 2, power])
    return float(np.sum(quantiles) * estimate.standard_error)


def adjusted_interval(
    estimate: Estimate, p: float | None, p_adjusted: float | None
) -> tuple[float | None, float | None]:
    """The interval at level 1 - alpha p / p_adjusted: it excludes 0 exactly where p_adjusted < alpha.

    The correction of Holm or of Benjamini and Hochberg multiplies each p by a number; this row's share of
    alpha is alpha divided by that number.

    Examples
    --------
    >>> one = Estimate(2.0, standard_error=1.0, degrees_of_freedom=1e9)
    >>> [round(end, 2) for end in adjusted_interval(one, 0.0455, 0.0910)]
    [-0.24, 4.24]
    """
    value, error, freedom = estimate.value, estimate.standard_error, estimate.degrees_of_freedom
    if value is None or error is None or freedom is None or p is None or p_adjusted is None:
        return None, None
    share = p / p_adjusted if p_adjusted > 0 else 1.0
    half = float(special.stdtrit(freedom, 1 - ALPHA * share / 2)) * error
    return value - half, value + half


def verdict(
    value: float | None,
    p_adjusted: float | None,
    direction: str | None,
    equivalent: bool = False,
) -> Verdict:
    """The word for a difference; `equivalent`: it was shown to lie within a declared margin."""
    if direction is None:
        return "equivalent" if equivalent else "not judged"
    if value is None or p_adjusted is None or p_adjusted >= ALPHA:
        return "equivalent" if equivalent else "inconclusive"
    return "better" if (value > 0) == (direction == "max") else "worse"


def negligible(estimate: Estimate, rounding: float) -> bool:
    """Whether a difference and its standard error both are no larger than `rounding`: nothing to judge.

    Examples
    --------
    >>> negligible(Estimate(3e-9, standard_error=1e-9, degrees_of_freedom=9.0), rounding=1e-6)
    True
    """
    small = [one is None or abs(one) <= rounding for one in (estimate.value, estimate.standard_error)]
    return estimate.value is not None and all(small)


def judge(
    estimates: Sequence[Estimate],
    directions: Sequence[str | None],
    rounding: Sequence[float] | Array | None = None,
    margins: Sequence[float | None] | None = None,
    correction: Correction = "holm",
) -> list[Difference]:
    """Test one family of differences together.

    Parameters
    ----------
    estimates, directions
        The differences, and which way is better (`None`: neither).
    rounding
        Differences no larger than this are not tested and do not count in the correction.
    margins
        The largest difference that does not matter, per row; without one nothing is called equivalent.
    correction
        `holm`, or `bh` for exploratory rows.
    """
    floors = rounding if rounding is not None else [0.0] * len(estimates)
    limits = margins if margins is not None else [None] * len(estimates)
    skipped = [negligible(one, floor) and floor > 0 for one, floor in zip(estimates, floors, strict=True)]
    correct = CORRECTIONS[correction]
    raw = [None if skip else p_value(one) for one, skip in zip(estimates, skipped, strict=True)]
    tested = list(zip(estimates, limits, skipped, strict=True))
    corrected = [
        correct(raw),
        correct([None if m is None or s else p_equivalence(e, m) for e, m, s in tested]),
        correct([None if m is None or s else p_material(e, m) for e, m, s in tested]),
    ]
    return [
        Difference(one, None, None, "not judged", None, correction=correction, margin=margin)
        if skip
        else _judged(one, direction, margin, (p, *adjusted), correction)
        for (one, margin, skip), direction, p, *adjusted in zip(
            tested, directions, raw, *corrected, strict=True
        )
    ]


def _judged(
    estimate: Estimate,
    direction: str | None,
    margin: float | None,
    found: tuple[float | None, ...],
    correction: Correction,
) -> Difference:
    """`found`: p raw and corrected, then the corrected ones of equivalence and of a material difference."""
    p, p_adjusted, inside, beyond = found
    word = verdict(estimate.value, p_adjusted, direction, inside is not None and inside < ALPHA)
    low, high = adjusted_interval(estimate, p, p_adjusted)
    return Difference(
        estimate,
        p,
        p_adjusted,
        word,
        minimum_detectable(estimate),
        correction=correction,
        adjusted_low=low,
        adjusted_high=high,
        margin=margin,
        p_equivalence=inside,
        material=beyond < ALPHA if beyond is not None and word in ("better", "worse") else None,
    )
