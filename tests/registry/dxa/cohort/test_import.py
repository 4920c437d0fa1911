"""Real data's way in: packing, every defect in one pass, original lists, another scale, another division."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import polars
import pytest
from click.testing import CliRunner

from registry.contracts import DataError, InputError
from registry.dxa.bodycomp import committed_calibration, read_calibration
from registry.dxa.bodycomp.calibration import write_calibration
from registry.dxa.cohort.build import build_cohort
from registry.dxa.cohort.commands import data
from registry.dxa.cohort.defects import Findings
from registry.dxa.cohort.dividing import divide_cohort
from registry.dxa.cohort.importing import attach_calibration, import_cohort
from registry.dxa.cohort.inspection import inspect_cohort, verify
from registry.dxa.cohort.layout import read_layout
from registry.dxa.cohort.measures import ANTHROPOMETRY, MEASURES
from registry.dxa.cohort.meshes import read_mesh, write_meshes, write_ply
from registry.dxa.cohort.specification import PARTS, SPLITS, CohortSpecification
from registry.dxa.cohort.store import open_split, read_manifest, split_faces
from registry.dxa.domain import DxaDomain
from registry.dxa.imaging.channels import CHANNELS

CHANNEL_TABLES = "\n".join(
    f'[[scanner.channels]]\nphase = "{phase}"\nenergy = "{energy}"'
    for phase in ("air", "bone", "tissue")
    for energy in ("high", "low")
)
DECLARATION = f"""
title = "Exported example"
simulated = true
[scanner]
rows = 150
columns = 109
row_spacing_cm = 1.30
column_spacing_cm = 0.596
bit_depth = 14
gain_counts_per_neper = 2000.0
offset_counts = 200.0
{CHANNEL_TABLES}
[meshes]
unit = "m"
"""


def write_layout(cohort: Path, folder: Path) -> Path:
    """A simulated cohort as somebody would hand in real data."""
    (folder / "scans").mkdir(parents=True)
    (folder / "meshes").mkdir()
    rows = []
    for part in PARTS:
        for split in SPLITS:
            opened = open_split(cohort, part, split)
            for number, row in enumerate(opened.subjects.iter_rows(named=True)):
                name = row["scan_id"]
                np.save(folder / "scans" / f"{name}.npy", opened.scans[number])
                record = {key: row[key] for key in ("scan_id", "patient", "age_years", "sex", "visit")}
                record |= {"path": f"scans/{name}.npy", "part": part, "split": split}
                if part == "paired":
                    write_ply(
                        folder / "meshes" / f"{name}.ply", opened.vertices[number] / 100, split_faces(opened)
                    )
                    record["mesh"] = f"meshes/{name}.ply"
                    record |= {measure: row[measure] for measure in MEASURES}
                rows.append(record)
    polars.DataFrame(rows, infer_schema_length=None).write_csv(folder / "manifest.csv")
    (folder / "cohort.toml").write_text(DECLARATION)
    return folder


@pytest.fixture(scope="module")
def pristine(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_layout(cohort, tmp_path_factory.mktemp("real") / "study")


@pytest.fixture
def study(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "study"))


def edit(study: Path, row: int, **values: object) -> None:
    """Change cells of the table; the first row of scans is row 2."""
    frame = polars.read_csv(study / "manifest.csv", infer_schema=False)
    records = frame.to_dicts()
    records[row - 2] |= {key: None if value is None else str(value) for key, value in values.items()}
    polars.DataFrame(records, infer_schema_length=None).write_csv(study / "manifest.csv")


def test_what_is_imported_is_what_was_handed_in(cohort: Path, study: Path, tmp_path: Path) -> None:
    manifest = import_cohort(study, tmp_path / "packed")
    assert manifest.kind == "imported"
    assert manifest.simulated  # declared, and kept
    assert verify(tmp_path / "packed").fingerprint == manifest.fingerprint
    for part in PARTS:
        for split in SPLITS:
            original, packed = (open_split(f, part, split) for f in (cohort, tmp_path / "packed"))
            assert np.array_equal(packed.scans, original.scans)
            assert packed.patients == original.patients
            assert isinstance(packed.scans, np.memmap)
            if part == "paired":
                np.testing.assert_array_equal(
                    packed.measures(list(MEASURES)), original.measures(list(MEASURES))
                )
                np.testing.assert_allclose(packed.vertices, original.vertices, atol=1e-4)
                assert np.array_equal(split_faces(packed), split_faces(original))


def test_the_fingerprint_is_that_of_the_content(study: Path, tmp_path: Path) -> None:
    first = import_cohort(study, tmp_path / "a").fingerprint
    assert import_cohort(study, tmp_path / "b").fingerprint == first
    edit(study, 2, age_years=77)
    assert import_cohort(study, tmp_path / "c").fingerprint != first


def test_another_order_and_scale_come_out_the_same(study: Path, tmp_path: Path) -> None:
    plain = import_cohort(study, tmp_path / "plain")
    text = (study / "cohort.toml").read_text()
    head, *tables = text.split("[[scanner.channels]]")
    *channels, last = tables
    last, meshes = last.split("[meshes]")
    reordered = head + "".join(f"[[scanner.channels]]{t}" for t in (last, *channels)) + "[meshes]" + meshes
    reordered = reordered.replace("= 2000.0", "= 1000.0").replace("= 200.0", "= 50.0")
    (study / "cohort.toml").write_text(reordered)
    for path in (study / "scans").iterdir():
        values = np.load(path).astype(float)
        values = (values - 200.0) / 2.0 + 50.0
        np.save(path, np.rint(np.roll(values, 1, axis=-1)).astype(np.uint16))
    import_cohort(study, tmp_path / "other")
    assert read_manifest(tmp_path / "other").fingerprint != plain.fingerprint
    for split in SPLITS:
        one, other = (open_split(tmp_path / n, "paired", split).scans.astype(int) for n in ("plain", "other"))
        # Half the gain resolves two counts.
        assert np.abs(one - other).max() <= 1


def test_without_a_split_column_patients_are_divided(study: Path, tmp_path: Path) -> None:
    frame = polars.read_csv(study / "manifest.csv", infer_schema=False).drop("split")
    frame.write_csv(study / "manifest.csv")
    manifest = import_cohort(study, tmp_path / "packed")
    verify(tmp_path / "packed")
    assert {part: sum(r.scans for r in splits.values()) for part, splits in manifest.parts.items()} == {
        "pretraining": 16,
        "paired": 11,
    }


def test_parquet_and_the_original_lists_import_too(study: Path, tmp_path: Path) -> None:
    frame = polars.read_csv(study / "manifest.csv")
    frame.write_parquet(study / "manifest.parquet")
    (study / "manifest.csv").unlink()
    assert import_cohort(study, tmp_path / "parquet").parts["paired"]["test"].scans == 3
    (study / "manifest.parquet").unlink()
    scans = frame.filter(polars.col("part") == "pretraining")
    for name, split in (("train", "train"), ("val", "validation"), ("test", "test")):
        own = scans.filter(polars.col("split") == split)
        own.select(polars.col("path").alias("paths")).write_csv(study / f"{name}.csv")
    layout = read_layout(study)
    assert not layout.findings.defects
    assert any("leaks between splits cannot be found" in text for text in layout.assumptions)
    manifest = import_cohort(study, tmp_path / "lists")
    assert list(manifest.parts) == ["pretraining"]
    assert manifest.origin is not None
    assert manifest.origin.assumptions == layout.assumptions
    assert open_split(tmp_path / "lists", "pretraining", "validation").scan_ids == (
        scans.filter(polars.col("split") == "validation")["scan_id"].to_list()
    )


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


def test_values_beyond_14_bits_are_limited_and_counted(study: Path, tmp_path: Path) -> None:
    text = (study / "cohort.toml").read_text()
    (study / "cohort.toml").write_text(text.replace("bit_depth = 14", "bit_depth = 16"))
    table = polars.read_csv(study / "manifest.csv", infer_schema=False)
    first = study / table.filter(polars.col("split") == "test")["path"][0]
    values = np.load(first)
    before = int((values == 16383).sum())
    values[0, 0] = 20_000
    np.save(first, values)
    manifest = import_cohort(study, tmp_path / "packed")
    verify(tmp_path / "packed")
    assert manifest.parts["pretraining"]["test"].saturated_values == 6
    stored = open_split(tmp_path / "packed", "pretraining", "test").scans[0]
    assert int((stored == 16383).sum()) == before + 6


def test_links_do_not_lead_out(study: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.npy"
    first = next((study / "scans").iterdir())
    shutil.move(first, outside)
    first.symlink_to(outside)
    assert any("leaves the folder" in str(d) for d in read_layout(study).findings.defects)


def test_commands_import_validate_and_write_meshes(study: Path, tmp_path: Path) -> None:
    runner, packed = CliRunner(), str(tmp_path / "packed")
    assert "no defects" in runner.invoke(data, ["validate", str(study)]).output
    shown = runner.invoke(data, ["import", str(study), packed])
    assert shown.exit_code == 0, shown.output
    assert "paired 5 + 3 + 3 scans" in shown.output
    assert "as the manifest says" in runner.invoke(data, ["validate", packed]).output
    assert runner.invoke(data, ["meshes", packed, str(tmp_path / "ply"), "--split", "test"]).exit_code == 0
    opened = open_split(tmp_path / "packed", "paired", "test")
    for scan_id, vertices in zip(opened.scan_ids, opened.vertices, strict=True):
        read, faces = read_mesh(tmp_path / "ply" / f"{scan_id}.ply")
        np.testing.assert_array_equal(read, vertices)
        assert np.array_equal(faces, split_faces(opened))
    again = runner.invoke(data, ["import", str(study), packed])
    assert isinstance(again.exception, InputError)


def test_ids_that_are_no_file_names_write_no_mesh(study: Path, tmp_path: Path) -> None:
    row = polars.read_csv(study / "manifest.csv")["part"].to_list().index("paired") + 2
    edit(study, row, scan_id="../../evil")
    import_cohort(study, tmp_path / "packed")
    with pytest.raises(Exception, match="no file name"):
        list(write_meshes(open_split(tmp_path / "packed", "paired", "train"), tmp_path / "out"))


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


def test_scans_for_pretraining_need_no_measures(study: Path, tmp_path: Path) -> None:
    edit(study, 2, total_fat_kg=20.5)
    import_cohort(study, tmp_path / "packed")
    verify(tmp_path / "packed")
    values = open_split(tmp_path / "packed", "pretraining", "train").measures(["total_fat_kg"])
    assert np.isfinite(values).sum() == 1


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


def test_a_suite_runs_on_what_was_imported(study: Path, tmp_path: Path) -> None:
    manifest = import_cohort(study, tmp_path / "packed")
    domain, table = DxaDomain(), {"kind": "imported", "folder": str(tmp_path / "packed")}
    reference = domain.cohort(table, tmp_path / "cache")
    assert reference.fingerprint == manifest.fingerprint
    assert reference.simulated
    assert "Exported example" in reference.description
    sizes = domain.prepare(table, tmp_path / "cache", workers=1, progress=lambda *_: None)
    assert sizes["paired"]["test"].scans == 3
    divided = {**table, "split": 2}
    assert domain.cohort(divided, tmp_path / "cache").fingerprint != manifest.fingerprint
    again = domain.prepare(divided, tmp_path / "cache", workers=1, progress=lambda *_: None)
    assert {k: v.scans for k, v in again["paired"].items()} == {
        k: v.scans for k, v in sizes["paired"].items()
    }
    new = open_split(domain.cohort(divided, tmp_path / "cache").folder, "paired", "test")
    everyone = {
        scan: (s, n)
        for s in SPLITS
        for n, scan in enumerate(open_split(tmp_path / "packed", "paired", s).scan_ids)
    }
    for number, scan_id in enumerate(new.scan_ids):
        split, place = everyone[scan_id]
        old = open_split(tmp_path / "packed", "paired", split)
        assert np.array_equal(new.scans[number], old.scans[place])
        assert new.subjects.row(number) == old.subjects.row(place)
    for bad in ({"kind": "imported"}, {**table, "seed": 1}, {**table, "folder": str(tmp_path / "no")}):
        with pytest.raises(InputError):
            domain.cohort(bad, tmp_path / "cache")


def test_a_calibration_travels_with_the_cohort_and_changes_its_fingerprint(
    study: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "packed"
    plain = import_cohort(study, packed)
    assert open_split(packed, "paired", "train").calibration is None
    fitted = tmp_path / "fitted.json"
    write_calibration(dataclasses.replace(committed_calibration(), source="here"), fitted)
    assert CliRunner().invoke(data, ["calibrate", str(packed), str(fitted)]).exit_code == 0
    calibrated = verify(packed)
    assert calibrated.fingerprint != plain.fingerprint
    assert attach_calibration(packed, fitted).fingerprint == calibrated.fingerprint
    path = open_split(packed, "paired", "train").calibration
    assert path is not None
    assert read_calibration(path).source == "here"
    divide_cohort(packed, tmp_path / "divided", split=1, fingerprint="a" * 64)
    assert verify(tmp_path / "divided").calibration == calibrated.calibration
    path.write_text("{}")
    with pytest.raises(DataError, match="altered"):
        verify(packed)
    path.unlink()
    with pytest.raises(DataError, match="agree"):
        verify(packed)


def test_real_scans_take_no_calibration_on_simulated_ones(study: Path, cohort: Path, tmp_path: Path) -> None:
    declaration = (study / "cohort.toml").read_text()
    (study / "cohort.toml").write_text(declaration.replace("simulated = true", "simulated = false"))
    import_cohort(study, tmp_path / "packed")
    fitted = tmp_path / "fitted.json"
    write_calibration(committed_calibration(), fitted)
    with pytest.raises(InputError, match="not calibrated"):
        attach_calibration(tmp_path / "packed", fitted)
    with pytest.raises(InputError, match="is simulated"):
        attach_calibration(cohort, fitted)
    assert verify(tmp_path / "packed").calibration is None


def test_dividing_equals_simulating_in_that_division(
    specification: CohortSpecification, cohort: Path, tmp_path: Path
) -> None:
    divided = specification.model_copy(update={"split": 3})
    build_cohort(divided, tmp_path / "slow", workers=1)
    manifest = divide_cohort(cohort, tmp_path / "fast", split=3, fingerprint=divided.fingerprint())
    assert verify(tmp_path / "fast").fingerprint == divided.fingerprint()
    assert manifest.specification == divided
    for part in PARTS:
        for split in SPLITS:
            slow, fast = (open_split(tmp_path / name, part, split) for name in ("slow", "fast"))
            assert np.array_equal(slow.scans, fast.scans)
            assert slow.subjects.equals(fast.subjects)


def test_names_of_measures_are_plausible_by_their_unit() -> None:
    from registry.dxa.cohort.layout import _plausible  # noqa: PLC0415

    for name in MEASURES:
        low, high = _plausible(name)
        assert 0 < low < high
    assert len(CHANNELS) == 6
    assert len(ANTHROPOMETRY) == 15


def test_another_division_of_a_simulated_cohort_is_not_simulated_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"train": 3, "validation": 1, "test": 1}
    table = {"seed": 4, "pretraining": counts, "paired": counts}
    domain = DxaDomain()

    def prepare(split: int) -> Path:
        declared = {**table, "split": split}
        domain.prepare(declared, tmp_path, workers=1, progress=lambda *_: None)
        reference = domain.cohort(declared, tmp_path)
        assert ("divided anew" in reference.description) == (split > 0)
        return reference.folder

    first = prepare(0)
    assert domain.cohort(table, tmp_path).folder == first
    monkeypatch.setattr("registry.dxa.cohort.build.simulate_patient", None)
    second = prepare(2)
    assert second != first
    everyone = [
        sorted(scan for split in SPLITS for scan in open_split(folder, "paired", split).scan_ids)
        for folder in (first, second)
    ]
    assert everyone[0] == everyone[1]
    assert prepare(2) == second
