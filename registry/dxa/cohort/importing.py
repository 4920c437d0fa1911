"""Packing real data: a layout without defects becomes a cohort like any other."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars

from registry.contracts import DataError, InputError
from registry.dxa.cohort.contents import Progress, Row
from registry.dxa.cohort.declaration import Declaration
from registry.dxa.cohort.defects import overview
from registry.dxa.cohort.layout import Layout, read_layout
from registry.dxa.cohort.manifest import (
    ImportRecord,
    Manifest,
    SplitRecord,
    file_record,
    new_cohort_folder,
    read_manifest,
    write_atomically,
    write_manifest,
)
from registry.dxa.cohort.meshes import read_mesh
from registry.dxa.cohort.packing import write_npy
from registry.dxa.cohort.specification import PARTS, SPLITS, canonical_json
from registry.dxa.cohort.splits import stratified_split
from registry.dxa.cohort.store import CALIBRATION, FACES, SCANS, SUBJECT_COLUMNS, SUBJECTS, VERTICES


def import_cohort(
    folder: Path, target: Path, *, part: str | None = None, progress: Progress | None = None
) -> Manifest:
    """Read, check and pack a folder of real scans.

    Parameters
    ----------
    folder
        Layout as ``docs/data.md`` describes it.
    target
        Where the cohort goes; it must not exist.
    part
        Part of all scans, where the table does not say.
    progress
        Called with scans done, scans in all and what is going on.

    Raises
    ------
    InputError
        If the layout has a defect; the message says how many, ``harness data validate`` lists them.
    DataError
        If the cohort cannot be written.
    """
    layout = read_layout(folder, part=part, progress=progress)
    return pack_layout(layout, target, progress=progress)


def pack_layout(layout: Layout, target: Path, *, progress: Progress | None = None) -> Manifest:
    """Pack a layout that was read and found without defects; see :func:`import_cohort`."""
    if layout.findings.defects or layout.declaration is None or not layout.rows:
        raise InputError(
            f"{layout.folder} has {overview(layout.findings.defects)}",
            mend=f"`harness data validate {layout.folder}` lists them all",
        )
    if target.exists():
        raise InputError(f"{target} exists", mend="choose another folder or remove it")
    with new_cohort_folder(target, mend="free space or choose another folder") as partial:
        manifest = _pack(layout, layout.declaration, partial, progress)
        write_manifest(partial, manifest)
    return manifest


def attach_calibration(cohort: Path, calibration: Path) -> Manifest:
    """Let a packed cohort carry the body-composition calibration of its scanner.

    The cohort is another one from then on: what is computed on it changes, and with it the fingerprint.

    Parameters
    ----------
    cohort
        A packed, imported cohort.
    calibration
        Made by ``harness bodycomp calibrate`` from scans of known composition.

    Raises
    ------
    InputError
        If the cohort is simulated by this project, or the calibration is unreadable, or was fitted to
        simulated subjects while the scans are real.
    """
    from registry.dxa.bodycomp.calibration import calibration_for, read_calibration  # noqa: PLC0415

    manifest = read_manifest(cohort)
    if manifest.kind != "imported":
        raise InputError(f"{cohort} is simulated", mend="its calibration comes with the package")
    calibration_for(read_calibration(calibration), simulated=manifest.simulated)
    content = calibration.read_bytes()
    write_atomically(cohort / CALIBRATION, content)
    record = file_record(cohort / CALIBRATION)
    identity = {"cohort": _content_fingerprint(manifest), "calibration": record.sha256}
    fingerprint = hashlib.sha256(canonical_json(identity).encode()).hexdigest()
    changed = manifest.model_copy(update={"calibration": record, "fingerprint": fingerprint})
    write_manifest(cohort, changed)
    return changed


def divide_patients(rows: list[Row], declaration: Declaration) -> list[str]:
    """A split for every row of a part: the table's, or by patient, balanced over age and sex."""
    if all(row.split for row in rows):
        return [row.split for row in rows]
    first = {row.patient: row for row in reversed(rows)}
    patients = sorted(first)
    count = len(patients)
    fractions = declaration.split.fractions
    validation, test = (max(1, round(count * share)) for share in fractions[1:])
    if count - validation - test < 1:
        raise InputError(
            f"{count} patients are too few for three splits", mend="add scans, or give a column 'split'"
        )
    split_of = stratified_split(
        [first[key].age_years or 0.0 for key in patients],
        [first[key].sex or "" for key in patients],
        {"train": count - validation - test, "validation": validation, "test": test},
        np.random.default_rng(declaration.split.seed),
    )
    chosen = dict(zip(patients, split_of, strict=True))
    return [chosen[row.patient] for row in rows]


