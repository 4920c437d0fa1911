import json

import numpy as np
import pytest

from registry.contracts import InputError
from registry.dxa.bodycomp import MEASURES, BuiltInAnalyser, committed_calibration, read_calibration, subjects
from registry.dxa.bodycomp.calibrating import calibrate_on_known, committed_is_current
from registry.dxa.bodycomp.calibration import fit_calibration, write_calibration
from registry.dxa.cohort.specification import CohortSpecification
from registry.dxa.cohort.splits import plan_cohort


def test_lines_are_those_of_an_independent_fit():
    generator = np.random.default_rng(0)
    raw = generator.uniform(1, 5, (30, 13))
    known = (
        raw * generator.uniform(0.5, 2, 13) + generator.normal(size=13) + generator.normal(0, 0.1, raw.shape)
    )
    fitted = fit_calibration(raw, known, source="test", simulated=False, fingerprint="")
    for column, name in enumerate(MEASURES):
        slope, intercept = np.polyfit(raw[:, column], known[:, column], 1)
        assert fitted.slopes[name] == pytest.approx(slope)
        assert fitted.intercepts[name] == pytest.approx(intercept)


def test_a_measure_depends_on_itself_alone():
    calibration = committed_calibration()
    base = dict.fromkeys(MEASURES, 1.0)
    for name in MEASURES:
        moved = calibration.apply({**base, name: 2.0})
        changed = {key for key, value in calibration.apply(base).items() if moved[key] != value}
        assert changed == {name}


def test_the_committed_calibration_belongs_to_todays_subjects_and_analyser():
    assert committed_is_current(), "the simulation or the analyser changed: run `harness bodycomp calibrate`"
    assert committed_calibration().simulated


def test_reserved_subjects_are_in_no_cohort_and_in_no_other_study():
    numbers = {
        purpose: {planned.number for planned in subjects.plan_subjects(purpose, 500)}
        for purpose in subjects.FIRST_NUMBER
    }
    everyone = set.union(*numbers.values())
    assert len(everyone) == 500 * len(subjects.FIRST_NUMBER)
    part = {"scans": 5000}
    cohort = CohortSpecification.read(
        {"seed": subjects.RESERVED_SEED, "pretraining": part, "paired": part}, "test"
    )
    planned = {
        p.number for splits in plan_cohort(cohort).values() for patients in splits.values() for p in patients
    }
    assert not planned & everyone


def test_a_calibration_survives_its_file(tmp_path):
    path = tmp_path / "calibration.json"
    write_calibration(committed_calibration(), path)
    assert read_calibration(path) == committed_calibration()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda r: r.pop("slopes"), "slopes"),
        (lambda r: r["slopes"].pop("arm_fat_kg"), "slopes.arm_fat_kg"),
        (lambda r: r["intercepts"].update(leg_bmc_kg="much"), "intercepts.leg_bmc_kg"),
        (lambda r: r.update(schema_version=99), "schema_version"),
        (lambda r: r.pop("fingerprint"), "fingerprint"),
    ],
)
def test_damaged_calibrations_are_refused_by_name(tmp_path, change, what):
    path = tmp_path / "calibration.json"
    write_calibration(committed_calibration(), path)
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=what):
        read_calibration(path)


def test_missing_and_broken_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_calibration(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        read_calibration(tmp_path / "broken.json")


def test_too_few_or_equal_subjects_do_not_calibrate():
    raw = np.arange(5 * 13.0).reshape(5, 13)
    with pytest.raises(InputError, match="too few"):
        fit_calibration(raw, raw, source="", simulated=False, fingerprint="")
    raw = np.ones((20, 13))
    with pytest.raises(InputError, match="same for every subject"):
        fit_calibration(raw, raw, source="", simulated=False, fingerprint="")


def test_scans_of_a_real_scanner_are_refused_until_calibrated(visits, codes):
    ids = [str(number) for number in range(len(codes))]
    for calibration in (None, committed_calibration()):
        with pytest.raises(InputError, match=r"not calibrated.*calibrate --cohort"):
            BuiltInAnalyser(calibration).measure(ids, codes, simulated=False)
    repeated = np.concatenate([codes[:2]] * 5)
    known = np.concatenate([[[visit.measures[name] for name in MEASURES] for visit in visits[:2]]] * 5)
    fitted = calibrate_on_known(repeated, known, source="a phantom study", simulated=False)
    table = BuiltInAnalyser(fitted).measure(ids[:2], codes[:2], simulated=False)
    assert not table.simulated
    np.testing.assert_allclose(table.values, known[:2], rtol=1e-6)


def test_tables_of_simulated_scans_are_marked(codes):
    table = BuiltInAnalyser().measure(["a"], codes[:1], simulated=True)
    frame = table.frame()
    assert frame["simulated"].to_list() == [True]
    assert frame.columns[-13:] == list(MEASURES)
    with pytest.raises(InputError, match="scan ids repeat: a"):
        BuiltInAnalyser().measure(["a", "a"], codes[:2], simulated=True)
