from dataclasses import replace

import numpy as np
import pytest

from registry.contracts import DataError, InputError
from registry.dxa.bodycomp.calibration import committed_calibration, write_calibration
from registry.dxa.settings import DxaSettings
from registry.dxa.tasks import composition
from registry.dxa.tasks.composition import (
    CLOSURE,
    MEASURES,
    TRUE,
    chosen_scans,
    closure_kg,
    judge,
    measure_scans,
    to_scanner_grid,
    without_measures,
)
from registry.dxa.tasks.generated import exhibits
from registry.dxa.tasks.pseudo_dxa import PseudoDxa
from registry.dxa.tasks.reconstruction import Reconstruction
from registry.dxa.training.scans import load_scans, reduce_scan
from tests.registry.dxa.stand_in import context_for, open_split


@pytest.fixture(scope="module")
def real():
    return load_scans(open_split("pretraining", "test"), 6)


def judged(tmp_path, real, generated, **settings):
    context = context_for(Reconstruction(), tmp_path, settings=settings)
    return judge(context, open_split("pretraining", "test"), real, generated, part="pretraining")


def test_a_perfect_reconstruction_has_the_real_composition(tmp_path, real):
    found = judged(tmp_path, real, real.copy())
    assert set(found.targets) == set(found.predictions) == {*MEASURES, CLOSURE, *(TRUE + m for m in MEASURES)}
    for name in MEASURES:
        np.testing.assert_array_equal(found.targets[name], found.predictions[name])
    assert found.mean_r2 == 1.0
    assert found.fallbacks == {}
    truth = open_split("pretraining", "test").measures(MEASURES)
    np.testing.assert_array_equal(found.targets[TRUE + MEASURES[0]], truth[:, 0])


def test_a_scan_that_cannot_be_analysed_is_a_gap_with_the_training_mean(tmp_path, real):
    generated = real.copy()
    generated[2] = 200.0  # nobody lies there
    found = judged(tmp_path, real, generated)
    split = open_split("pretraining", "train")
    train = load_scans(split, 6)
    mean = measure_scans(train, DxaSettings(scan_reduction=6), split).mean(0)
    filled = []
    for column, name in enumerate(MEASURES):
        assert np.isnan(found.predictions[name]).tolist() == [row == 2 for row in range(8)]
        assert found.fallbacks[name] == pytest.approx(mean[column])
        target = found.targets[name]
        filled.append(1 - (target[2] - mean[column]) ** 2 / np.square(target - target.mean()).sum())
    truth = open_split("pretraining", "train").measures(MEASURES).mean(0)
    assert found.fallbacks[TRUE + MEASURES[3]] == pytest.approx(truth[3])
    assert found.mean_r2 == pytest.approx(np.mean(filled))


def test_a_real_scan_that_cannot_be_analysed_is_judged_under_no_arm(tmp_path, real):
    broken = real.copy()
    broken[1] = 200.0
    found = judged(tmp_path, broken, real)
    assert np.isnan(found.targets["total_fat_kg"]).tolist() == [row == 1 for row in range(8)]
    assert found.fallbacks == {}
    assert np.isfinite(found.mean_r2)


def test_without_two_real_scans_there_is_nothing_to_judge(tmp_path, real):
    broken = np.full_like(real, 200.0)
    broken[0] = real[0]
    with pytest.raises(DataError, match="1 of 8 real scans"):
        judged(tmp_path, broken, real)


def test_the_same_scans_are_analysed_whatever_was_generated(tmp_path, real):
    generated = real.copy()
    generated[[0, 7]] = 200.0
    for made in (real, generated):
        found = judged(tmp_path, real, made, analysed_scans=3)
        assert np.flatnonzero(np.isfinite(found.targets["total_mass_kg"])).tolist() == [0, 4, 7]


@pytest.mark.parametrize(("count", "limit"), [(1, 2), (8, None), (96, 48), (7, 6), (50, 2)])
def test_chosen_scans_are_as_many_as_asked_for(count, limit):
    chosen = chosen_scans(count, limit)
    assert len(chosen) == len(set(chosen)) == min(count, limit or count)
    assert 0 <= chosen.min() <= chosen.max() < count


def test_real_scans_are_refused_without_a_calibration(tmp_path, real):
    split = open_split("pretraining", "test")
    split.simulated = False
    with pytest.raises(InputError, match="not calibrated"):
        judge(context_for(Reconstruction(), tmp_path), split, real, real, part="pretraining")


@pytest.mark.parametrize("task", [Reconstruction(), PseudoDxa()])
def test_scans_that_nothing_can_measure_are_refused_before_anything_is_trained(tmp_path, task):
    settings = context_for(task, tmp_path).settings
    split = open_split(task.card.part, "train")
    task.check_data(settings, split)
    split.simulated = False
    with pytest.raises(InputError, match="not calibrated"):
        task.check_data(settings, split)
    task.check_data({**settings, "composition_calibration": "raw"}, split)


