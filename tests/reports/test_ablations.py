"""Ablations: effects against a published factorial and statsmodels, orders against closed forms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols

from reports.ablations.designs import effect_weights, factorial_design, paths, trend_weights

FACTORS = ("c", "t", "s")
CELLS = [{name for name, bit in zip(FACTORS, bits, strict=True) if bit} for bits in product((0, 1), repeat=3)]


def test_effects_of_a_published_factorial() -> None:
    """Box, Hunter & Hunter, chapter 5, question 19, as worked out at learnche.org/pid: 12.5, 1.5, -14.5."""
    discharge = {"": 5, "c": 30, "t": 6, "ct": 33, "s": 4, "cs": 3, "ts": 5, "cts": 4}
    # the base has every factor high; changed ones are low
    values = [discharge["".join(name for name in FACTORS if name not in cell)] for cell in CELLS]
    design, terms = factorial_design(CELLS, FACTORS)
    weights, estimable = effect_weights(design)
    effects = dict(zip(terms, (weights @ values)[1:], strict=True))
    assert all(estimable)
    assert [effects["c",], effects["t",], effects["s",]] == pytest.approx([12.5, 1.5, -14.5])


def test_effects_match_ordinary_least_squares_with_seeds_as_blocks() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 8))  # seeds x cells
    design, terms = factorial_design(CELLS, FACTORS)
    found = effect_weights(design)[0] @ values.mean(0)
    coded = {name: [-1.0 if name in cell else 1.0 for cell in CELLS] * 4 for name in FACTORS}
    frame = pd.DataFrame({"y": values.ravel(), "seed": np.repeat(np.arange(4), 8), **coded})
    fit = ols("y ~ (c + t + s) ** 2 + C(seed)", frame).fit()
    expected = [2 * fit.params[":".join(term)] for term in terms]
    assert found[1:] == pytest.approx(expected)


def test_a_half_fraction_names_what_it_cannot_tell_apart() -> None:
    half = [cell for cell in CELLS if len(cell) % 2 == 1]  # s = ct
    design, terms = factorial_design(half, FACTORS)
    _, estimable = effect_weights(design)
    lost = {term for term, known in zip(terms, estimable[1:], strict=True) if not known}
    assert lost == {("c",), ("t",), ("s",), ("c", "t"), ("c", "s"), ("t", "s")}
    mains, _ = factorial_design(half, FACTORS)
    assert all(effect_weights(mains[:, :4])[1])


@pytest.mark.parametrize("levels", [2, 3, 5])
def test_the_trend_is_the_fitted_change_from_first_to_last(levels: int) -> None:
    values = np.random.default_rng(levels).normal(size=levels)
    slope = np.polyfit(np.arange(levels), values, 1)[0]
    assert np.dot(trend_weights(levels), values) == pytest.approx(slope * (levels - 1))


def changes(*names: str) -> frozenset[tuple[str, str]]:
    return frozenset((name, "on") for name in names)


def test_paths_are_all_ways_up() -> None:
    every = {changes(), changes("a"), changes("b"), changes("a", "b")}
    assert paths(every) == [
        [changes(), changes("a"), changes("a", "b")],
        [changes(), changes("b"), changes("a", "b")],
    ]
    assert paths({changes(), changes("a", "b")}) == [[changes(), changes("a", "b")]]
    assert paths({changes()}) == []
