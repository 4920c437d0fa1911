"""Tests and intervals over patients alone: against scipy, enumeration, and simulation of the error rate."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from reports.statistics.agreement import PatientSums, own_sums, shared_sums
from reports.statistics.bca import bca
from reports.statistics.bootstrap import CrossedBootstrap
from reports.statistics.flips import ENUMERATED_PEOPLE, flip_tests, patient_losses
from reports.statistics.resampled import Replicates

ONE = Replicates("none", (0,), (0,))


def brute_force(differences: np.ndarray) -> np.ndarray:
    """Step-down max-T by its definition, with Student's t as the statistic."""

    def t(values: np.ndarray) -> np.ndarray:
        return np.abs(values.mean(0)) / values.std(0, ddof=1)

    patterns = [np.array(one)[:, None] for one in itertools.product((1, -1), repeat=len(differences))]
    every = np.array([t(one * differences) for one in patterns])
    observed = t(differences)
    order = np.argsort(-observed)
    adjusted, running = np.empty(len(observed)), 0.0
    for step, row in enumerate(order):
        share = (every[:, order[step:]].max(1) >= observed[row] * (1 - 1e-9)).mean()
        running = max(running, share)
        adjusted[row] = running
    return adjusted


@pytest.mark.parametrize("people", [5, 9, 12])
def test_few_patients_are_enumerated_as_scipy_does(people: int) -> None:
    differences = np.random.default_rng(people).normal(0.4, 1, (people, 3))
    alone, _ = flip_tests(differences)
    for row in range(3):
        theirs = stats.permutation_test(
            (differences[:, row],), np.mean, permutation_type="samples", n_resamples=np.inf
        )
        assert alone[row] == pytest.approx(theirs.pvalue)


def test_many_patients_are_sampled_and_agree_with_scipy() -> None:
    differences = np.random.default_rng(0).normal(0.2, 1, (60, 1))
    theirs = stats.permutation_test(
        (differences[:, 0],),
        lambda d, axis: np.mean(d, axis=axis),
        vectorized=True,
        permutation_type="samples",
        n_resamples=50_000,
        rng=np.random.default_rng(1),
    )
    assert len(differences) > ENUMERATED_PEOPLE
    assert flip_tests(differences)[0][0] == pytest.approx(theirs.pvalue, abs=0.012)


def test_max_t_is_the_definition_enumerated() -> None:
    rng = np.random.default_rng(4)
    common = rng.normal(0.5, 1, (8, 1))
    differences = common + rng.normal(0, [0.3, 1.0, 3.0, 0.1], (8, 4))
    alone, together = flip_tests(differences)
    assert together == pytest.approx(brute_force(differences))
    assert (together >= alone - 1e-12).all()


def test_max_t_costs_nothing_for_copies_and_no_more_than_holm_for_others() -> None:
    one = np.random.default_rng(2).normal(0.5, 1, (11, 1))
    alone, together = flip_tests(np.hstack([one, 3 * one, -one]))
    assert together == pytest.approx(alone)
    assert flip_tests(one)[1] == pytest.approx(flip_tests(one)[0])


def test_five_patients_can_never_reach_five_percent() -> None:
    assert flip_tests(np.ones((5, 2)))[0].tolist() == [0.0625, 0.0625]


def test_rows_without_differences_are_left_out_and_equal_arms_have_p_one() -> None:
    rng = np.random.default_rng(3)
    full = rng.normal(0.8, 1, (12, 1))
    alone, together = flip_tests(np.hstack([full, np.full((12, 1), np.nan), np.zeros((12, 1))]))
    assert np.isnan([alone[1], together[1]]).all()
    assert (alone[2], together[2]) == (1.0, 1.0)
    assert together[0] == pytest.approx(flip_tests(full)[0][0])


def test_max_t_keeps_the_family_error_rate_and_beats_holm_on_correlated_rows() -> None:
    rng = np.random.default_rng(7)
    repetitions, false = 400, 0
    for _ in range(repetitions):
        differences = rng.normal(size=(12, 1)) + 0.5 * rng.normal(size=(12, 10))
        false += flip_tests(differences)[1].min() <= 0.05
    assert false / repetitions <= 0.05 + 3 * (0.05 * 0.95 / repetitions) ** 0.5
    strong = rng.normal(0.75, 1, size=(12, 1)) + 0.2 * rng.normal(size=(12, 10))
    alone, together = flip_tests(strong)
    assert together.min() < 10 * alone.min()


def test_losses_are_means_per_patient_over_scans_and_seeds() -> None:
    rng = np.random.default_rng(5)
    patients = np.array([0, 0, 1, 2, 2, 2])
    targets, valid = rng.normal(size=(6, 1)), np.ones((6, 1))
    predictions = rng.normal(size=(2, 6, 1))
    sums = PatientSums(
        shared_sums(patients, 4, targets, valid), own_sums(patients, 4, predictions, targets, valid)
    )
    found = patient_losses("r2", sums, Replicates("seed", (1, 2), (0, 1)))
    squared = ((predictions - targets) ** 2).mean(0)[:, 0]
    assert found is not None
    assert found[:3, 0] == pytest.approx([squared[patients == p].mean() for p in range(3)])
    assert np.isnan(found[3, 0])  # a patient without scans
    assert patient_losses("bias", sums, ONE) is None


def test_bca_matches_scipy() -> None:
    values = np.random.default_rng(6).lognormal(size=50)
    sums = PatientSums({"n": np.ones((50, 1))}, {"v": values[:, None, None]})
    ours = bca(CrossedBootstrap(50, draws=2_000).resample({"a": (sums, ONE)}, ["mean"])["a"]["mean"])[0]
    theirs = stats.bootstrap(
        (values,), np.mean, method="BCa", n_resamples=50_000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert ours is not None
    error = values.std() / 50**0.5
    assert ours == pytest.approx(tuple(theirs), abs=0.25 * error)
    assert ours[1] - values.mean() > values.mean() - ours[0]  # skewed as the data are


def test_bca_of_a_difference_in_r2_matches_scipy() -> None:
    rng = np.random.default_rng(8)
    targets = rng.normal(size=40)
    first, second = (targets + noise * rng.normal(size=40) for noise in (0.3, 0.5))
    patients, valid = np.arange(40), np.ones((40, 1))
    shared = shared_sums(patients, 40, targets[:, None], valid)
    arms = {
        name: (
            PatientSums(shared, own_sums(patients, 40, one[None, :, None], targets[:, None], valid)),
            ONE,
        )
        for name, one in (("a", first), ("b", second))
    }
    results = CrossedBootstrap(40, draws=2_000).resample(arms, ["r2"])
    ours = bca(results["a"]["r2"].minus(results["b"]["r2"]))[0]

    def difference(y: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
        return (((y - b) ** 2).sum() - ((y - a) ** 2).sum()) / ((y - y.mean()) ** 2).sum()

    theirs = stats.bootstrap(
        (targets, first, second),
        difference,
        paired=True,
        vectorized=False,
        method="BCa",
        n_resamples=4_000,
        rng=np.random.default_rng(0),
    )
    assert ours == pytest.approx(tuple(theirs.confidence_interval), abs=0.3 * theirs.standard_error)


def test_no_bca_where_nothing_varies() -> None:
    sums = PatientSums({"n": np.ones((20, 1))}, {"v": np.full((20, 1, 1), 2.0)})
    assert bca(CrossedBootstrap(20, draws=200).resample({"a": (sums, ONE)}, ["mean"])["a"]["mean"]) == [None]
