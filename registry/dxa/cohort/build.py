"""Building a simulated cohort: in parallel, resumable, complete or absent."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars
from threadpoolctl import threadpool_limits

from registry.contracts import DataError
from registry.dxa.cohort.inspection import verify
from registry.dxa.cohort.manifest import (
    MANIFEST_NAME,
    Manifest,
    SplitRecord,
    file_record,
    read_manifest,
    write_atomically,
    write_manifest,
)
from registry.dxa.cohort.packing import write_npy
from registry.dxa.cohort.specification import PARTS, SPLITS, CohortSpecification
from registry.dxa.cohort.splits import PlannedPatient, check_no_leak, plan_cohort
from registry.dxa.cohort.store import SCANS, SUBJECT_COLUMNS, SUBJECTS, VERTICES
from registry.dxa.cohort.subject import Patient, Visit, simulate_patient

# Patients that one task simulates and one file of the unfinished cohort holds.
CHUNK_PATIENTS = 8

Progress = Callable[[int, int, str], None]
Plan = dict[str, dict[str, list[PlannedPatient]]]


@dataclass(frozen=True)
class _Chunk:
    """Some patients of one split, and the file that holds them until the cohort is whole."""

    part: str
    split: str
    patients: tuple[PlannedPatient, ...]
    path: Path

    @property
    def scans(self) -> int:
        return sum(patient.visits for patient in self.patients)


def build_cohort(
    specification: CohortSpecification, folder: Path, *, workers: int = 2, progress: Progress | None = None
) -> Manifest:
    """Simulate a cohort into a folder, or return at once if it is already there.

    The cohort grows in ``<folder>.partial`` and gets its name when it is whole; an interrupted build goes on
    from its finished chunks. The bytes do not depend on the number of workers or on interruptions.

    Parameters
    ----------
    specification
        What to build.
    folder
        Where; it must not hold anything else.
    workers
        Processes; 1 works in this one.
    progress
        Called with scans done, scans in all and what is going on.

    Raises
    ------
    DataError
        If the folder holds another cohort or a damaged one, if the disk is full or cannot be written, or if a
        worker dies.
    """
    try:
        return _build(specification, folder, workers, progress or _silent)
    except DataError:
        raise
    except OSError as error:
        raise DataError(
            f"the cohort could not be written to {folder} ({error})",
            mend="free space or choose a folder that can be written; finished work is kept and will be used",
        ) from error


def _build(specification: CohortSpecification, folder: Path, workers: int, progress: Progress) -> Manifest:
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder.with_name(folder.name + ".lock")):
        existing = _existing(specification, folder)
        if existing is not None:
            return existing
        partial = folder.with_name(folder.name + ".partial")
        _prepare(partial, specification.fingerprint())
        plan = plan_cohort(specification)
        check_no_leak(
            {
                f"{part}/{split}": [patient.key for patient in plan[part][split]]
                for part in PARTS
                for split in SPLITS
            }
        )
        chunks = _chunks(plan, partial)
        _simulate_chunks(specification, chunks, workers, progress)
        total = sum(chunk.scans for chunk in chunks)
        progress(total, total, "packing scans")
        manifest = _pack(specification, chunks, partial)
        shutil.rmtree(partial / "chunks")
        (partial / "building.json").unlink()
        write_manifest(partial, manifest)
        partial.replace(folder)
        return manifest


def _existing(specification: CohortSpecification, folder: Path) -> Manifest | None:
    """The finished cohort of a folder, verified; None if there is nothing."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    if not (folder / MANIFEST_NAME).exists():
        raise DataError(f"{folder} exists and is no cohort", mend="choose another folder or remove it")
    if read_manifest(folder).fingerprint != specification.fingerprint():
        raise DataError(
            f"{folder} holds another cohort (its fingerprint differs)",
            mend="choose another folder or remove it",
        )
    return verify(folder)


def _prepare(partial: Path, fingerprint: str) -> None:
    """Keep the chunks of the same cohort, drop those of another."""
    marker = partial / "building.json"
    content = json.dumps({"fingerprint": fingerprint}).encode()
    if partial.exists() and (not marker.exists() or marker.read_bytes() != content):
        shutil.rmtree(partial)
    (partial / "chunks").mkdir(parents=True, exist_ok=True)
    write_atomically(marker, content)


def _chunks(plan: Plan, partial: Path) -> list[_Chunk]:
    chunks = []
    for part in PARTS:
        for split in SPLITS:
            patients = plan[part][split]
            for start in range(0, len(patients), CHUNK_PATIENTS):
                name = f"{part}-{split}-{start:06d}.npz"
                chunks.append(
                    _Chunk(
                        part,
                        split,
                        tuple(patients[start : start + CHUNK_PATIENTS]),
                        partial / "chunks" / name,
                    )
                )
    return chunks


