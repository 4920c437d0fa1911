"""Two run folders in, everything that differs out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from reports.diff.configuration import changes, configuration_of, environment_of
from reports.diff.findings import OUTCOMES, CostChange, Failure, MetricChange, RunDiff
from reports.diff.outcomes import outcomes
from reports.frame import Run, read_run
from reports.joined import joined, labels_of
from reports.statistics.bootstrap import DRAWS


def diff(before: Path, after: Path, draws: int = DRAWS) -> RunDiff:
    """Compare two run folders; `after` is judged against `before`.

    Raises
    ------
    RecordsError
        If either is no run folder or a record is damaged.
    """
    labels = labels_of([before, after])
    first, second = read_run(before), read_run(after)
    reason = _incomparable(first, second)
    endpoints: list[MetricChange] = []
    rows: list[MetricChange] = []
    if not reason:
        both = joined(dict(zip("AB", (first, second), strict=True)), apart=True)
        endpoints, rows = outcomes(first, second, both, draws)
    regressions = sum(one.outcome in ("regression", "lost") for one in endpoints)
    return RunDiff(
        labels[0],
        labels[1],
        first.simulated or second.simulated,
        reason,
        tuple(changes(environment_of(first), environment_of(second))),
        tuple(changes(configuration_of(first), configuration_of(second))),
        tuple(_in_order(endpoints)),
        tuple(_in_order(rows)),
        tuple(_costs(first, second)),
        tuple(_failures(second)),
        regressions,
    )


def _incomparable(first: Run, second: Run) -> str:
    one, other = (run.meta["cohort"]["fingerprint"] for run in (first, second))
    if one != other:
        return f"The cohorts differ ({one[:12]}, {other[:12]}): no result is compared."
    if not set(first.tasks) & set(second.tasks):
        return "The runs have no task in common: no result is compared."
    return ""


def _in_order(found: Sequence[MetricChange]) -> list[MetricChange]:
    return sorted(found, key=lambda one: OUTCOMES.index(one.outcome))


def _costs(first: Run, second: Run) -> Iterator[CostChange]:
    for arm in dict.fromkeys([*first.arms, *second.arms]):
        for stage in ("pretrain", "tune", "final"):
            sides = [
                run.trials.filter(
                    (pl.col("strategy") == arm) & (pl.col("stage") == stage) & (pl.col("status") == "done")
                )
                for run in (first, second)
            ]
            if not any(len(side) for side in sides):
                continue
            before, after = (_mean(side["wall_seconds"]) for side in sides)
            memory = [int(side["peak_memory_bytes"].max() or 0) for side in sides]  # type: ignore[arg-type]
            ratio = after / before if before and after is not None else None
            counts = (len(sides[0]), len(sides[1]))
            yield CostChange(arm, stage, *counts, before, after, ratio, memory[0], memory[1])


def _mean(column: pl.Series) -> float | None:
    values = column.drop_nulls()
    return float(values.to_numpy().mean()) if len(values) else None


def _failures(run: Run) -> Iterator[Failure]:
    for row in run.trials.filter(pl.col("status") != "done").iter_rows(named=True):
        arm = row["strategy"] or row["baseline"] or ""
        yield Failure(row["stage"], arm, row["task"], row["status"], row["error"] or "no reason recorded")
