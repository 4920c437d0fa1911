"""A packed cohort read whole: every defect of its files, of what they hold, and where they disagree.

``verify`` stops a run at a cohort with any defect; ``harness data validate`` lists them all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from registry.contracts import DataError, InputError
from registry.dxa.cohort.contents import Progress
from registry.dxa.cohort.defects import Findings
from registry.dxa.cohort.manifest import MANIFEST_NAME, FileRecord, Manifest, file_record, read_manifest
from registry.dxa.cohort.packed_split import Known, check_split
from registry.dxa.cohort.specification import PARTS, SPLITS
from registry.dxa.cohort.store import CALIBRATION, FACES, SCANS, SUBJECTS, VERTICES, Split
from registry.dxa.imaging.geometry import GRID, Grid

REQUIRED_FILES = (SCANS, SUBJECTS)
READ_FILES = (*REQUIRED_FILES, VERTICES, FACES)
#: What mends damage, by kind of cohort.
AGAIN = {
    "simulated": "delete the folder and make the cohort again",
    "imported": "delete the folder and import the scans again",
    "": "delete the folder and make or import the cohort again",
}


def verify(folder: Path, *, parts: Iterable[str] | None = None) -> Manifest:
    """Read everything and refuse a cohort with a defect.

    Parameters
    ----------
    folder
        The cohort.
    parts
        Parts whose files are read; all unless given. Leaks are looked for in the patients of these parts.

    Raises
    ------
    DataError
        Naming the first defect, and how many more :func:`inspect_cohort` finds.
    """
    findings = Findings()
    manifest = inspect_cohort(folder, findings, parts=parts)
    if findings.defects or manifest is None:
        first, *others = findings.defects
        more = f" ({len(others)} more: `harness data validate {folder}` lists them)" if others else ""
        raise DataError(f"{folder}/{first.statement}{more}", mend=first.mend)
    return manifest


def inspect_cohort(
    folder: Path,
    findings: Findings,
    *,
    parts: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> Manifest | None:
    """Read everything in a packed cohort and note every defect.

    Parameters
    ----------
    folder
        The cohort.
    findings
        Takes defects and remarks. A row is a scan's place in its split, counted from 1.
    parts
        Parts whose files are read; all unless given.
    progress
        Called with files read, files in all and what is going on.

    Returns
    -------
    Manifest or None
        None where it cannot be understood; the files are read all the same, without anything to compare.
    """
    manifest = _manifest(folder, findings)
    wanted = tuple(PARTS if parts is None else parts)
    places = [
        (part, split)
        for part in PARTS
        if part in wanted
        for split in SPLITS
        if (manifest is not None and part in manifest.parts) or (folder / part / split).is_dir()
    ]
    if manifest is None and not places:
        return None
    known = Known(findings, AGAIN[manifest.kind if manifest else ""])
    if manifest is not None:
        _check_calibration(folder, manifest, known)
        _check_agreement(manifest, findings, known.again)
    for number, (part, split) in enumerate(places, 1):
        record = manifest.find(part, split) if manifest else None
        if manifest is not None and record is None:
            findings.add(MANIFEST_NAME, "has no such split", known.again, column=f"parts.{part}.{split}")
        if record is not None:
            _check_files(folder, part, split, record.files, known)
        grid = manifest.grid if manifest else _stored_grid(folder / part / split / SCANS)
        opened = Split(folder / part / split, part, split, manifest is None or manifest.simulated, grid)
        check_split(opened, record, known)
        if progress is not None:
            progress(number, len(places), "reading splits")
    known.check_columns()
    return manifest


def _stored_grid(path: Path) -> Grid:
    """Pixels as scans have them, where no manifest says what they should be."""
    try:
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
    except (OSError, ValueError, EOFError):  # which the check of the split will say
        return GRID
    return replace(GRID, rows=shape[1], columns=shape[2]) if len(shape) == 4 else GRID


def _manifest(folder: Path, findings: Findings) -> Manifest | None:
    try:
        return read_manifest(folder)
    except DataError as error:
        cause = error.__cause__
        if isinstance(cause, ValidationError):
            for problem in cause.errors():
                place = ".".join(map(str, problem["loc"]))
                value = "" if problem["type"] == "missing" else problem["input"]
                findings.add(MANIFEST_NAME, problem["msg"], error.mend, column=place, value=value)
        else:
            findings.add(MANIFEST_NAME, _without_path(error, folder / MANIFEST_NAME), error.mend)
        return None


def _check_agreement(manifest: Manifest, findings: Findings, again: str) -> None:
    """Whether the manifest agrees with itself."""

    def note(column: str, value: object, problem: str) -> None:
        findings.add(MANIFEST_NAME, problem, again, column=column, value=value)

    if not manifest.parts:
        note("parts", "", "names no part")
    if manifest.kind == "imported":
        declared = manifest.origin.declaration.get("simulated") if manifest.origin else None
        if manifest.origin is None:
            note("origin", "", "is missing: it says what was declared about the scanner")
        elif declared is not manifest.simulated:
            note("simulated", manifest.simulated, f"the declaration says {declared}")
        return
    if not manifest.simulated:
        note("simulated", manifest.simulated, "a cohort of kind 'simulated' is simulated")
    specification = manifest.specification
    if specification is None:
        note("specification", "", "is missing: it says what was simulated")
        return
    for part in PARTS:
        if part not in manifest.parts:
            note("parts", "", f"lacks part '{part}' of the specification")
            continue
        for split, count in specification.part(part).counts().items():
            record = manifest.find(part, split)
            if record is not None and record.scans != count:
                note(f"parts.{part}.{split}.scans", record.scans, f"the specification asks for {count}")
    if specification.fingerprint() != manifest.fingerprint:
        findings.remarks.append(
            "the fingerprint is not that of this version's generator: another version made the cohort"
        )


def _check_files(folder: Path, part: str, split: str, records: dict[str, FileRecord], known: Known) -> None:
    """Compare the files of a split with the manifest's list of them."""
    place = f"{part}/{split}"
    for name, expected in records.items():
        path = folder / name
        if path.parent != folder / part / split:
            known.note(name, f"is listed as a file of {place}")
        elif not path.resolve().is_relative_to(folder.resolve()):
            known.note(name, "leads out of the cohort's folder")
        else:
            _check_file(name, path, expected, known)
    for file in READ_FILES:
        name = f"{place}/{file}"
        if file in REQUIRED_FILES and name not in records:
            known.note(MANIFEST_NAME, f"does not list {name}", column=f"parts.{part}.{split}.files")
        elif name not in records and (folder / name).exists():
            known.note(name, "is not in the manifest")


