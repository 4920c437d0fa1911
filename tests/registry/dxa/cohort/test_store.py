"""Cohorts on disk: built, resumed, verified, damaged."""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars
import pytest

from registry.contracts import DataError
from registry.dxa.cohort import build as build_module
from registry.dxa.cohort.build import build_cohort
from registry.dxa.cohort.inspection import verify
from registry.dxa.cohort.manifest import file_record, read_manifest
from registry.dxa.cohort.measures import ANTHROPOMETRY, MEASURES
from registry.dxa.cohort.specification import CohortSpecification
from registry.dxa.cohort.store import open_split


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _rewrite_record(folder: Path, name: str) -> None:
    """Make the manifest agree with a file that a test has changed."""
    manifest = json.loads((folder / "cohort.json").read_text())
    part, split, _ = name.split("/")
    manifest["parts"][part][split]["files"][name] = file_record(folder / name).model_dump()
    (folder / "cohort.json").write_text(json.dumps(manifest))


def test_a_cohort_holds_what_was_asked_for(cohort: Path, specification: CohortSpecification) -> None:
    manifest = verify(cohort)
    assert manifest.simulated
    assert manifest.kind == "simulated"
    assert manifest.specification == specification
    for part, splits in manifest.parts.items():
        for split, record in splits.items():
            opened = open_split(cohort, part, split)
            assert len(opened) == record.scans == specification.part(part).counts()[split]
            assert opened.simulated
            assert opened.scans.shape == (record.scans, 150, 109, 6)
            assert isinstance(opened.scans, np.memmap)
            assert len(set(opened.patients)) == record.patients
            values = opened.measures([measure.name for measure in ANTHROPOMETRY])
            assert values.shape == (record.scans, 15)
            assert np.isfinite(values).all()
    assert not (cohort / "chunks").exists()
    assert not list(cohort.parent.glob("*.partial"))


def test_visits_of_a_patient_share_the_key(cohort: Path) -> None:
    subjects = open_split(cohort, "pretraining", "train").subjects
    twice = subjects.group_by("patient").len().filter(polars.col("len") == 2)
    assert twice.height == 2
    assert subjects["scan_id"].n_unique() == subjects.height


def test_surfaces_belong_to_the_paired_part(cohort: Path) -> None:
    vertices = open_split(cohort, "paired", "test").vertices
    assert vertices.dtype == np.float32
    stature = open_split(cohort, "paired", "test").subjects["stature_cm"].to_numpy()
    np.testing.assert_allclose(np.ptp(vertices[..., 2], axis=1), stature, atol=1e-3)
    with pytest.raises(DataError, match="has no surfaces"):
        _ = open_split(cohort, "pretraining", "test").vertices


def test_building_again_returns_at_once(cohort: Path, specification: CohortSpecification) -> None:
    called: list[tuple[int, int, str]] = []
    before = (cohort / "cohort.json").stat().st_mtime_ns
    build_cohort(specification, cohort, progress=lambda *step: called.append(step))
    assert called == []
    assert (cohort / "cohort.json").stat().st_mtime_ns == before


def test_another_cohort_in_the_folder_is_refused(cohort: Path, specification: CohortSpecification) -> None:
    other = specification.model_copy(update={"seed": 99})
    with pytest.raises(DataError, match="another cohort"):
        build_cohort(other, cohort)


