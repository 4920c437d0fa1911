"""Statistics from sums: against scikit-learn and scipy, whatever the weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from reports.statistics.agreement import NEEDS, PatientSums, own_sums, shared_sums, statistic
from reports.statistics.bootstrap import jackknife
from reports.statistics.limits import concordance


def sums_of(targets: np.ndarray, predictions: np.ndarray, patients: np.ndarray) -> PatientSums:
    valid = np.ones((len(targets), 1))
    count = int(patients.max()) + 1
    return PatientSums(
        shared_sums(patients, count, targets[:, None], valid),
        own_sums(patients, count, predictions[None, :, None], targets[:, None], valid),
    )


def weighted(name: str, sums: PatientSums, weights: np.ndarray) -> float:
    totals = {key: np.tensordot(weights, {**sums.shared, **sums.own}[key], 1) for key in NEEDS[name]}
    return float(statistic(name, totals).squeeze())


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_matches_sklearn_and_scipy_on_resampled_scans(offset: float) -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 2)
    targets = rng.normal(size=80) + offset
    predictions = targets + 0.5 * rng.normal(size=80) + 0.2
    weights = rng.multinomial(40, [1 / 40] * 40).astype(float)
    scans = np.concatenate([np.flatnonzero(patients == p).repeat(int(weights[p])) for p in range(40)])
    sums = sums_of(targets, predictions, patients)
    y, p = targets[scans], predictions[scans]
    assert weighted("r2", sums, weights) == pytest.approx(r2_score(y, p), rel=1e-6)
    assert weighted("rmse", sums, weights) == pytest.approx(root_mean_squared_error(y, p), rel=1e-6)
    assert weighted("bias", sums, weights) == pytest.approx((p - y).mean(), rel=1e-6)
    assert weighted("r2_pearson", sums, weights) == pytest.approx(stats.pearsonr(y, p)[0] ** 2, rel=1e-6)
    assert weighted("mae", sums, weights) == pytest.approx(mean_absolute_error(y, p), rel=1e-6)
    assert weighted("slope", sums, weights) == pytest.approx(stats.linregress(y, p).slope, rel=1e-6)
    assert weighted("ccc", sums, weights) == pytest.approx(concordance(y, p).value, rel=1e-6)


def test_is_undefined_without_spread() -> None:
    flat, varied = np.full(10, 3.3), np.arange(10.0)
    patients = np.arange(10)
    assert np.isnan(weighted("r2", sums_of(flat, varied, patients), np.ones(10)))
    assert np.isnan(weighted("r2_pearson", sums_of(varied, flat, patients), np.ones(10)))
    assert weighted("r2", sums_of(varied, np.full(10, 4.5), patients), np.ones(10)) == pytest.approx(0.0)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-50, 50), st.floats(-5, 5)), min_size=3, max_size=30),
    st.floats(0.5, 3.0),
    st.floats(-20, 20),
)
def test_r2_never_exceeds_pearson_and_pearson_ignores_calibration(
    pairs: list[tuple[float, float]], slope: float, shift: float
) -> None:
    targets = np.array([y for y, _ in pairs])
    predictions = targets + np.array([e for _, e in pairs])
    if targets.std() < 1e-2 or predictions.std() < 1e-2:
        return
    patients, ones = np.arange(len(pairs)), np.ones(len(pairs))
    sums = sums_of(targets, predictions, patients)
    pearson = weighted("r2_pearson", sums, ones)
    assert weighted("r2", sums, ones) <= pearson + 1e-9
    recalibrated = sums_of(targets, slope * predictions + shift, patients)
    assert weighted("r2_pearson", recalibrated, ones) == pytest.approx(pearson, abs=1e-6)


def test_jackknife_deletes_whole_patients() -> None:
    rng = np.random.default_rng(1)
    patients = np.repeat(np.arange(12), 3)
    targets = rng.normal(size=36)
    predictions = targets + rng.normal(size=36)
    whole, pseudovalues = jackknife("r2", sums_of(targets, predictions, patients))
    for patient in range(12):
        kept = patients != patient
        expected = 12 * whole[0, 0] - 11 * r2_score(targets[kept], predictions[kept])
        assert pseudovalues[patient, 0, 0] == pytest.approx(expected)
