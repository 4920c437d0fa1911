"""Another division of a packed cohort's patients into splits, without simulating or importing it again."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars

from registry.contracts import DataError
from registry.dxa.cohort.inspection import verify
from registry.dxa.cohort.manifest import (
    Manifest,
    SplitRecord,
    file_record,
    new_cohort_folder,
    read_manifest,
    write_atomically,
    write_manifest,
)
from registry.dxa.cohort.packing import write_npy
from registry.dxa.cohort.specification import PARTS, SPLITS
from registry.dxa.cohort.splits import PlannedPatient, divide_anew, division_generator
from registry.dxa.cohort.store import CALIBRATION, FACES, SCANS, SUBJECTS, VERTICES, Split

BLOCK_ROWS = 64


def divide_cohort(source: Path, target: Path, *, split: int, fingerprint: str) -> Manifest:
    """Write a cohort that holds the scans of another one in other splits of the same sizes.

    Parameters
    ----------
    source
        A cohort in its own division.
    target
        Where to; returned at once if it holds this cohort already.
    split
        Which division, from 1.
    fingerprint
        Of the new cohort.

    Raises
    ------
    DataError
        If the target holds something else or cannot be written.
    """
    if target.exists():
        found = verify(target)
        if found.fingerprint != fingerprint:
            raise DataError(f"{target} holds another cohort", mend="remove it or choose another cache")
        return found
    manifest = read_manifest(source)
    seed = manifest.specification.seed if manifest.specification else int(manifest.fingerprint[:8], 16)
    with new_cohort_folder(target, mend="free space or choose another cache") as partial:
        parts = {
            part: _divide_part(manifest, source, partial, part, division_generator(seed, number, split))
            for number, part in enumerate(PARTS)
            if part in manifest.parts
        }
        changes: dict[str, Any] = {"fingerprint": fingerprint, "parts": parts}
        if manifest.specification:
            changes["specification"] = manifest.specification.model_copy(update={"split": split})
        divided = manifest.model_copy(update=changes)
        if manifest.calibration is not None:
            shutil.copyfile(source / CALIBRATION, partial / CALIBRATION)
        write_manifest(partial, divided)
    return divided


def _divide_part(
    manifest: Manifest, source: Path, partial: Path, part: str, generator: np.random.Generator
) -> dict[str, SplitRecord]:
    opened = {
        name: Split(source / part / name, part, name, manifest.simulated, manifest.grid) for name in SPLITS
    }
    places: dict[str, list[tuple[str, int]]] = {}
    for name, old in opened.items():
        for row, patient in enumerate(old.patients):
            places.setdefault(patient, []).append((name, row))
    divided = divide_anew(_patients(opened, places), generator)
    return {
        name: _write_split(
            [place for patient in patients for place in places[patient.key]],
            opened,
            partial / part / name,
            f"{part}/{name}",
        )
        for name, patients in divided.items()
    }


def _patients(
    opened: dict[str, Split], places: dict[str, list[tuple[str, int]]]
) -> dict[str, list[PlannedPatient]]:
    """Patients by their present split, numbered by key."""
    result: dict[str, list[PlannedPatient]] = {name: [] for name in SPLITS}
    for number, key in enumerate(sorted(places)):
        name, row = places[key][0]
        subject = opened[name].subjects.row(row, named=True)
        sex: Any = subject.get("sex") or ""
        age = subject.get("age_years") or 0.0
        result[name].append(PlannedPatient(number, key, sex, float(age), len(places[key])))
    return result


def _write_split(
    places: list[tuple[str, int]], opened: dict[str, Split], folder: Path, label: str
) -> SplitRecord:
    folder.mkdir(parents=True)

    def blocks(name: str) -> Iterator[npt.NDArray[Any]]:
        arrays = {split: getattr(one, name) for split, one in opened.items()}
        for start in range(0, len(places), BLOCK_ROWS):
            yield np.stack([arrays[split][row] for split, row in places[start : start + BLOCK_ROWS]])

    write_npy(folder / SCANS, blocks("scans"), len(places))
    some = next(iter(opened.values())).folder
    if (some / VERTICES).exists():
        write_npy(folder / VERTICES, blocks("vertices"), len(places))
    if (some / FACES).exists():
        shutil.copyfile(some / FACES, folder / FACES)
    table = polars.concat([opened[split].subjects[row] for split, row in places], how="diagonal")
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    write_atomically(folder / SUBJECTS, buffer.getvalue())
    return SplitRecord(
        patients=table["patient"].n_unique(),
        scans=len(places),
        saturated_values=None,
        resampled_bodies=None,
        reposed_bodies=None,
        files={f"{label}/{path.name}": file_record(path) for path in sorted(folder.iterdir())},
    )
