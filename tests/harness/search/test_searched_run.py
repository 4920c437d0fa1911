"""Searches of real runs: records, early stopping, proposals, going on after a stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from harness.executors.inline import InlineExecutor
from harness.executors.tune import TuneExecutor
from harness.outlook import look_ahead
from harness.progress import SilentDisplay
from harness.resources import Resources
from harness.run import run_suite
from registry.contracts import InputError
from tests.harness.digits_run import ROOT, digits_request, journal, numbers, run_inline, tables

PLUGIN = ROOT / "tests" / "domains" / "digits_searched.py"
BASE: dict[str, Any] = {"strategies": ["random_projection", "sparse", "tilted"], "tasks": ["steps"]}
SEARCHED = {
    **BASE,
    "budget": {"draws": 2, "pretraining_draws": 3},
    "seeds": {"pretraining": [0, 1], "tuning_pretraining": 9},
}


def request(folder: Path, output: str = "run", **changes: Any) -> Any:
    return digits_request(folder, plugins=(PLUGIN,), output=output, **{**BASE, **changes})


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("searched")
    assert run_inline(request(folder, **SEARCHED)).complete
    return folder


def test_pretraining_is_chosen_by_a_score_that_every_arm_has(searched: Path) -> None:
    found = tables(searched / "run")
    trials = found["trials"].filter(pl.col("stage") == "pretrain")
    draws = trials.filter(pl.col("draw").is_not_null() & (pl.col("pretraining_seed") == 9))
    assert draws["validation_score"].null_count() == 0
    assert json.loads(draws["validation"][0]).keys() == {"ridge"}
    assert set(trials.filter(pl.col("pretraining_seed") != 9)["validation_score"]) == {None}
    rows = found["selections"].filter(pl.col("task").is_null())
    assert sorted(zip(rows["strategy"], rows["protocol"], strict=True)) == [
        (arm, protocol) for arm in ("sparse", "tilted") for protocol in ("matched", "tuned")
    ]
    for row in rows.filter(pl.col("protocol") == "tuned").to_dicts():
        own = draws.filter(pl.col("strategy") == row["strategy"])
        assert row["validation_score"] == own["validation_score"].max()
    (matched,) = rows.filter((pl.col("strategy") == "tilted") & (pl.col("protocol") == "matched")).to_dicts()
    assert json.loads(matched["hyperparameters"])["tilt"] == 0.0


def test_what_every_arm_spent_is_on_record(searched: Path) -> None:
    rows = tables(searched / "run")["search"]
    pretraining = rows.filter(pl.col("task").is_null())
    assert pretraining.select("strategy", "draws", "done", "budget_draws").rows() == [
        ("sparse", 3, 3, 3),
        ("tilted", 3, 3, 3),
    ]
    assert (pretraining["seconds"] > 0).all()
    tuning = rows.filter(pl.col("task") == "steps")
    assert set(tuning["draws"]) == {2}
    described = json.loads((searched / "run" / "run.json").read_text())
    assert described["suite"]["budget"]["pretraining_draws"] == 3
    assert described["caveats"] == []


def test_the_command_given_again_runs_nothing(searched: Path) -> None:
    before = len(journal(searched / "run"))
    assert run_inline(request(searched, **SEARCHED)).complete
    events = [entry["event"] for entry in journal(searched / "run")[before:]]
    assert "started" not in events
    outlook = look_ahead(request(searched, **SEARCHED))
    assert outlook.counts["to run"] == outlook.counts["blocked"] == 0


def test_another_run_takes_the_weights_of_the_search_from_the_cache(searched: Path) -> None:
    assert run_inline(request(searched, "other", **{**SEARCHED, "tasks": ["stroke"]})).complete
    trials = tables(searched / "other")["trials"].filter(pl.col("stage") == "pretrain")
    assert trials["cached"].all()
    assert not [
        e for e in journal(searched / "other") if e["event"] == "started" and "pretrain" in e["label"]
    ]


class Stops(InlineExecutor):
    """Interrupts after so many trials."""

    def __init__(self, trials: int) -> None:
        super().__init__()
        self.left = trials

    def next_event(self, timeout_seconds: float) -> Any:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return super().next_event(timeout_seconds)


STOPPING = {"budget": {"draws": 5}, "search": {"early_stopping": {"first": 0.1}}}
TPE = {"budget": {"draws": 5}, "search": {"method": "tpe", "shared_draws": 2, "parallel": 1}}
SOBOL = {"budget": {"draws": 4}, "search": {"method": "sobol"}}


@pytest.mark.parametrize(
    "tables_of", [SEARCHED, STOPPING, TPE, SOBOL], ids=["searched", "stopping", "tpe", "sobol"]
)
def test_an_interrupted_search_ends_in_the_same_tables(tmp_path: Path, tables_of: Any) -> None:
    assert run_inline(request(tmp_path, "whole", **tables_of)).complete
    for trials in (3, 4, 5):
        with pytest.raises(KeyboardInterrupt):
            run_suite(request(tmp_path, "parts", **tables_of), Stops(trials), SilentDisplay())
    assert run_inline(request(tmp_path, "parts", **tables_of)).complete
    whole, parts = numbers(tmp_path / "whole"), numbers(tmp_path / "parts")
    for name, frame in whole.items():
        assert frame.equals(parts[name]), name
    started = [e["key"] for e in journal(tmp_path / "parts") if e["event"] == "started"]
    assert len(started) <= len(set(started)) + 3  # what was in flight at each of three stops


def test_bad_trials_stop_early_and_buy_other_ones(tmp_path: Path) -> None:
    run_inline(request(tmp_path, **{**STOPPING, "budget": {"draws": 6}}))
    found = tables(tmp_path / "run")
    tuned = found["trials"].filter(pl.col("stage") == "tune")
    stopped = tuned.filter(pl.col("pruned_at").is_not_null())
    assert 0 < len(stopped) < len(tuned)
    assert stopped["validation_score"].null_count() == len(stopped)
    assert (stopped["status"] == "done").all()
    for row in found["search"].to_dicts():
        own = tuned.filter(pl.col("strategy") == row["strategy"])
        assert row["draws"] == len(own) > 6
        assert row["pruned"] == own["pruned_at"].count()
        assert row["full_trials"] == pytest.approx(own["pruned_at"].fill_null(1.0).sum())
        assert 5 < row["full_trials"] <= 6
    curves = found["curves"].filter(pl.col("key") == stopped["key"][0])
    assert curves["step"].max() == round(27 * stopped["pruned_at"][0])
    assert len(list((tmp_path / "run" / "brackets").iterdir())) == 3  # one per cell, never shared


def test_proposals_are_on_record(tmp_path: Path) -> None:
    run_inline(request(tmp_path, **TPE))
    proposed = [entry for entry in journal(tmp_path / "run") if entry["event"] == "proposed"]
    assert sorted((entry["strategy"], entry["draw"]) for entry in proposed) == [
        (arm, draw) for arm in ("random_projection", "sparse", "tilted") for draw in (2, 3, 4)
    ]
    drawn = {
        (row["strategy"], row["draw"]): json.loads(row["hyperparameters"])
        for row in tables(tmp_path / "run")["trials"].filter(pl.col("stage") == "tune").to_dicts()
    }
    for entry in proposed:
        assert drawn[entry["strategy"], entry["draw"]] == entry["hyperparameters"]


def test_tuning_on_weights_that_are_judged_is_a_caveat(tmp_path: Path) -> None:
    outlook = look_ahead(request(tmp_path))
    assert "Tuning started from the weights of pretraining seed 0" in outlook.caveats[0]
    assert "Sparse projection, Tilted projection used the declared values" in outlook.caveats[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"seeds": {"pretraining": [0, 1], "tuning_pretraining": 1}},
            "tuning_pretraining 1 is also a pretraining",
        ),
        ({"budget": {"pretraining_draws": 0}}, "budget.pretraining_draws = 0 cannot be used"),
        ({"budget": {"seconds": 0.0}}, "budget.seconds = 0.0 cannot be used"),
        ({"search": {"method": "grid"}}, "search.method = 'grid' cannot be used"),
        ({"search": {"shared_draws": 2}}, "shared_draws is for method 'tpe', not 'random'"),
        ({"search": {"early_stopping": {"first": 1.5}}}, "search.early_stopping.first = 1.5 cannot be used"),
        ({"search": {"early_stopping": {"reductio": 2}}}, "'search.early_stopping.reductio' is not known"),
        (
            {"search": {"pretraining_metric": "redrawn"}, "budget": {"pretraining_draws": 2}},
            "pretraining_metric 'redrawn' needs generator",
        ),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        look_ahead(request(tmp_path, **changes))
    assert message in str(error.value)
    assert error.value.mend


@pytest.mark.ray
@pytest.mark.slow
def test_searches_on_ray(tmp_path: Path) -> None:
    """Pretraining is chosen as in one process; what stops depends on who came first, the bounds do not."""
    both = {**SEARCHED, **STOPPING, "budget": {"draws": 6, "pretraining_draws": 3}}
    run_inline(request(tmp_path / "one", **both))
    executor = TuneExecutor(Resources(), workers=2)
    assert run_suite(request(tmp_path / "two", **both), executor, SilentDisplay()).complete
    one, two = numbers(tmp_path / "one" / "run"), numbers(tmp_path / "two" / "run")
    chosen = [frame["selections"].filter(pl.col("task").is_null()) for frame in (one, two)]
    assert chosen[0].equals(chosen[1])
    rows = two["search"].filter(pl.col("task") == "steps")
    assert (rows["pruned"] > 0).all()
    assert ((rows["full_trials"] > 5) & (rows["full_trials"] <= 6)).all()
    assert (rows["draws"] > 6).all()
