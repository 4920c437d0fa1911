"""What an arm's result cost: seconds with pretraining shared among the tasks that use it, and without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from reports.comparison import Comparison
from reports.frame import Run
from reports.sample import final_trials
from reports.statistics.intervals import Estimate


@dataclass(frozen=True)
class CostPoint:
    """An arm of a task: its endpoint and what led to it.

    Parameters
    ----------
    pretraining_seconds
        Of all its pretraining seeds; 0 for weights that are not trained here (`trained_here` is false).
    shared_by
        Tasks that start from these weights: amortised pretraining is divided by it.
    amortised_seconds, full_seconds
        Pretraining (its share, all of it) + tuning + final trials of this task.
    peak_memory_bytes
        The largest of any of its trials.
    cached
        Trials taken from an earlier run; their recorded seconds count.
    dominated_by, dominated_by_full
        Keys of arms that are at least as good and cheaper, by amortised and by full cost. By values alone:
        no test stands behind it.
    """

    column: str
    title: str
    quality: Estimate
    pretraining_seconds: float
    tuning_seconds: float
    final_seconds: float
    shared_by: int
    trained_here: bool
    amortised_seconds: float
    full_seconds: float
    peak_memory_bytes: int
    cached: int
    dominated_by: tuple[str, ...]
    dominated_by_full: tuple[str, ...]


@dataclass(frozen=True)
class CostQuality:
    """Cost and quality of the arms of a task under one protocol."""

    task: str
    title: str
    protocols: tuple[str, ...]
    label: str
    direction: str
    points: tuple[CostPoint, ...]
    resampled: str


def cost_quality(run: Run, comparison: Comparison) -> CostQuality | None:
    """Cost and quality of every arm with results; `None` with fewer than two."""
    if not comparison.endpoint.lines:
        return None
    line = comparison.endpoint.lines[0]
    found: dict[str, dict[str, Any]] = {}
    for column in comparison.columns:
        quality = line.cells.get(column.key)
        if not column.baseline and quality is not None and quality.value is not None:
            spent = _spent(run, comparison.task, comparison.protocols[0], column.name)
            found[column.key] = {"column": column.key, "title": column.title, "quality": quality, **spent}
    if len(found) < 2:
        return None
    points = tuple(
        CostPoint(
            **one,
            dominated_by=_dominating(found, key, "amortised_seconds", comparison.endpoint.direction),
            dominated_by_full=_dominating(found, key, "full_seconds", comparison.endpoint.direction),
        )
        for key, one in found.items()
    )
    return CostQuality(
        comparison.task,
        comparison.title,
        comparison.protocols,
        comparison.endpoint.label,
        comparison.endpoint.direction or "",
        points,
        f"{line.patients} patients and seeds for the quality; none for seconds, which are one execution's",
    )


def _spent(run: Run, task: str, protocol: str, arm: str) -> dict[str, Any]:
    own = run.trials.filter(pl.col("strategy") == arm)
    pretraining = own.filter(pl.col("stage") == "pretrain")
    tuning = own.filter((pl.col("stage") == "tune") & (pl.col("task") == task))
    final = final_trials(run, task, protocol).filter(pl.col("strategy") == arm)
    seconds = [float(trials["wall_seconds"].sum() or 0.0) for trials in (pretraining, tuning, final)]
    tasks = own.filter((pl.col("stage") == "final") & (pl.col("status") == "done"))["task"].n_unique()
    together = [trials.select("peak_memory_bytes", "cached") for trials in (pretraining, tuning, final)]
    every = pl.concat(together)
    return {
        "pretraining_seconds": seconds[0],
        "tuning_seconds": seconds[1],
        "final_seconds": seconds[2],
        "shared_by": max(1, tasks),
        "trained_here": seconds[0] > 0,
        "amortised_seconds": seconds[0] / max(1, tasks) + seconds[1] + seconds[2],
        "full_seconds": sum(seconds),
        "peak_memory_bytes": int(every["peak_memory_bytes"].max() or 0),  # type: ignore[arg-type]  # integers
        "cached": int(every["cached"].sum()),
    }


def _dominating(
    found: Mapping[str, Mapping[str, Any]], key: str, cost: str, direction: str | None
) -> tuple[str, ...]:
    sign = 1.0 if direction == "max" else -1.0
    own = found[key]
    return tuple(
        other
        for other, one in found.items()
        if other != key
        and sign * one["quality"].value >= sign * own["quality"].value
        and one[cost] < own[cost]
    )
