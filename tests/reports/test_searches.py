"""What tuning buys: both estimators against enumeration of every possible budget."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from reports.searches import expected_best, independent_draws, unbiased_weights

SCORES = (0.31, 0.12, 0.55, 0.48, 0.07, 0.4)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_plug_in_is_the_mean_over_every_sequence_with_replacement(count: int) -> None:
    every = [max(one) for one in product(SCORES, repeat=count)]
    point = expected_best(SCORES, "max")[count - 1]
    assert point.plug_in == pytest.approx(np.mean(every))
    assert point.spread == pytest.approx(np.std(every))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_unbiased_one_is_the_mean_over_every_subset(count: int) -> None:
    every = [max(one) for one in combinations(SCORES, count)]
    assert expected_best(SCORES, "max")[count - 1].unbiased == pytest.approx(np.mean(every))


def test_all_draws_at_once_give_the_largest() -> None:
    assert unbiased_weights(6, 6) @ np.sort(SCORES) == pytest.approx(max(SCORES))
    assert unbiased_weights(6, 4).sum() == pytest.approx(1.0)


def test_smaller_may_be_better() -> None:
    lower = expected_best([-one for one in SCORES], "min")
    upper = expected_best(SCORES, "max")
    assert [-(one.unbiased or 0) for one in lower] == pytest.approx([one.unbiased for one in upper])
    assert lower[0].seconds == 0


def test_curves_end_at_half_of_the_draws() -> None:
    points = expected_best(SCORES, "max", seconds=10.0)
    assert [(one.draws, one.seconds) for one in points] == [(1, 10.0), (2, 20.0), (3, 30.0)]
    assert expected_best([0.3], "max") == ()


@pytest.mark.parametrize(
    ("search", "count"),
    [
        (None, 8),
        ({"method": "random"}, 8),
        ({"method": "sobol"}, 0),
        ({"method": "tpe", "shared_draws": 3}, 3),
        ({"method": "tpe", "shared_draws": None}, 4),
        ({"method": "random", "early_stopping": {"grace": 2}}, 0),
        ({"method": "random", "early_stopping": None}, 8),
    ],
)
def test_expectations_are_formed_of_independent_draws_alone(search: Any, count: int) -> None:
    assert independent_draws({"budget": {"draws": 8}, "search": search})[0] == count
