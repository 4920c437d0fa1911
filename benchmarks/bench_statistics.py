"""The crossed bootstrap against a plain loop: 3 arms x 5 seeds x 111 patients x 15 measures.

The loop resamples scans and evaluates r2 one resample at a time, on fewer resamples; the ratio of the times
per resample is kept with the benchmark (`extra_info`).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from reports.statistics.agreement import PatientSums, own_sums, shared_sums
from reports.statistics.bootstrap import CrossedBootstrap
from reports.statistics.intervals import estimate
from reports.statistics.resampled import Replicates

ARMS, SEEDS, PATIENTS, ROWS = 3, 5, 111, 15
DRAWS = 50_000
LOOP_DRAWS = 200


@pytest.fixture(scope="module")
def results() -> tuple[np.ndarray, np.ndarray]:
    """Targets (patients, rows) and predictions (arms, seeds, patients, rows)."""
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(PATIENTS, ROWS))
    return targets, targets + 0.5 * rng.normal(size=(ARMS, SEEDS, PATIENTS, ROWS))


def vectorised(targets: np.ndarray, predictions: np.ndarray, draws: int) -> list[Any]:
    patients, valid = np.arange(PATIENTS), np.ones(targets.shape)
    shared = shared_sums(patients, PATIENTS, targets, valid)
    replicates = Replicates("seed", tuple(range(SEEDS)), tuple(range(SEEDS)))
    arms = {
        str(arm): (
            PatientSums(shared, own_sums(patients, PATIENTS, predictions[arm], targets, valid)),
            replicates,
        )
        for arm in range(ARMS)
    }
    resampled = CrossedBootstrap(PATIENTS, draws).resample(arms, ["r2"])
    return [estimate(resampled[str(arm)]["r2"].minus(resampled["0"]["r2"])) for arm in range(1, ARMS)]


def loop(targets: np.ndarray, predictions: np.ndarray, draws: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    found = np.empty((draws, ARMS, ROWS))
    for draw in range(draws):
        scans = rng.integers(PATIENTS, size=PATIENTS - 1)
        seeds = rng.integers(SEEDS, size=SEEDS - 1)
        for arm in range(ARMS):
            for row in range(ROWS):
                y = targets[scans, row]
                total = ((y - y.mean()) ** 2).sum()
                each = [1 - ((predictions[arm, seed, scans, row] - y) ** 2).sum() / total for seed in seeds]
                found[draw, arm, row] = np.mean(each)
    return (found[:, 1:] - found[:, :1]).std(0, ddof=1)


def test_crossed_bootstrap(benchmark: Any, results: tuple[np.ndarray, np.ndarray]) -> None:
    started = time.perf_counter()
    reference = loop(*results, LOOP_DRAWS)
    per_draw = (time.perf_counter() - started) / LOOP_DRAWS
    estimates = benchmark.pedantic(vectorised, (*results, DRAWS), rounds=3, warmup_rounds=1)
    errors = np.array([[one.standard_error for one in arm] for arm in estimates])
    assert np.allclose(errors, reference, rtol=0.25)
    seconds = benchmark.stats.stats.median
    benchmark.extra_info["seconds_for_50000_resamples"] = seconds
    benchmark.extra_info["ratio_to_plain_loop"] = per_draw * DRAWS / seconds


def test_plain_loop(benchmark: Any, results: tuple[np.ndarray, np.ndarray]) -> None:
    benchmark.pedantic(loop, (*results, LOOP_DRAWS), rounds=3)
