r"""How far a result hangs on the seeds and on the split: single values, and comparisons over repeated splits.

Test sets of repeated splits overlap with the training sets of others, so that differences on different splits
are correlated and their plain standard error is too small. Nadeau and Bengio (2003) replace 1/J by
:math:`1/J + n_{test}/n_{train}` in :math:`t = \bar d / \sqrt{(1/J + n_{test}/n_{train}) s^2}`, with J - 1
degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import special

from reports.comparison import Comparison, Contrast
from reports.endpoint import Endpoint, endpoint_of
from reports.frame import Run
from reports.pairs import pairs_of
from reports.sample import every_final_trial
from reports.statistics.intervals import LEVEL, Estimate
from reports.statistics.tests import judge


@dataclass(frozen=True)
class StripPoint:
    """The endpoint of one final trial; `split` 0 is the cohort's own."""

    value: float
    pretraining_seed: int | None
    seed: int | None
    split: int


@dataclass(frozen=True)
class Strip:
    """Every final trial of an arm or baseline as a dot."""

    column: str
    title: str
    points: tuple[StripPoint, ...]


@dataclass(frozen=True)
class Robustness:
    """Single values behind the averages of a task.

    Parameters
    ----------
    seeds
        Trials on the cohort's own split.
    splits
        Trials on every split; empty where there is one.
    contrasts
        Paired differences over repeated splits, corrected for their overlap (Nadeau & Bengio) and, over all
        pairs, by Holm; empty with fewer than two splits.
    split_count, test_share
        Number of splits, and n_test / n_train in patients.
    """

    task: str
    title: str
    protocols: tuple[str, ...]
    label: str
    direction: str
    seeds: tuple[Strip, ...]
    splits: tuple[Strip, ...]
    contrasts: tuple[Contrast, ...]
    split_count: int
    test_share: float | None
    resampled: str


def robustness(run: Run, comparison: Comparison) -> Robustness | None:
    """Strips of every entry of a task; `None` where there are no results."""
    task = run.tasks[comparison.task]
    pairs = pairs_of([column for column in comparison.columns if not column.missing], comparison.reference)
    trials = every_final_trial(run, comparison.task, comparison.protocols[0]).filter(
        pl.col("label_fraction").is_null() & (pl.col("status") == "done")
    )
    names = {column.key: column.title for column in comparison.columns}
    by_split: dict[int, dict[str, list[StripPoint]]] = {}
    label, direction = task["primary"]["label"], task["primary"]["direction"]
    for split in sorted(trials["split"].fill_null(0).unique().to_list()):
        own = trials.filter(pl.col("split").fill_null(0) == split)
        endpoint = endpoint_of(run, task, own, list(names), [], draws=2)
        if endpoint is not None:
            by_split[split] = {key: _points(endpoint, key, split) for key in endpoint.sample.values}
    if not by_split:
        return None
    share = test_share(run, task)
    return Robustness(
        comparison.task,
        comparison.title,
        comparison.protocols,
        label,
        direction,
        _strips(names, [by_split[0]] if 0 in by_split else []),
        _strips(names, list(by_split.values())) if len(by_split) > 1 else (),
        _split_contrasts(by_split, pairs, direction, share),
        len(by_split),
        share,
        f"{len(by_split)} splits of the patients" if len(by_split) > 1 else "nothing: single trials",
    )


def _points(endpoint: Endpoint, key: str, split: int) -> list[StripPoint]:
    values = endpoint.replicate_values(key)
    return [
        StripPoint(float(value), pretraining, seed, split)
        for value, (pretraining, _, seed) in zip(values, endpoint.sample.seeds[key], strict=True)
        if np.isfinite(value)
    ]


def _strips(
    names: Mapping[str, str], found: Sequence[Mapping[str, Sequence[StripPoint]]]
) -> tuple[Strip, ...]:
    strips = [
        Strip(key, title, tuple(point for one in found for point in one.get(key, ())))
        for key, title in names.items()
    ]
    return tuple(strip for strip in strips if strip.points)


def test_share(run: Run, task: Mapping[str, Any]) -> float | None:
    """Test patients per training patient of the part of the cohort that the task uses."""
    sizes = run.meta["cohort"].get("sizes", {}).get(task["part"], {})
    if "test" not in sizes or "train" not in sizes or not sizes["train"]["patients"]:
        return None
    return float(sizes["test"]["patients"] / sizes["train"]["patients"])


def _split_contrasts(
    by_split: Mapping[int, Mapping[str, Sequence[StripPoint]]],
    pairs: Sequence[tuple[str, str, str]],
    direction: str,
    share: float | None,
) -> tuple[Contrast, ...]:
    if len(by_split) < 2 or share is None:
        return ()
    estimates, kept = [], []
    for first, second, kind in pairs:
        differences = [
            float(np.mean([point.value for point in one[first]]))
            - float(np.mean([point.value for point in one[second]]))
            for one in by_split.values()
            if one.get(first) and one.get(second)
        ]
        if len(differences) > 1:
            estimates.append(corrected_resampled(differences, share))
            kept.append((first, second, kind, len(differences)))
    judged = judge(estimates, [direction] * len(kept))
    return tuple(
        Contrast(first, second, kind, f"{count} splits of the patients, mean over seeds in each", (one,))
        for (first, second, kind, count), one in zip(kept, judged, strict=True)
    )


def corrected_resampled(differences: Sequence[float], share: float, level: float = LEVEL) -> Estimate:
    """Mean difference over J overlapping splits with Nadeau and Bengio's standard error.

    Parameters
    ----------
    differences
        One per split.
    share
        n_test / n_train.

    Examples
    --------
    >>> round(corrected_resampled([0.1, 0.2, 0.3], share=0.125).standard_error, 4)
    0.0677
    """
    values = np.asarray(differences, dtype=np.float64)
    count = len(values)
    error = float(((1 / count + share) * values.var(ddof=1)) ** 0.5)
    half = float(special.stdtrit(count - 1, 0.5 + level / 2)) * error
    mean = float(values.mean())
    return Estimate(mean, mean - half, mean + half, error, count - 1.0)
