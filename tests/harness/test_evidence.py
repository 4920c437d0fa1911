"""What seeds can prove: enumerated sign flips, simulated power, recorded spreads."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from harness.evidence import (
    evidence_for,
    evidence_of,
    minimum_detectable,
    recorded_spreads,
    seeds_needed,
    smallest_p,
    warnings_of,
)
from harness.results import RunFolder, compact
from registry.contracts import PrimaryEndpoint
from tests.harness.toys import toy_plan, toy_task

SCORE = PrimaryEndpoint("score", "score", "max", "mean", ("score",))


@pytest.mark.parametrize("seeds", range(1, 9))
def test_the_least_p_is_that_of_enumerated_signs(seeds: int) -> None:
    differences = np.arange(1.0, seeds + 1)  # all in favour: as extreme as data can be
    flipped = [abs(np.dot(signs, differences)) for signs in itertools.product((1, -1), repeat=seeds)]
    assert smallest_p(seeds) == np.mean(np.array(flipped) >= differences.sum())


@pytest.mark.parametrize("comparisons", [1, 2, 3, 6, 10, 45])
def test_seeds_needed_is_the_first_number_that_survives_holm(comparisons: int) -> None:
    enough = [n for n in range(1, 30) if comparisons * smallest_p(n) <= 0.05]
    assert seeds_needed(comparisons) == enough[0]


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_the_detectable_difference_has_the_power_it_claims(seeds: int) -> None:
    found = minimum_detectable(2.0, seeds)
    assert found is not None
    power = TTestPower().power(found / 2.0, seeds, 0.05)
    assert power == pytest.approx(0.80, abs=5e-3)
    noncentrality = found / 2.0 * math.sqrt(seeds)
    critical = stats.t.ppf(0.975, seeds - 1)
    assert stats.nct.sf(critical, seeds - 1, noncentrality) == pytest.approx(0.80, abs=1e-4)
    assert minimum_detectable(2.0, 1) is None


def test_a_suite_with_enough_seeds_is_not_warned() -> None:
    few = evidence_for("t", SCORE, arms=4, pretraining_seeds=1, final_seeds=2)
    assert not few.enough
    assert few.warning == (
        "2 final seeds cannot be significant in an exact test over seeds: p is at least 0.5, 1 after "
        "correction for 6 pairs of arms; 8 final seeds could be"
    )
    many = evidence_for("t", SCORE, arms=4, pretraining_seeds=8, final_seeds=1)
    assert many.enough
    assert (many.warning, many.claims, many.smallest_p_corrected) == ("", "procedure", 6 * 2 / 2**8)
    assert evidence_for("t", SCORE, arms=1, pretraining_seeds=1, final_seeds=1).warning == ""


def test_a_task_that_draws_no_random_numbers_needs_pretraining_seeds() -> None:
    (one,) = evidence_of(toy_plan(2, [toy_task("t0", trains=False)]))
    assert (one.replicate, one.seeds) == ("pretraining seed", 1)
    assert "6 pretraining seeds could be" in one.warning


def test_equal_warnings_are_given_once() -> None:
    (warning,) = warnings_of(evidence_of(toy_plan(3, 2)))
    assert warning.startswith("t0, t1: 2 final seeds")


def record(folder: Path, values: dict[str, dict[tuple[int, int], float]]) -> RunFolder:
    """A run folder with the scores of final trials: arm to (pretraining seed, seed) to score."""
    import polars as pl  # noqa: PLC0415

    run = RunFolder(folder)
    rows: list[dict[str, Any]] = []
    for arm, seeds in values.items():
        for (pretraining_seed, seed), value in seeds.items():
            key = f"{arm}-{pretraining_seed}-{seed}"
            rows.append(
                {
                    **{"key": key, "stage": "final", "strategy": arm, "task": "t0", "status": "done"},
                    **{"protocols": ["matched", "tuned"], "seed": seed},
                    "pretraining_seed": pretraining_seed,
                }
            )
            scores = {"key": [key], "patient": ["p"], "scan": ["s"], "metric": ["score"], "value": [value]}
            run.trial(key).mkdir(parents=True)
            pl.DataFrame(scores).write_parquet(run.trial(key) / "scores.parquet")
    compact(run, rows, [])
    return run


def test_recorded_spreads_pair_arms_by_seed(tmp_path: Path) -> None:
    """Seeds that both arms share move them alike: what counts is the spread of the difference."""
    run = record(
        tmp_path,
        {"s0": {(0, 0): 1.0, (0, 1): 5.0, (0, 2): 9.0}, "s1": {(0, 0): 0.5, (0, 1): 4.0, (0, 2): 8.5}},
    )
    spreads = recorded_spreads(run, {"t0": SCORE}, procedure=False)
    assert spreads == {"t0": [pytest.approx(np.std([0.5, 1.0, 0.5], ddof=1))]}
    plan = toy_plan(2, [toy_task("t0")], seeds={"final": [0, 1, 2]})
    (one,) = evidence_of(plan, run)
    assert one.recorded_pairs == 1
    assert one.minimum_detectable == minimum_detectable(spreads["t0"][0], 3)


def test_with_pretraining_seeds_final_seeds_are_averaged_inside(tmp_path: Path) -> None:
    values = {(p, s): float(10 * p + s) for p in (0, 1) for s in (0, 1)}
    run = record(tmp_path, {"s0": values, "s1": {key: value * 1.1 for key, value in values.items()}})
    (spread,) = recorded_spreads(run, {"t0": SCORE}, procedure=True)["t0"]
    assert spread == pytest.approx(np.std([0.05, 1.05], ddof=1))


def test_where_nothing_is_recorded_nothing_is_said(tmp_path: Path) -> None:
    assert recorded_spreads(RunFolder(tmp_path), {"t0": SCORE}, procedure=False) == {}
    (one,) = evidence_of(toy_plan(2, 1), RunFolder(tmp_path))
    assert (one.minimum_detectable, one.recorded_pairs) == (None, 0)
