"""Shared draws: pure functions of (seed, name, index), independent or jointly spread out."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc

from harness.search.draws import SharedDraws, names_in_order, sobol_point
from registry.contracts import Space, choice, loguniform, uniform

WIDE = Space(
    rate=loguniform(1e-4, 1e-1, default=1e-2),
    drop=uniform(0, 1, default=0.1),
    norm=choice(("batch", "layer"), default="batch"),
)
METHODS: list[Any] = ["random", "sobol"]


def names(count: int) -> list[str]:
    return [f"h{index}" for index in range(count)]


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), index=st.integers(0, 300))
def test_an_appended_hyperparameter_moves_no_draw(method: Any, seed: int, index: int) -> None:
    narrow = Space(rate=WIDE["rate"], drop=WIDE["drop"])
    small = SharedDraws(narrow, seed=seed, method=method)(index)
    large = SharedDraws(WIDE, seed=seed, method=method)(index)
    assert small == {name: large[name] for name in narrow}


@pytest.mark.parametrize("method", METHODS)
def test_a_larger_budget_moves_no_draw(method: Any) -> None:
    draws = SharedDraws(WIDE, seed=3, method=method)
    assert draws.first(20)[:5] == draws.first(5)


@pytest.mark.parametrize("method", METHODS)
def test_arms_with_other_hyperparameters_share_the_values_of_common_names(method: Any) -> None:
    one = Space(rate=WIDE["rate"], own=uniform(0, 1, default=0))
    two = Space(other=uniform(0, 1, default=0), rate=WIDE["rate"])
    order = names_in_order([one, two])
    assert order == ("rate", "own", "other")
    drawn = [SharedDraws(space, seed=1, method=method, names=order)(9)["rate"] for space in (one, two)]
    assert drawn[0] == drawn[1]


def test_the_declared_setting_may_come_first() -> None:
    plain, declared = SharedDraws(WIDE, seed=5), SharedDraws(WIDE, seed=5, declared_first=True)
    assert declared(0) == WIDE.defaults()
    assert [declared(index + 1) for index in range(4)] == [plain(index) for index in range(4)]


def test_nothing_is_drawn_from_an_empty_space() -> None:
    assert SharedDraws(Space(), seed=0).first(3) == ()


@pytest.mark.parametrize("seed", [0, 1, 6663])
@pytest.mark.parametrize("pair", list(itertools.combinations(range(3), 2)))
def test_sobol_is_a_net_in_every_pair_of_dimensions(seed: int, pair: tuple[int, int]) -> None:
    """Sobol's first dimensions are (0, m, 2)-nets: 64 points, one in each of 8 x 8 squares, in any shift."""
    points = np.array([list(sobol_point(index, names(3), seed).values()) for index in range(64)])
    cells = {tuple(cell) for cell in (points[:, pair] * 8).astype(int)}
    # dimensions 1 and 2 make a (0, 6, 2)-net; others a (1, 6, 2)-net, at least half of the squares
    assert len(cells) == 64 if pair == (0, 1) else len(cells) >= 32
    for column in points.T:  # every dimension alone is perfectly stratified
        assert sorted((column * 64).astype(int)) == list(range(64))


def test_a_sequence_per_name_would_be_no_design() -> None:
    """Why dimensions are joint: one-dimensional sequences put 64 points into few of the quadrants."""
    one = [sobol_point(index, ["a"], 0)["a"] for index in range(64)]
    two = [sobol_point(index, ["b"], 0)["b"] for index in range(64)]
    separate = {(int(2 * x), int(2 * y)) for x, y in zip(one, two, strict=True)}
    joint = {tuple(int(2 * v) for v in sobol_point(i, ["a", "b"], 0).values()) for i in range(64)}
    assert (len(separate), len(joint)) == (2, 4)


def test_sobol_spreads_better_than_independent_draws() -> None:
    """Centred discrepancy, by scipy: far below that of independent draws, and near scipy's own scramble."""
    space = Space(**{name: uniform(0, 1, default=0) for name in names(4)})
    cloud = {
        method: np.array([list(one.values()) for one in SharedDraws(space, seed=2, method=method).first(64)])
        for method in METHODS
    }
    scipy_own = qmc.discrepancy(qmc.Sobol(4, seed=2).random(64))
    assert qmc.discrepancy(cloud["sobol"]) < 0.5 * qmc.discrepancy(cloud["random"])
    assert qmc.discrepancy(cloud["sobol"]) < 2 * scipy_own


def test_values_lie_inside_the_range_and_seeds_differ() -> None:
    for method in METHODS:
        for drawn in SharedDraws(WIDE, seed=0, method=method).first(64):
            assert 0 <= (WIDE["rate"].position(drawn["rate"]) or 0.0) < 1
            assert WIDE["norm"].position(drawn["norm"]) is None
        assert SharedDraws(WIDE, seed=0, method=method)(1) != SharedDraws(WIDE, seed=1, method=method)(1)


@given(st.floats(0, 0.999), st.sampled_from(["rate", "drop"]))
def test_position_undoes_at(quantile: float, name: str) -> None:
    assert WIDE[name].position(WIDE[name].at(quantile)) == pytest.approx(quantile, abs=1e-9)
