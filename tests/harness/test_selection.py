"""Selection rules on cases worked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from harness.selection import BestMeanRank, BestValidationScore


@pytest.mark.parametrize(
    ("direction", "scores", "draw"),
    [
        ("max", {0: 0.1, 1: 0.3, 2: 0.2}, 1),
        ("min", {0: 0.1, 1: 0.3, 2: 0.2}, 0),
        ("max", {0: 0.3, 1: 0.3}, 0),
        ("max", {0: None, 1: -5.0, 2: None}, 1),
        ("max", {0: None, 1: None}, None),
    ],
)
def test_tuned_takes_the_best_score_and_the_lowest_of_equals(direction: str, scores: dict, draw: int) -> None:
    assert BestValidationScore(direction).choose(scores).draw == draw  # type: ignore[arg-type]


def test_tuned_says_how_many_draws_failed() -> None:
    assert BestValidationScore("max").choose({0: 1.0, 1: None}).reason.endswith("2 draws, 1 failed")


def test_matched_ranks_within_arms_not_scores_across_them() -> None:
    # arm b's scores are a hundred times larger: a mean of scores would follow it alone
    scores = {"a": {0: 0.9, 1: 0.8, 2: 0.1}, "b": {0: 10.0, 1: 20.0, 2: 90.0}, "c": {0: 0.5, 1: 0.6, 2: 0.4}}
    # ranks: a 1 2 3, b 3 2 1, c 2 1 3 -> sums 6 5 7
    choice = BestMeanRank("max").choose(scores)
    assert (choice.draw, choice.mean_rank) == (1, pytest.approx(5 / 3))


def test_matched_shares_ranks_and_breaks_ties_downwards() -> None:
    scores = {"a": {0: 1.0, 1: 1.0, 2: 0.0}, "b": {0: 0.0, 1: 0.0, 2: 1.0}}
    # a: 1.5 1.5 3; b: 2.5 2.5 1 -> 2.0 2.0 2.0
    assert BestMeanRank("max").choose(scores).draw == 0
    assert BestMeanRank("max").choose(scores).mean_rank == 2.0


def test_matched_puts_a_failed_draw_last_and_leaves_out_an_arm_without_results() -> None:
    scores = {
        "a": {0: 0.9, 1: 0.8},
        "b": {0: None, 1: 0.1},
        "c": {0: None, 1: 0.1},
        "lost": {0: None, 1: None},
    }
    # a: 1 2; b: 2 1; c: 2 1 -> 5/3, 4/3
    choice = BestMeanRank("max").choose(scores)
    assert choice.draw == 1
    assert "left out for want of a result: lost" in choice.reason


def test_matched_without_any_result_chooses_nothing() -> None:
    choice = BestMeanRank("max").choose({"a": {0: None}})
    assert choice.draw is None
    assert "no reference arm has a result (a)" in choice.reason
    assert BestMeanRank("max").choose({}).draw is None


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.lists(
            st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=n, max_size=n), min_size=1
        )
    ),
    st.sampled_from(["max", "min"]),
)
def test_matched_agrees_with_scipy_ranks(table: list[list[float]], direction: str) -> None:
    scores = {f"arm{i}": dict(enumerate(row)) for i, row in enumerate(table)}
    choice = BestMeanRank(direction).choose(scores)  # type: ignore[arg-type]
    sign = -1 if direction == "max" else 1
    mean = rankdata([[sign * value for value in row] for row in table], axis=1).mean(axis=0)
    assert choice.mean_rank == pytest.approx(mean.min())
    assert mean[choice.draw] == pytest.approx(mean.min())
