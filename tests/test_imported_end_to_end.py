"""A run on imported data, from a folder of scans to the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from registry.dxa.cohort.build import build_cohort
from registry.dxa.cohort.manifest import read_manifest
from registry.dxa.cohort.specification import CohortSpecification
from tests.registry.dxa.cohort.real_data import write_layout
from tests.registry.dxa.cohort.test_grids import refine
from tests.test_end_to_end import harness

SUITE = """
schema = 1
name = "real"
title = "Imported data"
domain = "dxa"
strategies = ["random_init", "nodxa_vae"]
tasks = ["anthropometry", "reconstruction"]
[cohort]
kind = "imported"
folder = "packed"
[seeds]
draws = 1
pretraining = [0]
tuning = 100
final = [0]
[budget]
draws = 1
[resources]
cpus = 1
gpus = 0
threads = 1
[settings]
scan_reduction = 4
pretraining_steps = 4
pretraining_batch_size = 4
finetuning_epochs = 1
finetuning_batch_size = 4
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", ["150 x 109", "300 x 109"])
def test_a_suite_runs_on_imported_scans_and_says_that_they_are_real(tmp_path: Path, size: str) -> None:
    counts = {"train": 12, "validation": 4, "test": 4}
    specification = CohortSpecification.read({"seed": 4, "pretraining": counts, "paired": counts}, "test")
    build_cohort(specification, tmp_path / "made", workers=1)
    study = write_layout(tmp_path / "made", tmp_path / "study")
    if size != "150 x 109":
        refine(study)
    declaration = (study / "cohort.toml").read_text()
    (study / "cohort.toml").write_text(declaration.replace("simulated = true", "simulated = false"))
    (tmp_path / "real.toml").write_text(SUITE)
    assert harness("data", "import", "study", "packed", cwd=tmp_path).returncode == 0
    early = harness("run-all", "--suite", "real.toml", "--cache", "cache", "--output", "run", cwd=tmp_path)
    assert early.returncode == 2
    assert "task 'reconstruction': these scans are not simulated, and the analyser is not" in early.stderr
    assert not (tmp_path / "run").exists()
    for command in (
        ("bodycomp", "calibrate", "--cohort", "packed", "--output", "calibration.json"),
        ("data", "calibrate", "packed", "calibration.json"),
        ("data", "validate", "packed"),
    ):
        done = harness(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr + done.stdout
    manifest = read_manifest(tmp_path / "packed")
    assert manifest.calibration is not None
    arguments = (
        "run-all",
        "--suite",
        "real.toml",
        "--executor",
        "inline",
        "--cache",
        "cache",
        "--output",
        "run",
    )
    done = harness(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"]["state"] == "complete"
    assert record["cohort"]["simulated"] is False
    assert record["cohort"]["fingerprint"] == manifest.fingerprint
    assert "SIMULATED" not in done.stdout.upper()
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Exported example" in page
    assert json.loads((tmp_path / "run" / "report.json").read_text())["simulated"] is False
    # Nothing of the run was written into the cohort.
    assert {path.name for path in (tmp_path / "packed").iterdir()} == {
        "cohort.json",
        "calibration.json",
        "pretraining",
        "paired",
    }
