"""The statistics of the terminal table against closed forms and scikit-learn."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from sklearn.metrics import r2_score, root_mean_squared_error

from harness.summary import STATISTICS, endpoint_value
from registry.contracts import PrimaryEndpoint

vectors = arrays.arrays(np.float64, 7, elements=st.floats(-100, 100))


@given(vectors, vectors)
def test_statistics_agree_with_scikit_learn(target: np.ndarray, prediction: np.ndarray) -> None:
    if np.ptp(target) > 1e-3:
        assert STATISTICS["r2"](target, prediction) == pytest.approx(r2_score(target, prediction))
    assert STATISTICS["rmse"](target, prediction) == pytest.approx(
        root_mean_squared_error(target, prediction)
    )
    assert STATISTICS["bias"](target, prediction) == pytest.approx(
        np.mean(prediction) - np.mean(target), abs=1e-9
    )


def test_squared_correlation_ignores_scale_and_offset_which_r2_does_not() -> None:
    target = np.array([1.0, 2.0, 3.0, 5.0])
    assert STATISTICS["r2_pearson"](target, 10 - 3 * target) == pytest.approx(1.0)
    assert STATISTICS["r2"](target, 10 - 3 * target) < 0


def test_constant_targets_have_no_r2() -> None:
    assert np.isnan(STATISTICS["r2"](np.ones(3), np.arange(3.0)))
    assert np.isnan(STATISTICS["r2_pearson"](np.ones(3), np.arange(3.0)))


def test_concordance_and_slope_agree_with_scipy() -> None:
    target, prediction = np.random.default_rng(0).normal(size=(2, 30))
    expected = stats.linregress(target, prediction).slope
    assert STATISTICS["slope"](target, prediction) == pytest.approx(expected)
    assert STATISTICS["mae"](target, prediction) == pytest.approx(np.abs(target - prediction).mean())
    assert STATISTICS["ccc"](target, target) == pytest.approx(1.0)
    assert STATISTICS["ccc"](target, -target + 2 * target.mean()) == pytest.approx(-1.0)
    assert np.isnan(STATISTICS["ccc"](np.ones(3), np.ones(3)))


def test_a_prediction_that_could_not_be_made_does_not_count() -> None:
    predictions = pl.DataFrame(
        {"measure": ["a"] * 4, "target": [1.0, 2.0, 3.0, 9.0], "prediction": [1.0, 2.0, 3.0, None]}
    )
    scores = pl.DataFrame(schema={"metric": pl.String, "value": pl.Float64})
    assert endpoint_value(PrimaryEndpoint("m", "m", "max", "r2"), predictions, scores) == 1.0


def test_rows_name_what_is_averaged() -> None:
    scores = pl.DataFrame({"metric": ["a", "a", "b"], "value": [1.0, 3.0, 10.0]})
    none = pl.DataFrame(schema={"measure": pl.String, "target": pl.Float64, "prediction": pl.Float64})

    def value(*rows: str) -> float | None:
        return endpoint_value(PrimaryEndpoint("m", "", "max", "mean", rows), none, scores)

    assert (value("a"), value("b"), value()) == (2.0, 10.0, 6.0)
    assert value("c") is None
    assert endpoint_value(PrimaryEndpoint("m", "", "max", "r2"), none, scores) is None
