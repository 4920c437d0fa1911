"""The records of a run, read and checked: JSON as mappings, tables as polars frames."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from reports.errors import RecordsError

SCHEMA = 1

RUN_FIELDS = ("suite", "domain", "cohort", "arms", "tasks", "cells", "claims", "status", "provenance")

TABLES: Mapping[str, Mapping[str, Any]] = {
    "trials": {
        "key": pl.String,
        "stage": pl.String,
        "strategy": pl.String,
        "baseline": pl.String,
        "task": pl.String,
        "protocols": pl.List(pl.String),
        "draw": pl.Int64,
        "seed": pl.Int64,
        "pretraining_seed": pl.Int64,
        "status": pl.String,
        "error": pl.String,
        "hyperparameters": pl.String,
        "validation_score": pl.Float64,
        "validation": pl.String,
        "started": pl.String,
        "finished": pl.String,
        "wall_seconds": pl.Float64,
        "cpu_seconds": pl.Float64,
        "peak_memory_bytes": pl.Int64,
        "device": pl.String,
        "threads": pl.Int64,
        "cached": pl.Boolean,
        "artifact": pl.String,
        "label_fraction": pl.Float64,
        "label_draw": pl.Int64,
        "split": pl.Int64,
    },
    "predictions": {
        "key": pl.String,
        "patient": pl.String,
        "scan": pl.String,
        "measure": pl.String,
        "target": pl.Float64,
        "prediction": pl.Float64,
        "fallback": pl.Float64,
    },
    "scores": {
        "key": pl.String,
        "patient": pl.String,
        "scan": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
    },
    "curves": {"key": pl.String, "step": pl.Int64, "name": pl.String, "value": pl.Float64},
    "selections": {
        "task": pl.String,
        "protocol": pl.String,
        "strategy": pl.String,
        "draw": pl.Int64,
        "validation_score": pl.Float64,
        "mean_rank": pl.Float64,
        "hyperparameters": pl.String,
        "reason": pl.String,
        "label_fraction": pl.Float64,
        "label_draw": pl.Int64,
        "split": pl.Int64,
        "boundary": pl.List(pl.String),
    },
    "search": {
        "task": pl.String,
        "strategy": pl.String,
        "protocols": pl.List(pl.String),
        "label_fraction": pl.Float64,
        "label_draw": pl.Int64,
        "split": pl.Int64,
        "weights": pl.String,
        "method": pl.String,
        "budget_draws": pl.Int64,
        "budget_seconds": pl.Float64,
        "draws": pl.Int64,
        "done": pl.Int64,
        "failed": pl.Int64,
        "pruned": pl.Int64,
        "blocked": pl.Int64,
        "seconds": pl.Float64,
        "full_trials": pl.Float64,
        "boundary": pl.List(pl.String),
    },
}

#: Columns that runs without label subsets, repeated splits or fallbacks, or of earlier versions, may lack:
#: all null then.
OPTIONAL_COLUMNS = ("label_fraction", "label_draw", "split", "fallback", "boundary")

#: Without these a run has no results to show; the others exist only where something wrote to them.
REQUIRED_TABLES = ("trials",)


@dataclass(frozen=True)
class Run:
    """A run folder in memory; fields as `docs/records.md` names them.

    Parameters
    ----------
    folder
        Where it was read from.
    meta
        `run.json`.
    layouts
        Task to its table layouts.
    trials, predictions, scores, curves, selections, search
        The tables; empty with the documented columns where a run wrote none.
    elsewhere
        Key of a trial to its folder, where that is not in this run's: of runs that were joined.
    """

    folder: Path
    meta: Mapping[str, Any]
    layouts: Mapping[str, list[dict[str, Any]]]
    trials: pl.DataFrame
    predictions: pl.DataFrame
    scores: pl.DataFrame
    curves: pl.DataFrame
    selections: pl.DataFrame
    search: pl.DataFrame
    elsewhere: Mapping[str, Path] = field(default_factory=dict)

    def trial_folder(self, key: str) -> Path:
        """Where a trial left its exhibits."""
        return self.elsewhere.get(key, self.folder / "trials" / key)

    @property
    def simulated(self) -> bool:
        """Whether the cohort is simulated; everything shown from it has to say so."""
        return bool(self.meta["cohort"]["simulated"])

    @property
    def arms(self) -> dict[str, Mapping[str, Any]]:
        """Arms by name, in declared order."""
        return {arm["name"]: arm for arm in self.meta["arms"]}

    @property
    def main_arms(self) -> dict[str, Mapping[str, Any]]:
        """Arms that compete: neither ablations nor controls, which have sections of their own."""
        return {
            name: arm for name, arm in self.arms.items() if not arm.get("ablation") and not arm.get("control")
        }

    @property
    def tasks(self) -> dict[str, Mapping[str, Any]]:
        """Tasks by name, in declared order."""
        return {task["name"]: task for task in self.meta["tasks"]}


def read_run(folder: Path) -> Run:
    """Read a run folder, without what was measured afterwards (`reports.measured`).

    Raises
    ------
    RecordsError
        If it is no run folder, of an unknown schema, or a record lacks a documented field.
    """
    if not (folder / "run.json").is_file():
        raise RecordsError(f"{folder} holds no run.json", mend="give the folder of a run")
    meta = read_json(folder / "run.json")
    if not isinstance(meta, dict) or meta.get("schema") != SCHEMA:
        found = meta.get("schema") if isinstance(meta, dict) else type(meta).__name__
        raise RecordsError(
            f"run.json has schema {found!r}, this version reads {SCHEMA}",
            mend="make the report with the version that made the run",
        )
    missing = [name for name in RUN_FIELDS if name not in meta]
    if missing:
        raise RecordsError(f"run.json lacks {', '.join(missing)}", mend="run the suite again to complete it")
    if not isinstance(meta["cohort"].get("simulated"), bool):
        raise RecordsError(
            "run.json: cohort.simulated is neither true nor false",
            mend="say whether the data are simulated; results are never shown without knowing it",
        )
    layouts = read_json(folder / "layouts.json")
    tables: dict[str, Any] = {
        name: read_table(folder / "results" / f"{name}.parquet", name) for name in TABLES
    }
    return Run(folder, meta, layouts, **tables)


def read_json(path: Path) -> Any:
    """Read a JSON file; a missing or broken one is an error that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordsError(f"{path} is missing", mend="run the suite again to complete it") from None
    except (ValueError, OSError) as error:
        raise RecordsError(
            f"{path} cannot be read: {error}", mend="restore it or run the suite again"
        ) from error


def read_table(path: Path, name: str) -> pl.DataFrame:
    """Read a file that holds the table `name` with the documented columns and types."""
    schema = TABLES[name]
    if not path.is_file():
        if name in REQUIRED_TABLES:
            raise RecordsError(f"{path} is missing", mend="run the suite again to complete it")
        return pl.DataFrame(schema=schema)
    try:
        table = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RecordsError(
            f"{path} cannot be read: {error}", mend="restore it or run the suite again"
        ) from error
    absent = [column for column in OPTIONAL_COLUMNS if column in schema and column not in table.columns]
    table = table.with_columns(pl.lit(None).alias(column) for column in absent)
    missing = [column for column in schema if column not in table.columns]
    if missing:
        raise RecordsError(f"{path} lacks the columns {', '.join(missing)}", mend="see docs/records.md")
    try:
        return table.select(pl.col(column).cast(kind) for column, kind in schema.items())
    except pl.exceptions.PolarsError as error:
        raise RecordsError(
            f"{path} has a column of the wrong type: {error}", mend="see docs/records.md"
        ) from error
