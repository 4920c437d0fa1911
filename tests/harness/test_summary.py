"""The statistics of the terminal table against closed forms and scikit-learn."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
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


def test_rows_name_what_is_averaged() -> None:
    scores = pl.DataFrame({"metric": ["a", "a", "b"], "value": [1.0, 3.0, 10.0]})
    none = pl.DataFrame(schema={"measure": pl.String, "target": pl.Float64, "prediction": pl.Float64})

    def value(*rows: str) -> float | None:
        return endpoint_value(PrimaryEndpoint("m", "", "max", "mean", rows), none, scores)

    assert (value("a"), value("b"), value()) == (2.0, 10.0, 6.0)
    assert value("c") is None
    assert endpoint_value(PrimaryEndpoint("m", "", "max", "r2"), none, scores) is None
