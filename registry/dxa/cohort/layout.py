"""The layout of real data: a table of scans beside their files, read whole with every defect in one pass."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars

from registry.dxa.cohort.contents import PLAUSIBLE, Note, Progress, Row, check_files
from registry.dxa.cohort.declaration import Declaration, read_declaration
from registry.dxa.cohort.defects import Findings
from registry.dxa.cohort.measures import MEASURES
from registry.dxa.cohort.specification import PARTS, SPLITS

TABLES = ("manifest.csv", "manifest.parquet")
# The original project lists the scans of each split in a file of its own, under a column ``paths``.
SPLIT_TABLES = {"train.csv": "train", "val.csv": "validation", "test.csv": "test"}
REQUIRED = ("scan_id", "patient", "age_years", "sex", "path")
OPTIONAL = ("part", "split", "visit", "mesh", "stature_cm", "mass_kg")
SPLIT_NAMES = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
SEXES = {"female": "female", "f": "female", "male": "male", "m": "male"}
AGES_YEARS = (0.0, 120.0)


@dataclass(frozen=True)
class Layout:
    """A folder that was read.

    Parameters
    ----------
    folder
        Where it is.
    declaration
        ``cohort.toml``; None if it is defective.
    rows
        Every row that could be understood.
    assumptions
        What was assumed where nothing was given.
    findings
        Defects and remarks.
    """

    folder: Path
    declaration: Declaration | None
    rows: tuple[Row, ...]
    assumptions: tuple[str, ...]
    findings: Findings


def read_layout(folder: Path, *, part: str | None = None, progress: Progress | None = None) -> Layout:
    """Read a folder and everything in it that its table names.

    Parameters
    ----------
    folder
        Holds ``cohort.toml`` and ``manifest.csv``, ``manifest.parquet`` or ``train.csv``, ``val.csv`` and
        ``test.csv``.
    part
        Part of all scans, where the table does not say.
    progress
        Called with files read, files in all and what is going on.

    Returns
    -------
    Layout
        With every defect; nothing is raised for one.
    """
    findings = Findings()
    declaration = read_declaration(folder, findings)
    reader = _Reader(folder.resolve(), part, findings)
    rows = reader.rows()
    _check_people(rows, findings)
    check_files(rows, declaration, findings, progress or _silent)
    return Layout(folder, declaration, tuple(rows), tuple(reader.assumptions), findings)


class _Reader:
    """Turns the table, or the tables, of a folder into rows."""

    def __init__(self, folder: Path, part: str | None, findings: Findings) -> None:
        self.folder, self.part, self.findings = folder, part, findings
        self.assumptions: list[str] = []

    def rows(self) -> list[Row]:
        whole = [name for name in TABLES if (self.folder / name).exists()]
        parts = [name for name in SPLIT_TABLES if (self.folder / name).exists()]
        if len(whole) > 1 or (whole and parts):
            self.findings.add(
                whole[0], f"stands beside {', '.join([*whole[1:], *parts])}", "keep one table of scans"
            )
        if whole:
            return self._table(whole[0], "")
        if not parts:
            self.findings.add(
                TABLES[0],
                "is missing",
                "write a table of scans (docs/data.md), or train.csv, val.csv and test.csv",
            )
        found = [row for name in parts for row in self._table(name, SPLIT_TABLES[name])]
        for name in SPLIT_TABLES:
            if parts and name not in parts:
                self.findings.add(name, "is missing", "give all three of train.csv, val.csv and test.csv")
        return found

    def _table(self, name: str, split: str) -> list[Row]:
        frame = self._frame(name)
        if frame is None:
            return []
        if split and "paths" in frame.columns and "path" not in frame.columns:
            frame = self._completed(frame.rename({"paths": "path"}), name)
        targets = self._check_columns(frame, name, split)
        frame = frame.fill_null("")
        return [
            row
            for line, record in enumerate(frame.iter_rows(named=True), start=2)
            if (row := self._row(name, line, record, split, targets)) is not None
        ]

    def _frame(self, name: str) -> polars.DataFrame | None:
        path = self.folder / name
        try:
            if path.suffix == ".parquet":
                frame = polars.read_parquet(path).cast(polars.String)
            else:
                frame = polars.read_csv(path, infer_schema=False)
            frame = frame.rename({column: column.strip() for column in frame.columns})
        except (OSError, polars.exceptions.PolarsError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self.findings.add(name, f"cannot be read ({reason})", "write it again as a table with a header")
            return None
        if frame.is_empty():
            self.findings.add(name, "has no rows", "list the scans")
            return None
        return frame

    def _completed(self, frame: polars.DataFrame, name: str) -> polars.DataFrame:
        """A split's list of the original project: what it does not say is assumed, and kept as such."""
        stems = frame["path"].map_elements(lambda path: Path(path).stem, return_dtype=polars.String)
        if "scan_id" not in frame.columns:
            frame = frame.with_columns(stems.alias("scan_id"))
            self._assume("scan ids are the names of the files")
        if "patient" not in frame.columns:
            frame = frame.with_columns(frame["scan_id"].alias("patient"))
            self._assume("every scan is of another patient: leaks between splits cannot be found")
        for column in ("age_years", "sex"):
            if column not in frame.columns:
                frame = frame.with_columns(polars.lit("unknown").alias(column))
                self._assume(f"{column} is unknown")
        return frame

    def _assume(self, what: str) -> None:
        if what not in self.assumptions:
            self.assumptions.append(what)
            self.findings.remarks.append(f"assumed: {what}")

    def _check_columns(self, frame: polars.DataFrame, name: str, split: str) -> list[str]:
        """Note columns that are missing or have no unit; return the targets."""
        for column in REQUIRED:
            if column not in frame.columns:
                self.findings.add(name, "column is missing", f"add a column '{column}'", column=column)
        ignored = []
        for column in frame.columns:
            if column in (*REQUIRED, *OPTIONAL, *MEASURES):
                continue
            unitless = [measure for measure in MEASURES if measure.startswith(f"{column}_")]
            similar = difflib.get_close_matches(column, [*MEASURES, *OPTIONAL, *REQUIRED], n=1, cutoff=0.85)
            if unitless:
                self.findings.add(
                    name,
                    "unit is missing",
                    f"convert the values and call the column '{unitless[0]}'",
                    column=column,
                )
            elif similar:
                self.findings.add(name, "unknown column", f"did you mean '{similar[0]}'?", column=column)
            else:
                ignored.append(column)
        if ignored:
            self.findings.remarks.append(f"{name}: columns that are not used: {', '.join(ignored)}")
        return [column for column in frame.columns if column in MEASURES]

    def _row(
        self, name: str, line: int, record: dict[str, str], split: str, targets: Sequence[str]
    ) -> Row | None:
        note = Note(self.findings, name, line)
        given = {column: str(value).strip() for column, value in record.items()}
        for column in ("scan_id", "patient"):
            if column in given and not given[column]:
                note(column, "", "is empty", "every scan needs one")
        filled = [column for column in targets if given[column]]
        part = self._part(given, bool(filled or given.get("mesh")), note)
        path = self._path(given, "path", note)
        mesh = self._path(given, "mesh", note) if given.get("mesh") else None
        sex = given.get("sex", "").lower()
        if "sex" in given and sex not in SEXES and sex != "unknown":
            note("sex", given.get("sex", ""), "is neither female nor male", "write female, male or unknown")
        age = None
        if given.get("age_years", "unknown").lower() != "unknown":
            age = _number(note, "age_years", given["age_years"], AGES_YEARS)
        if split == "":
            split = self._split(given, note)
        sizes = {}
        for column, unit in (("stature_cm", "cm"), ("mass_kg", "kg")):
            value = _number(note, column, given[column], PLAUSIBLE[unit]) if given.get(column) else None
            if value is not None:
                sizes[column] = value
        measures = {
            column: value
            for column in targets
            if (part == "paired" or given[column])
            and (value := _number(note, column, given[column], _plausible(column))) is not None
        }
        visit = _number(note, "visit", given.get("visit") or "1", (1.0, 1000.0))
        if path is None or not given.get("scan_id") or not given.get("patient"):
            return None
        return Row(
            name, line, given["scan_id"], given["patient"], SEXES.get(sex), age, int(visit or 1), path, mesh,
            part, split, sizes, measures,
        )  # fmt: skip

    def _part(self, given: dict[str, str], labelled: bool, note: Note) -> str:
        part = given.get("part") or self.part or ("paired" if labelled else "pretraining")
        if part not in PARTS:
            note("part", part, "is no part", f"write {' or '.join(PARTS)}")
            return PARTS[0]
        return part

    def _split(self, given: dict[str, str], note: Note) -> str:
        if "split" not in given:
            return ""
        split = SPLIT_NAMES.get(given["split"].lower())
        if split is None:
            note(
                "split", given["split"], "is no split", f"write {', '.join(SPLITS)}, or leave the column out"
            )
        return split or ""

    def _path(self, given: dict[str, str], column: str, note: Note) -> Path | None:
        if not given.get(column):
            if column in given:
                note(column, "", "is empty", "name the file, relative to the folder")
            return None
        path = self.folder / given[column]
        try:
            inside = path.resolve().is_relative_to(self.folder)
        except (OSError, ValueError):  # a loop of links, a name that no file can have
            inside = False
        if not inside:
            note(column, given[column], "path leaves the folder", "move the file into it")
            return None
        return path


