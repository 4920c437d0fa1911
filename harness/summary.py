"""The table at the end of a run: the primary endpoint of every cell on the test split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from registry.contracts import PrimaryEndpoint

if TYPE_CHECKING:
    import polars

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Endpoint:
    """The primary endpoint of one arm or baseline under one protocol.

    Parameters
    ----------
    mean
        Over its final trials.
    trials
        How many there are.
    """

    task: str
    arm: str
    baseline: bool
    protocol: str
    mean: float
    trials: int


def coefficient_of_determination(target: Floats, prediction: Floats) -> float:
    """1 - SSE / SST; NaN where the targets do not vary."""
    total = float(np.sum((target - target.mean()) ** 2))
    return 1 - float(np.sum((target - prediction) ** 2)) / total if total else float("nan")


def squared_correlation(target: Floats, prediction: Floats) -> float:
    """Pearson's correlation, squared; NaN where either side does not vary."""
    if not (np.ptp(target) and np.ptp(prediction)):
        return float("nan")
    return float(np.corrcoef(target, prediction)[0, 1] ** 2)


def slope(target: Floats, prediction: Floats) -> float:
    """Of predictions over targets, least squares; NaN where the targets do not vary."""
    spread = float(np.var(target))
    return float(np.cov(target, prediction, bias=True)[0, 1]) / spread if spread else float("nan")


def concordance(target: Floats, prediction: Floats) -> float:
    """Lin's coefficient with 1/n moments; NaN where nothing varies."""
    spread = float(np.var(target) + np.var(prediction) + (target.mean() - prediction.mean()) ** 2)
    return 2 * float(np.cov(target, prediction, bias=True)[0, 1]) / spread if spread else float("nan")


#: Statistics of target and prediction per measure, by the names that `PrimaryEndpoint.statistic` uses.
STATISTICS: Mapping[str, Callable[[Floats, Floats], float]] = {
    "r2": coefficient_of_determination,
    "r2_pearson": squared_correlation,
    "rmse": lambda target, prediction: float(np.sqrt(np.mean((prediction - target) ** 2))),
    "mae": lambda target, prediction: float(np.mean(np.abs(prediction - target))),
    "bias": lambda target, prediction: float(np.mean(prediction - target)),
    "slope": slope,
    "ccc": concordance,
}


def endpoint_value(
    primary: PrimaryEndpoint, predictions: polars.DataFrame, scores: polars.DataFrame
) -> float | None:
    """The primary endpoint from one trial's records: the statistic's mean over its rows.

    Parameters
    ----------
    primary
        What is averaged over which rows; every measure or score of the trial if it names none.
    predictions, scores
        The trial's rows of these tables; a prediction that could not be made does not count here, and the
        report shows what that hides.

    Returns
    -------
    float or None
        `None` where the records hold nothing to compute it from.
    """
    if primary.statistic == "mean":
        by_name = {str(name): frame["value"].to_numpy() for (name,), frame in scores.group_by("metric")}
        values = {name: float(column.mean()) for name, column in by_name.items()}
    else:
        statistic = STATISTICS[primary.statistic]
        made = predictions.filter(predictions["prediction"].is_finite().fill_null(False))
        values = {
            str(name): statistic(frame["target"].to_numpy(), frame["prediction"].to_numpy())
            for (name,), frame in made.group_by("measure")
        }
    rows = primary.rows or tuple(sorted(values))
    if not rows or any(row not in values for row in rows):
        return None
    return float(np.mean([values[row] for row in rows]))


def endpoints(
    primaries: Mapping[str, PrimaryEndpoint],
    trials: polars.DataFrame,
    predictions: polars.DataFrame,
    scores: polars.DataFrame,
) -> list[Endpoint]:
    """The primary endpoint of every arm and baseline, averaged over final trials.

    Parameters
    ----------
    primaries
        Task name to its primary endpoint.
    trials, predictions, scores
        The compacted tables of a run.
    """
    by_key_predictions = {key: frame for (key,), frame in predictions.group_by("key")}
    by_key_scores = {key: frame for (key,), frame in scores.group_by("key")}
    collected: dict[tuple[str, str, bool, str], list[float]] = defaultdict(list)
    for row in trials.iter_rows(named=True):
        if row["stage"] != "final" or row["status"] != "done" or row["task"] not in primaries:
            continue
        if row["label_fraction"] is not None or row["split"]:  # the report has sections of their own for them
            continue
        key = row["key"]
        value = endpoint_value(
            primaries[row["task"]],
            by_key_predictions.get(key, predictions.clear()),
            by_key_scores.get(key, scores.clear()),
        )
        if value is None:
            continue
        for protocol in row["protocols"]:
            identity = _identity(row, protocol)
            collected[identity].append(value)
    return [
        Endpoint(*identity, float(np.mean(values)), len(values)) for identity, values in collected.items()
    ]


def _identity(row: Mapping[str, Any], protocol: str) -> tuple[str, str, bool, str]:
    baseline = row["baseline"] is not None
    return row["task"], row["baseline"] if baseline else row["strategy"], baseline, protocol