def _pack(layout: Layout, declaration: Declaration, partial: Path, progress: Progress | None) -> Manifest:
    parts: dict[str, dict[str, SplitRecord]] = {}
    done = 0
    for part in PARTS:
        rows = [row for row in layout.rows if row.part == part]
        if not rows:
            continue
        chosen = divide_patients(rows, declaration)
        parts[part] = {}
        for split in SPLITS:
            own = [row for row, name in zip(rows, chosen, strict=True) if name == split]
            parts[part][split] = _pack_split(own, declaration, partial / part / split, f"{part}/{split}")
            done += len(own)
            if progress is not None:
                progress(done, len(layout.rows), "packing scans")
    origin = ImportRecord(
        title=declaration.title,
        declaration=declaration.model_dump(mode="json"),
        assumptions=layout.assumptions,
    )
    manifest = Manifest.model_validate(
        {
            "kind": "imported",
            "simulated": declaration.simulated,
            "fingerprint": "0" * 64,
            "specification": None,
            "origin": origin,
            "parts": parts,
        }
    )
    return manifest.model_copy(update={"fingerprint": _content_fingerprint(manifest)})


def _content_fingerprint(manifest: Manifest) -> str:
    """Hexadecimal SHA-256 of the declaration and of every file but a calibration."""
    digests = {
        name: record.sha256
        for splits in manifest.parts.values()
        for split in splits.values()
        for name, record in split.files.items()
    }
    origin = manifest.origin.model_dump(mode="json") if manifest.origin else None
    identity = {"kind": manifest.kind, "origin": origin, "files": digests}
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()


def _pack_split(rows: list[Row], declaration: Declaration, folder: Path, place: str) -> SplitRecord:
    folder.mkdir(parents=True)
    limited = 0

    def codes() -> Iterator[npt.NDArray[np.uint16]]:
        nonlocal limited
        for row in rows:
            found, outside = declaration.scanner.to_codes(np.load(row.path, allow_pickle=False))
            limited += outside
            yield found[None]

    write_npy(folder / SCANS, codes(), len(rows))
    if rows[0].mesh is not None:
        _pack_meshes(rows, declaration, folder)
    table = io.BytesIO()
    subjects_table(rows).write_parquet(table)
    write_atomically(folder / SUBJECTS, table.getvalue())
    return SplitRecord(
        patients=len({row.patient for row in rows}),
        scans=len(rows),
        saturated_values=limited,
        resampled_bodies=0,
        reposed_bodies=0,
        files={f"{place}/{path.name}": file_record(path) for path in sorted(folder.iterdir())},
    )


def _pack_meshes(rows: list[Row], declaration: Declaration, folder: Path) -> None:
    scale = declaration.meshes.centimetres if declaration.meshes else 1.0
    faces: list[npt.NDArray[np.int64]] = []

    def surfaces() -> Iterator[npt.NDArray[np.float32]]:
        for row in rows:
            if row.mesh is None:
                raise DataError(f"{row.file}, row {row.line} has no mesh", mend="give all scans one")
            vertices, triangles = read_mesh(row.mesh)
            if faces and not np.array_equal(triangles, faces[0]):
                raise InputError(
                    f"{row.mesh} has other triangles than the first mesh",
                    mend="fit one template to all bodies",
                )
            if not faces:
                faces.append(triangles)
            yield (scale * vertices).astype(np.float32)[None]

    write_npy(folder / VERTICES, surfaces(), len(rows))
    write_npy(folder / FACES, [faces[0].astype(np.int32)], len(faces[0]))


def subjects_table(rows: list[Row]) -> polars.DataFrame:
    """One row per scan; columns without a value are left out."""
    records = [
        {
            "patient": row.patient,
            "scan_id": row.scan_id,
            "visit": row.visit,
            "sex": row.sex,
            "age_years": row.age_years,
            **row.sizes,
            "bmi_kg_m2": _bmi(row.sizes),
            **row.measures,
        }
        for row in rows
    ]
    frame = polars.DataFrame(records, infer_schema_length=None)
    known = [name for name in SUBJECT_COLUMNS if name in frame.columns]
    filled = [name for name in known if frame[name].null_count() < len(rows)]
    return frame.select(filled)


def _bmi(sizes: dict[str, float]) -> float | None:
    if not {"stature_cm", "mass_kg"} <= set(sizes):
        return None
    return sizes["mass_kg"] / (sizes["stature_cm"] / 100.0) ** 2