def _number(note: Note, column: str, text: str, limits: tuple[float, float]) -> float | None:
    try:
        value = float(text) if text else float("nan")
    except ValueError:
        note(column, text, "is no number", "write a number with a decimal point")
        return None
    if not np.isfinite(value):
        note(column, text, "is missing or not finite", "fill it in, or leave the scan out")
        return None
    if not limits[0] <= value <= limits[1]:
        note(
            column, text, f"lies outside {limits[0]:g} to {limits[1]:g}",
            "check the unit that the column's name ends with",
        )  # fmt: skip
        return None
    return value


def _plausible(measure: str) -> tuple[float, float]:
    return next(limits for unit, limits in PLAUSIBLE.items() if measure.endswith(f"_{unit}"))


def _check_people(rows: Sequence[Row], findings: Findings) -> None:
    """Ids that are given twice, patients in two splits or parts, splits without scans."""
    first: dict[str, Row] = {}
    home: dict[str, Row] = {}
    for row in rows:
        note = Note(findings, row.file, row.line)
        earlier = first.setdefault(row.scan_id, row)
        if earlier is not row:
            note("scan_id", row.scan_id, f"is also in row {earlier.line}", "give every scan its own id")
        known = home.setdefault(row.patient, row)
        if known.part != row.part:
            problem = f"is in both cohorts: {known.part} (row {known.line}) and {row.part}"
            note("patient", row.patient, problem, "keep all scans of a patient in one part")
        elif known.split != row.split:
            place = f"row {known.line}" if known.file == row.file else f"{known.file}, row {known.line}"
            problem = f"is in two splits: {known.split} ({place}) and {row.split}"
            note("patient", row.patient, problem, "keep all scans of a patient in one split")
    for part in {row.part for row in rows}:
        splits = {row.split for row in rows if row.part == part}
        for split in SPLITS:
            if splits != {""} and split not in splits:
                findings.add(
                    rows[0].file, f"part '{part}' has no scan in split '{split}'",
                    "fill the split, or leave the column 'split' out", column="split",
                )  # fmt: skip


def _silent(done: int, total: int, activity: str) -> None:
    """Report nothing."""
