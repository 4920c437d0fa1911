r"""Agreement of one model with the truth, person by person: limits of agreement, concordance, slopes.

A coefficient of determination says how well people are told apart; whether one person's number can be relied
on is another question. Every function here takes targets and predictions of independent people, one value
each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import special, stats

from reports.statistics.arrays import Array
from reports.statistics.intervals import LEVEL, Estimate

#: Normal quantile of the limits of agreement: 95 % of the errors lie within.
Z = 1.959963984540054


@dataclass(frozen=True)
class Agreement:
    """How one model agrees with the truth in one measure.

    Parameters
    ----------
    people
        How many people it comes from.
    target_mean
        Mean target; the lines of both slopes pass through it and the mean prediction.
    bias, spread, rmse
        Mean error (prediction - target) with its interval, standard deviation of the errors, and the root of
        their mean square.
    lower, upper
        The limits between which 95 % of the errors lie, with exact intervals.
    concordance
        Lin's coefficient: 1 where every prediction equals its target.
    slope
        Of predictions over targets by least squares; below 1 where extremes are drawn to the mean.
    deming
        The same with equal errors on both sides: 1 where only chance separates the two.
    """

    people: int
    target_mean: float
    bias: Estimate
    spread: float
    rmse: float
    lower: Estimate
    upper: Estimate
    concordance: Estimate
    slope: Estimate
    deming: Estimate


def agreement(targets: Array, predictions: Array, level: float = LEVEL) -> Agreement | None:
    """Agreement over finite pairs; `None` with fewer than three people or where the targets are all equal."""
    finite = np.isfinite(targets) & np.isfinite(predictions)
    x, y = targets[finite], predictions[finite]
    if len(x) < 3 or _constant(x):
        return None
    errors = y - x
    lower, upper = limits_of_agreement(errors, level)
    return Agreement(
        len(x),
        float(x.mean()),
        mean(errors, level),
        float(errors.std(ddof=1)),
        float(np.sqrt((errors**2).mean())),
        lower,
        upper,
        concordance(x, y, level),
        least_squares_slope(x, y, level),
        deming(x, y, level),
    )


def mean(errors: Array, level: float = LEVEL) -> Estimate:
    """The mean with its t interval."""
    n = len(errors)
    return _around(float(errors.mean()), float(errors.std(ddof=1)) / n**0.5, n - 1, level)


def limits_of_agreement(errors: Array, level: float = LEVEL) -> tuple[Estimate, Estimate]:
    r"""Bland and Altman's limits, mean -+ 1.96 SD, with exact intervals (Carkeet 2015).

    For normal errors, :math:`(\bar e + z\,s - \mu - z\,\sigma)` is a noncentral t variable in disguise: the
    interval of the upper limit runs from :math:`\bar e + c_{.025} s` to :math:`\bar e + c_{.975} s` with the
    factors of `limit_factor`. The usual approximation is too narrow at its outer end.
    """
    n, centre, spread = len(errors), float(errors.mean()), float(errors.std(ddof=1))
    inner, outer = (limit_factor(n, q) * spread for q in ((1 - level) / 2, (1 + level) / 2))
    return (
        Estimate(centre - Z * spread, centre - outer, centre - inner),
        Estimate(centre + Z * spread, centre + inner, centre + outer),
    )


@cache
def limit_factor(people: int, probability: float, z: float = Z) -> float:
    r"""Factor of the standard deviation, :math:`t'_{n-1,\,z\sqrt n}(p) / \sqrt n` (noncentral t).

    The same as the factor of a one-sided tolerance limit for normal data.

    Examples
    --------
    >>> [round(limit_factor(111, q), 3) for q in (0.025, 0.975)]
    [1.673, 2.32]
    """
    return float(stats.nct.ppf(probability, people - 1, z * people**0.5) / people**0.5)


def concordance(x: Array, y: Array, level: float = LEVEL) -> Estimate:
    r"""Lin's concordance correlation coefficient, :math:`2 s_{xy} / (s_x^2 + s_y^2 + (\bar x - \bar y)^2)`.

    Moments with 1/n (Lin 1989), interval by Fisher's z with the variance as corrected in 2000. Where the
    coefficient is 0 or 1, or nothing varies, there is no interval.
    """
    dx, dy, shift = x - x.mean(), y - y.mean(), float(x.mean() - y.mean())
    var_x, var_y, cov = float((dx**2).mean()), float((dy**2).mean()), float((dx * dy).mean())
    rho = 2 * cov / (var_x + var_y + shift**2)
    r = 0.0 if _constant(y) or _constant(x) else cov / (var_x * var_y) ** 0.5
    if r == 0 or abs(rho) >= 1 - 1e-12 or len(x) < 4:
        return Estimate(rho)
    u2 = shift**2 / (var_x * var_y) ** 0.5
    rest = 1 - rho**2
    variance = (
        (1 - r**2) * rho**2 / (rest * r**2)
        + 2 * rho**3 * (1 - rho) * u2 / (r * rest**2)
        - rho**4 * u2**2 / (2 * r**2 * rest**2)
    ) / (len(x) - 2)
    half = float(special.ndtri(0.5 + level / 2)) * max(variance, 0.0) ** 0.5
    low, high = np.tanh([np.arctanh(rho) - half, np.arctanh(rho) + half])
    return Estimate(rho, float(low), float(high), max(variance, 0.0) ** 0.5 * rest)


def least_squares_slope(x: Array, y: Array, level: float = LEVEL) -> Estimate:
    """Slope of y over x with its t interval, n - 2 degrees of freedom."""
    dx, dy = x - x.mean(), y - y.mean()
    square = float((dx**2).sum())
    slope = float((dx * dy).sum()) / square
    left = float(((dy - slope * dx) ** 2).sum())
    return _around(slope, (left / (len(x) - 2) / square) ** 0.5, len(x) - 2, level)


def deming_slope(x: Array, y: Array, ratio: float = 1.0) -> float:
    r"""Slope where both sides err (Deming 1943); NaN where neither or only noise varies.

    Parameters
    ----------
    ratio
        Variance of the errors of y divided by that of x; 1 makes it the orthogonal regression.

    Examples
    --------
    >>> round(deming_slope(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])), 3)
    2.0
    """
    if _constant(y):
        return float("nan")
    dx, dy = x - x.mean(), y - y.mean()
    return float(_deming(np.mean(dx**2), np.mean(dy**2), np.mean(dx * dy), ratio))


def deming(x: Array, y: Array, level: float = LEVEL) -> Estimate:
    r"""Deming's slope with Linnet's interval (1993): standard error from leaving out each person in turn.

    Leaving out person i takes :math:`d_i^2 \, n / (n - 1)` from a sum of squares about the mean, so that all
    n slopes come from the sums of the whole.
    """
    n, whole = len(x), deming_slope(x, y)
    if not np.isfinite(whole):
        return Estimate(None)
    dx, dy = x - x.mean(), y - y.mean()
    products = (dx**2, dy**2, dx * dy)
    xx, yy, xy = ((one.sum() - one * n / (n - 1)) / (n - 1) for one in products)
    without = _deming(xx, yy, xy, 1.0)
    if not np.isfinite(without).all():
        return Estimate(whole)
    pseudovalues = n * whole - (n - 1) * without
    return _around(whole, float(pseudovalues.std(ddof=1)) / n**0.5, n - 2, level)


def deming_line(one: Agreement, low: float, high: float) -> tuple[tuple[float, float], ...]:
    """Ends of Deming's line within the square [low, high] x [low, high]; empty where there is none.

    Examples
    --------
    Targets 1, 2, 3 predicted twice as large: the line leaves a square up to 4 through its upper side.

    >>> found = agreement(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]))
    >>> [tuple(round(value, 6) for value in end) for end in deming_line(found, 0.0, 4.0)]
    [(0.0, 0.0), (2.0, 4.0)]
    """
    slope = one.deming.value
    if slope is None or one.bias.value is None:
        return ()
    x, y = one.target_mean, one.target_mean + one.bias.value
    start, end = low, high
    if slope != 0:
        crossings = sorted(x + (side - y) / slope for side in (low, high))
        start, end = max(low, crossings[0]), min(high, crossings[1])
    if start >= end:
        return ()
    return ((start, y + slope * (start - x)), (end, y + slope * (end - x)))


def _deming(sxx: Array, syy: Array, sxy: Array, ratio: float) -> Array:
    gap = syy - ratio * sxx
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (gap + np.sqrt(gap**2 + 4 * ratio * sxy**2)) / (2 * sxy)
    return np.asarray(np.where(sxy == 0, np.nan, slope))


def _constant(values: Array) -> bool:
    """Whether nothing varies but the last digits."""
    return not np.ptp(values) > 1e-9 * np.abs(values).max()


def _around(value: float, error: float, freedom: int, level: float) -> Estimate:
    half = float(special.stdtrit(freedom, 0.5 + level / 2)) * error
    return Estimate(value, value - half, value + half, error, float(freedom))
