"""Tuning budget and fairness: what each arm was given, what was chosen, what it cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from reports.budgets import probe_name, searched_pretraining
from reports.comparison import Comparison
from reports.frame import Run
from reports.sample import final_trials

#: Name of the tuning of pretraining among those of tasks, which no task can have.
PRETRAINING = "of-pretraining"


@dataclass(frozen=True)
class Choice:
    """The setting that a protocol chose for an arm.

    Parameters
    ----------
    edges
        Hyperparameters that lie at an end of their range, as the run recorded it, or where it did not, at the
        lowest or highest of the drawn values: the optimum may lie beyond.
    validation, test
        Mean validation score of the final trials, and the primary endpoint on test. Of pretraining
        the probe's score of the chosen setting on the seed that tuning starts from, and `None`.
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
            tuple(trials.filter(pl.col("strategy") == arm.name)["draw"].drop_nulls().unique().sort())
            for arm in arms
        }
        found.append(
            TaskTuning(name, task["title"], task["space"], task["primary"]["label"], len(drawn) == 1, arms)
        )
    return found


def pretraining_tuning(run: Run) -> TaskTuning | None:
    """Settings of pretraining: what each arm tried, by the probe's score, and what each protocol chose."""
    trials = searched_pretraining(run)
    chosen = run.selections.filter(pl.col("task").is_null() & (pl.col("split").fill_null(0) == 0))
    if chosen.is_empty():
        return None
    arms = []
    for name, arm in run.arms.items():
        own = trials.filter(pl.col("strategy") == name)
        rows = chosen.filter(pl.col("strategy") == name).sort("protocol").to_dicts()
        if rows:
            scores = dict(zip(own["hyperparameters"], own["validation_score"], strict=True))
            # a matched setting with declared values in place of the draw's own was judged, and is no draw
            added = [row["hyperparameters"] for row in rows if row["validation_score"] is None]
            draws = own.filter(~pl.col("hyperparameters").is_in(added))
            tried = [json.loads(one or "{}") for one in draws["hyperparameters"]]
            choices = (_chosen(row, tried, scores.get(row["hyperparameters"]), None) for row in rows)
            arms.append(ArmTuning(name, arm["title"], *_spent(draws), tuple(choices), _scores(draws)))
    drawn = {tuple(draw for draw, _ in arm.scores) for arm in arms}
    return TaskTuning(PRETRAINING, "Pretraining", {}, probe_name(run), len(drawn) == 1, tuple(arms))


def seed_use(suite: Mapping[str, Any]) -> list[str]:
    """Whether the seeds that settings were chosen with are those that are judged, in sentences.

    Examples
    --------
    >>> for one in seed_use({"seeds": {"tuning": 9, "final": [0, 1], "pretraining": [3, 4]}}):
    ...     print(one)
    Tuning trials ran with seed 9, final trials with 0, 1: disjoint.
    Tuning started from weights of seed 3, final trials from 3, 4: not disjoint, 3 chose and is judged.
    """
    seeds = suite["seeds"]
    weights = seeds.get("tuning_pretraining")
    if weights is None and seeds["pretraining"]:
        weights = seeds["pretraining"][0]
    found = [_seeds("Tuning trials ran with", "with", seeds["tuning"], seeds["final"])]
    if weights is not None:
        found.append(_seeds("Tuning started from weights of", "from", weights, seeds["pretraining"]))
    return found


def _seeds(words: str, way: str, chose: int, judged: Sequence[int]) -> str:
    verdict = f"not disjoint, {chose} chose and is judged" if chose in judged else "disjoint"
    return f"{words} seed {chose}, final trials {way} {', '.join(map(str, judged))}: {verdict}."


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
    return ArmTuning(
        arm,
        run.arms[arm]["title"],
        *_spent(own),
        tuple(
            _choice(final_trials(run, task, row["protocol"]), row, own, comparisons)
            for row in chosen.filter(pl.col("strategy") == arm).sort("protocol").to_dicts()
        ),
        _scores(own),
    )


def _spent(own: pl.DataFrame) -> tuple[int, int, int, int, float]:
    """Draws, how many of them are done, failed and blocked, and seconds."""
    done, failed, blocked = (int((own["status"] == status).sum()) for status in ("done", "failed", "blocked"))
    return own["draw"].n_unique(), done, failed, blocked, float(own["wall_seconds"].sum())


def _scores(own: pl.DataFrame) -> tuple[tuple[int, float], ...]:
    scored = own.filter(pl.col("validation_score").is_finite() & pl.col("draw").is_not_null())
    return tuple(zip(scored["draw"].to_list(), scored["validation_score"].to_list(), strict=True))


def _choice(
    finals: pl.DataFrame, row: Mapping[str, Any], own: pl.DataFrame, comparisons: Sequence[Comparison]
) -> Choice:
    done = finals.filter((pl.col("strategy") == row["strategy"]) & (pl.col("status") == "done"))
    validation = done["validation_score"].mean()
    return _chosen(
        row,
        [json.loads(one or "{}") for one in own["hyperparameters"]],
        float(validation) if isinstance(validation, int | float) else None,
        _test_value(comparisons, row["task"], row["protocol"], row["strategy"]),
    )


def _chosen(
    row: Mapping[str, Any], tried: Sequence[Mapping[str, Any]], validation: float | None, test: float | None
) -> Choice:
    setting = json.loads(row["hyperparameters"] or "{}")
    recorded = row["boundary"]
    at_end = edges(setting, tried) if recorded is None else tuple(recorded)
    return Choice(row["protocol"], row["draw"], setting, row["reason"] or "", at_end, validation, test)


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
