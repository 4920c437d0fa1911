"""The comparison tables of a run: every arm and baseline, task by task and protocol by protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from reports.comparison import Column, Comparison, StatisticTable
from reports.frame import Run
from reports.layouts import LayoutResults, holds_endpoint
from reports.sample import Entry, build_sample, entries_of, final_trials, replicates

PROTOCOLS = ("matched", "tuned")


def compare(run: Run, draws: int) -> list[Comparison]:
    """Compare all arms and baselines of a run, task by task and protocol by protocol."""
    return [
        _comparison(run, task, protocols, draws)
        for task in run.tasks.values()
        for protocols in protocols_of(run, task["name"])
    ]


def protocols_of(run: Run, task: str) -> list[tuple[str, ...]]:
    """The protocols of a task; both as one where the same trials serve both."""
    keys = [set(final_trials(run, task, protocol)["key"]) for protocol in PROTOCOLS]
    if keys[0] == keys[1]:
        return [PROTOCOLS]
    return [(protocol,) for protocol, found in zip(PROTOCOLS, keys, strict=True) if found]


def _comparison(run: Run, task: Mapping[str, Any], protocols: tuple[str, ...], draws: int) -> Comparison:
    entries = entries_of(run, task)
    trials = final_trials(run, task["name"], protocols[0])
    columns = tuple(_column(run, task, trials, entry) for entry in entries)
    reference = _reference(run, columns)
    results = []
    for layout in run.layouts.get(task["name"], []):
        rows = [row["key"] for row in layout["rows"]]
        sample = build_sample(run, trials, layout["source"], rows, [entry.key for entry in entries])
        if sample is None and layout.get("measured_by"):
            continue  # other software was given scans of the other protocol alone
        results.append(LayoutResults(run, task, layout, sample, columns, reference, draws))
    judged = judged_by(task["primary"], results)
    return Comparison(
        task["name"],
        task["title"],
        protocols,
        reference,
        columns,
        judged.endpoint() if judged else _no_endpoint(task["primary"]),
        judged.ranks() if judged else (),
        judged.variances() if judged else (),
        tuple(one.table() for one in results),
        judged.doubt() if judged else None,
    )


def judged_by(primary: Mapping[str, Any], results: Sequence[LayoutResults]) -> LayoutResults | None:
    """The first layout that has the endpoint's rows and its statistic."""
    return next((one for one in results if holds_endpoint(one.layout, primary)), None)


def _column(run: Run, task: Mapping[str, Any], trials: pl.DataFrame, entry: Entry) -> Column:
    planned = trials.filter(pl.col("entry") == entry.key)
    done = planned.filter(pl.col("status") == "done")
    keys = zip(done["pretraining_seed"], done["label_draw"], done["seed"], strict=True)
    seeds = replicates(list(keys)) if len(done) else None
    return Column(
        entry.key,
        entry.name,
        entry.title,
        entry.baseline,
        len(done),
        len(planned),
        seeds.kind if seeds else "none",
        seeds.count if seeds else 0,
        "" if len(done) else _why_missing(run, task["name"], entry, planned),
        exploratory=not entry.baseline and run.arms[entry.name].get("origin", "built-in") != "built-in",
    )


def _why_missing(run: Run, task: str, entry: Entry, planned: pl.DataFrame) -> str:
    for cell in run.meta["cells"]:
        if (
            not entry.baseline
            and (cell["strategy"], cell["task"]) == (entry.name, task)
            and not cell["applicable"]
        ):
            return f"N/A: {cell['reason']}"
    field = "baseline" if entry.baseline else "strategy"
    others = run.trials.filter((pl.col(field) == entry.name) & (pl.col("status") != "done"))
    others = others.filter((pl.col("task") == task) | pl.col("task").is_null())
    for trials in (planned, others):
        for status in ("failed", "blocked"):
            found = trials.filter(pl.col("status") == status)
            if len(found):
                stage, error = found["stage"][0], found["error"][0] or "no reason recorded"
                return f"{status} ({stage}): {error}"
    return "missing: no final trial was recorded"


def _reference(run: Run, columns: Sequence[Column]) -> str:
    """Column key of the reference arm: the first declared one that has results here, else the first arm."""
    present = {column.name: column.key for column in columns if not column.baseline and not column.missing}
    for name in [*run.meta["suite"].get("reference_arms", ()), *present]:
        if name in present:
            return present[name]
    return ""


def _no_endpoint(primary: Mapping[str, Any]) -> StatisticTable:
    return StatisticTable(primary["statistic"], primary["label"], primary["direction"], 3, (), ())