def test_real_scans_that_cannot_be_analysed_are_counted_beside_the_example_scans(tmp_path, real):
    settings, split = DxaSettings(scan_reduction=6), open_split("pretraining", "test")
    assert without_measures(settings, split, real) == {}
    blank = real.copy()
    blank[[1, 4]] = 200.0
    told = {"real scans without measures": "2 of 8, judged under no arm"}
    assert without_measures(settings, split, blank) == told
    shown = exhibits(split, blank, lambda chosen: blank[chosen], facts=told)
    assert all(one.facts["real scans without measures"] == "2 of 8, judged under no arm" for one in shown)


def imported():
    """A split of a real cohort, which knows nothing of its subjects' composition."""
    split = open_split("pretraining", "test")
    split.simulated = False

    def unknown(names):
        raise DataError("no such column", mend="none")

    split.measures = unknown
    return split


def test_real_scans_are_compared_raw_or_with_the_calibration_of_their_cohort(tmp_path, real):
    package, split = committed_calibration(), imported()
    raw = context_for(Reconstruction(), tmp_path, settings={"composition_calibration": "raw"})
    found = judge(raw, split, real, real.copy(), part="pretraining")
    assert not any(key.startswith(TRUE) for key in found.targets)
    split.calibration = tmp_path / "own.json"
    write_calibration(replace(package, simulated=False, source="phantoms"), split.calibration)
    own = judge(context_for(Reconstruction(), tmp_path), split, real, real.copy(), part="pretraining")
    line = package.slopes["total_fat_kg"], package.intercepts["total_fat_kg"]
    calibrated = line[0] * found.targets["total_fat_kg"] + line[1]
    np.testing.assert_allclose(own.targets["total_fat_kg"], calibrated)


def test_without_either_the_error_names_both_ways(tmp_path, real):
    with pytest.raises(InputError, match="not calibrated") as error:
        judge(context_for(Reconstruction(), tmp_path), imported(), real, real, part="pretraining")
    assert "'raw'" in error.value.mend
    assert "calibrate" in error.value.mend


@pytest.mark.parametrize("reduction", [1, 2, 3, 6])
def test_the_way_back_to_the_scanners_grid_keeps_straight_lines_in_place(reduction):
    rows, columns = (-(-size // reduction) for size in (150, 109))
    centres = [(np.arange(size) + 0.5) * reduction - 0.5 for size in (rows, columns)]
    plane = 3.0 * centres[0][:, None] + 2.0 * centres[1][None]
    scan = np.tile(plane, (6, 1, 1)).astype(np.float32)
    full = to_scanner_grid(scan, reduction)
    assert full.shape == (150, 109, 6)
    expected = 3.0 * np.arange(150)[:, None] + 2.0 * np.arange(109)[None]
    inner = slice(5 * reduction, -5 * reduction)  # the border's bend is corrected inwards
    np.testing.assert_allclose(full[inner, inner, 4], expected[inner, inner], rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("reduction", [2, 3, 6])
def test_a_scan_brought_back_averages_to_what_it_was(real, reduction):
    reduced = load_scans(open_split("pretraining", "test"), reduction)[0]
    again = reduce_scan(to_scanner_grid(reduced, reduction), reduction).transpose(2, 0, 1)
    assert np.abs(again - reduced).mean() < 0.02 * (reduced - 200.0).mean()
    assert (again - 200.0).sum() == pytest.approx((reduced - 200.0).sum(), rel=2e-3)


def test_closure_is_what_the_parts_exceed_the_whole_by():
    measures = np.zeros((1, 13))
    for name, value in {"fat": 20.0, "lean": 45.0, "bmc": 2.5, "mass": 67.0}.items():
        measures[0, MEASURES.index(f"total_{name}_kg")] = value
    assert closure_kg(measures)[0] == pytest.approx(0.5)


def test_an_analysis_is_remembered_by_what_was_analysed(real, monkeypatch):
    settings, split = DxaSettings(scan_reduction=6), open_split("pretraining", "test")
    first = measure_scans(real[:2], settings, split)
    monkeypatch.setattr(composition, "to_scanner_grid", None)  # a second analysis would need it
    np.testing.assert_array_equal(measure_scans(real[:2], settings, split), first)
    monkeypatch.undo()
    changed = measure_scans(real[:2] + 1.0, settings, split)
    assert not np.array_equal(changed, first)


def test_the_mean_of_gaps_is_not_hidden(tmp_path, real):
    """A generator that fails everywhere predicts the training mean: R² near 0, never 1."""
    found = judged(tmp_path, real, np.full_like(real, 200.0))
    assert found.mean_r2 < 0.1
