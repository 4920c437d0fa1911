"""Tuning budget and fairness: what each arm was given, what was chosen, what it cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from reports.comparison import Comparison
from reports.frame import Run
from reports.sample import final_trials


@dataclass(frozen=True)
class Choice:
    """The setting that a protocol chose for an arm.

    Parameters
    ----------
    edges
        Hyperparameters that lie at the lowest or highest of the drawn values: the optimum may lie beyond.
    validation, test
        Mean validation score of the final trials, and the primary endpoint on test.
    """

    protocol: str
    draw: int | None
    hyperparameters: Mapping[str, Any]
    reason: str
    edges: tuple[str, ...]
    validation: float | None
    test: float | None


@dataclass(frozen=True)
class ArmTuning:
    """Tuning of one arm on one task."""

    name: str
    title: str
    draws: int
    done: int
    failed: int
    blocked: int
    seconds: float
    choices: tuple[Choice, ...]
    scores: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class TaskTuning:
    """Tuning of one task; `equal` if every arm had the same draws."""

    task: str
    title: str
    space: Mapping[str, str]
    label: str
    equal: bool
    arms: tuple[ArmTuning, ...]


@dataclass(frozen=True)
class Cost:
    """What one arm took, by stage."""

    title: str
    pretraining_seconds: float
    tuning_seconds: float
    final_seconds: float
    peak_memory_bytes: int
    cached: int


def tuning(run: Run, comparisons: Sequence[Comparison]) -> list[TaskTuning]:
    """Tuning of every task in which anything was drawn or chosen."""
    found = []
    for name, task in run.tasks.items():
        trials = run.trials.filter((pl.col("stage") == "tune") & (pl.col("task") == name))
        chosen = run.selections.filter(pl.col("task") == name)
        if trials.is_empty() and chosen.is_empty():
            continue
        arms = tuple(
            _arm(run, name, arm, chosen, comparisons)
            for arm in run.arms
            if arm in trials["strategy"] or arm in chosen["strategy"]
        )
        drawn = {
            tuple(sorted(trials.filter(pl.col("strategy") == arm.name)["draw"].drop_nulls().to_list()))
            for arm in arms
        }
        found.append(
            TaskTuning(name, task["title"], task["space"], task["primary"]["label"], len(drawn) == 1, arms)
        )
    return found


def costs(run: Run) -> list[Cost]:
    """Seconds by stage and arm; baselines together at the end."""
    rows = [(arm["title"], run.trials.filter(pl.col("strategy") == name)) for name, arm in run.arms.items()]
    rows.append(("Baselines", run.trials.filter(pl.col("baseline").is_not_null())))
    return [
        Cost(
            title,
            _seconds(trials, "pretrain"),
            _seconds(trials, "tune"),
            _seconds(trials, "final"),
            int(trials["peak_memory_bytes"].max() or 0),  # type: ignore[arg-type]  # a column of integers
            int(trials["cached"].sum()),
        )
        for title, trials in rows
        if len(trials)
    ]


def _seconds(trials: pl.DataFrame, stage: str) -> float:
    return float(trials.filter(pl.col("stage") == stage)["wall_seconds"].sum())


def _arm(
    run: Run,
    task: str,
    arm: str,
    chosen: pl.DataFrame,
    comparisons: Sequence[Comparison],
) -> ArmTuning:
    own = run.trials.filter(
        (pl.col("stage") == "tune") & (pl.col("task") == task) & (pl.col("strategy") == arm)
    ).sort("draw")
    count = {status: len(own.filter(pl.col("status") == status)) for status in ("done", "failed", "blocked")}
    scored = own.filter(pl.col("validation_score").is_not_null() & pl.col("draw").is_not_null())
    return ArmTuning(
        arm,
        run.arms[arm]["title"],
        own["draw"].n_unique(),
        count["done"],
        count["failed"],
        count["blocked"],
        float(own["wall_seconds"].sum()),
        tuple(
            _choice(final_trials(run, task, row["protocol"]), row, own, comparisons)
            for row in chosen.filter(pl.col("strategy") == arm).sort("protocol").to_dicts()
        ),
        tuple(zip(scored["draw"].to_list(), scored["validation_score"].to_list(), strict=True)),
    )


def _choice(
    finals: pl.DataFrame, row: Mapping[str, Any], own: pl.DataFrame, comparisons: Sequence[Comparison]
) -> Choice:
    done = finals.filter((pl.col("strategy") == row["strategy"]) & (pl.col("status") == "done"))
    validation = done["validation_score"].mean()
    settings = json.loads(row["hyperparameters"] or "{}")
    return Choice(
        row["protocol"],
        row["draw"],
        settings,
        row["reason"] or "",
        edges(settings, [json.loads(one or "{}") for one in own["hyperparameters"]]),
        float(validation) if isinstance(validation, int | float) else None,
        _test_value(comparisons, row["task"], row["protocol"], row["strategy"]),
    )


def edges(chosen: Mapping[str, Any], drawn: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Names of numeric hyperparameters whose chosen value is the lowest or highest of three or more drawn.

    Examples
    --------
    >>> edges({"rate": 1.0}, [{"rate": 1.0}, {"rate": 2.0}, {"rate": 3.0}])
    ('rate at its lowest',)
    """
    found = []
    for name, value in chosen.items():
        values = {one[name] for one in drawn if _numeric(one.get(name))}
        if _numeric(value) and len(values) >= 3 and value in (min(values), max(values)):
            found.append(f"{name} at its {'lowest' if value == min(values) else 'highest'}")
    return tuple(found)


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _test_value(comparisons: Sequence[Comparison], task: str, protocol: str, arm: str) -> float | None:
    for one in comparisons:
        if one.task == task and protocol in one.protocols and one.endpoint.lines:
            cell = one.endpoint.lines[0].cells.get(f"arm:{arm}")
            return cell.value if cell else None
    return None


def settings(value: str | Mapping[str, Any] | None) -> str:
    """Hyperparameters in one line; numbers with four significant digits.

    Examples
    --------
    >>> settings({"rate": 0.123456, "freeze": True})
    'rate = 0.1235, freeze = True'
    """
    chosen = value if isinstance(value, Mapping) else json.loads(value or "{}")
    return ", ".join(
        f"{key} = {f'{one:.4g}' if isinstance(one, float) else one}" for key, one in chosen.items()
    )
