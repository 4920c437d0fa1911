"""Early stopping: Ray's scheduler as oracle, and brackets that are folders."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.executors.tune import LOOPBACK_ONLY
from harness.search.halving import Bracket, TrialStopped, goes_on
from harness.search.tables import EarlyStopping

scores = st.floats(-1e3, 1e3)


@given(scores, st.lists(scores, max_size=12), st.sampled_from([2.0, 3.0, 4.0]))
def test_the_decision_is_a_quantile(score: float, others: list[float], reduction: float) -> None:
    for direction, sign in (("max", 1), ("min", -1)):
        limit = np.quantile(sign * np.array(others), 1 - 1 / reduction) if others else -np.inf
        if abs(sign * score - limit) < 1e-6:
            continue
        wanted = sign * score >= limit
        assert goes_on(score, others, reduction=reduction, direction=direction) == wanted  # type: ignore[arg-type]


def bracket(folder: Path, key: str, **changes: Any) -> Bracket:
    told = {"rungs": (1, 3, 9), "reduction": 3.0, "direction": "max", **changes}
    return Bracket.from_payload({"folder": str(folder), **told}, key)


@pytest.mark.ray
def test_trials_stop_where_those_of_ray_stop(tmp_path: Path) -> None:
    """The same trials in the same order through Ray's asynchronous successive halving."""
    os.environ.update(LOOPBACK_ONLY)  # Ray reads it once, when imported, and later tests share this process
    from ray.tune.schedulers.async_hyperband import _Bracket  # noqa: PLC0415

    chance = random.Random(5)  # noqa: S311
    theirs = _Bracket(min_t=1, max_t=27, reduction_factor=3, s=0)

    class Trial:
        def __init__(self, name: str) -> None:
            self.trial_id = name

    stopped = 0
    for number in range(40):
        name, quality = f"t{number}", chance.random()
        ours = bracket(tmp_path, name, rungs=(1 / 27, 3 / 27, 9 / 27))
        for step in range(1, 27):
            score = quality + 0.2 * chance.random()
            verdict = theirs.on_result(Trial(name), step, score)
            if verdict == "STOP":
                stopped += 1
                with pytest.raises(TrialStopped) as stop:
                    ours.report(step / 27, score)
                assert (stop.value.share, stop.value.score) == (step / 27, score)
                break
            ours.report(step / 27, score)
    assert 10 < stopped < 40


def test_brackets_do_not_share_a_folder(tmp_path: Path) -> None:
    for number in range(6):
        bracket(tmp_path / "good", f"g{number}", rungs=(0.2,)).report(0.2, 0.9)
    bracket(tmp_path / "weak", "w0", rungs=(0.2,)).report(0.2, 0.1)
    with pytest.raises(TrialStopped):
        bracket(tmp_path / "good", "g9", rungs=(0.2,)).report(0.2, 0.1)


def test_a_rung_counts_once_and_the_end_never_stops(tmp_path: Path) -> None:
    for number in range(3):
        bracket(tmp_path, f"other{number}", rungs=(0.1, 0.5)).report(0.6, 1.0)
    mine = bracket(tmp_path, "mine", rungs=(0.1, 0.5))
    mine.report(0.05, 0.0)  # before the first rung
    mine.report(1.0, 0.0)  # at its end
    with pytest.raises(TrialStopped):
        mine.report(0.7, 0.0)
    mine.report(0.8, 0.0)  # the rung has been passed
    assert sorted(path.name for path in (tmp_path / "1").iterdir()) == ["mine", "other0", "other1", "other2"]


def test_a_repeated_trial_does_not_compete_with_itself(tmp_path: Path) -> None:
    bracket(tmp_path, "mine", rungs=(0.5,)).report(0.5, 1.0)
    bracket(tmp_path, "mine", rungs=(0.5,)).report(0.5, 0.0)


def test_a_score_that_is_no_number_is_left_to_the_trial(tmp_path: Path) -> None:
    bracket(tmp_path, "mine", rungs=(0.5,)).report(0.5, float("nan"))
    assert list(tmp_path.iterdir()) == []


def test_rungs_grow_by_the_reduction() -> None:
    assert EarlyStopping(first=1 / 27, reduction=3.0).rungs == pytest.approx((1 / 27, 1 / 9, 1 / 3))
    assert EarlyStopping(first=0.5, reduction=4.0).rungs == (0.5,)


def test_stopping_is_not_an_exception_that_a_strategy_swallows() -> None:
    assert not issubclass(TrialStopped, Exception)
