"""How firm an order is: ranks in the resamples, and what makes a difference uncertain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from reports.statistics.intervals import mean_squares
from reports.statistics.resampled import Resampled, Unpaired


@dataclass(frozen=True)
class Rank:
    """Where an arm stands among all arms, over the resamples of seeds and patients.

    Parameters
    ----------
    column
        Key of the arm.
    mean, low, high
        Mean rank (1 is best) and the range that holds 95 % of the resamples.
    best
        Share of resamples in which it is the best arm; ties are shared.
    places
        Share of resamples in which it takes each rank, the best one first; arms that tie share their ranks.
    """

    column: str
    mean: float
    low: float
    high: float
    best: float
    places: tuple[float, ...]


@dataclass(frozen=True)
class Variance:
    """The squared standard error of a mean over seeds and patients, by source.

    Parameters
    ----------
    seeds, patients, residual
        Shares of the whole, adding up to 1; the residual is what a seed makes of a patient.
    seed_count, patient_count
        How many of each there are.
    more_seeds, more_patients
        Standard error with twice as many seeds, or patients, divided by the present one.
    """

    seeds: float
    patients: float
    residual: float
    seed_count: int
    patient_count: int
    more_seeds: float
    more_patients: float


@dataclass(frozen=True)
class PairVariance:
    """The sources of uncertainty of a contrast; `None` where seeds cannot be told from patients."""

    first: str
    second: str
    kind: str
    variance: Variance | None


def ranks(results: Mapping[str, Resampled], direction: str) -> tuple[Rank, ...]:
    """Rank arms in every resample, best mean rank first; empty with fewer than two arms.

    Parameters
    ----------
    results
        Column key to its endpoint (one row), resampled with the same patients.
    direction
        `max` or `min`: which way is better. Resamples in which an arm has no value count for none.

    Examples
    --------
    >>> from reports.statistics.resampled import Replicates
    >>> def arm(*draws):
    ...     draws = np.array(draws)[:, None]
    ...     return Resampled(draws[0], draws, np.zeros((1, 2, 1)), Replicates("none", (0,), (0,)), draws)
    >>> [one.best for one in ranks({"a": arm(3.0, 3.0, 1.0, 2.0), "b": arm(2.0, 1.0, 2.0, 2.0)}, "max")]
    [0.625, 0.375]
    """
    keys = list(results)
    if len(keys) < 2:
        return ()
    draws = np.column_stack([results[key].draws[:, 0] for key in keys])
    draws = draws[np.isfinite(draws).all(1)]
    if not len(draws):
        return ()
    turned = -draws if direction == "max" else draws
    first = stats.rankdata(turned, method="min", axis=1)
    last = stats.rankdata(turned, method="max", axis=1)
    placed = (first + last) / 2
    places = np.array(
        [((first <= rank) & (rank <= last)) / (last - first + 1) for rank in range(1, len(keys) + 1)]
    ).mean(1)
    shares = [tuple(own) for own in places.T.tolist()]
    low, high = np.quantile(placed, [0.025, 0.975], axis=0, method="nearest")
    found = [
        Rank(key, float(placed[:, i].mean()), float(low[i]), float(high[i]), shares[i][0], shares[i])
        for i, key in enumerate(keys)
    ]
    return tuple(sorted(found, key=lambda one: one.mean))


def doubt(ranks_: Sequence[Rank], best: str) -> float | None:
    """Share of the resamples in which the arm that looks best is not: of a claim that it is being false.

    Parameters
    ----------
    best
        Key of the arm with the best value; `None` is returned where it is not ranked.

    Examples
    --------
    >>> doubt([Rank("a", 1.2, 1, 2, 0.8, (0.8, 0.2)), Rank("b", 1.8, 1, 2, 0.2, (0.2, 0.8))], "a")
    0.2
    """
    return next((round(1 - rank.best, 12) for rank in ranks_ if rank.column == best), None)


def variance_parts(difference: Resampled) -> Variance | None:
    r"""Split the variance of a difference (its first row) into seeds, patients and what is left.

    From the mean squares of the two-way layout of pseudovalues: :math:`\sigma_s^2 = (M_s - M_e)/N`,
    :math:`\sigma_p^2 = (M_p - M_e)/S`, :math:`\sigma_e^2 = M_e`, negative ones set to zero; the squared
    standard error is :math:`\sigma_s^2/S + \sigma_p^2/N + \sigma_e^2/(SN)`.

    Returns
    -------
    Variance or None
        `None` for a single seed, for arms that share no seeds, or where nothing varies.
    """
    seeds, patients, _ = difference.pseudovalues.shape
    if isinstance(difference, Unpaired) or seeds < 2 or patients < 2:
        return None
    of_seeds, of_patients, residual = (float(one[0]) for one in mean_squares(difference.pseudovalues))
    parts = np.array(
        [
            max(0.0, of_seeds - residual) / (patients * seeds),
            max(0.0, of_patients - residual) / (seeds * patients),
            residual / (seeds * patients),
        ]
    )
    if not np.isfinite(parts).all() or parts.sum() <= 0:
        return None
    shares = parts / parts.sum()
    return Variance(
        float(shares[0]),
        float(shares[1]),
        float(shares[2]),
        seeds,
        patients,
        float(shares @ [0.5, 1.0, 0.5]) ** 0.5,
        float(shares @ [1.0, 0.5, 0.5]) ** 0.5,
    )


def advice(variance: Variance | None, unit: str) -> str:
    """What to buy to make a difference surer, in a sentence; `unit` is the kind of seed.

    Examples
    --------
    >>> advice(Variance(0.8, 0.1, 0.1, 3, 100, 0.74, 0.95), "final seeds").partition("patients. ")[2]
    'Final seeds buy more. With so few seeds this split is rough.'
    """
    if variance is None:
        return "Seeds cannot be told from patients here: that needs two or more seeds that both arms share."
    buy = "Both buy about the same."
    if abs(variance.more_seeds - variance.more_patients) >= 0.05:
        buy = f"{unit.capitalize() if variance.more_seeds < variance.more_patients else 'Patients'} buy more."
    few = " With so few seeds this split is rough." if variance.seed_count < 5 else ""
    return (
        f"{unit.capitalize()} make {100 * variance.seeds:.0f} % of the variance,"
        f" patients {100 * variance.patients:.0f} %,"
        f" what a seed makes of a patient {100 * variance.residual:.0f} %. The standard error would be"
        f" {variance.more_seeds:.2f} of the present one with twice the {unit},"
        f" {variance.more_patients:.2f} with twice the patients. {buy}{few}"
    )
