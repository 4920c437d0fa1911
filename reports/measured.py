"""What other software measured in the scans of a finished run: more tables of its tasks.

A measurement is one file, `measured/<export>/<software>.parquet`: rows as in `predictions.parquet`, and in
the file's metadata, under `measurement`, JSON that names task and software and holds the tables. Its rows
have names of their own, so that nothing that the run recorded changes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from reports.errors import RecordsError
from reports.frame import Run, read_table

SCHEMA = 1
METADATA = "measurement"
_MEND = "import what came back once more, or delete the file"


@dataclass(frozen=True)
class Measurement:
    """One software's measurement of one export.

    Parameters
    ----------
    task
        Whose scans they are.
    software
        What measured them, as it was called at the import.
    layouts
        Tables that show its rows, as in `layouts.json`.
    predictions
        Its rows.
    """

    task: str
    software: str
    layouts: list[dict[str, Any]]
    predictions: pl.DataFrame


def with_measurements(run: Run) -> Run:
    """The run with the rows and tables of everything that was measured in its scans.

    Raises
    ------
    RecordsError
        If a measurement cannot be read, is of trials that this run does not have, or repeats the name of a
        table or row.
    """
    layouts = {task: list(found) for task, found in run.layouts.items()}
    frames = [run.predictions]
    for path in sorted(run.folder.glob("measured/*/*.parquet")):
        found = read_measurement(path)
        _check(path, found, run, layouts)
        layouts[found.task] += found.layouts
        frames.append(found.predictions)
    return replace(run, layouts=layouts, predictions=pl.concat(frames))


def read_measurement(path: Path) -> Measurement:
    """Read one file.

    Raises
    ------
    RecordsError
        If it is damaged, or of another schema.
    """
    try:
        described = json.loads(pl.read_parquet_metadata(path)[METADATA])
        if described["schema"] != SCHEMA:
            raise ValueError(f"schema {described['schema']!r} is not {SCHEMA}")
        task, software, layouts = (described[name] for name in ("task", "software", "layouts"))
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise RecordsError(f"{path} cannot be read: {error!r}", mend=_MEND) from error
    return Measurement(task, software, layouts, read_table(path, "predictions"))


def _check(path: Path, found: Measurement, run: Run, layouts: dict[str, list[dict[str, Any]]]) -> None:
    if found.task not in layouts:
        raise RecordsError(f"{path} is of task {found.task!r}, which this run does not have", mend=_MEND)
    own = set(run.trials.filter(pl.col("task") == found.task)["key"])
    if strangers := sorted(set(found.predictions["key"]) - own):
        raise RecordsError(
            f"{path} is of trial {strangers[0][:12]}, which is none of this run's for {found.task!r}",
            mend="export this run's scans, have them measured, and import what comes back",
        )
    known = layouts[found.task]
    for kind, names, new in (
        ("table", {one["key"] for one in known}, {one["key"] for one in found.layouts}),
        (
            "row",
            {row["key"] for one in known for row in one["rows"]},
            {row["key"] for one in found.layouts for row in one["rows"]},
        ),
    ):
        if both := sorted(names & new):
            raise RecordsError(f"{path} has the {kind} {both[0]!r}, which is there already", mend=_MEND)
