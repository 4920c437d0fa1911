"""Defects of real data: every one is listed, in one pass, before anything is packed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars
import pytest
from click.testing import CliRunner

from registry.contracts import DataError, InputError
from registry.dxa.cohort.commands import data
from registry.dxa.cohort.defects import Findings
from registry.dxa.cohort.importing import import_cohort
from registry.dxa.cohort.inspection import inspect_cohort, verify
from registry.dxa.cohort.layout import read_layout
from registry.dxa.cohort.measures import ANTHROPOMETRY, MEASURES
from registry.dxa.cohort.meshes import read_mesh, write_ply
from registry.dxa.imaging.channels import CHANNELS
from tests.registry.dxa.cohort.real_data import edit


def test_every_defect_is_listed_in_one_pass(study: Path, tmp_path: Path) -> None:
    scans = sorted((study / "scans").iterdir())
    paired = polars.read_csv(study / "manifest.csv")["part"].to_list().index("paired") + 2
    table = polars.read_csv(study / "manifest.csv", infer_schema=False)
    name_of = dict(enumerate(table["path"].to_list(), start=2))

    def replace(row: int, values: object) -> None:
        np.save(study / name_of[row], values, allow_pickle=True)

    good = np.load(study / name_of[2])
    replace(2, good[:, :, :5])
    replace(3, good.astype(np.int32))
    beyond = good.copy()
    beyond[3, 4, 5] = 16384
    replace(4, beyond)
    replace(5, np.array([{"evil": 1}], dtype=object))
    replace(6, good[:149])
    replace(7, np.full_like(good, 200))
    (study / name_of[8]).unlink()
    edit(study, 9, path="../outside.npy")
    edit(study, 10, path="/etc/passwd")
    edit(study, 11, scan_id=table["scan_id"][10], age_years="old", sex="x")
    twin = study / name_of[12]
    shutil.copyfile(study / name_of[13], twin)
    edit(study, paired, total_fat_kg=None)
    edit(study, paired + 1, circumference_hip_cm="1020", mesh="meshes/none.ply")
    mesh = study / table["mesh"][paired + 2 - 2]
    mesh.write_bytes(mesh.read_bytes()[:2000])
    edit(study, paired + 3, patient=table["patient"][paired + 5 - 2], split="validation")
    edit(study, paired + 4, patient=table["patient"][13], part="paired")
    edit(study, paired + 5, split="holdout")
    with_unitless = polars.read_csv(study / "manifest.csv", infer_schema=False)
    with_unitless = with_unitless.with_columns(
        polars.lit("80").alias("circumference_waist"), polars.lit("x").alias("notes")
    ).rename({"volume_total_l": "volume_totl_l"})
    with_unitless.write_csv(study / "manifest.csv")
    layout = read_layout(study)
    listed = [str(defect) for defect in layout.findings.defects]

    def found(*words: str) -> bool:
        return any(all(word in line for word in words) for line in listed)

    assert found("row 2", "has shape (150, 109, 5)")
    assert found("row 3", "int32", "uint16")
    assert found("row 4", "16384", "14 bits")
    assert found("row 5", "cannot be read as .npy")
    assert found("row 6", "149 x 109", "150 x 109")
    assert found("row 7", "200 in every pixel")
    assert found("row 8", "file is missing")
    assert found("row 9", "'path'", "../outside.npy", "leaves the folder")
    assert found("row 10", "/etc/passwd", "leaves the folder")
    assert found("row 11", "'scan_id'", "is also in row")
    assert found("row 11", "'age_years'", "'old'", "no number")
    assert found("row 11", "'sex'", "'x'")
    assert found("row 13", "same values as row 12")
    assert found(f"row {paired}", "'total_fat_kg'", "missing or not finite")
    assert found(f"row {paired + 1}", "'circumference_hip_cm'", "'1020'", "unit")
    assert found(f"row {paired + 1}", "'mesh'", "file is missing")
    assert found(f"row {paired + 2}", "'mesh'", "unreadable")
    assert found("'patient'", "in two splits")
    assert found("'patient'", "in both cohorts")
    assert found(f"row {paired + 5}", "'split'", "'holdout'")
    assert found("'circumference_waist'", "unit is missing", "circumference_waist_cm")
    assert found("'volume_totl_l'", "did you mean 'volume_total_l'")
    assert any("notes" in remark for remark in layout.findings.remarks)
    assert all(defect.mend for defect in layout.findings.defects)
    assert len(scans) > 20
    with pytest.raises(InputError, match="defects"):
        import_cohort(study, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()
    shown = CliRunner().invoke(data, ["validate", str(study)])
    assert isinstance(shown.exception, InputError)
    assert all(line in shown.output for line in listed)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("bit_depth = 14", "bit_depth = 40"), ("bit_depth", "40")),
        (("offset_counts = 200.0", ""), ("scanner.offset_counts", "missing")),
        (("rows = 150", "rows = 300"), ("300 x 109", "150 x 109")),
        (('phase = "air"\nenergy = "low"', 'phase = "air"\nenergy = "high"'), ("channels", "needed once")),
        (('unit = "m"', 'unit = "inch"'), ("meshes.unit", "inch")),
        (('unit = "m"', 'unit = "mm"'), ("mesh", "cm long")),
        (('[meshes]\nunit = "m"', ""), ("unit of meshes is missing",)),
        (("title =", "titel ="), ("titel", "unknown key")),
        (("[scanner]", "[scanner"), ("cannot be read",)),
    ],
)
def test_defects_of_the_declaration_are_named(
    study: Path, change: tuple[str, str], words: tuple[str, ...]
) -> None:
    text = (study / "cohort.toml").read_text()
    assert change[0] in text
    (study / "cohort.toml").write_text(text.replace(*change))
    listed = [str(defect) for defect in read_layout(study).findings.defects]
    assert any(all(word in line for word in words) for line in listed), listed


def test_missing_tables_and_damaged_ones_are_named(study: Path) -> None:
    (study / "manifest.csv").write_text("")
    assert "cannot be read" in str(read_layout(study).findings.defects[0])
    (study / "manifest.csv").unlink()
    assert "is missing" in str(read_layout(study).findings.defects[0])
    (study / "train.csv").write_text("paths\nscans/none.npy\n")
    listed = "\n".join(map(str, read_layout(study).findings.defects))
    assert "val.csv" in listed
    assert "test.csv" in listed
    (study / "cohort.toml").unlink()
    assert "cohort.toml: is missing" in "\n".join(map(str, read_layout(study).findings.defects))


def test_a_missing_column_is_one_defect_and_odd_names_are_no_crash(study: Path) -> None:
    frame = polars.read_csv(study / "manifest.csv", infer_schema=False)
    frame.drop("sex", "age_years").write_csv(study / "manifest.csv")
    listed = [str(defect) for defect in read_layout(study).findings.defects]
    assert sorted(line.split("'")[1] for line in listed) == ["age_years", "sex"]
    frame.write_csv(study / "manifest.csv")
    edit(study, 2, path="scans/\0.npy")
    edit(study, 3, path="scans")
    np.save(study / "scans" / "none.npy", np.empty((0, 109, 6), np.uint16))
    edit(study, 4, path="scans/none.npy")
    listed = [str(defect) for defect in read_layout(study).findings.defects]
    for row, words in ((2, "leaves the folder"), (3, "cannot be read"), (4, "has shape (0, 109, 6)")):
        assert any(f"row {row}," in line and words in line for line in listed), (row, listed)


def test_links_do_not_lead_out(study: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.npy"
    first = next((study / "scans").iterdir())
    shutil.move(first, outside)
    first.symlink_to(outside)
    assert any("leaves the folder" in str(d) for d in read_layout(study).findings.defects)


def test_meshes_of_another_topology_are_defects_before_anything_is_packed(
    study: Path, tmp_path: Path
) -> None:
    table = polars.read_csv(study / "manifest.csv", infer_schema=False)
    first = table["part"].to_list().index("paired") + 2
    vertices, faces = read_mesh(study / table["mesh"][first - 2])
    write_ply(study / table["mesh"][first - 1], vertices, faces[::-1])
    write_ply(study / table["mesh"][first], vertices[:6000], faces[(faces < 6000).all(axis=1)])
    listed = [str(defect) for defect in read_layout(study).findings.defects]
    assert len(listed) == 2
    assert f"row {first + 1}, column 'mesh'" in listed[0]
    assert f"other triangles than that of row {first}" in listed[0]
    assert f"has 6000 vertices, that of row {first} 12408" in listed[1]
    assert all("fit one template to all bodies" in line for line in listed)


def test_defects_of_what_was_packed_are_listed(study: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    import_cohort(study, packed)
    for name, array in (
        ("vertices.npy", np.zeros((5, 12408, 3), np.float32)),
        ("faces.npy", np.full((4, 3), 12408, np.int32)),
        ("subjects.parquet", None),
    ):
        if array is None:
            polars.read_parquet(packed / "paired/train" / name).drop("total_fat_kg").write_parquet(
                packed / "paired/train" / name
            )
        else:
            np.save(packed / "paired/train" / name, array)
    findings = Findings()
    inspect_cohort(packed, findings)
    listed = "\n".join(defect.statement for defect in findings.defects)
    for line in (
        "paired/train/vertices.npy, row 5: '0.0': cm along z cannot be a body's length",
        "paired/train/faces.npy: does not fit surfaces of 12408 vertices",
        "paired/validation/faces.npy: holds other triangles than paired/train",
        "paired/train/subjects.parquet, column 'total_fat_kg': is missing, other splits have it",
    ):
        assert line in listed
    assert listed.count("altered") + listed.count("corrupt") == 3
    (packed / "paired/test/faces.npy").write_bytes(b"not an array")
    with pytest.raises(DataError, match="import the scans again"):
        verify(packed)


def test_names_of_measures_are_plausible_by_their_unit() -> None:
    from registry.dxa.cohort.layout import _plausible  # noqa: PLC0415

    for name in MEASURES:
        low, high = _plausible(name)
        assert 0 < low < high
    assert len(CHANNELS) == 6
    assert len(ANTHROPOMETRY) == 15
