"""The crossed bootstrap: closed forms for means, a loop as reference, coverage."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import r2_score
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from reports.statistics.agreement import PatientSums, own_sums, shared_sums
from reports.statistics.bootstrap import CrossedBootstrap
from reports.statistics.intervals import degrees_of_freedom, estimate, mean_squares
from reports.statistics.resampled import Replicates, Resampled
from reports.statistics.tests import p_value
from tests.reports.coverage import DESIGNS, PATIENTS, Design, covered, false_equivalences, false_findings

NONE = Replicates("none", (0,), (0,))


def seeds(*labels: int) -> Replicates:
    return Replicates("seed", labels, tuple(range(len(labels))))


def scores(values: np.ndarray) -> PatientSums:
    """One score per patient; values (seeds, patients)."""
    return PatientSums({"n": np.ones((values.shape[1], 1))}, {"v": values.T[:, :, None].copy()})


def resampled(values: np.ndarray, replicates: Replicates, draws: int = 5_000) -> Resampled:
    bootstrap = CrossedBootstrap(values.shape[1], draws)
    return bootstrap.resample({"a": (scores(values), replicates)}, ["mean"])["a"]["mean"]


def test_one_seed_gives_students_interval_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=(1, 80))
    one = estimate(resampled(values, NONE, 50_000))[0]
    expected = stats.ttest_1samp(values[0], 0.0)
    low, high = expected.confidence_interval(0.95)
    assert one.degrees_of_freedom == expected.df == 79
    assert one.value == pytest.approx(values.mean())
    assert (one.low, one.high) == (pytest.approx(low, abs=3e-3), pytest.approx(high, abs=3e-3))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_squared_error_of_a_mean_has_its_closed_form(count: int) -> None:
    rng = np.random.default_rng(count)
    values = rng.normal(size=(count, 1)) + rng.normal(size=(1, 40)) + rng.normal(size=(count, 40))
    result = resampled(values, seeds(*range(count)), 50_000)
    of_seeds, of_patients, residual = (square[0] for square in mean_squares(values[:, :, None]))
    expected = (of_seeds + of_patients + residual) / (count * 40)
    assert estimate(result)[0].standard_error ** 2 == pytest.approx(expected, rel=0.03)


def test_mean_squares_match_an_analysis_of_variance() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(4, 1)) + rng.normal(size=(1, 9)) + rng.normal(size=(4, 9))
    seed, patient = np.indices(values.shape)
    frame = pd.DataFrame({"y": values.ravel(), "seed": seed.ravel(), "patient": patient.ravel()})
    table = anova_lm(ols("y ~ C(seed) + C(patient)", frame).fit())
    expected = (table["sum_sq"] / table["df"]).to_numpy()
    assert [float(square[0]) for square in mean_squares(values[:, :, None])] == pytest.approx(list(expected))


def test_degrees_of_freedom_follow_what_varies() -> None:
    rng = np.random.default_rng(4)
    by_seed = np.repeat(rng.normal(size=(3, 1)), 50, axis=1)
    by_patient = np.repeat(rng.normal(size=(1, 50)), 3, axis=0)
    noise = 1e-6 * rng.normal(size=(3, 50))
    only_seeds = degrees_of_freedom(resampled(by_seed + noise, seeds(0, 1, 2), 10))[0]
    only_patients = degrees_of_freedom(resampled(by_patient + noise, seeds(0, 1, 2), 10))[0]
    assert only_seeds == pytest.approx(2, abs=0.01)
    assert only_patients == pytest.approx(49, abs=0.01)


def test_matches_a_plain_loop_over_resampled_scans() -> None:
    """The same weights, spent by repeating scans and calling scikit-learn, give the same draws of r2."""
    rng = np.random.default_rng(5)
    patients = np.repeat(np.arange(15), 2)
    targets = rng.normal(size=(30, 2))
    predictions = targets + 0.6 * rng.normal(size=(3, 30, 2))
    valid = np.ones((30, 2))
    sums = PatientSums(
        shared_sums(patients, 15, targets, valid), own_sums(patients, 15, predictions, targets, valid)
    )
    bootstrap, replicates = CrossedBootstrap(15, draws=20, seed=6), seeds(10, 11, 12)
    result = bootstrap.resample({"a": (sums, replicates)}, ["r2"])["a"]["r2"]
    of_patients, of_seeds = bootstrap.patient_weights(), bootstrap.seed_weights(replicates)
    for draw in range(20):
        counts = np.rint(of_patients[draw] * 14 / 15).astype(int)
        assert counts.sum() == 14
        scans = np.concatenate([np.flatnonzero(patients == p).repeat(counts[p]) for p in range(15)])
        for row in range(2):
            each = [r2_score(targets[scans, row], predictions[s, scans, row]) for s in range(3)]
            assert result.draws[draw, row] == pytest.approx(of_seeds[draw] @ each)


def test_equal_seed_numbers_are_drawn_together_and_others_are_not() -> None:
    bootstrap = CrossedBootstrap(5, draws=100)
    first, same, other = (bootstrap.seed_weights(one) for one in (seeds(1, 2), seeds(1, 2), seeds(3, 4)))
    pretraining = bootstrap.seed_weights(Replicates("pretraining", (1, 2), (0, 1)))
    assert (first == same).all()
    assert (first != other).any()
    assert (first != pretraining).any()
    assert (first.sum(1) == 1).all()


def test_a_difference_of_identical_arms_is_exactly_zero() -> None:
    values = np.random.default_rng(7).normal(size=(3, 30))
    one = resampled(values, seeds(1, 2, 3))
    difference = estimate(one.minus(one))[0]
    assert (difference.value, difference.standard_error) == (0.0, 0.0)


def test_pairing_removes_what_patients_share() -> None:
    rng = np.random.default_rng(8)
    patient = 10 * rng.normal(size=(1, 60))
    first, second = (patient + 0.1 * rng.normal(size=(1, 60)) for _ in range(2))
    bootstrap = CrossedBootstrap(60)
    both = bootstrap.resample({"a": (scores(first), NONE), "b": (scores(second), NONE)}, ["mean"])
    paired = estimate(both["a"]["mean"].minus(both["b"]["mean"]))[0]
    expected = stats.sem(first[0] - second[0])
    assert paired.standard_error == pytest.approx(expected, rel=0.05)


def test_unshared_seeds_widen_the_interval_and_have_their_own_freedom() -> None:
    rng = np.random.default_rng(9)
    shift = rng.normal(size=(4, 1))
    first, second = (np.repeat(shift, 30, axis=1) + 0.01 * rng.normal(size=(4, 30)) for _ in range(2))
    bootstrap = CrossedBootstrap(30)

    def compare(labels: tuple[int, ...]) -> Resampled:
        arms = {"a": (scores(first), seeds(1, 2, 3, 4)), "b": (scores(second), seeds(*labels))}
        both = bootstrap.resample(arms, ["mean"])
        return both["a"]["mean"].minus(both["b"]["mean"])

    together, apart = compare((1, 2, 3, 4)), compare((5, 6, 7, 8))
    assert estimate(apart)[0].standard_error > 20 * estimate(together)[0].standard_error
    # Two groups of four seeds with the same spread: Welch's degrees of freedom.
    assert degrees_of_freedom(apart)[0] == pytest.approx(6, abs=0.05)


def test_pretraining_seeds_are_resampled_with_their_final_seeds() -> None:
    """Whole pretraining seeds: for a mean the variance is that of the means of pretraining seeds."""
    rng = np.random.default_rng(10)
    values = np.repeat(rng.normal(size=(4, 1)), 20, axis=1)
    nested = Replicates("pretraining", (7, 8), (0, 0, 1, 1))
    one = estimate(resampled(values, nested, 50_000))[0]
    means = values[:, 0].reshape(2, 2).mean(1)
    assert one.standard_error == pytest.approx(means.std(ddof=1) / np.sqrt(2), rel=0.02)
    assert one.degrees_of_freedom == pytest.approx(1.0)


def test_a_mean_over_rows_is_resampled_as_a_whole() -> None:
    rng = np.random.default_rng(11)
    rows = rng.normal(size=(50, 1, 4))
    sums = PatientSums({"n": np.ones((50, 4))}, {"v": rows})
    result = CrossedBootstrap(50).resample({"a": (sums, NONE)}, ["mean"])["a"]["mean"]
    whole = estimate(result.mean_over([0, 1, 3]))[0]
    assert whole.value == pytest.approx(rows[:, 0, [0, 1, 3]].mean())
    assert whole.standard_error == pytest.approx(stats.sem(rows[:, 0, [0, 1, 3]].mean(1)), rel=0.05)


def test_undefined_resamples_are_counted_and_give_no_interval() -> None:
    targets = np.array([[0.0], [0.0], [0.0], [1.0]])
    valid = np.ones((4, 1))
    patients = np.arange(4)
    sums = PatientSums(
        shared_sums(patients, 4, targets, valid),
        own_sums(patients, 4, targets[None] + 0.1, targets, valid),
    )
    one = estimate(CrossedBootstrap(4).resample({"a": (sums, NONE)}, ["r2"])["a"]["r2"])[0]
    assert one.value is not None
    assert one.low is None
    assert one.undefined_draws == pytest.approx(0.75**3 + 0.25**3, abs=0.03)


def test_same_seed_same_numbers() -> None:
    values = np.random.default_rng(12).normal(size=(2, 20))
    first, second = (resampled(values, seeds(0, 1)) for _ in range(2))
    assert (first.draws == second.draws).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "ratio", "least"),
    [(2, 0, 0.94), (2, 1, 0.94), (2, 5, 0.90), (3, 0, 0.94), (3, 5, 0.93), (5, 1, 0.94), (5, 5, 0.94)],
)
@pytest.mark.parametrize("residual", [0.2, 1.0])
def test_coverage_of_a_nominal_95_percent_interval(
    count: int, ratio: float, least: float, residual: float
) -> None:
    """`ratio` is the variance between seeds in units of the squared standard error of the patients' mean.

    With two seeds that differ more than patients do, the variance between seeds is known to one degree of
    freedom and coverage falls to about .92; everywhere else it is nominal or above.
    """
    rng = np.random.default_rng([count, int(10 * ratio), int(10 * residual)])
    patients, repetitions, covered = 111, 1_000, 0
    for _ in range(repetitions):
        values = rng.normal(size=(1, patients)) + np.sqrt(residual) * rng.normal(size=(count, patients))
        values += np.sqrt(ratio / patients) * rng.normal(size=(count, 1))
        one = estimate(resampled(values, seeds(*range(count)), 1_000))[0]
        covered += one.low <= 0 <= one.high
    assert covered / repetitions >= least - 0.01  # 1.5 standard errors of 1,000 repetitions


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS, ids=str)
def test_coverage_in_the_designs_that_suites_use(design: Design) -> None:
    assert covered(design, 1_500) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("statistic", ["mean", "r2"])
@pytest.mark.parametrize("single", [False, True])
def test_a_table_of_arms_that_do_not_differ_has_findings_at_most_at_the_nominal_rate(
    statistic: str, single: bool
) -> None:
    assert false_findings(Design(3, 2, single, statistic, 1.0), 500) <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [0.0, 5.0])
def test_arms_that_differ_by_the_margin_are_equivalent_at_most_at_the_nominal_rate(ratio: float) -> None:
    margin = 4 / PATIENTS**0.5  # four standard errors over patients: wide enough for the test to have power
    assert false_equivalences(Design(3, 2, False, "mean", ratio), 1_000, margin) <= 0.06


@pytest.mark.slow
def test_arms_that_do_not_differ_come_out_different_at_most_at_the_nominal_rate() -> None:
    rng = np.random.default_rng(13)
    found = 0
    for _ in range(1_000):
        patient = rng.normal(size=(1, 111))
        arms = {
            name: (
                scores(patient + 0.3 * rng.normal(size=(3, 111)) + 0.1 * rng.normal(size=(3, 1))),
                seeds(1, 2, 3),
            )
            for name in "ab"
        }
        both = CrossedBootstrap(111, 1_000).resample(arms, ["mean"])
        found += p_value(estimate(both["a"]["mean"].minus(both["b"]["mean"]))[0]) < 0.05
    assert found / 1_000 <= 0.065
