"""The paper's way as a user goes it: run, export, measure elsewhere, import, report.

What measures elsewhere is the built-in analyser behind a known straight line, so that what the report's rows
have to say follows from the rows of the built-in analyser.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.dxa.bodycomp import MEASURES, analyse, committed_calibration
from registry.dxa.bodycomp.worksheet import LARGEST
from registry.dxa.cohort.measures import COMPOSITION
from tests.registry.dxa.worksheets import rows_of, write
from tests.test_end_to_end import harness

SLOPE, OFFSET = 1.05, 0.4


def measure_elsewhere(folder: Path, back: Path) -> int:
    """Fill in the worksheet; returns how many scans could not be measured."""
    rows = rows_of(folder / "worksheet.csv")
    scans = np.stack([np.load(folder / row["file"], allow_pickle=False) for row in rows])
    measures = analyse(scans, calibration=committed_calibration()).measures
    # Models that have learned for a few steps draw arms of less than nothing, and bones of lead: what no
    # import takes, and no software says.
    values = np.clip(OFFSET + SLOPE * measures, 0.0, [LARGEST[measure.quantity] for measure in COMPOSITION])
    for row, measured in zip(rows, values, strict=True):
        if np.isfinite(measured).all():
            row |= {name: repr(float(value)) for name, value in zip(MEASURES, measured, strict=True)}
    write(back, rows)
    return int(np.isnan(values).all(axis=1).sum())


def cells(run: Path, key: str, statistic: str) -> dict[str, dict[str, Any]]:
    """Measure to column to value, of one table of the reconstruction task in the report's twin."""
    twin = json.loads((run / "report.json").read_text())
    comparison = next(one for one in twin["comparisons"] if one["task"] == "reconstruction")
    table = next(one for one in comparison["tables"] if one["key"] == key)
    lines = next(one for one in table["statistics"] if one["name"] == statistic)["lines"]
    return {
        line["key"].rpartition(".")[2]: {
            column: cell["value"] for column, cell in line["cells"].items() if cell is not None
        }
        for line in lines
    }


@pytest.mark.slow
def test_measurements_of_other_software_stand_in_the_report(tmp_path: Path) -> None:
    run, folder = tmp_path / "run", tmp_path / "for the clinic"
    common = ("--suite", "smoke", "--tasks", "reconstruction", "--cache", str(tmp_path / "cache"))
    made = harness(
        "run-all", *common, "--output", str(run), "--keep-models", "--executor", "inline", cwd=tmp_path
    )
    assert made.returncode == 0, made.stderr
    before = json.loads((run / "run.json").read_text())["provenance"]
    exported = harness("bodycomp", "export", str(folder), "--run", str(run), cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    failed = measure_elsewhere(folder, tmp_path / "back.csv")
    assert failed == 0, "rows of the two analysers would hold other scans"
    software = ("--run", str(run), "--software", "Straight Line 2.0")
    imported = harness("bodycomp", "import", str(tmp_path / "back.csv"), *software, cwd=tmp_path)
    assert imported.returncode == 0, imported.stderr
    reported = harness("report", str(run), cwd=tmp_path)
    assert reported.returncode == 0, reported.stderr
    page = (run / "report.html").read_text()
    assert "Body composition from reconstructed scans, measured by Straight Line 2.0" in page
    assert "opened" in page
    after = json.loads((run / "run.json").read_text())["provenance"]
    assert after["test_openings"] == before["test_openings"] + 1
    prefix = "measured.straight-line-2-0."
    arms = ("arm:nodxa_vae", "arm:dxa_vae")
    own = {name: cells(run, "composition", name) for name in ("bias", "rmse", "slope")}
    theirs = {name: cells(run, f"{prefix}composition", name) for name in own}
    # What is handed over has whole counts, the run's own scans have not: total mass hardly notices.
    for arm in arms:
        for name, factor in (("bias", SLOPE), ("rmse", SLOPE), ("slope", 1.0)):
            expected = factor * own[name]["total_mass_kg"][arm]
            assert theirs[name]["total_mass_kg"][arm] == pytest.approx(expected, rel=0.02, abs=0.02), name
    # against the truth, the line itself is seen: a right measure is shifted by offset and slope
    known, seen = (cells(run, f"{one}true_composition", "bias")["total_mass_kg"] for one in ("", prefix))
    slopes = (cells(run, f"{one}true_composition", "slope")["total_mass_kg"] for one in ("", prefix))
    for arm in arms:
        assert seen[arm] - known[arm] > OFFSET
    first, second = slopes
    assert all(second[arm] == pytest.approx(SLOPE * first[arm], rel=0.02, abs=0.02) for arm in arms)
