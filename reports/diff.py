"""Two runs against each other: what differs in environment and configuration, and whether results moved.

A result counts as moved only beyond the noise of its own paired interval: same patients, and the same seeds
where both runs have them. A regression is a primary endpoint that is worse after Holm's correction over all
endpoints, and not shown to lie within its margin; or one that the second run does not have any more.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import polars as pl

from reports.bootstrap import DRAWS
from reports.comparison import Column
from reports.endpoint import endpoint_of
from reports.errors import RecordsError
from reports.frame import Run, read_run
from reports.intervals import Estimate, estimate
from reports.joined import joined, labels_of
from reports.layouts import LayoutResults
from reports.sample import PURE_NUMBERS, build_sample, final_trials, readable
from reports.tables import PROTOCOLS
from reports.tests_ import ALPHA, Difference, judge

Outcome = Literal[
    "regression", "lost", "improvement", "equivalent", "within noise", "unchanged", "not judged", "new"
]

#: In the order in which they are shown.
OUTCOMES: tuple[Outcome, ...] = (
    "regression",
    "lost",
    "improvement",
    "new",
    "within noise",
    "equivalent",
    "not judged",
    "unchanged",
)

#: Parts of run.json that a person configures; the rest is their outcome.
CONFIGURATION = ("suite", "domain", "arms", "tasks", "cells", "cohort")
#: Facts of the provenance that are no environment.
EVENTS = frozenset({"started", "finished", "wall_seconds", "test_openings", "command"})


@dataclass(frozen=True)
class Change:
    """A field whose value differs; `None` where one side lacks it."""

    field: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class MetricChange:
    """A result in both runs.

    Parameters
    ----------
    row
        Key of the row; empty for the primary endpoint.
    before, after
        The value in each run; `None` where it has none.
    difference
        Second run minus first, paired; `None` where one side is missing.
    pairing
        What the two share in every resample.
    """

    task: str
    title: str
    protocols: tuple[str, ...]
    column: str
    arm: str
    statistic: str
    row: str
    label: str
    unit: str
    direction: str | None
    before: Estimate | None
    after: Estimate | None
    difference: Difference | None
    outcome: Outcome
    pairing: str
    patients: int


@dataclass(frozen=True)
class CostChange:
    """Mean seconds per trial and largest memory of an arm's stage; `ratio` after / before. Never judged."""

    arm: str
    stage: str
    trials_before: int
    trials_after: int
    seconds_before: float | None
    seconds_after: float | None
    ratio: float | None
    memory_before: int
    memory_after: int


@dataclass(frozen=True)
class Failure:
    """A trial of the second run that has no result."""

    stage: str
    arm: str
    task: str | None
    status: str
    error: str