def _check_file(name: str, path: Path, expected: FileRecord, known: Known) -> None:
    try:
        size = path.stat().st_size
        if size != expected.bytes:
            known.note(name, f"is truncated or altered: {size} bytes, not {expected.bytes}")
        elif file_record(path).sha256 != expected.sha256:
            known.note(name, "is corrupt: its SHA-256 is not the manifest's")
    except FileNotFoundError:
        known.note(name, "is missing")
    except OSError as error:
        known.note(name, f"cannot be read ({error})")


def _check_calibration(folder: Path, manifest: Manifest, known: Known) -> None:
    path = folder / CALIBRATION
    mend = "attach it again with `harness data calibrate`"
    if path.exists() != (manifest.calibration is not None):
        known.note(CALIBRATION, "the folder and the manifest do not agree on a calibration", mend=mend)
        return
    if manifest.calibration is None:
        return
    from registry.dxa.bodycomp.calibration import read_calibration  # noqa: PLC0415 - for those that have one

    _check_file(CALIBRATION, path, manifest.calibration, known)
    try:
        read_calibration(path)
    except InputError as error:
        known.note(CALIBRATION, _without_path(error, path), mend=error.mend)


def _without_path(error: InputError, path: Path) -> str:
    return error.message.removeprefix("calibration ").removeprefix(str(path)).lstrip(": ")
