"""Scans that cannot be analysed: counted, and filled in two declared ways beside the complete cases.

Leaving out the scans that an arm failed to make analysable would reward it for failing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def fill_with_training_mean(measured: npt.ArrayLike, training: npt.ArrayLike) -> Array:
    """Give scans without measures the mean of the training subjects' true ones.

    Parameters
    ----------
    measured
        NaN where a scan could not be analysed, shape (scans, measures).
    training
        True measures of the training subjects, shape (subjects, measures).

    Examples
    --------
    >>> fill_with_training_mean([[1.0], [np.nan]], [[2.0], [4.0]]).tolist()
    [[1.0], [3.0]]
    """
    values = np.asarray(measured, dtype=np.float64)
    mean = np.asarray(training, dtype=np.float64).mean(axis=0)
    return np.where(np.isfinite(values), values, mean)


def fill_with_worst_error(
    measured_by_arm: Mapping[str, npt.ArrayLike], true: npt.ArrayLike
) -> dict[str, Array]:
    """Give scans without measures the worst error that any arm made on any scan, by measure.

    Parameters
    ----------
    measured_by_arm
        One table per arm, the same scans in each, NaN where one could not be analysed, shape (scans,
        measures).
    true
        Shape (scans, measures).

    Returns
    -------
    dict
        The same tables without gaps. The error keeps the sign it had. Where no arm measured anything, the
        error is the whole true value.

    Examples
    --------
    >>> filled = fill_with_worst_error({"a": [[1.0], [np.nan]], "b": [[1.5], [6.0]]}, [[1.0], [8.0]])
    >>> filled["a"].tolist()
    [[1.0], [6.0]]
    """
    truth = np.asarray(true, dtype=np.float64)
    tables = {arm: np.asarray(values, dtype=np.float64) for arm, values in measured_by_arm.items()}
    errors = np.concatenate([values - truth for values in tables.values()])
    worst = np.empty(truth.shape[1])
    for column in range(truth.shape[1]):
        known = errors[np.isfinite(errors[:, column]), column]
        worst[column] = known[np.argmax(np.abs(known))] if len(known) else np.nan
    penalised = truth + np.where(np.isfinite(worst), worst, -truth)
    return {arm: np.where(np.isfinite(values), values, penalised) for arm, values in tables.items()}


def count_failures(measured: npt.ArrayLike) -> int:
    """How many scans have no complete measures."""
    return int((~np.isfinite(np.asarray(measured, dtype=np.float64)).all(axis=1)).sum())
