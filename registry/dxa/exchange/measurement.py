"""What other software measured in a run's scans, as a record that the run's report reads.

``RUN/measured/<export>/<software>.parquet`` holds rows as ``predictions.parquet`` does, under names of
their own (``measured.<software>.total_fat_kg``), and in its metadata the tables that show them: those of the
task, in the same rows and statistics. One file, replaced whole, so that an import can be repeated.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from registry.contracts import DataError, InputError
from registry.dxa.bodycomp.external import software_name
from registry.dxa.bodycomp.plausibility import check_plausible
from registry.dxa.bodycomp.worksheet import read_measures
from registry.dxa.cohort.manifest import write_atomically
from registry.dxa.exchange.key import KEY_FILE, Entry, Export, exports_of, folder_of, read_key
from registry.dxa.exchange.layouts import Counts, measured_layouts
from registry.dxa.tasks.composition import CLOSURE, MEASURES, TRUE, closure_kg

if TYPE_CHECKING:
    import polars

Matrix = npt.NDArray[np.float64]

SCHEMA = 1
METADATA = "measurement"


@dataclass(frozen=True)
class Imported:
    """What an import wrote, whether an earlier one of the same name stood there, and what looks odd."""

    counts: Counts
    path: Path
    replaced: bool
    remarks: tuple[str, ...]


def import_run(run: Path, results: Path, *, software: str, name: str | None = None) -> Imported:
    """Un-blind a worksheet that came back, and record it for the run's report.

    Parameters
    ----------
    run
        Whose scans were exported.
    results
        The worksheet, filled in; checked as by ``external.read_results``.
    software
        What measured; stands in the titles of the tables.
    name
        Of the export; not needed where the run has one.

    Raises
    ------
    InputError
        If the run has no such export, the worksheet is not as it has to be, fewer than two real scans were
        measured, or another software's results have the file's name.
    DataError
        If a record of the run is missing or damaged.
    """
    software = software_name(software)
    slug = re.sub(r"[^a-z0-9]+", "-", software.lower()).strip("-")
    if not slug:
        raise InputError(f"software cannot be called {software!r}", mend="give a name with letters or digits")
    folder = _folder(run, name)
    export, entries = read_key(folder)
    values = read_measures(results, [entry.blinded_id for entry in entries], key=folder / KEY_FILE)
    counts = _count(entries, values)
    if counts.real - counts.real_not_measured < 2:
        raise InputError(
            f"{results}: {counts.real - counts.real_not_measured} of {counts.real} real scans were measured",
            mend="nothing can be compared with fewer than two of them; have them measured",
        )
    true = [number for number, entry in enumerate(entries) if entry.role != "generated"]
    remarks = check_plausible(results, [entries[number].blinded_id for number in true], values[true])
    path = folder / f"{slug}.parquet"
    replaced = _replaces(path, software)
    prefix = f"measured.{slug if folder.name == export.task else f'{folder.name}.{slug}'}."
    described = {
        "schema": SCHEMA,
        "task": export.task,
        "software": software,
        "export": folder.name,
        "exported": export.exported,
        "imported": datetime.now(UTC).isoformat(timespec="seconds"),
        "results_sha256": hashlib.sha256(results.read_bytes()).hexdigest(),
        "simulated": export.simulated,
        "counts": vars(counts),
        "layouts": measured_layouts(run, export.task, prefix, software, counts),
    }
    frame = _frame(_rows(export, entries, values, _known_truth(run, export)), prefix)
    buffer = io.BytesIO()
    frame.write_parquet(buffer, metadata={METADATA: json.dumps(described, sort_keys=True)})
    write_atomically(path, buffer.getvalue())
    return Imported(counts, path, replaced, tuple(remarks))


def _folder(run: Path, name: str | None) -> Path:
    known = exports_of(run)
    if name is None and len(known) == 1:
        return folder_of(run, known[0])
    if not known:
        raise InputError(
            f"no scans of {run} were exported",
            mend="export them first: harness bodycomp export FOLDER --run RUN --task TASK",
        )
    if name not in known:
        raise InputError(
            f"{run} has several exports" if name is None else f"{run} has no export {name!r}",
            mend=f"give --name, one of {', '.join(known)}",
        )
    return folder_of(run, name)


def _count(entries: Sequence[Entry], values: Matrix) -> Counts:
    found: dict[str, int] = {}
    missing = np.isnan(values).all(axis=1)
    for role in ("real", "generated", "training"):
        own = np.array([entry.role == role for entry in entries])
        found |= {role: int(own.sum()), f"{role}_not_measured": int((own & missing).sum())}
    return Counts(**found)


def _replaces(path: Path, software: str) -> bool:
    import polars as pl  # noqa: PLC0415 - seconds, and only where a run is read

    if not path.exists():
        return False
    try:
        other = json.loads(pl.read_parquet_metadata(path)[METADATA])["software"]
    except (OSError, ValueError, KeyError, pl.exceptions.PolarsError):
        return True  # a damaged one is of no use to anybody
    if other != software:
        raise InputError(
            f"{path} holds the results of {other!r}",
            mend="give --software a name that differs in letters or digits",
        )
    return True


def _rows(
    export: Export, entries: Sequence[Entry], values: Matrix, truth: Mapping[tuple[str, str], float]
) -> Iterator[dict[str, Any]]:
    """Rows of every generated scan: against the real one as measured, and against what the cohort knows."""
    table = np.column_stack([values, closure_kg(values)])
    by_role: dict[str, list[tuple[Entry, dict[str, float]]]] = {"real": [], "generated": [], "training": []}
    for entry, row in zip(entries, table, strict=True):
        by_role[entry.role].append((entry, dict(zip((*MEASURES, CLOSURE), row.tolist(), strict=True))))
    target_of = {entry.scan: measured for entry, measured in by_role["real"]}
    training = [measured for _, measured in by_role["training"]]
    means = {name: _mean([one[name] for one in training]) for name in (*MEASURES, CLOSURE)}
    for entry, measured in by_role["generated"]:
        place = {"key": entry.trial, "patient": entry.patient, "scan": entry.scan}
        for name, value in measured.items():
            prediction = value if np.isfinite(value) else None
            target = target_of[entry.scan][name]
            if np.isfinite(target):
                yield {**place, "measure": name, "target": target, "prediction": prediction,
                       "fallback": means[name]}  # fmt: skip
            if (entry.scan, name) in truth:
                yield {**place, "measure": TRUE + name, "target": truth[entry.scan, name],
                       "prediction": prediction, "fallback": export.training_truth.get(name)}  # fmt: skip


def _mean(values: Sequence[float]) -> float | None:
    """Of those that are known."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else None


def _frame(rows: Iterator[dict[str, Any]], prefix: str) -> polars.DataFrame:
    import polars as pl  # noqa: PLC0415

    schema = {
        **dict.fromkeys(("key", "patient", "scan", "measure"), pl.String),
        **dict.fromkeys(("target", "prediction", "fallback"), pl.Float64),
    }
    frame = pl.DataFrame(list(rows), schema=schema)
    return frame.with_columns(measure=prefix + pl.col("measure"))


def _known_truth(run: Path, export: Export) -> dict[tuple[str, str], float]:
    """(scan, measure) to what the cohort knows of its subjects, from what the run recorded."""
    import polars as pl  # noqa: PLC0415

    path = run / "results" / "predictions.parquet"
    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} cannot be read ({error})", mend="finish the run") from error
    found = (
        table.filter(
            pl.col("key").is_in(list(export.trials)),
            pl.col("measure").is_in([TRUE + name for name in MEASURES]),
        )
        .select("scan", "measure", "target")
        .unique()
    )
    return {(scan, measure.removeprefix(TRUE)): target for scan, measure, target in found.iter_rows()}
