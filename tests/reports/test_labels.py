"""Label efficiency: monotone fits against scikit-learn, crossings and areas against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from reports.labels import area_weights, labels_needed, monotone


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=7))
def test_monotone_fits_match_isotonic_regression(curve: list[float]) -> None:
    expected = IsotonicRegression().fit_transform(np.arange(len(curve)), curve)
    assert monotone(np.array([curve]))[0] == pytest.approx(expected, abs=1e-9)


def test_curves_are_fitted_one_by_one() -> None:
    curves = np.random.default_rng(0).normal(size=(20, 5))
    together = monotone(curves)
    assert together == pytest.approx(np.vstack([monotone(one[None]) for one in curves]))


@pytest.mark.parametrize("slope", [0.1, 0.3])
def test_areas_of_straight_lines_are_their_middle(slope: float) -> None:
    fractions = [0.05, 0.1, 0.25, 0.5, 1.0]
    line = 0.8 + slope * np.log2(fractions)
    assert area_weights(fractions) @ line == pytest.approx((line[0] + line[-1]) / 2)
    assert area_weights(fractions).sum() == pytest.approx(1.0)


def test_the_labels_needed_lie_on_the_line_between_points() -> None:
    fractions = [0.125, 0.25, 0.5, 1.0]
    line = 1.0 + 0.1 * np.log2(fractions)  # .7, .8, .9, 1.
    goals = np.array([0.7, 0.75, 0.9, 1.0, 1.01, 0.2, np.nan])
    found = labels_needed(fractions, np.tile(line, (7, 1)), goals)
    assert found[:4] == pytest.approx([0.125, 0.125 * 2**0.5, 0.5, 1.0])
    assert np.isinf(found[4])
    assert found[5] == 0.125
    assert np.isnan(found[6])


def test_a_dip_does_not_count_as_reached_before_it() -> None:
    """.9, .5 is fitted by .7, .7: a goal of .8 is reached later."""
    found = labels_needed([0.25, 0.5, 1.0], np.array([[0.9, 0.5, 0.9]]), np.array([0.8]))
    assert found[0] == pytest.approx(0.5 * 2**0.5)
