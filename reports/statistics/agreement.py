"""How well predictions agree with targets: statistics as functions of sums over patients.

Every statistic here depends on the scans through a handful of sums alone. Summed once per patient, a
resample of patients is then one matrix product, whatever the number of scans; deleting a patient is a
subtraction. Targets and predictions are centred by the mean target first: no statistic changes, and
nothing cancels in the sums of squares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reports.statistics.arrays import Array

#: What each statistic is computed from; `shared` sums are the same for every arm, the others its own.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "r2": ("n", "y", "yy", "ee"),
    "r2_pearson": ("n", "y", "yy", "e", "ee", "ye"),
    "rmse": ("n", "ee"),
    "mae": ("n", "ae"),
    "bias": ("n", "e"),
    "slope": ("n", "y", "yy", "e", "ye"),
    "ccc": ("n", "y", "yy", "e", "ee", "ye"),
    "mean": ("n", "v"),
}
SHARED = ("n", "y", "yy")
#: Statistics that are the mean of one sum.
MEANS: Mapping[str, str] = {"mae": "ae", "bias": "e", "mean": "v"}

#: A spread below this share of the mean square is rounding, not variance.
ROUNDING = 1e-12


@dataclass(frozen=True)
class PatientSums:
    """Sums over the scans of each patient.

    Parameters
    ----------
    shared
        `n`, `y`, `yy`: scans, targets and squared targets, each (patients, rows).
    own
        Of one arm, each (patients, replicates, rows): `e`, `ae`, `ee`, `ye` of the errors
        e = prediction - target (their sum, size, square, product with the target), or `v` of a score.
    """

    shared: Mapping[str, Array]
    own: Mapping[str, Array]


def sum_by_patient(patients: NDArray[np.int64], count: int, values: Array) -> Array:
    """Sum `values` (..., scans, rows) over the scans of each patient, giving (patients, ..., rows)."""
    moved = np.moveaxis(values, -2, 0)
    sums = np.zeros((count, *moved.shape[1:]))
    np.add.at(sums, patients, moved)
    return sums


def shared_sums(
    patients: NDArray[np.int64], count: int, targets: Array | None, valid: Array
) -> dict[str, Array]:
    """Sums that every arm shares.

    Parameters
    ----------
    patients
        (scans,) index of each scan's patient.
    count
        Number of patients.
    targets
        (scans, rows), or `None` for scores.
    valid
        (scans, rows) 1 where a scan counts for a row and 0 where it does not.
    """
    sums = {"n": sum_by_patient(patients, count, valid)}
    if targets is not None:
        centred = centre(targets, valid)
        sums["y"] = sum_by_patient(patients, count, centred)
        sums["yy"] = sum_by_patient(patients, count, centred**2)
    return sums


def own_sums(
    patients: NDArray[np.int64], count: int, values: Array, targets: Array | None, valid: Array
) -> dict[str, Array]:
    """Sums of one arm's `values` (replicates, scans, rows); see `shared_sums` for the rest."""
    if targets is None:
        return {"v": sum_by_patient(patients, count, np.where(valid > 0, values, 0.0))}
    with np.errstate(invalid="ignore"):
        errors = np.where(valid > 0, values - targets, 0.0)
    return {
        "e": sum_by_patient(patients, count, errors),
        "ae": sum_by_patient(patients, count, np.abs(errors)),
        "ee": sum_by_patient(patients, count, errors**2),
        "ye": sum_by_patient(patients, count, errors * centre(targets, valid)),
    }


def centre(targets: Array, valid: Array) -> Array:
    """Targets minus their mean over the scans that count; zero elsewhere."""
    with np.errstate(invalid="ignore"):
        kept = np.where(valid > 0, targets, 0.0)
    mean = kept.sum(0) / np.maximum(valid.sum(0), 1)
    return np.where(valid > 0, kept - mean, 0.0)


def statistic(name: str, sums: Mapping[str, Array]) -> Array:
    r"""A statistic from (resampled) sums.

    Parameters
    ----------
    name
        `r2` :math:`= 1 - \sum(\hat y - y)^2 / \sum(y - \bar y)^2` (the coefficient of determination, not
        clipped at zero); `r2_pearson`, the squared Pearson correlation; `rmse`
        :math:`= \sqrt{\sum(\hat y - y)^2 / n}`; `mae` :math:`= \sum|\hat y - y| / n`; `bias`
        :math:`= \sum(\hat y - y) / n`; `slope` :math:`= s_{y \hat y} / s_y^2`, of predictions over targets by
        least squares; `ccc` :math:`= 2 s_{y \hat y} / (s_y^2 + s_{\hat y}^2 + (\bar y - \bar{\hat y})^2)`,
        Lin's concordance with 1/n moments; `mean`.
    sums
        The sums that `NEEDS[name]` lists, of shapes that broadcast.

    Returns
    -------
    Array
        NaN where it is undefined: no scans, or no spread of the targets.

    Examples
    --------
    Targets 1, 2, 3 predicted as 1, 2, 4: SSE is 1, SST is 2.

    >>> import numpy as np
    >>> sums = {"n": np.array(3.0), "y": np.array(0.0), "yy": np.array(2.0), "ee": np.array(1.0)}
    >>> round(float(statistic("r2", sums)), 3)
    0.5
    """
    if name not in NEEDS:
        raise ValueError(f"unknown statistic {name!r}; known are {', '.join(NEEDS)}")
    with np.errstate(divide="ignore", invalid="ignore"):
        n = np.where(sums["n"] > 0, sums["n"], np.nan)
        if name in MEANS:
            return np.asarray(sums[MEANS[name]] / n)
        if name == "rmse":
            return np.asarray(np.sqrt(sums["ee"] / n))
        spread = _spread(sums["yy"], sums["y"], n)
        if name == "r2":
            return np.asarray(1 - sums["ee"] / spread)
        return _association(name, sums, n, spread)


def _association(name: str, sums: Mapping[str, Array], n: Array, spread: Array) -> Array:
    """Statistics of targets and predictions that need their product."""
    predicted = sums["y"] + sums["e"]
    product = sums["yy"] + sums["ye"] - sums["y"] * predicted / n
    if name == "slope":
        return np.asarray(product / spread)
    squared = sums["yy"] + 2 * sums["ye"] + sums["ee"]
    if name == "ccc":
        return np.asarray(2 * product / (spread + squared - predicted**2 / n + sums["e"] ** 2 / n))
    return np.asarray(product**2 / (spread * _spread(squared, predicted, n)))


def _spread(squares: Array, total: Array, n: Array) -> Array:
    """Sum of squares about the mean; NaN where only rounding is left of it."""
    spread = squares - total**2 / n
    return np.where(spread > ROUNDING * np.abs(squares), spread, np.nan)


def needed(statistics: Sequence[str]) -> tuple[str, ...]:
    """The sums that these statistics need, each once."""
    return tuple(dict.fromkeys(name for one in statistics for name in NEEDS[one]))
