r"""Intervals that allow for both few seeds and few patients.

From the draws of the crossed bootstrap (`bootstrap`) of a result :math:`\theta_{si}` comes a standard error;
the interval is value :math:`\pm\, t \cdot` standard error, with the degrees of freedom of a two-way layout:

.. math::
    \nu = \frac{(M_s + M_p - M_e)^2}{M_s^2/(S-1) + M_p^2/(N-1) + M_e^2/((S-1)(N-1))}, \quad \nu \ge S - 1

with the mean squares of seeds, patients and residual of the jackknife pseudovalues
:math:`N\theta_s - (N-1)\theta_{s(-i)}` (Dorfman, Berbaum & Metz 1992; Hillis 2007).

For a mean the squared standard error is exactly :math:`(M_s + M_p + M_e)/(SN)`, which counts the residual
twice too often (Owen 2007: no bootstrap of crossed data is exact): the intervals err on the wide side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from reports.statistics.arrays import Array
from reports.statistics.resampled import Resampled, Unpaired

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number and how sure it is.

    Parameters
    ----------
    value, low, high
        The number and its 95 % interval; `None` where undefined.
    standard_error, degrees_of_freedom
        Of the interval low, high = value -+ t(degrees_of_freedom) * standard_error.
    undefined_draws
        Share of resamples in which the statistic did not exist (no spread of the targets).
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    degrees_of_freedom: float | None = None
    undefined_draws: float = 0.0


def estimate(resampled: Resampled, level: float = LEVEL) -> list[Estimate]:
    """Standard error times t, for every row.

    Examples
    --------
    >>> from reports.statistics.agreement import PatientSums
    >>> from reports.statistics.bootstrap import CrossedBootstrap
    >>> from reports.statistics.resampled import Replicates
    >>> rng = np.random.default_rng(0)
    >>> sums = PatientSums({"n": np.ones((50, 1))}, {"v": rng.normal(size=(50, 1, 1))})
    >>> arms = {"a": (sums, Replicates("none", (0,), (0,)))}
    >>> result = estimate(CrossedBootstrap(50).resample(arms, ["mean"])["a"]["mean"])[0]
    >>> result.degrees_of_freedom
    49.0
    """
    finite = np.isfinite(resampled.draws)
    undefined = 1 - finite.mean(0)
    errors = np.full(resampled.value.shape, np.nan)
    for row in range(len(errors)):
        draws = resampled.draws[finite[:, row], row]
        if undefined[row] <= 0.1 and len(draws) > 1:
            errors[row] = draws.std(ddof=1)
    freedom = degrees_of_freedom(resampled)
    half = special.stdtrit(freedom, 0.5 + level / 2) * errors
    return [
        Estimate(
            _number(value),
            _number(value - width),
            _number(value + width),
            _number(error),
            _number(nu),
            float(lost),
        )
        if np.isfinite(value)
        else Estimate(None, undefined_draws=float(lost))
        for value, width, error, nu, lost in zip(
            resampled.value, half, errors, freedom, undefined, strict=True
        )
    ]


def degrees_of_freedom(resampled: Resampled) -> Array:
    """Degrees of freedom of every row; the formula is this module's.

    With one unit they are N - 1. Where two arms have no seeds in common, each arm's seeds are a component of
    their own (Satterthwaite 1946), and the floor is the smaller number of seeds minus one.
    """
    seeds, patients, _ = resampled.pseudovalues.shape
    if patients < 2:
        return np.full(resampled.value.shape, np.nan)
    if isinstance(resampled, Unpaired):
        return _unpaired_freedom((resampled.pseudovalues, *resampled.others))
    if seeds == 1:
        return np.full(resampled.value.shape, patients - 1.0)
    of_seeds, of_patients, residual = mean_squares(resampled.pseudovalues)
    total = np.maximum(of_seeds + of_patients - residual, 0)
    below = (
        of_seeds**2 / (seeds - 1)
        + of_patients**2 / (patients - 1)
        + residual**2 / ((seeds - 1) * (patients - 1))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.where(below > 0, total**2 / below, patients - 1.0)
    return np.asarray(np.maximum(freedom, seeds - 1.0))


def mean_squares(values: Array) -> tuple[Array, Array, Array]:
    """Mean squares of a two-way layout (seeds, patients, rows) (no repetition): seeds, patients, residual."""
    seeds, patients, _ = values.shape
    by_seed, by_patient, mean = values.mean(1), values.mean(0), values.mean((0, 1))
    residual = values - by_seed[:, None] - by_patient[None] + mean
    return (
        patients * ((by_seed - mean) ** 2).sum(0) / (seeds - 1),
        seeds * ((by_patient - mean) ** 2).sum(0) / (patients - 1),
        (residual**2).sum((0, 1)) / ((seeds - 1) * (patients - 1)),
    )


def _unpaired_freedom(groups: Sequence[Array]) -> Array:
    """Each group's seeds are a component of their own, and so are the patients that all share."""
    patients, rows = groups[0].shape[1:]
    parts = [(one.mean(1).var(0, ddof=1) / len(one), len(one) - 1.0) for one in groups]
    whole = sum((one.mean(0) for one in groups), np.zeros(()))
    parts.append((whole.var(0, ddof=1) / patients, patients - 1.0))
    total = sum((variance for variance, _ in parts), np.zeros(rows))
    below = sum((variance**2 / freedom for variance, freedom in parts), np.zeros(rows))
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.where(below > 0, total**2 / below, patients - 1.0)
    floor = min(len(one) for one in groups) - 1.0
    return np.asarray(np.maximum(freedom, floor), dtype=np.float64)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
