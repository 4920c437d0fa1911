"""What one split of a packed cohort holds: scans, subjects and surfaces, checked one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars

from registry.contracts import DataError
from registry.dxa.cohort.contents import BODY_LENGTH_CM
from registry.dxa.cohort.defects import Findings
from registry.dxa.cohort.layout import AGES_YEARS
from registry.dxa.cohort.manifest import SplitRecord
from registry.dxa.cohort.measures import MEASURES
from registry.dxa.cohort.store import FACES, SCANS, SUBJECTS, VERTICES, Split, split_faces
from registry.dxa.imaging.channels import BIT_DEPTH, CHANNELS, MAXIMUM_CODE

_BLOCK = 64
_SOURCE = "correct the table of the scans, and make or import the cohort again"
_Opened = TypeVar("_Opened")


@dataclass
class Known:
    """What was seen so far, and where defects are noted.

    Parameters
    ----------
    findings
        Takes the defects.
    again
        What mends a damaged file.
    scan_ids, patients, contents
        Where each was seen first: split and row.
    columns
        Measures of each split of the paired part.
    surfaces
        Vertices of the first surface, and its split.
    triangles
        Those that came with the first surfaces, and their split.
    """

    findings: Findings
    again: str
    scan_ids: dict[str, tuple[str, int]] = field(default_factory=dict)
    patients: dict[str, tuple[str, int]] = field(default_factory=dict)
    contents: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)
    surfaces: tuple[int, str] | None = None
    triangles: tuple[np.ndarray, str] | None = None

    def note(
        self,
        file: str,
        problem: str,
        *,
        row: int | None = None,
        column: str = "",
        value: object = "",
        mend: str = "",
    ) -> None:
        """Note a defect; making the cohort again mends it unless something else is said."""
        self.findings.add(file, problem, mend or self.again, row=row, column=column, value=value)

    def check_columns(self) -> None:
        """Note measures that some splits of the paired part have and others lack."""
        everywhere = {name for names in self.columns.values() for name in names}
        for split, names in self.columns.items():
            for name in sorted(everywhere - set(names)):
                self.note(
                    f"{split}/{SUBJECTS}", "is missing, other splits have it", column=name, mend=_SOURCE
                )


def check_split(split: Split, record: SplitRecord | None, known: Known) -> None:
    """Read everything in a split and note every defect.

    Parameters
    ----------
    split
        Its files need not exist.
    record
        What the manifest says of it; files it lists are known to be missing where they are.
    known
        What was seen in other splits.
    """
    place = f"{split.part}/{split.split}"
    scans = _open(lambda: split.scans, split.folder / SCANS, place, record, known)
    subjects = _open(lambda: split.subjects, split.folder / SUBJECTS, place, record, known)
    if scans is not None:
        _check_scans(scans, place, known)
    if subjects is not None:
        _check_subjects(subjects, split.part, place, known)
    expected = record.scans if record else None if subjects is None else subjects.height
    for file, count, what in (
        (SCANS, None if scans is None else len(scans), "scans"),
        (SUBJECTS, None if subjects is None else subjects.height, "rows"),
    ):
        if count is not None and expected is not None and count != expected:
            known.note(f"{place}/{file}", f"has {count} {what}, not {expected}")
    if record is not None and subjects is not None and subjects["patient"].n_unique() != record.patients:
        people = subjects["patient"].n_unique()
        known.note(f"{place}/{SUBJECTS}", f"has {people} patients, not {record.patients}", column="patient")
    if (split.folder / VERTICES).exists():
        _check_surfaces(split, place, expected, record, known)


def _open(
    read: Callable[[], _Opened], path: Path, place: str, record: SplitRecord | None, known: Known
) -> _Opened | None:
    """What a file holds, or None and a defect; a file that the manifest lists is known to be missing."""
    name = f"{place}/{path.name}"
    if not path.exists():
        if record is None:
            known.note(name, "is missing")
        return None
    try:
        return read()
    except DataError as error:
        known.note(name, error.message.removeprefix(str(path)).strip())
        return None


def _check_scans(scans: np.ndarray, place: str, known: Known) -> None:
    """Values beyond 14 bits, empty scans, and scans that are there twice."""
    name = f"{place}/{SCANS}"
    for start in range(0, len(scans), _BLOCK):
        block = np.asarray(scans[start : start + _BLOCK])
        values = block.reshape(len(block), -1)
        most, least = values.max(axis=1), values.min(axis=1)
        for offset in np.flatnonzero(most > MAXIMUM_CODE).tolist():
            channel = int(values[offset].argmax()) % len(CHANNELS)
            beyond = int(np.count_nonzero(block[offset] > MAXIMUM_CODE))
            known.note(
                name,
                f"exceeds {MAXIMUM_CODE} ({BIT_DEPTH} bits), the largest of {beyond} such values",
                row=start + offset + 1,
                column=CHANNELS[channel],
                value=int(most[offset]),
            )
        for offset, scan in enumerate(block):
            row = start + offset + 1
            if least[offset] == most[offset]:
                known.note(
                    name, "is in every pixel and channel", row=row, value=int(least[offset]),
                    mend="leave the empty scan out, and make or import the cohort again",
                )  # fmt: skip
                continue
            first = known.contents.setdefault(hashlib.sha256(scan.tobytes()).digest(), (place, row))
            if first != (place, row):
                known.note(name, f"holds the same values as {_where(first)}", row=row, mend=_SOURCE)


def _check_subjects(subjects: polars.DataFrame, part: str, place: str, known: Known) -> None:
    """Ids, patients, ages, sexes and measures of every row."""
    name = f"{place}/{SUBJECTS}"
    measures = [column for column in MEASURES if column in subjects.columns]
    if part == "paired":
        known.columns[place] = measures
    for row, record in enumerate(subjects.iter_rows(named=True), 1):
        _check_keys(record, name, place, row, known)
        sex, age = record.get("sex"), record.get("age_years")
        if sex is not None and sex not in {"female", "male"}:
            known.note(name, "is neither female nor male", row=row, column="sex", value=sex, mend=_SOURCE)
        if age is not None and not (_is_number(age) and AGES_YEARS[0] <= age <= AGES_YEARS[1]):
            limits = f"lies outside {AGES_YEARS[0]:g} to {AGES_YEARS[1]:g}"
            known.note(name, limits, row=row, column="age_years", value=age, mend=_SOURCE)
        for column in measures:
            value = record[column]
            # Scans for pretraining need no measures.
            if (value is not None or part == "paired") and not _is_number(value):
                shown = "null" if value is None else value
                known.note(
                    name, "is missing or not finite", row=row, column=column, value=shown, mend=_SOURCE
                )


def _check_keys(record: dict[str, Any], name: str, place: str, row: int, known: Known) -> None:
    for column, seen in (("scan_id", known.scan_ids), ("patient", known.patients)):
        key = record[column]
        if key is None or not str(key).strip():
            known.note(name, "is empty", row=row, column=column, value=key, mend=_SOURCE)
            continue
        first = seen.setdefault(str(key), (place, row))
        if column == "scan_id" and first != (place, row):
            known.note(name, f"is also {_where(first)}", row=row, column=column, value=key, mend=_SOURCE)
        if column == "patient" and first[0] != place:
            other, here = first[0].split("/")[0], place.split("/", maxsplit=1)[0]
            what = "two splits" if other == here else "both cohorts"
            known.note(
                name, f"is in {what}: {_where(first)} and {place}", row=row, column=column, value=key,
                mend="keep all scans of a patient in one split, of one part",
            )  # fmt: skip


def _check_surfaces(
    split: Split, place: str, expected: int | None, record: SplitRecord | None, known: Known
) -> None:
    """Number, coordinates and lengths of surfaces, and triangles that name vertices which are there."""
    name = f"{place}/{VERTICES}"
    vertices = _open(lambda: split.vertices, split.folder / VERTICES, place, record, known)
    if vertices is None:
        return
    if expected is not None and len(vertices) != expected:
        known.note(name, f"has {len(vertices)} surfaces, not {expected}")
    known.surfaces = known.surfaces or (vertices.shape[1], place)
    if vertices.shape[1] != known.surfaces[0]:
        count, first = known.surfaces
        known.note(name, f"has surfaces of {vertices.shape[1]} vertices, those of {first} have {count}")
    for row, surface in enumerate(vertices, 1):
        if not np.isfinite(surface).all():
            bad = int(np.count_nonzero(~np.isfinite(surface).all(axis=1)))
            known.note(name, f"has {bad} vertices that are not finite", row=row)
            continue
        length = float(np.ptp(surface[:, 2])) if len(surface) else 0.0
        if not BODY_LENGTH_CM[0] <= length <= BODY_LENGTH_CM[1]:
            known.note(name, "cm along z cannot be a body's length", row=row, value=f"{length:.1f}")
    if not (split.folder / FACES).exists():  # the body model's
        return
    faces = _open(lambda: split_faces(split), split.folder / FACES, place, record, known)
    if faces is None:
        return
    if not len(faces) or faces.min() < 0 or faces.max() >= vertices.shape[1]:
        known.note(f"{place}/{FACES}", f"does not fit surfaces of {vertices.shape[1]} vertices")
    known.triangles = known.triangles or (faces, place)
    if not np.array_equal(faces, known.triangles[0]):
        known.note(f"{place}/{FACES}", f"holds other triangles than {known.triangles[1]}")


def _where(place: tuple[str, int]) -> str:
    return f"{place[0]} (row {place[1]})"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))
