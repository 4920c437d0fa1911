"""Agreement person by person: against published tables and data, scipy, torchmetrics, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import odr, stats
from torchmetrics.functional.regression import concordance_corrcoef

from reports.statistics.limits import (
    agreement,
    concordance,
    deming,
    deming_line,
    deming_slope,
    least_squares_slope,
    limit_factor,
    limits_of_agreement,
)

# Bland and Altman 1986, Lancet 327:307: peak expiratory flow (L/min), first reading with each meter.
WRIGHT = np.array(
    [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427], dtype=float
)
MINI = np.array(
    [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451], dtype=float
)


def sample(seed: int, n: int = 60, slope: float = 0.9, noise: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(10, 2, n)
    return x, 1 + slope * x + noise * rng.normal(size=n)


def test_bland_and_altmans_example() -> None:
    found = agreement(MINI, WRIGHT)
    assert found is not None
    assert found.people == 17
    assert found.bias.value == pytest.approx(-2.1, abs=0.05)
    assert found.spread == pytest.approx(38.8, abs=0.05)
    error = 38.8 / 17**0.5
    assert found.bias.low == pytest.approx(-2.1 - 2.12 * error, abs=0.15)  # -22.0 to 17.8 in the paper
    assert found.bias.high == pytest.approx(17.8, abs=0.15)
    assert found.upper.value == pytest.approx(-2.118 + 1.96 * 38.765, abs=0.02)
    assert found.rmse**2 == pytest.approx(found.bias.value**2 + found.spread**2 * 16 / 17)


@pytest.mark.parametrize(
    ("people", "share", "factor"),
    # One-sided tolerance factors for normal data, confidence .95 (Natrella 1963, table A-7).
    [(10, 0.90, 2.355), (10, 0.95, 2.911), (30, 0.95, 2.220), (50, 0.99, 2.863), (5, 0.90, 3.407)],
)
def test_the_factor_is_the_published_tolerance_factor(people: int, share: float, factor: float) -> None:
    assert limit_factor(people, 0.95, z=stats.norm.ppf(share)) == pytest.approx(factor, abs=0.0016)


def test_the_limits_of_111_people() -> None:
    assert limit_factor(111, 0.025) == pytest.approx(1.673, abs=5e-4)
    assert limit_factor(111, 0.975) == pytest.approx(2.320, abs=5e-4)


@pytest.mark.parametrize("people", [8, 40])
def test_the_limits_interval_covers_exactly(people: int) -> None:
    rng = np.random.default_rng(1)
    low, high = (limit_factor(people, q) for q in (0.025, 0.975))
    errors = rng.normal(3.0, 2.0, (20_000, people))
    mean, sd = errors.mean(1), errors.std(1, ddof=1)
    truth = 3.0 + 1.959964 * 2.0
    covered = (mean + low * sd <= truth) & (truth <= mean + high * sd)
    assert covered.mean() == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / 20_000) ** 0.5)
    lower, upper = limits_of_agreement(errors[0])
    assert (upper.low, upper.high) == pytest.approx((mean[0] + low * sd[0], mean[0] + high * sd[0]))
    assert (lower.low, lower.high) == pytest.approx((mean[0] - high * sd[0], mean[0] - low * sd[0]))


@pytest.mark.parametrize("seed", range(3))
def test_concordance_matches_its_definition_and_torchmetrics(seed: int) -> None:
    x, y = sample(seed)
    expected = 2 * np.cov(x, y, ddof=0)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    found = concordance(x, y).value
    assert found == pytest.approx(expected)
    # torchmetrics divides by n - 1 and is therefore a little off where the means differ
    theirs = float(concordance_corrcoef(torch.tensor(y), torch.tensor(x)))
    assert found == pytest.approx(theirs, abs=2e-3)


def test_concordance_interval_covers_what_it_should() -> None:
    rng = np.random.default_rng(5)
    rho, shift, repetitions = 0.9, 0.3, 2000
    truth = 2 * rho / (2 + shift**2)
    covered = 0
    for _ in range(repetitions):
        x = rng.normal(size=80)
        y = shift + rho * x + (1 - rho**2) ** 0.5 * rng.normal(size=80)
        one = concordance(x, y)
        assert one.low is not None and one.high is not None
        covered += one.low <= truth <= one.high
    assert covered / repetitions == pytest.approx(0.95, abs=0.02)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=4, max_size=30))
def test_concordance_never_exceeds_the_correlation(pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs).T
    if np.ptp(x) < 1e-3 or np.ptp(y) < 1e-3:
        return
    found = concordance(x, y)
    assert found.value is not None
    assert abs(found.value) <= abs(stats.pearsonr(x, y)[0]) + 1e-9
    if found.low is not None and found.high is not None:
        assert -1 <= found.low <= found.value <= found.high <= 1


def test_slopes_match_scipy() -> None:
    x, y = sample(2)
    theirs = stats.linregress(x, y)
    ours = least_squares_slope(x, y)
    assert ours.value == pytest.approx(theirs.slope)
    assert ours.standard_error == pytest.approx(theirs.stderr)
    for ratio in (1.0, 4.0):
        fit = odr.ODR(odr.RealData(x, y, sx=1.0, sy=ratio**0.5), odr.unilinear).run()
        assert deming_slope(x, y, ratio) == pytest.approx(fit.beta[0], rel=1e-5)


def test_deming_turns_round_and_its_interval_is_a_jackknife() -> None:
    x, y = sample(3, n=25)
    assert deming_slope(x, y) * deming_slope(y, x) == pytest.approx(1.0)
    without = [deming_slope(np.delete(x, i), np.delete(y, i)) for i in range(25)]
    error = (24 / 25 * ((np.array(without) - np.mean(without)) ** 2).sum()) ** 0.5
    assert deming(x, y).standard_error == pytest.approx(error)


def test_degenerate_predictions_have_no_numbers_instead_of_wrong_ones() -> None:
    x, _ = sample(4)
    constant = agreement(x, np.full(60, 10.1))
    assert constant is not None
    assert constant.deming.value is None
    assert constant.concordance.low is None
    assert constant.slope.value == pytest.approx(0.0)
    perfect = agreement(x, x.copy())
    assert perfect is not None
    assert (perfect.concordance.value, perfect.concordance.low) == (pytest.approx(1.0), None)
    assert (perfect.lower.low, perfect.upper.high) == (0.0, 0.0)
    assert agreement(np.full(10, 3.0), x[:10]) is None
    assert agreement(np.array([1.0, np.nan, 2.0]), np.ones(3)) is None


def test_demings_line_is_the_first_principal_axis() -> None:
    x, y = sample(3)
    found = agreement(x, y)
    assert found is not None
    (x0, y0), (x1, y1) = deming_line(found, min(x.min(), y.min()), max(x.max(), y.max()))
    centred = np.column_stack([x - x.mean(), y - y.mean()])
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    assert (y1 - y0) / (x1 - x0) == pytest.approx(axis[1] / axis[0])
    assert (x.mean() - x0) * (y1 - y0) == pytest.approx((y.mean() - y0) * (x1 - x0))  # through both means


@pytest.mark.parametrize(
    ("y", "ends"),
    [
        ([1.0, 2.0, 3.0], ((0, 0), (4, 4))),
        ([2.0, 3.0, 4.0], ((0, 1), (3, 4))),
        ([3.0, 2.0, 1.0], ((0, 4), (4, 0))),
        ([0.0, 2.0, 4.0], ((1, 0), (3, 4))),
        ([2.0, 2.0, 2.0], ()),  # constant: no slope
        ([11.0, 12.0, 13.0], ()),  # y = x + 10 misses the square
    ],
)
def test_demings_line_ends_at_the_sides_of_the_square(
    y: list[float], ends: tuple[tuple[float, float], ...]
) -> None:
    found = agreement(np.array([1.0, 2.0, 3.0]), np.array(y))
    assert found is not None
    assert np.allclose(deming_line(found, 0.0, 4.0), ends)
