"""A run with every axis and control, from the suite to the records and the report."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from harness.labels import nested_patients
from harness.request import Request
from harness.run import prepare
from registry.contracts import InputError
from reports import build_report
from reports.frame import read_run
from tests.harness.digits_run import digits_request, run_inline, tables

STRATEGIES = ["principal_components", "random_projection"]
TABLES: dict[str, Any] = {
    "strategies": STRATEGIES,
    "tasks": ["stroke", "redrawing"],
    "splits": 2,
    "label_efficiency": {"fractions": [0.25, 0.5], "draws": 2},
    "controls": {"aa": ["random_projection"], "shuffled_labels": ["principal_components"]},
    "ablation": [
        {"base": "principal_components", "design": "leave_one_out", "factors": {"whiten": True}},
    ],
    "margins": {"stroke": {"r2": 0.05}},
    "endpoints": {"stroke": {"statistic": "rmse", "rows": ["height"], "label": "RMSE", "direction": "min"}},
}


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> Request:
    return digits_request(tmp_path_factory.mktemp("axes"), **{**TABLES, "cohort": {"patients": 40}})


@pytest.fixture(scope="module")
def run(request_: Request) -> Path:
    finished = run_inline(request_)
    assert finished.complete
    return finished.run.root


@pytest.fixture(scope="module")
def finals(run: Path) -> pl.DataFrame:
    trials = tables(run)["trials"]
    return trials.filter(stage="final", task="stroke")


def test_every_arm_and_condition_has_its_trials(finals: pl.DataFrame) -> None:
    assert finals["status"].unique().to_list() == ["done"]
    main = finals.filter(pl.col("label_fraction").is_null(), split=0)
    derived = {
        "random_projection.aa",
        "principal_components.shuffled_labels",
        "principal_components.whiten_True",
    }
    assert set(main["strategy"].drop_nulls()) == {*STRATEGIES, *derived}
    others = finals.filter(pl.col("label_fraction").is_not_null() | (pl.col("split") > 0))
    assert set(others["strategy"].drop_nulls()) == set(STRATEGIES)
    served = [
        (row["strategy"], row["label_fraction"], row["label_draw"], row["split"], protocol, row["seed"])
        for row in others.filter(pl.col("strategy").is_not_null()).iter_rows(named=True)
        for protocol in row["protocols"]
    ]
    # per strategy: two shares with two draws and one more split, under two protocols with two seeds
    assert len(served) == len(set(served)) == 2 * (2 * 2 + 1) * 2 * 2
    assert others.filter(pl.col("strategy").is_null()).height == 2 * 2 + 1


def test_learning_saw_the_nested_patients_and_testing_everybody(run: Path, request_: Request) -> None:
    prepared = prepare(request_)
    domain, folder = prepared.domain, prepared.folder(0)
    train = domain.open_split(folder, "labelled", "train")
    quarter, half = (nested_patients(train.patients, share, 0) for share in (0.25, 0.5))
    assert len(quarter) == 6 and len(half) == 12 and quarter < half
    trials = tables(run)["trials"].filter(stage="final", task="stroke", baseline="mean", split=0)
    predictions = tables(run)["predictions"]
    seen = domain.with_patients(train, quarter)
    (key,) = trials.filter(label_fraction=0.25, label_draw=0)["key"]
    ink = predictions.filter(key=key, measure="ink")
    assert ink["prediction"].unique().to_list() == pytest.approx([seen.images.sum(axis=(1, 2)).mean()])
    assert ink["patient"].n_unique() == len(set(domain.open_split(folder, "labelled", "test").patients))


def test_another_split_has_other_patients_in_its_test(run: Path, finals: pl.DataFrame) -> None:
    tested = {
        split: set(tables(run)["predictions"].filter(pl.col("key").is_in(keys))["patient"])
        for split, keys in (
            (split, finals.filter(split=split, baseline="mean")["key"].to_list()) for split in (0, 1)
        )
    }
    assert tested[0] != tested[1]


def test_nothing_is_learned_from_shuffled_labels(run: Path, finals: pl.DataFrame) -> None:
    def mean_r2(arm: str) -> float:
        keys = finals.filter(pl.col("label_fraction").is_null(), strategy=arm, split=0)["key"]
        rows = tables(run)["predictions"].filter(pl.col("key").is_in(keys.to_list()))
        error = pl.col("target") - pl.col("prediction")
        found = rows.group_by("key", "measure").agg(
            r2=1 - (error**2).sum() / (pl.len() * pl.col("target").var(0))
        )
        return float(np.mean(found["r2"].to_numpy()))

    assert mean_r2("principal_components") > 0.5
    assert mean_r2("principal_components.shuffled_labels") < 0.05


def test_run_json_says_what_each_arm_is(run: Path) -> None:
    described = json.loads((run / "run.json").read_text())
    arms = {arm["name"]: arm for arm in described["arms"]}
    assert arms["principal_components.whiten_True"]["ablation"] == {
        "design": "leave_one_out",
        "base": "principal_components",
        "changes": {"whiten": True},
        "order": 1,
        "number": 0,
    }
    assert arms["random_projection.aa"]["control"] == "aa"
    assert arms["random_projection.aa"]["strategy"] == "random_projection"
    assert described["suite"]["margins"] == {"stroke": {"r2": 0.05}}
    primary = described["tasks"][0]["primary"]
    assert (primary["metric"], primary["statistic"], primary["rows"]) == ("mean_r2", "rmse", ["height"])
    words = {(one["one"], one["other"]): one["words"] for one in described["attributions"]}
    assert words["principal_components", "random_projection"] == "not one-factor: different strategies"
    assert words["principal_components", "principal_components.whiten_True"] == "whiten: False → True"


def test_selections_say_where_they_hold(run: Path) -> None:
    rows = tables(run)["selections"].filter(task="stroke", protocol="tuned")
    held = Counter((row["strategy"], row["split"]) for row in rows.iter_rows(named=True))
    assert held["principal_components", 1] == 1
    share = rows.filter(strategy="principal_components", label_fraction=0.25, label_draw=1)
    assert share["reason"].item().startswith("frozen, as chosen for principal_components: ")
    assert (
        share["draw"].item()
        == rows.filter(pl.col("label_fraction").is_null(), strategy="principal_components", split=0)[
            "draw"
        ].item()
    )


def test_the_report_reads_it(run: Path) -> None:
    read = read_run(run)
    assert list(read.main_arms) == STRATEGIES
    assert read.trials["split"].max() == 1


def test_the_page_says_how_shares_were_made_and_what_differences_are_due_to(run: Path) -> None:
    page = build_report(run).read_text()
    assert "Hyperparameters are those chosen with all labels." in page
    assert "in 2 draws" in page
    assert "not one-factor: different strategies" in page


def test_shares_that_leave_too_few_patients_are_refused_before_anything_runs(tmp_path: Path) -> None:
    request = digits_request(tmp_path, label_efficiency={"fractions": [0.05]})
    with pytest.raises(InputError, match=r"0\.05 of 12 train patients of task 'stroke' is 1; take shares"):
        run_inline(request)
    assert not (request.output / "trials").exists()


def test_a_cohort_that_cannot_be_split_again_says_so(tmp_path: Path) -> None:
    request = digits_request(tmp_path, splits=2, domain="stubborn", strategies=["s"], tasks=["t"])
    plugin = tmp_path / "stubborn.py"
    plugin.write_text(
        "from registry.contracts import InputError\n"
        "from tests.domains.digits import Digits\n"
        "class Stubborn(Digits):\n"
        "    name = 'stubborn'\n"
        "    def cohort(self, declaration, cache):\n"
        "        if 'split' in declaration:\n"
        "            raise InputError('no split here', mend='leave it')\n"
        "        return super().cohort(declaration, cache)\n"
    )
    request = digits_request(
        tmp_path, plugins=(plugin,), splits=2, domain="stubborn", strategies=["s"], tasks=["t"]
    )
    with pytest.raises(InputError, match="splits = 2: the cohort cannot be split again: no split here"):
        prepare(request)
