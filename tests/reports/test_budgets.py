"""What every arm could search with: the verdict against hand-made searches, and what the page shows."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from reports import RecordsError
from reports.analyses import NEEDS
from reports.budgets import Spending, budgets, judged
from reports.build import build
from reports.contents import contents_of, read_contents
from reports.frame import read_run
from reports.joined import joined
from reports.tuning import PRETRAINING, seed_use
from tests.reports.records import Records

BOTH = ("matched", "tuned")


def spending(arm: str, spent: float = 8.0, protocols: tuple[str, ...] = BOTH, draws: int = 8) -> Spending:
    counts = (draws, draws, 0, 0, 0)
    return Spending(arm, arm, protocols, None, "random", 8, None, *counts, 10.0, spent, ())


def test_the_same_budget_is_equal_and_one_arm_proves_nothing() -> None:
    assert judged([spending("a"), spending("b")])[0] is True
    assert judged([spending("a")])[0] is None


@pytest.mark.parametrize("change", [{"budget_draws": 9}, {"method": "sobol"}, {"budget_seconds": 60.0}])
def test_another_allowance_is_not_equal_whatever_was_spent(change: dict[str, object]) -> None:
    equal, words = judged([spending("a"), replace(spending("b"), **change)])  # type: ignore[arg-type]
    assert equal is False
    assert str(next(iter(change.values()))).removesuffix(".0") in words


def test_a_full_trial_more_is_not_equal_and_is_said_in_numbers() -> None:
    equal, words = judged([spending("a", 6.0), spending("b", 8.0)])
    assert equal is False
    assert "a spent 6 and b 8 full trials" in words
    assert "33 % more" in words


def test_what_is_left_of_early_stopping_is_less_than_a_trial() -> None:
    equal, words = judged([spending("a", 7.75), spending("b", 8.0)])
    assert equal is True
    assert "within 0.25 of a full trial" in words


def test_an_arm_that_searches_once_per_protocol_spends_no_more_under_either() -> None:
    apart = [spending("b", protocols=("matched",)), spending("b", protocols=("tuned",))]
    assert judged([spending("a"), *apart])[0] is True
    twice = [*apart, spending("b", protocols=("tuned",))]
    equal, words = judged([spending("a"), *twice])
    assert equal is False
    assert "100 % more" in words
    assert "(tuned)" in words


def test_arms_of_one_title_are_not_taken_for_one() -> None:
    same = [replace(spending(name), title="Autoencoder") for name in "abc"]
    assert judged([*same, spending("d")])[0] is True


def test_a_budget_of_seconds_is_equal_in_time_alone() -> None:
    slow, fast = (replace(spending(name, spent), budget_seconds=60.0) for name, spent in (("a", 2), ("b", 8)))
    equal, words = judged([slow, fast])
    assert equal is False
    assert words.startswith("Equal in time, not equal in trials")


def test_joined_runs_keep_every_search_and_claim_no_common_seeds(tmp_path: Path) -> None:
    runs = {}
    for name, draws in (("ann", 4), ("bob", 5)):
        runs[name] = read_run(Records(patients=12, draws=draws, pretraining_draws=3).write(tmp_path / name))
    contents = contents_of(joined(runs), 50)
    (task,) = [one for one in contents.analyses.budgets if one.task]
    assert task.equal is False
    assert "different budgets" in task.verdict
    assert {one.arm for one in task.spendings} >= {"dxa_vae@ann", "dxa_vae@bob"}
    assert contents.pretraining
    assert len(contents.pretraining[0].arms) == 4
    assert contents.seed_use == []


def test_failed_draws_are_named_beside_an_equal_budget() -> None:
    equal, words = judged([spending("a"), replace(spending("b"), done=6, failed=1, blocked=1)])
    assert equal is True
    assert "b 2 of 8" in words


def test_page_twin_and_csv_show_the_same_searches(tmp_path: Path) -> None:
    folder = Records(patients=12, pretraining_draws=3).write(tmp_path / "run")
    page = build(folder, draws=50).read_text()
    twin = json.loads((folder / "report.json").read_text())
    (pretraining, task) = twin["analyses"]["budgets"]
    assert (pretraining["task"], pretraining["metric"]) == (None, "probe_r2")
    assert pretraining["unsearched"] == ["ImageNet"]
    assert task["equal"] is True
    assert "noDXA-VAE 1 of 4" in task["verdict"]
    for verdict in (pretraining["verdict"], task["verdict"], *twin["tuning"]["seeds"]):
        assert verdict in page
    lines = list(csv.DictReader(io.StringIO((folder / "tables" / "tuning-budgets.csv").read_text())))
    assert [(one["task"], one["entry"]) for one in lines] == [
        ("", "nodxa_vae"),
        ("", "dxa_vae"),
        *(("anthropometry", arm) for arm in ("imagenet", "nodxa_vae", "dxa_vae")),
    ]
    assert {one["simulated"] for one in lines} == {"true"}
    assert lines[0]["boundary"] == "rate at its high end"


def test_settings_of_pretraining_with_every_draw_and_no_other(tmp_path: Path) -> None:
    contents = read_contents(Records(patients=12, pretraining_draws=3).write(tmp_path / "run"), 50)
    assert contents.pretraining
    tuned, figure = contents.pretraining
    assert figure
    assert figure.key == f"draws-{PRETRAINING}"
    last = tuned.arms[-1]
    # draw 2 with tilt at its default was judged for `matched`; it is no draw
    assert dict(last.scores) == pytest.approx({0: 0.6, 1: 0.71, 2: 0.82})
    assert len(last.scores) == 3
    matched, own = last.choices
    assert (matched.validation, own.validation) == pytest.approx((0.8, 0.82))
    assert matched.edges == ("rate at its high end",)


def test_a_run_without_the_table_says_what_is_missing(tmp_path: Path) -> None:
    folder = Records(patients=12).write(tmp_path / "run")
    (folder / "results" / "search.parquet").unlink()
    path = folder / "results" / "selections.parquet"
    pl.read_parquet(path).drop("boundary").write_parquet(path)
    assert read_run(folder).selections["boundary"].null_count() == 6
    page = build(folder, draws=50).read_text()
    tuning = re.search(r'<section id="tuning".*?</section>', page, re.DOTALL)
    assert tuning
    assert NEEDS["budgets"] in tuning[0]
    assert not (folder / "tables" / "tuning-budgets.csv").exists()


def test_a_search_of_an_unknown_arm_is_refused(tmp_path: Path) -> None:
    folder = Records(patients=12).write(tmp_path / "run")
    path = folder / "results" / "search.parquet"
    pl.read_parquet(path).with_columns(strategy=pl.lit("nobody")).write_parquet(path)
    with pytest.raises(RecordsError, match="nobody"):
        budgets(read_run(folder))


def test_seeds_that_chose_and_are_judged_are_named() -> None:
    seeds = {"tuning": 1, "final": [0, 1], "pretraining": [3, 4], "tuning_pretraining": 9}
    trained, weights = seed_use({"seeds": seeds})
    assert "not disjoint, 1 chose" in trained
    assert weights.endswith(": disjoint.")
