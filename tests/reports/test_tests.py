"""p values, Holm, verdicts: against scipy and statsmodels."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from reports.statistics.intervals import Estimate
from reports.statistics.tests import holm, judge, minimum_detectable, p_value, verdict


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_matches_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]))


@given(st.floats(-10, 10), st.floats(0.01, 5), st.floats(1, 200))
def test_p_matches_scipy(value: float, error: float, freedom: float) -> None:
    expected = 2 * stats.t.sf(abs(value) / error, freedom)
    assert p_value(Estimate(value, None, None, error, freedom)) == pytest.approx(expected)


def test_identical_arms_have_p_one_and_a_certain_difference_has_none() -> None:
    assert p_value(Estimate(0.0, 0.0, 0.0, 0.0, 10)) == 1.0
    assert p_value(Estimate(0.3, 0.3, 0.3, 0.0, 10)) is None


def test_the_detectable_difference_has_about_the_stated_power() -> None:
    n, sd = 80, 2.0
    found = minimum_detectable(Estimate(0.0, standard_error=sd / n**0.5, degrees_of_freedom=n - 1))
    power = TTestPower().power(effect_size=found / sd, nobs=n, alpha=0.05)
    assert power == pytest.approx(0.80, abs=0.005)


@pytest.mark.parametrize(
    ("value", "p", "direction", "word"),
    [
        (0.1, 0.01, "max", "better"),
        (-0.1, 0.01, "max", "worse"),
        (0.1, 0.01, "min", "worse"),
        (-0.1, 0.01, "min", "better"),
        (0.1, 0.05, "max", "inconclusive"),
        (0.1, None, "max", "inconclusive"),
        (0.1, 0.001, None, "not judged"),
    ],
)
def test_verdicts(value: float, p: float | None, direction: str | None, word: str) -> None:
    assert verdict(value, p, direction) == word


def test_a_family_is_corrected_together() -> None:
    rows = [Estimate(1.0, standard_error=0.4, degrees_of_freedom=50.0)] * 10
    alone = judge(rows[:1], ["max"])[0]
    together = judge(rows, ["max"] * 10)[0]
    assert alone.verdict == "better"
    assert together.verdict == "inconclusive"
    assert together.p == alone.p


def test_a_difference_at_rounding_level_is_not_judged_and_does_not_count_in_the_family() -> None:
    rounding = Estimate(2e-9, standard_error=1e-11, degrees_of_freedom=50.0)
    real = Estimate(0.5, standard_error=0.2, degrees_of_freedom=50.0)
    wide = Estimate(1e-9, standard_error=0.2, degrees_of_freedom=50.0)
    found = judge([rounding, real, wide], ["max"] * 3, [1e-6] * 3)
    assert [one.verdict for one in found] == ["not judged", "better", "inconclusive"]
    assert found[0].p is None
    assert found[1].p_adjusted == pytest.approx(2 * found[1].p)