def test_a_folder_with_other_things_is_refused(tmp_path: Path, specification: CohortSpecification) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="is no cohort"):
        build_cohort(specification, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_interrupted_build_resumes_to_the_same_bytes(
    cohort: Path, specification: CohortSpecification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate = build_module._simulate_chunk
    done: list[str] = []

    def interrupted(specification: CohortSpecification, chunk: build_module._Chunk) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        simulate(specification, chunk)
        done.append(chunk.path.name)

    folder = tmp_path / "cohort"
    monkeypatch.setattr(build_module, "_simulate_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_cohort(specification, folder, workers=1)
    assert not folder.exists()
    chunks = folder.with_name("cohort.partial") / "chunks"
    damaged = chunks / done[1]
    damaged.write_bytes(damaged.read_bytes()[:-100])

    again: list[str] = []

    def counted(specification: CohortSpecification, chunk: build_module._Chunk) -> None:
        again.append(chunk.path.name)
        simulate(specification, chunk)

    monkeypatch.setattr(build_module, "_simulate_chunk", counted)
    build_cohort(specification, folder, workers=1)
    assert done[0] not in again
    assert done[1] in again
    assert _digests(folder) == _digests(cohort)


@pytest.mark.slow
def test_the_number_of_workers_does_not_change_a_byte(
    cohort: Path, specification: CohortSpecification, tmp_path: Path
) -> None:
    build_cohort(specification, tmp_path / "cohort", workers=2)
    assert _digests(tmp_path / "cohort") == _digests(cohort)


@pytest.mark.parametrize("largest_file", [200_000, 1_800_000], ids=["while simulating", "while packing"])
def test_a_disk_that_takes_no_more_is_one_message_and_nothing_that_looks_finished(
    specification: CohortSpecification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest_file: int
) -> None:
    # The largest chunk of two patients has 1.4 MB, the largest packed file 2.0 MB.
    monkeypatch.setattr(build_module, "CHUNK_PATIENTS", 2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, hard))
    try:
        with pytest.raises(DataError, match="could not be written") as caught:
            build_cohort(specification, tmp_path / "cohort", workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "free space" in caught.value.mend
    assert not (tmp_path / "cohort").exists()
    assert not list(tmp_path.rglob("cohort.json"))


@pytest.mark.parametrize(
    "name", ["paired/test/scans.npy", "pretraining/train/subjects.parquet", "paired/train/vertices.npy"]
)
@pytest.mark.parametrize(
    ("damage", "message"), [("missing", "is missing"), ("truncated", "truncated"), ("flipped", "corrupt")]
)
def test_damage_is_found_and_the_file_named(own_cohort: Path, name: str, damage: str, message: str) -> None:
    path = own_cohort / name
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[:-1])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        verify(own_cohort)
    assert name in str(caught.value)
    if damage != "flipped":
        with pytest.raises(DataError, match=message):
            open_split(own_cohort, *name.split("/")[:2])


def test_a_wrong_type_and_a_pickle_are_refused(own_cohort: Path) -> None:
    name = "paired/test/scans.npy"
    np.save(own_cohort / name, np.zeros((3, 150, 109, 6), dtype=np.float32))
    _rewrite_record(own_cohort, name)
    with pytest.raises(DataError, match="holds float32"):
        verify(own_cohort)
    np.save(own_cohort / name, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    _rewrite_record(own_cohort, name)
    with pytest.raises(DataError, match=r"scans\.npy: cannot be read"):
        verify(own_cohort)


def test_values_beyond_14_bits_are_refused(own_cohort: Path) -> None:
    name = "paired/test/scans.npy"
    scans = np.load(own_cohort / name)
    scans[0, 0, 0, 0] = 16384
    np.save(own_cohort / name, scans)
    _rewrite_record(own_cohort, name)
    with pytest.raises(DataError, match="exceeds 16383"):
        verify(own_cohort)


@pytest.mark.parametrize("other", ["paired/train", "pretraining/train"])
def test_a_leak_across_splits_or_parts_is_refused(own_cohort: Path, other: str) -> None:
    name = "paired/test/subjects.parquet"
    leaked = open_split(own_cohort, *other.split("/")).patients[0]
    path = own_cohort / name
    frame = polars.read_parquet(path)
    keys = [leaked, *frame["patient"].to_list()[1:]]
    frame.with_columns(polars.Series("patient", keys)).write_parquet(path)
    _rewrite_record(own_cohort, name)
    with pytest.raises(DataError, match=leaked) as caught:
        verify(own_cohort)
    assert other in str(caught.value)
    assert "paired/test" in str(caught.value)


def test_a_missing_measure_is_refused(own_cohort: Path) -> None:
    name = "paired/train/subjects.parquet"
    frame = polars.read_parquet(own_cohort / name)
    values = [float("nan"), *frame["total_fat_kg"].to_list()[1:]]
    frame.with_columns(polars.Series("total_fat_kg", values)).write_parquet(own_cohort / name)
    _rewrite_record(own_cohort, name)
    with pytest.raises(DataError, match="row 1"):
        verify(own_cohort)


@pytest.mark.parametrize(
    "path", ["../outside.npy", "/etc/passwd", "paired/../../outside.npy", "..\\outside.npy"]
)
def test_a_path_that_leaves_the_folder_is_refused(own_cohort: Path, path: str) -> None:
    manifest = json.loads((own_cohort / "cohort.json").read_text())
    manifest["parts"]["paired"]["test"]["files"][path] = {"sha256": "0" * 64, "bytes": 1}
    (own_cohort / "cohort.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="leaves the folder"):
        read_manifest(own_cohort)


def test_a_link_that_leaves_the_folder_is_refused(own_cohort: Path, tmp_path: Path) -> None:
    scans = own_cohort / "paired/test/scans.npy"
    outside = tmp_path / "outside.npy"
    scans.rename(outside)
    scans.symlink_to(outside)
    with pytest.raises(DataError, match="leads out"):
        open_split(own_cohort, "paired", "test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read"),
        ("[]", "schema_version"),
        ('{"schema_version": 7}', "schema_version is 7"),
        ('{"schema_version": 1, "kind": "x"}', "kind"),
    ],
)
def test_a_damaged_manifest_is_refused(own_cohort: Path, content: str, message: str) -> None:
    (own_cohort / "cohort.json").write_text(content)
    with pytest.raises(DataError, match=message):
        read_manifest(own_cohort)


def test_unknown_names_say_what_there_is(cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished cohort"):
        read_manifest(tmp_path)
    with pytest.raises(DataError, match="no split 'tset'"):
        open_split(cohort, "paired", "tset")
    with pytest.raises(DataError, match="no column 'waist'"):
        open_split(cohort, "paired", "test").measures(["waist"])
    assert set(MEASURES) <= set(open_split(cohort, "paired", "test").subjects.columns)


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, registry.dxa.cohort as cohort; cohort.MEASURES; "
        "print([name for name in ('torch', 'ray', 'numba', 'polars') if name in sys.modules]); "
        "cohort.open_split; "
        "print([name for name in ('torch', 'ray', 'numba', 'xraydb') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["[]", "[]"]
