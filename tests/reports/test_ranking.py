"""Ranks and sources of variance: against closed forms, simulation and statsmodels' analysis of variance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from reports.statistics.agreement import PatientSums
from reports.statistics.bootstrap import CrossedBootstrap
from reports.statistics.ranking import advice, ranks, variance_parts
from reports.statistics.resampled import Replicates, Resampled

ONE = Replicates("none", (0,), (0,))


def resampled(draws: np.ndarray) -> Resampled:
    column = np.asarray(draws, dtype=float)[:, None]
    return Resampled(column[0], column, np.zeros((1, 2, 1)), ONE, column)


def scored(values: np.ndarray, draws: int = 2_000) -> Resampled:
    """Scores (patients, seeds) as one arm."""
    patients, seeds = values.shape
    replicates = Replicates("seed", tuple(range(seeds)), tuple(range(seeds))) if seeds > 1 else ONE
    sums = PatientSums({"n": np.ones((patients, 1))}, {"v": values[:, :, None]})
    return CrossedBootstrap(patients, draws).resample({"a": (sums, replicates)}, ["mean"])["a"]["mean"]


def test_the_share_of_wins_is_that_of_two_normals() -> None:
    rng = np.random.default_rng(0)
    found = ranks(
        {"low": resampled(rng.normal(0.0, 1, 20_000)), "high": resampled(rng.normal(1.0, 1, 20_000))}, "max"
    )
    assert [one.column for one in found] == ["high", "low"]
    assert found[0].best == pytest.approx(stats.norm.cdf(1 / 2**0.5), abs=0.01)
    assert found[0].mean == pytest.approx(2 - found[0].best)
    assert (found[0].low, found[0].high) == (1.0, 2.0)


def test_direction_turns_the_order_and_shares_add_up() -> None:
    rng = np.random.default_rng(1)
    arms = {name: resampled(rng.normal(size=500)) for name in "abcd"}
    for direction in ("max", "min"):
        found = ranks(arms, direction)
        assert sum(one.best for one in found) == pytest.approx(1)
        assert sum(one.mean for one in found) == pytest.approx(1 + 2 + 3 + 4)
    top = {direction: ranks(arms, direction)[0].column for direction in ("max", "min")}
    assert top["max"] != top["min"]


def test_places_are_counted_with_ties_shared() -> None:
    draws = {"a": [3.0, 3.0, 2.0, 5.0], "b": [2.0, 3.0, 2.0, 1.0], "c": [1.0, 1.0, 2.0, 4.0]}
    found = {one.column: one.places for one in ranks({k: resampled(v) for k, v in draws.items()}, "max")}
    third = 1 / 3
    assert found["a"] == pytest.approx([(1 + 0.5 + third + 1) / 4, (0.5 + third) / 4, third / 4])
    assert found["b"] == pytest.approx([(0.5 + third) / 4, (1 + 0.5 + third) / 4, (third + 1) / 4])
    assert found["c"] == pytest.approx([third / 4, (third + 1) / 4, (1 + 1 + third) / 4])


def test_places_agree_with_mean_rank_and_add_up_both_ways() -> None:
    rng = np.random.default_rng(5)
    found = ranks({name: resampled(rng.integers(0, 4, 300)) for name in "abcde"}, "min")
    shares = np.array([one.places for one in found])
    assert shares.sum(0) == pytest.approx(np.ones(5))
    assert shares.sum(1) == pytest.approx(np.ones(5))
    assert shares @ np.arange(1, 6) == pytest.approx([one.mean for one in found])
    assert shares[:, 0] == pytest.approx([one.best for one in found])


def test_resamples_without_a_value_and_lone_arms_count_for_nothing() -> None:
    found = ranks({"a": resampled([2, np.nan, 3]), "b": resampled([1, 9, 1])}, "max")
    assert [one.best for one in found] == [1.0, 0.0]
    assert ranks({"a": resampled([1, 2])}, "max") == ()
    assert ranks({"a": resampled([np.nan]), "b": resampled([1])}, "max") == ()


def test_variance_components_are_those_of_statsmodels() -> None:
    rng = np.random.default_rng(2)
    patients, seeds = 30, 4
    values = (
        rng.normal(0, 1.0, (patients, 1))
        + rng.normal(0, 0.8, (1, seeds))
        + rng.normal(0, 0.5, (patients, seeds))
    )
    long = pd.DataFrame(
        {
            "value": values.ravel(),
            "patient": np.repeat(np.arange(patients), seeds),
            "seed": np.tile(np.arange(seeds), patients),
        }
    )
    table = anova_lm(ols("value ~ C(patient) + C(seed)", long).fit())
    square = table["sum_sq"] / table["df"]
    residual = square["Residual"]
    of_seeds = (square["C(seed)"] - residual) / patients / seeds
    of_patients = (square["C(patient)"] - residual) / seeds / patients
    total = of_seeds + of_patients + residual / patients / seeds
    found = variance_parts(scored(values))
    assert found is not None
    assert found.seeds == pytest.approx(of_seeds / total)
    assert found.patients == pytest.approx(of_patients / total)
    assert found.seeds + found.patients + found.residual == pytest.approx(1)
    assert found.more_seeds**2 == pytest.approx(
        (of_seeds / 2 + of_patients + residual / patients / seeds / 2) / total
    )


@pytest.mark.parametrize(("spread", "word"), [(3.0, "Final seeds buy more."), (0.0, "Patients buy more.")])
def test_the_advice_follows_the_larger_source(spread: float, word: str) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(80, 1)) + spread * rng.normal(size=(1, 6)) + 0.1 * rng.normal(size=(80, 6))
    assert word in advice(variance_parts(scored(values)), "final seeds")


def test_one_seed_tells_nothing_about_seeds() -> None:
    assert variance_parts(scored(np.random.default_rng(4).normal(size=(20, 1)))) is None
    assert "cannot be told" in advice(None, "seeds")
    assert variance_parts(scored(np.ones((20, 3)))) is None
