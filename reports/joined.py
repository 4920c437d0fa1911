"""Several runs as one: the same tasks on the same data, their arms side by side."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from reports.errors import RecordsError
from reports.frame import TABLES, Run

#: Keys that may name a folder.
KEY = re.compile(r"[0-9a-f]{16,64}")

#: What must be the same of a task so that its results mean the same thing.
TASK_FIELDS = ("version", "part", "primary")


def labels_of(folders: Sequence[Path]) -> list[str]:
    """Short names of run folders: their own, or with as many parents as it takes to tell them apart.

    Examples
    --------
    >>> labels_of([Path("ann/quick"), Path("bob/quick")]), labels_of([Path("a/x"), Path("a/y")])
    (['ann/quick', 'bob/quick'], ['x', 'y'])
    """
    parts = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(one[-depth:]) for one in parts]
        if len(set(labels)) == len(labels):
            return labels
    return [f"run {place}" for place in range(1, len(parts) + 1)]


def refuse_unlike(runs: Mapping[str, Run]) -> None:
    """Refuse runs whose results cannot stand in one table.

    Raises
    ------
    RecordsError
        If domain, cohort, or a task that several of them have differ; names the runs and the values.
    """
    (first_label, first), *rest = runs.items()
    for label, run in rest:
        for name, one, other in (
            ("domain", first.meta["domain"]["name"], run.meta["domain"]["name"]),
            ("cohort fingerprint", first.meta["cohort"]["fingerprint"], run.meta["cohort"]["fingerprint"]),
        ):
            if one != other:
                raise RecordsError(
                    f"{first_label} and {label} have different {name}s: {one} and {other}",
                    mend="compare runs over the same cohort; its fingerprint stands in run.json",
                )
    for task in {name for run in runs.values() for name in run.tasks}:
        having = {label: run for label, run in runs.items() if task in run.tasks}
        (first_label, first), *rest = having.items()
        for label, run in rest:
            for field in TASK_FIELDS:
                one, other = first.tasks[task][field], run.tasks[task][field]
                if one != other:
                    raise RecordsError(
                        f"{first_label} and {label} judge task {task!r} differently:"
                        f" {field} {one} and {other}",
                        mend="run both with the same version of the task",
                    )


def joined(runs: Mapping[str, Run], *, apart: bool = False) -> Run:
    """One run with the trials of all; its folder is the first one's.

    Parameters
    ----------
    runs
        Label to run.
    apart
        Every arm and baseline gets the name `<name>@<label>`. Otherwise only arms that several runs have do,
        and a baseline is taken from the first run that has it: it is no arm and hangs on the data alone.
    """
    first = next(iter(runs.values()))
    counts: dict[str, int] = {}
    for run in runs.values():
        for name in run.arms:
            counts[name] = counts.get(name, 0) + 1
    parts = [
        _renamed(
            label,
            run,
            {name: f"{name}@{label}" for name in run.arms if apart or counts[name] > 1},
            rename_baselines=apart,
        )
        for label, run in runs.items()
    ]
    if not apart:
        parts = list(_first_baselines(parts))
    tables = {name: pl.concat([getattr(one, name) for one in parts]) for name in TABLES}
    tasks: dict[str, dict[str, Any]] = {}
    layouts: dict[str, list[dict[str, Any]]] = {}
    for one in parts:
        for name, task in one.tasks.items():
            known = tasks.setdefault(name, dict(task))
            known["baselines"] = list(dict.fromkeys([*known["baselines"], *task["baselines"]]))
            layouts.setdefault(name, one.layouts.get(name, []))
    claims = {run.meta["claims"] for run in runs.values()}
    meta = {
        **first.meta,
        "arms": [arm for one in parts for arm in one.meta["arms"]],
        "cells": [cell for one in parts for cell in one.meta["cells"]],
        "tasks": list(tasks.values()),
        "claims": "procedure" if claims == {"procedure"} else "artifact",
        "caveats": list(dict.fromkeys(text for one in parts for text in one.meta.get("caveats") or ())),
        "ablations": [],  # of one suite; what arms were derived from stands with each arm
        "attributions": [],
        "provenance": _provenance(runs),
        "suite": _suite(parts),
        "status": _status([run.meta["status"] for run in runs.values()]),
    }
    elsewhere = {key: folder for one in parts for key, folder in one.elsewhere.items()}
    return Run(first.folder, meta, layouts, **tables, elsewhere=elsewhere)


def _renamed(label: str, run: Run, arms: Mapping[str, str], *, rename_baselines: bool) -> Run:
    """The run with other names of arms, and keys of trials that no other run has."""
    keys = {
        key: hashlib.sha256(f"{label}/{key}".encode()).hexdigest()
        for key in {*run.trials["key"], *run.curves["key"], *run.predictions["key"], *run.scores["key"]}
    }

    def rekeyed(table: pl.DataFrame) -> pl.DataFrame:
        return table.with_columns(pl.col("key").replace_strict(keys, return_dtype=pl.String))

    trials = rekeyed(run.trials).with_columns(pl.col("strategy").replace(dict(arms)))
    baselines = sorted({name for task in run.tasks.values() for name in task["baselines"]})
    names = {name: f"{name}@{label}" if rename_baselines else name for name in baselines}
    trials = trials.with_columns(pl.col("baseline").replace(names))
    meta = {
        **run.meta,
        "arms": [_arm(arm, arms, label) for arm in run.meta["arms"]],
        "tasks": [
            {**task, "baselines": [names[name] for name in task["baselines"]]} for task in run.meta["tasks"]
        ],
        "cells": [
            {**cell, "strategy": arms.get(cell["strategy"], cell["strategy"])} for cell in run.meta["cells"]
        ],
        "suite": {
            **run.meta["suite"],
            "reference_arms": [
                arms.get(name, name) for name in run.meta["suite"].get("reference_arms") or ()
            ],
        },
    }
    return Run(
        run.folder,
        meta,
        run.layouts,
        trials=trials,
        predictions=rekeyed(run.predictions),
        scores=rekeyed(run.scores),
        curves=rekeyed(run.curves),
        selections=run.selections.with_columns(pl.col("strategy").replace(dict(arms))),
        search=run.search.with_columns(pl.col("strategy").replace(dict(arms))),
        elsewhere={new: run.trial_folder(old) for old, new in keys.items() if KEY.fullmatch(old)},
    )


def _arm(arm: Mapping[str, Any], names: Mapping[str, str], label: str) -> dict[str, Any]:
    renamed = arm["name"] in names

    def based(run: Mapping[str, Any]) -> dict[str, Any]:
        return {**run, "base": names.get(run["base"], run["base"])}

    return {
        **arm,
        "name": names.get(arm["name"], arm["name"]),
        "title": f"{arm['title']} ({label})" if renamed else arm["title"],
        "parent": names.get(arm.get("parent"), arm.get("parent")),  # type: ignore[arg-type]  # None is no key
        "strategy": names.get(arm.get("strategy"), arm.get("strategy")),  # type: ignore[arg-type]
        "ablation": based(arm["ablation"]) if arm.get("ablation") else None,
        "ablations": [based(one) for one in arm.get("ablations") or ()],
    }


def _first_baselines(parts: Sequence[Run]) -> Iterator[Run]:
    """Each baseline in the first run that has it alone; the others' are the same numbers again."""
    seen: set[tuple[str, str]] = set()
    for run in parts:
        known = set(seen)
        pairs = list(zip(run.trials["task"], run.trials["baseline"], strict=True))
        kept = run.trials.filter(pl.Series([pair not in known for pair in pairs], dtype=pl.Boolean))
        seen |= {pair for pair in pairs if pair[1] is not None}
        keys = kept["key"].implode()
        yield replace(
            run,
            trials=kept,
            predictions=run.predictions.filter(pl.col("key").is_in(keys)),
            scores=run.scores.filter(pl.col("key").is_in(keys)),
        )


def _provenance(runs: Mapping[str, Run]) -> dict[str, Any]:
    """The first run's, with the openings of the test split of all, and every run's under its label."""
    found = {label: run.meta["provenance"] for label, run in runs.items()}
    return {
        **next(iter(found.values())),
        "test_openings": sum(int(one.get("test_openings") or 0) for one in found.values()),
        "runs": found,
    }


def _suite(parts: Sequence[Run]) -> dict[str, Any]:
    suites = [one.meta["suite"] for one in parts]
    references = dict.fromkeys(name for suite in suites for name in suite["reference_arms"])
    return {
        **suites[0],
        "name": " + ".join(dict.fromkeys(suite["name"] for suite in suites)),
        "title": " + ".join(dict.fromkeys(suite["title"] for suite in suites)),
        "strategies": [arm["name"] for one in parts for arm in one.meta["arms"]],
        "reference_arms": list(references),
    }


def _status(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    counts = {
        name: sum(int(one.get(name, 0)) for one in found) for name in ("done", "failed", "blocked", "missing")
    }
    complete = all(one["state"] == "complete" for one in found)
    return {"state": "complete" if complete else "incomplete", **counts}
