import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import r2_score

from registry.contracts import InputError
from registry.dxa.bodycomp import MEASURES, subjects, tables
from registry.dxa.bodycomp.accuracy import (
    _MEASURE,
    GROUPS,
    LIMITS,
    Accuracy,
    AccuracyStudy,
    accuracy_study,
    agreement,
    noise_cv_percent,
)
from registry.dxa.bodycomp.calibration import committed_calibration
from registry.dxa.bodycomp.precision import committed_precision_is_current, precision, precision_study


def test_precision_of_a_worked_example():
    # Three subjects measured twice: SD_i = |difference| / sqrt 2.
    found = precision([1.00, 1.02, 1.20, 1.16, 0.90, 0.90], ["a", "a", "b", "b", "c", "c"], "bmd")
    rms_sd = np.sqrt((0.02**2 / 2 + 0.04**2 / 2 + 0.0) / 3)
    assert found.rms_sd == pytest.approx(rms_sd)
    assert found.lsc == pytest.approx(2.77 * rms_sd)
    cv = np.sqrt(((0.02**2 / 2) / 1.01**2 + (0.04**2 / 2) / 1.18**2) / 3)
    assert found.rms_cv_percent == pytest.approx(100 * cv)
    assert (found.subjects, found.degrees_of_freedom) == (3, 3)


def test_precision_recovers_the_scatter_that_was_put_in():
    generator = np.random.default_rng(0)
    keys = np.repeat(np.arange(2000), 3)
    found = precision(
        50.0 + 5 * generator.normal(size=2000)[keys] + generator.normal(0, 0.7, len(keys)), keys
    )
    assert found.rms_sd == pytest.approx(0.7, rel=0.04)
    assert found.degrees_of_freedom == 4000


def test_precision_needs_repeats():
    with pytest.raises(InputError, match="two scans"):
        precision([1.0, 2.0, np.nan], ["a", "b", "b"])


def test_the_committed_precision_belongs_to_todays_subjects_and_analyser(monkeypatch):
    mend = "the simulation or the analyser changed: run `harness bodycomp study --keep-precision`"
    assert committed_precision_is_current(), mend
    monkeypatch.setattr(subjects, "ANALYSER_VERSION", subjects.ANALYSER_VERSION + 1)
    assert not committed_precision_is_current()


def test_agreement_matches_a_second_library():
    generator = np.random.default_rng(0)
    true = generator.normal(20, 5, 50)
    measured = 1.1 * true - 1 + generator.normal(0, 1, 50)
    found = agreement(np.append(measured, np.nan), np.append(true, 3.0), "m", "c", "g")
    assert found.subjects == 50
    assert found.r2 == pytest.approx(r2_score(true, measured))
    assert found.r2_pearson == pytest.approx(np.corrcoef(true, measured)[0, 1] ** 2)
    assert found.rmse**2 == pytest.approx(found.bias**2 + (measured - true).var())


def test_noise_alone_stays_below_its_targets():
    found = noise_cv_percent(count=2, repeats=6)
    limits = {"total_mass_kg": 0.1, "total_lean_kg": 0.3, "total_bmc_kg": 0.5, "total_fat_kg": 1.0}
    for name, limit in limits.items():
        assert 0.0 < found[name] < limit


def test_taking_causes_of_error_away_leaves_noise_alone(visits):
    true = np.array([visit.measures["arm_fat_kg"] for visit in visits])
    found = {
        name: np.array([_MEASURE[name](visit, committed_calibration())["arm_fat_kg"] for visit in visits])
        for name in LIMITS
    }
    error = {name: float(np.abs(values - true).max()) for name, values in found.items()}
    # Noise averages out over an arm; what the estimate under bone and the cut do wrong does not.
    assert error["noise_only"] < 0.02 * true.max()
    assert error["noise_only"] < 0.2 * min(error["fat_known"], error["maps_only"], error["noise_free"])


def test_causes_stand_in_a_row_for_every_measure_of_the_arms_and_group():
    rows = tuple(
        Accuracy(name, condition, group, 9, 0.5, 0.8, 0.1, 0.0, 1.0)
        for name in MEASURES
        for condition in LIMITS
        for group in GROUPS
    )
    text = tables.causes_markdown(AccuracyStudy(rows, (), 0))
    assert "| Arm fat mass | men | 0.800 | 0.800 | 0.800 | 0.800 | 0.800 |" in text
    assert text.count("\n") == 2 + 4 * 4


@pytest.mark.slow
def test_accuracy_meets_its_targets():
    study = accuracy_study(120)
    assert study.not_analysable == 0
    for name in MEASURES:
        oracle = study.row(name, "oracle")
        assert oracle.rmse_percent < 0.2, name
        assert oracle.r2 > 0.999, name
    blind_limits = {"mass": 0.3, "fat": 6.0, "lean": 3.0, "bmc": 4.0, "bmd": 2.0}
    least = {"total": 0.98, "leg": 0.96, "arm": 0.85}
    for name in MEASURES:
        if name.startswith("total"):
            assert study.row(name, "blind").rmse_percent < blind_limits[name.split("_")[1]], name
        for group in ("all ages", "men", "women"):
            assert study.row(name, "calibrated", group).r2 > least[name.split("_")[0]], (name, group)
    for name in ("arm_fat_kg", "arm_lean_kg"):
        assert study.row(name, "calibrated").r2 > 0.90, name
    assert "| Total fat mass | kg |" in tables.accuracy_markdown(study)
    assert tables.limits_markdown(study).count("\n") == 2 + 8
    assert "leg left" in tables.regions_markdown(study)


@pytest.mark.slow
def test_precision_is_that_of_a_scanner():
    found = {row.measure: row for row in precision_study(12, 2)}
    assert found["total_mass_kg"].rms_cv_percent < 0.3
    assert found["total_fat_kg"].rms_cv_percent < 3.0
    assert found["total_bmc_kg"].rms_cv_percent < 2.0
    assert found["leg_lean_kg"].rms_cv_percent < 2.7
    assert found["leg_fat_kg"].rms_cv_percent < 5.0
    assert tables.precision_markdown(found.values()).count("\n") == 2 + 13


def test_commands_import_nothing_heavy():
    code = (
        "import sys, registry.dxa.bodycomp.commands; "
        "print([m for m in ('numba', 'scipy', 'skimage', 'polars', 'torch', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
