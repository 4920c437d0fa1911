r"""What tuning buys: the best validation score to expect of a budget, or the best one found along the way.

Where hyperparameters are drawn independently at random, the N draws of an arm say what the best of any n of
them would score on average. Both estimators are given, up to n = N/2, beyond which neither is reliable: the
plug-in one of Dodge et al. (2019), :math:`\sum_i v_{(i)} [(i/N)^n - ((i-1)/N)^n]`, biased downwards, and the
unbiased one of Tang et al. (2020), :math:`\sum_{i \ge n} v_{(i)} \binom{i-1}{n-1} / \binom{N}{n}`. A searcher
that learns from earlier draws, or a scheduler that stops them early, makes draws dependent: only the best
score so far is shown then, as it happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import special

from reports.frame import Run
from reports.statistics.arrays import Array


@dataclass(frozen=True)
class BudgetPoint:
    """The best of `draws` draws.

    Parameters
    ----------
    seconds
        What so many draws take: their mean times `draws`, or the sum as it happened.
    plug_in, unbiased
        Expected best validation score; `None` for incumbents.
    spread
        Standard deviation of the best of so many draws, from the plug-in distribution; no interval.
    incumbent
        Best score so far, in the order of the draws.
    """

    draws: int
    seconds: float
    plug_in: float | None = None
    unbiased: float | None = None
    spread: float | None = None
    incumbent: float | None = None


@dataclass(frozen=True)
class SearchCurve:
    """How an arm's best validation score grows with the budget; `failed` draws count but score nothing."""

    column: str
    title: str
    draws: int
    failed: int
    expected: tuple[BudgetPoint, ...]
    incumbents: tuple[BudgetPoint, ...]


@dataclass(frozen=True)
class Search:
    """Tuning of a task. `independent`: whether expectations may be formed, and `reason` why (not)."""

    task: str
    title: str
    metric: str
    direction: str
    independent: bool
    reason: str
    curves: tuple[SearchCurve, ...]
    resampled: str = "none: draws of hyperparameters, one trial each, judged on the validation split"


def searches(run: Run, task: Mapping[str, Any]) -> Search | None:
    """Curves of every competing arm that was tuned on a task; `None` where none was."""
    trials = run.trials.filter(
        (pl.col("stage") == "tune") & (pl.col("task") == task["name"]) & pl.col("draw").is_not_null()
    )
    count, reason = independent_draws(run.meta["suite"])
    direction = task["primary"]["direction"]
    curves = tuple(
        _curve(f"arm:{name}", arm["title"], own, direction, count)
        for name, arm in run.main_arms.items()
        if len(own := trials.filter(pl.col("strategy") == name).sort("draw", "pretraining_seed", "seed"))
    )
    if not curves:
        return None
    return Search(task["name"], task["title"], task["primary"]["label"], direction, count > 0, reason, curves)


def independent_draws(suite: Mapping[str, Any]) -> tuple[int, str]:
    """How many draws of an arm are independent of each other, the first ones, and why in words.

    Examples
    --------
    >>> independent_draws({"budget": {"draws": 8}, "search": {"method": "sobol"}})[0]
    0
    """
    draws = int(suite["budget"]["draws"])
    search = suite.get("search") or {}
    method = search.get("method", "random")
    if search.get("early_stopping"):
        return 0, "trials are stopped early, by what others reached: the best so far is shown as it happened"
    if method == "random":
        return draws, "independent random draws"
    if method == "tpe":
        shared = min(draws, search.get("shared_draws") or (draws + 1) // 2)
        return shared, f"the first {shared} draws are random; the others learn from them and are left out"
    return 0, f"draws of method {method} are not independent: the best so far is shown as it happened"


def _curve(column: str, title: str, trials: pl.DataFrame, direction: str, independent: int) -> SearchCurve:
    by_draw = trials.group_by("draw", maintain_order=True).agg(
        pl.col("validation_score").filter(pl.col("status") == "done").mean(),
        pl.col("wall_seconds").sum(),
    )
    scored = by_draw.filter(pl.col("validation_score").is_finite())
    scores = scored.filter(pl.col("draw") < independent)["validation_score"].to_numpy()
    seconds = float(by_draw["wall_seconds"].fill_null(0.0).to_numpy().mean())
    return SearchCurve(
        column,
        title,
        len(by_draw),
        len(by_draw) - len(scored),
        expected_best(scores, direction, seconds),
        _incumbents(by_draw, direction),
    )


def expected_best(
    scores: Sequence[float] | Array, direction: str, seconds: float = 0.0
) -> tuple[BudgetPoint, ...]:
    """Expected best score of 1 to N/2 independent draws, from N of them.

    Examples
    --------
    >>> [round(point.unbiased, 3) for point in expected_best([0.1, 0.2, 0.3, 0.4], "max")]
    [0.25, 0.333]
    """
    sign = 1.0 if direction == "max" else -1.0
    ordered = np.sort(sign * np.asarray(scores, dtype=np.float64))
    total = len(ordered)
    place = np.arange(1, total + 1)
    points = []
    for count in range(1, total // 2 + 1):
        weights = (place / total) ** count - ((place - 1) / total) ** count
        mean = float(weights @ ordered)
        spread = max(float(weights @ ordered**2) - mean**2, 0.0) ** 0.5
        unbiased = float(unbiased_weights(total, count) @ ordered)
        points.append(BudgetPoint(count, count * seconds, sign * mean, sign * unbiased, spread))
    return tuple(points)


def unbiased_weights(total: int, count: int) -> Array:
    """Weight of each order statistic in the mean over all subsets of size `count`: C(i-1, n-1) / C(N, n).

    Examples
    --------
    All draws at once: the largest one.

    >>> unbiased_weights(3, 3).tolist()
    [0.0, 0.0, 1.0]
    """
    place = np.arange(1, total + 1)
    return np.asarray(special.comb(place - 1, count - 1) / special.comb(total, count))


def _incumbents(by_draw: pl.DataFrame, direction: str) -> tuple[BudgetPoint, ...]:
    points, best, seconds = [], None, 0.0
    for place, row in enumerate(by_draw.iter_rows(named=True), start=1):
        seconds += row["wall_seconds"] or 0.0
        score = row["validation_score"]
        if score is not None and np.isfinite(score):
            better = best is None or (score > best if direction == "max" else score < best)
            best = score if better else best
        points.append(BudgetPoint(place, seconds, incumbent=best))
    return tuple(points)