@dataclass(frozen=True)
class RunDiff:
    """What `diff` found.

    Parameters
    ----------
    comparable
        Empty, or why results cannot be compared.
    endpoints, rows
        Primary endpoints (which decide) and the rows of every table.
    regressions
        Endpoints that regressed or were lost.
    """

    first: str
    second: str
    simulated: bool
    comparable: str
    environment: tuple[Change, ...]
    configuration: tuple[Change, ...]
    endpoints: tuple[MetricChange, ...]
    rows: tuple[MetricChange, ...]
    costs: tuple[CostChange, ...]
    failures: tuple[Failure, ...]
    regressions: int


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
        endpoints, rows = _metrics(first, second, both, draws)
    regressions = sum(one.outcome in ("regression", "lost") for one in endpoints)
    return RunDiff(
        labels[0],
        labels[1],
        first.simulated or second.simulated,
        reason,
        tuple(changes(_environment(first), _environment(second))),
        tuple(changes(_configuration(first), _configuration(second))),
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


def _metrics(first: Run, second: Run, both: Run, draws: int) -> tuple[list[MetricChange], list[MetricChange]]:
    """Endpoints, judged as one family, and rows."""
    endpoints: list[tuple[MetricChange, float]] = []
    rows: list[MetricChange] = []
    for name in dict.fromkeys([*first.tasks, *second.tasks]):
        for protocols in _protocols(first, second, name):
            for arm in _columns(first, second, name):
                pair = _Pair(both, name, protocols, arm, draws)
                endpoint = pair.endpoint()
                if endpoint is not None:
                    endpoints.append(endpoint)
                    rows += pair.rows()
    return _judged_together(endpoints), rows


def _protocols(first: Run, second: Run, task: str) -> list[tuple[str, ...]]:
    """Both protocols as one where the same trials serve both, in both runs."""
    same = [
        set(final_trials(run, task, "matched")["key"]) == set(final_trials(run, task, "tuned")["key"])
        for run in (first, second)
    ]
    return [PROTOCOLS] if all(same) else [(protocol,) for protocol in PROTOCOLS]


def _columns(first: Run, second: Run, task: str) -> list[tuple[str, str, str]]:
    """Kind, name and title of every arm and baseline that either run has."""
    arms = {name: arm["title"] for run in (second, first) for name, arm in run.arms.items()}
    declared = [run.tasks[task]["baselines"] for run in (first, second) if task in run.tasks]
    baselines = dict.fromkeys(name for names in declared for name in names)
    return [("arm", name, title) for name, title in arms.items()] + [
        ("baseline", name, readable(name)) for name in baselines
    ]


class _Pair:
    """One arm or baseline of a task in both runs."""

    def __init__(
        self, both: Run, task: str, protocols: tuple[str, ...], arm: tuple[str, str, str], draws: int
    ) -> None:
        self.both, self.task, self.protocols, self.draws = both, both.tasks[task], protocols, draws
        kind, self.name, self.title = arm
        self.keys = (f"{kind}:{self.name}@B", f"{kind}:{self.name}@A")
        self.trials = final_trials(both, task, protocols[0])
        self.place = (task, self.task["title"], protocols, f"{kind}:{self.name}", self.title)

    def endpoint(self) -> tuple[MetricChange, float] | None:
        """The primary endpoint, not judged yet, and what is rounding; `None` where neither run has it."""
        try:
            found = endpoint_of(self.both, self.task, self.trials, self.keys, [self.keys], draws=self.draws)
        except RecordsError as error:
            raise RecordsError(
                f"the two runs cannot be paired: {error.message}", mend="compare runs over the same data"
            ) from error
        if found is None:
            return None
        after, before = (
            estimate(found.of(key))[0] if key in found.sample.values else None for key in self.keys
        )
        paired = after is not None and before is not None
        change = MetricChange(
            *self.place,
            *(found.statistic, "", found.label, "", found.direction),
            before,
            after,
            judge([estimate(found.difference(*self.keys))[0]], [None], None, [found.margin])[0]
            if paired
            else None,
            "within noise" if paired else "new" if before is None else "lost",
            found.crossed.pairing[self.keys] if paired else "",
            found.patients,
        )
        return change, found.rounding

    def rows(self) -> Iterator[MetricChange]:
        """Every row of every table, corrected within its table and statistic."""
        for layout in self.both.layouts.get(self.task["name"], []):
            names = [row["key"] for row in layout["rows"]]
            sample = build_sample(self.both, self.trials, layout["source"], names, self.keys)
            if sample is None or not set(self.keys) <= set(sample.values):
                continue
            columns = [Column(key, self.name, self.title, False, 1, 1, "none", 1, "") for key in self.keys]
            results = LayoutResults(self.both, self.task, layout, sample, columns, self.keys[1], self.draws)
            for statistic in map(results.statistic, results.statistics):
                (contrast,) = statistic.contrasts
                for line, difference in zip(statistic.lines, contrast.differences, strict=True):
                    if difference is None or difference.estimate.value is None:
                        continue
                    after, before = (line.cells[key] for key in self.keys)
                    label = f"{line.label}, {statistic.label}"
                    unit = "" if statistic.name in PURE_NUMBERS else line.unit
                    yield MetricChange(
                        *self.place,
                        *(statistic.name, line.key, label, unit, line.direction),
                        before,
                        after,
                        difference,
                        outcome_of(difference),
                        contrast.pairing,
                        line.patients,
                    )


def _judged_together(found: Sequence[tuple[MetricChange, float]]) -> list[MetricChange]:
    """All endpoints as one family."""
    paired = [(one, one.difference, floor) for one, floor in found if one.difference is not None]
    judged = judge(
        [difference.estimate for _, difference, _ in paired],
        [one.direction for one, _, _ in paired],
        [floor for _, _, floor in paired],
        [difference.margin for _, difference, _ in paired],
    )
    replaced = iter(judged)
    return [
        one
        if one.difference is None
        else replace(one, difference=(new := next(replaced)), outcome=outcome_of(new))
        for one, _ in found
    ]


def outcome_of(difference: Difference) -> Outcome:
    """The word for a difference between two runs, second minus first."""
    if difference.p is None and difference.verdict == "not judged":
        return "unchanged"
    within = difference.p_equivalence is not None and difference.p_equivalence < ALPHA
    words: Mapping[str, Outcome] = {
        "worse": "equivalent" if within else "regression",
        "better": "equivalent" if within else "improvement",
        "equivalent": "equivalent",
        "not judged": "not judged",
    }
    return words.get(difference.verdict, "within noise")


def _in_order(found: Sequence[MetricChange]) -> list[MetricChange]:
    return sorted(found, key=lambda one: OUTCOMES.index(one.outcome))


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    """Fields whose values differ, by name.

    Examples
    --------
    >>> list(changes({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}))
    [Change(field='b', before='2', after='3'), Change(field='c', before=None, after='4')]
    """
    for field in sorted({*before, *after}):
        if before.get(field) != after.get(field):
            yield Change(field, before.get(field), after.get(field))


def _environment(run: Run) -> dict[str, str]:
    return flattened({key: value for key, value in run.meta["provenance"].items() if key not in EVENTS})


def _configuration(run: Run) -> dict[str, str]:
    """Everything configured; arms, tasks and cells by name, so that their order does not matter."""
    meta = {name: run.meta[name] for name in CONFIGURATION}
    meta["arms"], meta["tasks"] = run.arms, run.tasks
    meta["cells"] = {f"{cell['strategy']} on {cell['task']}": cell for cell in run.meta["cells"]}
    return flattened(meta) | flattened(run.layouts, "layouts")


def flattened(value: Any, path: str = "") -> dict[str, str]:
    """Nested records as dotted names with their values as text; lists of plain values stay whole.

    Examples
    --------
    >>> flattened({"a": {"b": 1}, "c": ["x", "y"]})
    {'a.b': '1', 'c': 'x, y'}
    """
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
        items = [(one.get("key") or one.get("name") or place, one) for place, one in enumerate(value)]
    elif isinstance(value, list | tuple):
        return {path: ", ".join(one if isinstance(one, str) else json.dumps(one) for one in value)}
    else:
        return {path: value if isinstance(value, str) else json.dumps(value)}
    found: dict[str, str] = {}
    for key, inner in items:
        found |= flattened(inner, f"{path}.{key}" if path else str(key))
    return found


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
