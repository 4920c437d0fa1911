"""Real data's way in: packing, original lists, another scale, a calibration that comes along."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars
import pytest
from click.testing import CliRunner

from registry.contracts import DataError, InputError
from registry.dxa.bodycomp import committed_calibration, read_calibration
from registry.dxa.bodycomp.calibration import write_calibration
from registry.dxa.cohort.commands import data
from registry.dxa.cohort.dividing import divide_cohort
from registry.dxa.cohort.importing import attach_calibration, import_cohort
from registry.dxa.cohort.inspection import verify
from registry.dxa.cohort.layout import read_layout
from registry.dxa.cohort.measures import MEASURES
from registry.dxa.cohort.meshes import read_mesh, write_meshes
from registry.dxa.cohort.specification import PARTS, SPLITS
from registry.dxa.cohort.store import open_split, read_manifest, split_faces
from registry.dxa.domain import DxaDomain
from tests.registry.dxa.cohort.real_data import edit


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


def test_scans_for_pretraining_need_no_measures(study: Path, tmp_path: Path) -> None:
    edit(study, 2, total_fat_kg=20.5)
    import_cohort(study, tmp_path / "packed")
    verify(tmp_path / "packed")
    values = open_split(tmp_path / "packed", "pretraining", "train").measures(["total_fat_kg"])
    assert np.isfinite(values).sum() == 1


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
