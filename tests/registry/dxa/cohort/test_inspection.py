"""A packed cohort with several defects: one pass lists them all, each with its place, value and mend."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
from click.testing import CliRunner

from registry.contracts import DataError, InputError
from registry.dxa.cohort.commands import data
from registry.dxa.cohort.defects import Findings
from registry.dxa.cohort.inspection import inspect_cohort, verify
from registry.dxa.cohort.manifest import file_record
from registry.dxa.cohort.store import open_split


def _defects(folder: Path) -> list[str]:
    findings = Findings()
    inspect_cohort(folder, findings)
    assert all(defect.mend for defect in findings.defects)
    return [defect.statement for defect in findings.defects]


def _edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads((folder / "cohort.json").read_text())
    change(record)
    (folder / "cohort.json").write_text(json.dumps(record))


def _agree(folder: Path, name: str) -> None:
    """Let the manifest agree with a file that was changed."""
    part, split, _ = name.split("/")
    record = file_record(folder / name).model_dump()
    _edit_manifest(folder, lambda manifest: manifest["parts"][part][split]["files"].update({name: record}))


def _edit_subjects(folder: Path, place: str, row: int, **values: object) -> None:
    name = f"{place}/subjects.parquet"
    frame = polars.read_parquet(folder / name)
    columns = [
        polars.Series(column, [*frame[column][: row - 1], value, *frame[column][row:]], strict=False)
        for column, value in values.items()
    ]
    frame.with_columns(columns).write_parquet(folder / name)
    _agree(folder, name)


def _edit_array(folder: Path, name: str, change: Callable[[np.ndarray], object]) -> None:
    array = np.load(folder / name)
    change(array)
    np.save(folder / name, array)
    _agree(folder, name)


def test_a_whole_cohort_has_no_defects_and_no_remarks(cohort: Path) -> None:
    findings, seen = Findings(), []
    manifest = inspect_cohort(cohort, findings, progress=lambda *step: seen.append(step))
    assert manifest == verify(cohort)
    assert (findings.defects, findings.remarks) == ([], [])
    assert seen[-1] == (6, 6, "reading splits")


def test_every_defect_of_many_is_listed_in_one_pass(own_cohort: Path) -> None:
    leaked = open_split(own_cohort, "pretraining", "train").patients[0]
    taken = open_split(own_cohort, "paired", "train").scan_ids[0]

    def damage(scans: np.ndarray) -> None:
        scans[1, 70, 50, 3] = 16384
        scans[1, 71, 50, 3] = 40000
        scans[2] = scans[0]

    _edit_array(own_cohort, "paired/test/scans.npy", damage)
    _edit_array(own_cohort, "paired/validation/scans.npy", lambda scans: scans[0].fill(200))
    _edit_array(own_cohort, "paired/test/vertices.npy", lambda surface: surface[2, 5].fill(np.nan))
    _edit_subjects(own_cohort, "paired/test", 1, patient=leaked, total_fat_kg=float("nan"))
    _edit_subjects(own_cohort, "paired/test", 2, scan_id=taken, sex="f", age_years=430.0)
    _edit_subjects(own_cohort, "paired/test", 3, arm_lean_kg=None)
    (own_cohort / "pretraining/test/scans.npy").unlink()
    flipped = bytearray((own_cohort / "pretraining/validation/subjects.parquet").read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (own_cohort / "pretraining/validation/subjects.parquet").write_bytes(flipped)
    cut = own_cohort / "paired/train/vertices.npy"
    cut.write_bytes(cut.read_bytes()[:-8])
    np.save(own_cohort / "pretraining/train/scans.npy", np.zeros((10, 150, 109, 5), np.int32))
    _agree(own_cohort, "pretraining/train/scans.npy")

    listed = _defects(own_cohort)
    expected = [
        "pretraining/train/scans.npy: holds int32 of shape (10, 150, 109, 5), not uint16 of shape",
        "pretraining/validation/subjects.parquet: is corrupt: its SHA-256 is not the manifest's",
        "pretraining/test/scans.npy: is missing",
        "paired/train/vertices.npy: is truncated or altered: ",
        "paired/train/vertices.npy: cannot be read",
        "paired/validation/scans.npy, row 1: '200': is in every pixel and channel",
        "paired/test/scans.npy, row 2, column 'bone_lo': '40000': exceeds 16383 (14 bits), the largest of 2",
        "paired/test/scans.npy, row 3: holds the same values as paired/test (row 1)",
        f"paired/test/subjects.parquet, row 1, column 'patient': '{leaked}': is in both cohorts: "
        f"pretraining/train (row 1) and paired/test",
        "paired/test/subjects.parquet, row 1, column 'total_fat_kg': 'nan': is missing or not finite",
        f"paired/test/subjects.parquet, row 2, column 'scan_id': '{taken}': is also paired/train (row 1)",
        "paired/test/subjects.parquet, row 2, column 'sex': 'f': is neither female nor male",
        "paired/test/subjects.parquet, row 2, column 'age_years': '430.0': lies outside 0 to 120",
        "paired/test/subjects.parquet, row 3, column 'arm_lean_kg': 'null': is missing or not finite",
        "paired/test/subjects.parquet, column 'patient': has 3 patients, not 2",
        "paired/test/vertices.npy, row 3: has 1 vertices that are not finite",
    ]
    for line in expected:
        assert sum(found.startswith(line) for found in listed) == 1, (line, listed)
    unexpected = [found for found in listed if not any(found.startswith(line) for line in expected)]
    # A damaged table may have become unreadable, or hold another value; nothing else is wrong.
    assert all(found.startswith("pretraining/validation/subjects.parquet") for found in unexpected)

    with pytest.raises(DataError, match=re.escape(f"{own_cohort}/{listed[0]} ({len(listed) - 1} more")):
        verify(own_cohort)
    shown = CliRunner().invoke(data, ["validate", str(own_cohort)])
    assert isinstance(shown.exception, InputError)
    assert f"{len(listed)} defects" in str(shown.exception)
    assert all(line in shown.output for line in listed)


def test_a_manifest_that_disagrees_is_listed_key_by_key(own_cohort: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["simulated"] = False
        manifest["parts"]["paired"]["test"] |= {"scans": 4, "patients": 7}
        del manifest["parts"]["paired"]["train"]["files"]["paired/train/scans.npy"]
        del manifest["parts"]["paired"]["train"]["files"]["paired/train/vertices.npy"]
        del manifest["parts"]["pretraining"]["validation"]

    _edit_manifest(own_cohort, change)
    (own_cohort / "calibration.json").write_text("{}")
    listed = _defects(own_cohort)
    for line in (
        "cohort.json, column 'simulated': 'False': a cohort of kind 'simulated' is simulated",
        "cohort.json, column 'parts.paired.test.scans': '4': the specification asks for 3",
        "cohort.json, column 'parts.paired.train.files': does not list paired/train/scans.npy",
        "cohort.json, column 'parts.pretraining.validation': has no such split",
        "paired/train/vertices.npy: is not in the manifest",
        "paired/test/scans.npy: has 3 scans, not 4",
        "paired/test/subjects.parquet: has 3 rows, not 4",
        "paired/test/vertices.npy: has 3 surfaces, not 4",
        "calibration.json: the folder and the manifest do not agree on a calibration",
    ):
        assert line in listed
    assert sum("patients, not 7" in line for line in listed) == 1
    assert len(listed) == 10


def test_files_are_read_even_where_the_manifest_says_nothing(own_cohort: Path) -> None:
    _edit_array(own_cohort, "paired/test/scans.npy", lambda scans: scans[0, 0, 0].fill(20000))
    _edit_manifest(own_cohort, lambda manifest: manifest.update(kind="x", fingerprint="y"))
    (own_cohort / "paired/train/subjects.parquet").unlink()
    listed = _defects(own_cohort)
    assert sum(line.startswith("cohort.json, column 'kind': 'x'") for line in listed) == 1
    assert sum(line.startswith("cohort.json, column 'fingerprint': 'y'") for line in listed) == 1
    assert "paired/train/subjects.parquet: is missing" in listed
    assert sum("paired/test/scans.npy, row 1, column 'air_hi': '20000'" in line for line in listed) == 1
    assert len(listed) == 4
    (own_cohort / "cohort.json").write_text("{")
    with pytest.raises(DataError, match=r"cohort\.json: cannot be read"):
        verify(own_cohort)


def test_links_and_lists_that_lead_elsewhere_are_listed(own_cohort: Path, tmp_path: Path) -> None:
    scans = own_cohort / "paired/test/scans.npy"
    scans.rename(tmp_path / "outside.npy")
    scans.symlink_to(tmp_path / "outside.npy")
    record = file_record(own_cohort / "paired/train/subjects.parquet").model_dump()
    _edit_manifest(
        own_cohort,
        lambda manifest: manifest["parts"]["paired"]["test"]["files"].update(
            {"paired/train/subjects.parquet": record}
        ),
    )
    listed = _defects(own_cohort)
    assert "paired/test/scans.npy: leads out of the cohort's folder" in listed
    assert "paired/train/subjects.parquet: is listed as a file of paired/test" in listed
    assert len(listed) == 2


def test_a_cohort_of_another_generator_is_remarked_not_refused(
    own_cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.dxa.cohort.specification.GENERATOR_VERSION", -1)
    findings = Findings()
    inspect_cohort(own_cohort, findings)
    assert findings.defects == []
    assert "another version" in findings.remarks[0]
