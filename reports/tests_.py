"""Tests of differences: p values, their correction for many rows, verdicts in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from reports.intervals import Estimate

ALPHA = 0.05
POWER = 0.80

Array = NDArray[np.float64]

Verdict = Literal["better", "worse", "inconclusive", "not judged"]


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
        Two-sided, raw and after Holm's correction; `None` where there is no interval.
    verdict
        `better` or `worse` (of the first arm) where `p_adjusted` is below .05; `inconclusive` otherwise,
        which does not claim that the arms are equal; `not judged` where neither direction is better, or
        where the difference is rounding.
    minimum_detectable
        The smallest true difference that this design would have found with a power of 80 %.
    companions
        Intervals and tests over patients alone; no verdict depends on them.
    """

    estimate: Estimate
    p: float | None
    p_adjusted: float | None
    verdict: Verdict
    minimum_detectable: float | None
    companions: Companions | None = None


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


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction (Holm 1979); missing p values stay missing and do not count.

    Examples
    --------
    >>> holm([0.01, None, 0.04])
    [0.02, None, 0.04]
    """
    known = [index for index, p in enumerate(p_values) if p is not None]
    order = sorted(known, key=lambda index: p_values[index] or 0.0)
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for step, index in enumerate(order):
        running = max(running, min(1.0, (len(order) - step) * (p_values[index] or 0.0)))
        adjusted[index] = running
    return adjusted


def minimum_detectable(estimate: Estimate, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """(t(1 - alpha/2) + t(power)) times the standard error, before any correction for many rows."""
    if estimate.standard_error is None or estimate.degrees_of_freedom is None:
        return None
    quantiles = special.stdtrit(estimate.degrees_of_freedom, [1 - alpha / 2, power])
    return float(np.sum(quantiles) * estimate.standard_error)


def verdict(value: float | None, p_adjusted: float | None, direction: str | None) -> Verdict:
    """The word for a difference; without a declared margin nothing is ever called equivalent."""
    if direction is None:
        return "not judged"
    if value is None or p_adjusted is None or p_adjusted >= ALPHA:
        return "inconclusive"
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
) -> list[Difference]:
    """Test one family of differences together: Holm over all that are larger than `rounding`."""
    floors = rounding if rounding is not None else [0.0] * len(estimates)
    skipped = [negligible(one, floor) and floor > 0 for one, floor in zip(estimates, floors, strict=True)]
    raw = [None if skip else p_value(one) for one, skip in zip(estimates, skipped, strict=True)]
    adjusted = holm(raw)
    return [
        Difference(
            one,
            p,
            p_adjusted,
            verdict(one.value, p_adjusted, None if skip else direction),
            None if skip else minimum_detectable(one),
        )
        for one, p, p_adjusted, direction, skip in zip(
            estimates, raw, adjusted, directions, skipped, strict=True
        )
    ]
