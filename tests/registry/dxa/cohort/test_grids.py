"""Scans of another size: imported, learned from, analysed, shown; the same body weighs the same."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from registry.catalog import Catalogue
from registry.contracts import InputError
from registry.dxa.bodycomp import MEASURES, analyse
from registry.dxa.bodycomp.calibrating import calibrate_on_known
from registry.dxa.bodycomp.commands import bodycomp
from registry.dxa.cohort.commands import data
from registry.dxa.cohort.defects import Findings
from registry.dxa.cohort.dividing import divide_cohort
from registry.dxa.cohort.importing import import_cohort
from registry.dxa.cohort.inspection import inspect_cohort, verify
from registry.dxa.cohort.layout import read_layout
from registry.dxa.cohort.page import write_page
from registry.dxa.cohort.specification import PARTS, SPLITS
from registry.dxa.cohort.store import open_split
from registry.dxa.imaging import GRID, Grid
from registry.dxa.models.architecture import Architecture
from registry.dxa.predict.files import FileSplit
from registry.dxa.settings import DxaSettings
from registry.dxa.tasks.composition import measure_scans
from registry.dxa.training.scans import load_scans
from tests.registry.dxa.cohort.real_data import write_layout
from tests.registry.dxa.stand_in import context_for

# Every row twice, and half as far apart: the same areal densities on the same area.
FINE = Grid(300, 109, 0.65, 0.596)


def refine(study: Path) -> Path:
    """Let the scans of a layout have twice the rows."""
    for path in (study / "scans").iterdir():
        np.save(path, np.repeat(np.load(path), 2, axis=0))
    text = (study / "cohort.toml").read_text()
    text = text.replace("rows = 150", "rows = 300").replace("row_spacing_cm = 1.30", "row_spacing_cm = 0.65")
    (study / "cohort.toml").write_text(text)
    return study


@pytest.fixture(scope="module")
def packed(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fine")
    import_cohort(refine(write_layout(cohort, folder / "study")), folder / "packed")
    return folder / "packed"


def test_a_cohort_has_the_pixels_that_were_declared(packed: Path, cohort: Path, tmp_path: Path) -> None:
    manifest = verify(packed)
    assert manifest.grid == FINE
    divide_cohort(packed, tmp_path / "divided", split=1, fingerprint="b" * 64)
    assert verify(tmp_path / "divided").grid == FINE
    for part in PARTS:
        for split in SPLITS:
            fine, plain = (open_split(folder, part, split) for folder in (packed, cohort))
            assert (fine.grid, plain.grid) == (FINE, GRID)
            assert fine.scans.shape[1:] == (300, 109, 6)
            assert np.array_equal(fine.scans[:, ::2], plain.scans)
            # Pairs of rows average to what one row was.
            assert load_scans(fine, 2).shape[1:] == (6, 150, 55)


def test_a_lost_manifest_is_the_only_defect(packed: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(packed, tmp_path / "copy"))
    (copy / "cohort.json").unlink()
    findings = Findings()
    assert inspect_cohort(copy, findings) is None
    assert [defect.file for defect in findings.defects] == ["cohort.json"]


def test_the_same_body_weighs_the_same_on_other_pixels(packed: Path, cohort: Path) -> None:
    fine, plain = (open_split(folder, "paired", "train") for folder in (packed, cohort))
    mass = MEASURES.index("total_mass_kg")
    one = analyse(plain.scans[:2], grid=GRID).measures[:, mass]
    other = analyse(fine.scans[:2], grid=fine.grid).measures[:, mass]
    np.testing.assert_allclose(other, one, rtol=1e-3)
    raw = DxaSettings(scan_reduction=1, composition_calibration="raw")
    assert measure_scans(load_scans(fine, 1)[:1], raw, fine)[0, mass] == pytest.approx(other[0], rel=1e-6)


def test_the_packages_calibration_is_for_its_own_pixels(packed: Path) -> None:
    split = open_split(packed, "paired", "train")
    with pytest.raises(InputError, match=r"150 x 109 pixels .* have 300 x 109") as caught:
        measure_scans(load_scans(split, 6)[:1], DxaSettings(scan_reduction=6), split)
    assert "raw" in caught.value.mend
    known = np.tile(split.measures(MEASURES)[:1], (10, 1)) + np.arange(10)[:, None]
    scans = np.repeat(split.scans[:1], 10, axis=0)
    with pytest.raises(InputError, match="shape"):
        calibrate_on_known(scans, known, source="here", simulated=True)


def test_networks_are_as_large_as_the_scans(packed: Path) -> None:
    scans = load_scans(open_split(packed, "pretraining", "train"), 6)
    architecture = Architecture.for_scans(DxaSettings(scan_reduction=6), scans)
    assert (architecture.height, architecture.width) == (50, 19)


@pytest.mark.slow
def test_strategies_and_tasks_learn_from_them(packed: Path, tmp_path: Path) -> None:
    catalogue = Catalogue.built_in()

    def context(what: Any, name: str) -> Any:
        return context_for(
            what,
            tmp_path / name,
            settings={"analysed_scans": 2, "composition_calibration": "raw", "pretraining_steps": 2},
            opener=lambda part, split: open_split(packed, part, split),
        )

    for name in ("pretraining", "reconstruction", "pseudo_dxa", "anthropometry"):
        (tmp_path / name).mkdir()
    strategy = catalogue.strategy("nodxa_vae")
    artifact = strategy.pretrain(context(strategy, "pretraining"))
    architecture = Architecture.of(artifact)
    assert (architecture.height, architecture.width) == (50, 19)
    for name in ("reconstruction", "pseudo_dxa"):
        task = catalogue.task(name)
        own = context(task, name)
        model = task.fit(own, artifact)
        test = open_split(packed, "paired", "test")
        predictions = task.predict(own, model, test)
        assert np.isfinite(predictions.targets["total_mass_kg"]).any()
        (exhibit, *_) = task.exhibits(own, model, test)
        assert exhibit.pixel_aspect == pytest.approx(0.65 / 0.596)
        assert Grid(**task.keep(own, model).metadata["grid"]) == FINE
    task = catalogue.task("anthropometry")
    own = context(task, "anthropometry")
    assert Grid(**task.keep(own, task.fit(own, artifact)).metadata["grid"]) == FINE


def test_files_are_read_on_the_pixels_of_training(packed: Path, tmp_path: Path) -> None:
    scan = open_split(packed, "paired", "test").scans[0]
    np.save(tmp_path / "a.npy", scan)
    assert FileSplit([tmp_path / "a.npy"], simulated=True, grid=FINE).scans.shape == (1, 300, 109, 6)
    with pytest.raises(InputError, match=r"shape \(300, 109, 6\)"):
        _ = FileSplit([tmp_path / "a.npy"], simulated=True).scans


def test_the_published_generator_says_what_does_not_fit(packed: Path) -> None:
    settings = DxaSettings(scan_reduction=1, generator="published", latent_size=10_240)
    scans = load_scans(open_split(packed, "paired", "test"), 1)
    with pytest.raises(InputError, match=r"300 x 109 pixels: latent_size 10272 .* map of 10 x 4"):
        Architecture.for_scans(settings.model_copy(update={"latent_size": 10_272}), scans)
    assert Architecture.for_scans(settings, scans).height == 300


def test_pages_and_exports_have_their_proportions(packed: Path, tmp_path: Path) -> None:
    write_page(packed, tmp_path / "page.html", examples=1)
    page = (tmp_path / "page.html").read_text()
    height = re.search(r"figure\.large img { width: 176px; height: (\d+)px", page)
    assert height is not None
    assert int(height[1]) == round(176 * 195 / 64.964)
    done = CliRunner().invoke(bodycomp, ["export", str(tmp_path / "out"), "--cohort", str(packed)])
    assert done.exit_code == 0, done.output
    readme = (tmp_path / "out" / "README.txt").read_text()
    assert "(300, 109, 6)" in readme
    assert "0.65 cm along" in readme


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("rows = 150", "rows = 8"), "scanner.rows"),
        (("columns = 109", "columns = 90000"), "scanner.columns"),
        (("rows = 150", "rows = 140"), "150 x 109 pixels, 140 x 109 are declared"),
    ],
)
def test_sizes_that_cannot_be_are_defects(
    cohort: Path, tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    study = write_layout(cohort, tmp_path / "study")
    text = (study / "cohort.toml").read_text()
    (study / "cohort.toml").write_text(text.replace(*change))
    assert any(words in str(defect) for defect in read_layout(study).findings.defects)
    assert CliRunner().invoke(data, ["validate", str(study)]).exit_code != 0