def _simulate_chunks(
    specification: CohortSpecification, chunks: list[_Chunk], workers: int, progress: Progress
) -> None:
    missing = [chunk for chunk in chunks if _read_chunk(chunk.path) is None]
    total = sum(chunk.scans for chunk in chunks)
    done = total - sum(chunk.scans for chunk in missing)
    progress(done, total, "simulating scans")
    if workers <= 1 or len(missing) <= 1:
        for chunk in missing:
            _simulate_chunk(specification, chunk)
            done += chunk.scans
            progress(done, total, "simulating scans")
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(missing)), mp_context=context) as pool:
        running: dict[Future[None], _Chunk] = {
            pool.submit(_simulate_chunk, specification, chunk): chunk for chunk in missing
        }
        try:
            while running:
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    future.result()
                    done += running.pop(future).scans
                    progress(done, total, "simulating scans")
        except BrokenProcessPool as error:
            raise DataError(
                "a worker that simulates scans died, perhaps for lack of memory",
                mend="build again with fewer workers; finished work is kept",
            ) from error
        finally:
            for future in running:
                future.cancel()


def _simulate_chunk(specification: CohortSpecification, chunk: _Chunk) -> None:
    """Simulate the patients of a chunk and write its file."""
    # One thread, because workers run side by side and because sums must not depend on how they are divided.
    with threadpool_limits(limits=1):
        patients = [simulate_patient(specification, planned) for planned in chunk.patients]
    pairs = [(patient, visit) for patient in patients for visit in patient.visits]
    arrays: dict[str, Any] = {
        "codes": np.stack([visit.scan.codes for _, visit in pairs]),
        "rows": np.frombuffer(
            json.dumps([_row(patient, visit) for patient, visit in pairs]).encode(), np.uint8
        ),
        "resampled": np.array(sum(patient.resampled for patient in patients)),
        "reposed": np.array(sum(patient.reposed for patient in patients)),
        "saturated": np.array(sum(visit.scan.saturated for _, visit in pairs)),
    }
    if chunk.part == "paired":
        arrays["vertices"] = np.stack([visit.rest.vertices_cm for _, visit in pairs]).astype(np.float32)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    content = buffer.getvalue()
    write_atomically(chunk.path, hashlib.sha256(content).digest() + content)


def _row(patient: Patient, visit: Visit) -> dict[str, object]:
    """A row of the subjects' table."""
    return {
        "patient": patient.planned.key,
        "scan_id": f"{patient.planned.key}-{visit.number}",
        "visit": visit.number,
        "sex": patient.planned.sex,
        "age_years": visit.phenotypes.age_years,
        "stature_cm": visit.rest.stature_cm,
        "mass_kg": visit.mass_kg,
        "bmi_kg_m2": visit.bmi_kg_m2,
        "implants": " ".join(visit.implants),
        **visit.measures,
    }


def _read_chunk(path: Path) -> dict[str, npt.NDArray[np.generic]] | None:
    """Arrays of a finished chunk; None if it is missing or damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, body = content[:32], content[32:]
    if hashlib.sha256(body).digest() != digest:
        return None
    with np.load(io.BytesIO(body), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _pack(specification: CohortSpecification, chunks: list[_Chunk], partial: Path) -> Manifest:
    """Turn the chunks into the files of each split."""
    parts: dict[str, dict[str, SplitRecord]] = {}
    for part in PARTS:
        parts[part] = {}
        for split in SPLITS:
            own = [chunk for chunk in chunks if (chunk.part, chunk.split) == (part, split)]
            parts[part][split] = _pack_split(own, partial, part, split)
    return Manifest.model_validate(
        {
            "kind": specification.kind,
            "simulated": True,
            "fingerprint": specification.fingerprint(),
            "specification": specification.model_dump(mode="json"),
            "parts": parts,
        }
    )


def _pack_split(chunks: list[_Chunk], partial: Path, part: str, split: str) -> SplitRecord:
    folder = partial / part / split
    folder.mkdir(parents=True, exist_ok=True)
    counts = {"resampled": 0, "reposed": 0, "saturated": 0}
    rows: list[dict[str, object]] = []
    for arrays in map(_finished, chunks):
        rows += json.loads(arrays["rows"].tobytes())
        counts = {name: count + int(arrays[name]) for name, count in counts.items()}
    _pack_array(folder / SCANS, [(chunk, "codes") for chunk in chunks])
    if part == "paired":
        _pack_array(folder / VERTICES, [(chunk, "vertices") for chunk in chunks])
    table = io.BytesIO()
    polars.DataFrame(rows).select(SUBJECT_COLUMNS).write_parquet(table)
    write_atomically(folder / SUBJECTS, table.getvalue())
    return SplitRecord(
        patients=len({row["patient"] for row in rows}),
        scans=len(rows),
        saturated_values=counts["saturated"],
        resampled_bodies=counts["resampled"],
        reposed_bodies=counts["reposed"],
        files={f"{part}/{split}/{path.name}": file_record(path) for path in sorted(folder.iterdir())},
    )


def _pack_array(path: Path, sources: list[tuple[_Chunk, str]]) -> None:
    """Write the arrays of chunks as one ``.npy``, a chunk at a time."""
    write_npy(path, (_finished(chunk)[name] for chunk, name in sources), sum(c.scans for c, _ in sources))


def _finished(chunk: _Chunk) -> dict[str, npt.NDArray[np.generic]]:
    arrays = _read_chunk(chunk.path)
    if arrays is None:
        raise DataError(f"{chunk.path} was damaged while the cohort was built", mend="build again")
    return arrays


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Let one build at a time work on a folder; others wait for it."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _silent(done: int, total: int, activity: str) -> None:
    """Report nothing."""
