"""The commands on a cohort's folder, as a user has it."""

import csv

import numpy as np
import pytest
from click.testing import CliRunner

from registry.dxa.bodycomp import MEASURES, read_calibration
from registry.dxa.bodycomp.commands import bodycomp
from registry.dxa.cohort.build import build_cohort
from registry.dxa.cohort.specification import CohortSpecification
from registry.dxa.cohort.store import open_split

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    declaration = {
        "seed": 12,
        "pretraining": {"train": 1, "validation": 1, "test": 1},
        "paired": {"train": 12, "validation": 2, "test": 3},
    }
    folder = tmp_path_factory.mktemp("cohorts") / "cohort"
    build_cohort(CohortSpecification.read(declaration, "test"), folder, workers=1)
    return folder


def invoke(*arguments):
    result = CliRunner().invoke(bodycomp, [str(one) for one in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_a_calibration_is_fitted_to_a_cohorts_train_scans(cohort, tmp_path):
    output = invoke("calibrate", "--cohort", cohort, "--output", tmp_path / "own.json")
    assert "fitted to 12 of 12 scans" in output
    fitted = read_calibration(tmp_path / "own.json")
    assert fitted.simulated
    assert "paired/train" in fitted.source
    # the analyser is nearly right before any calibration
    assert fitted.slopes["total_mass_kg"] == pytest.approx(1.0, abs=0.01)
    assert fitted.slopes["total_lean_kg"] == pytest.approx(1.0, abs=0.15)


def test_scans_go_out_blinded_and_come_back_measured(cohort, tmp_path):
    folder = tmp_path / "export"
    invoke("export", folder, "--cohort", cohort)
    with (tmp_path / "export-key.csv").open() as stream:
        key = {row["blinded_id"]: row["scan_id"] for row in csv.DictReader(stream)}
    split = open_split(cohort, "paired", "test")
    assert sorted(key.values()) == sorted(split.scan_ids)
    files = sorted((folder / "scans").glob("*.npy"))
    for path in files:
        np.testing.assert_array_equal(np.load(path), split.scans[split.scan_ids.index(key[path.stem])])
    # the built-in analyser stands in for the other software
    invoke(
        "analyse", *files, "--simulated", "--output", tmp_path / "measured.csv", "--plot", tmp_path / "png"
    )
    assert len(list((tmp_path / "png").glob("*.png"))) == 3
    with (tmp_path / "measured.csv").open() as stream:
        measured = {row["scan_id"]: row for row in csv.DictReader(stream)}
    with (folder / "worksheet.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row.update({name: measured[row["blinded_id"]][name] for name in MEASURES})
    with (tmp_path / "back.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    arguments = ("--key", tmp_path / "export-key.csv", "--output", tmp_path / "joined.csv")
    assert "of which 0 could not be measured" in invoke("import", tmp_path / "back.csv", *arguments)
    with (tmp_path / "joined.csv").open() as stream:
        joined = {row["scan_id"]: float(row["total_mass_kg"]) for row in csv.DictReader(stream)}
    true = dict(zip(split.scan_ids, split.measures(["total_mass_kg"])[:, 0], strict=True))
    assert joined == pytest.approx(true, rel=0.02)
    # the same scans under the ids that the cohort knows them by
    invoke("analyse", "--cohort", cohort, "--output", tmp_path / "built-in.parquet")
    told = invoke("compare", tmp_path / "built-in.parquet", tmp_path / "joined.csv")
    assert "SIMULATED" in told
    assert "3 scans" in told
    known = invoke("compare", cohort, tmp_path / "built-in.parquet")
    assert "3 scans, built-in against known values as reference" in known
    assert "0.000" in next(line for line in told.splitlines() if line.startswith("total_mass_kg"))
