"""Exact tests over patients: the signs of their differences flipped, one row at a time and for all rows.

Under the hypothesis that two arms are interchangeable for every patient, the sign of each patient's
difference in loss is a coin toss. Nothing else is assumed: no distribution, no degrees of freedom. Seeds are
held fixed (losses are averaged over them first), so that the test speaks about these trained models and new
patients only.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from reports.statistics.agreement import PatientSums
from reports.statistics.arrays import Array
from reports.statistics.resampled import Replicates

FLIPS = 9_999

#: Up to so many patients every pattern of signs is tried: 2^13 = 8,192.
ENUMERATED_PEOPLE = 13

#: Patterns that are multiplied at once; keeps the signs in single bytes until then.
CHUNK = 1_000

#: The sum that holds the loss behind a statistic; the others have no loss per patient.
LOSSES = {"r2": "ee", "rmse": "ee", "mae": "ae", "mean": "v"}


def patient_losses(statistic: str, sums: PatientSums, replicates: Replicates) -> Array | None:
    """Mean loss of every patient, averaged over scans and seeds.

    Returns
    -------
    Array or None
        (patients, rows) squared errors for `r2` and `rmse`, absolute ones for `mae`, scores for `mean`; NaN
        where a patient has no scan that counts. `None` for statistics that are no mean of a loss.
    """
    if statistic not in LOSSES:
        return None
    average = replicates.averaging().mean(0)
    scans = np.where(sums.shared["n"] > 0, sums.shared["n"], np.nan)
    return np.asarray(np.einsum("psr,s->pr", sums.own[LOSSES[statistic]], average) / scans)


def flip_tests(differences: Array) -> tuple[Array, Array]:
    r"""Two-sided p of every row, alone and corrected for all rows (step-down max-T, Westfall & Young 1993).

    Parameters
    ----------
    differences
        (patients, rows) differences in loss between two arms; NaN where a patient has none.

    Returns
    -------
    Array, Array
        (rows,) each. The statistic is :math:`|\sum_i d_i| / \sqrt{\sum_i d_i^2}`, which orders the patterns
        of signs as Student's t does. All rows see the same signs, so that what correlates them is kept. NaN
        where a row has no differences; 1 where all of them are zero.

    Examples
    --------
    Five patients, all in favour: 2 of 32 patterns are as extreme.

    >>> alone, together = flip_tests(np.array([[0.3], [0.1], [0.4], [0.2], [0.5]]))
    >>> float(alone[0]), float(together[0])
    (0.0625, 0.0625)
    """
    values = np.where(np.isfinite(differences), differences, 0.0)
    size = np.sqrt((values**2).sum(0))
    known = np.asarray(np.isfinite(differences).any(0))
    signs = sign_patterns(len(values))
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.where(size > 0, values / size, 0.0)
    if len(signs) > 2**ENUMERATED_PEOPLE:  # drawn patterns have no ties that rounding could break
        scaled = scaled.astype(np.float32)
    flipped = np.vstack(
        [np.abs(signs[start : start + CHUNK] @ scaled) for start in range(0, len(signs), CHUNK)]
    )
    observed = flipped[0]
    alone = _share(flipped, observed)
    together = np.full(len(observed), np.nan)
    order = [int(row) for row in np.argsort(-observed, kind="stable") if known[row]]
    largest = np.zeros(len(flipped))
    for row in reversed(order):
        largest = np.maximum(largest, flipped[:, row])
        together[row] = _share(largest[:, None], observed[[row]])[0]
    running = 0.0
    for row in order:
        running = max(running, float(together[row]))
        together[row] = running
    return np.where(known, alone, np.nan), together


@lru_cache(maxsize=4)
def sign_patterns(people: int, seed: int = 0) -> NDArray[np.int8]:
    """(patterns, people) of -1 and 1, the data's own first: all there are, or 9,999 drawn; one byte each."""
    if people <= ENUMERATED_PEOPLE:
        bits = (np.arange(2**people)[:, None] >> np.arange(people)) & 1
        return np.asarray(1 - 2 * bits, dtype=np.int8)
    rng = np.random.default_rng([seed, 2, people])
    drawn = 1 - 2 * rng.integers(2, size=(FLIPS, people), dtype=np.int8)
    return np.vstack([np.ones(people, dtype=np.int8), drawn])


def _share(flipped: Array, observed: Array) -> Array:
    """Share of patterns at least as extreme as the data, which count as one (Phipson & Smyth 2010)."""
    return np.asarray((flipped >= observed * (1 - 1e-9)).mean(0))
