"""Two runs against each other: noise is no regression, a regression is found, what is lost is one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from harness.cli.diff import diff as command
from reports import RecordsError
from reports.diff import diff
from reports.diff.configuration import flattened
from reports.diff.page import render_diff
from tests.reports.records import NOISE, Records

SIZES = {"patients": 40, "exhibits": False, "failures": False}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Records(**SIZES).write(tmp_path_factory.mktemp("diff") / "before")


@pytest.fixture
def copy(before: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(before, tmp_path / "after"))


def edit(folder: Path, name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    path = folder / "results" / f"{name}.parquet"
    change(pl.read_parquet(path)).write_parquet(path)


def keys_of(folder: Path, arm: str) -> list[str]:
    trials = pl.read_parquet(folder / "results" / "trials.parquet")
    return trials.filter((pl.col("strategy") == arm) & (pl.col("stage") == "final"))["key"].to_list()


def worsen(folder: Path, arm: str, factor: float) -> None:
    own = pl.col("key").is_in(keys_of(folder, arm))
    worse = pl.col("target") + factor * (pl.col("prediction") - pl.col("target"))
    edit(
        folder,
        "predictions",
        lambda table: table.with_columns(prediction=pl.when(own).then(worse).otherwise(pl.col("prediction"))),
    )


def test_a_run_does_not_differ_from_its_copy(before: Path, copy: Path) -> None:
    found = diff(before, copy, draws=200)
    assert (found.first, found.second) == ("before", "after")
    assert {one.outcome for one in found.endpoints} == {"unchanged"}
    assert {one.outcome for one in found.rows} == {"unchanged"}
    assert (found.regressions, found.environment, found.configuration) == (0, (), ())
    # 3 arms x 2 protocols + 2 baselines x 2 protocols of anthropometry, 2 arms + 1 baseline of reconstruction
    assert len(found.endpoints) == 13


def test_a_worse_arm_is_a_regression_and_the_others_are_not(before: Path, copy: Path) -> None:
    worsen(copy, "dxa_vae", 2.0)
    found = diff(before, copy, draws=500)
    regressed = {(one.column, one.protocols) for one in found.endpoints if one.outcome == "regression"}
    assert regressed == {("arm:dxa_vae", ("matched",)), ("arm:dxa_vae", ("tuned",))}
    assert found.regressions == 2
    one = next(one for one in found.endpoints if one.outcome == "regression")
    assert one.difference is not None
    assert one.after is not None and one.before is not None
    assert one.difference.estimate.value == pytest.approx((one.after.value or 0) - (one.before.value or 0))
    assert one.patients == 40


def test_the_other_way_round_it_is_an_improvement(before: Path, copy: Path) -> None:
    worsen(copy, "dxa_vae", 2.0)
    found = diff(copy, before, draws=500)
    assert {one.outcome for one in found.endpoints if one.column == "arm:dxa_vae" and one.row == ""} == {
        "improvement",
        "unchanged",
    }
    assert found.regressions == 0


def test_other_seeds_alone_are_within_noise(before: Path, tmp_path: Path) -> None:
    other = Records(**SIZES, seeds=(102, 103)).write(tmp_path / "after")
    found = diff(before, other, draws=500)
    arms = [one for one in found.endpoints if one.task == "anthropometry" and one.column.startswith("arm")]
    assert {one.outcome for one in arms} == {"within noise"}
    assert all("seeds not shared" in one.pairing for one in arms)
    assert {change.field for change in found.configuration} == {"suite.seeds.final"}


def test_a_worse_arm_within_the_margin_is_no_regression(before: Path, copy: Path, tmp_path: Path) -> None:
    worsen(copy, "dxa_vae", 1.1)
    assert diff(before, copy, draws=500).regressions == 2
    for folder in (before, copy):
        target = Path(shutil.copytree(folder, tmp_path / f"{folder.name}_margin"))
        meta = json.loads((target / "run.json").read_text())
        meta["suite"]["margins"] = {"anthropometry": {"r2": 0.1}}
        (target / "run.json").write_text(json.dumps(meta))
    found = diff(tmp_path / "before_margin", tmp_path / "after_margin", draws=500)
    assert found.regressions == 0
    own = [one for one in found.endpoints if one.column == "arm:dxa_vae" and one.task == "anthropometry"]
    assert {one.outcome for one in own} == {"equivalent"}


def test_a_result_that_is_gone_is_a_regression(before: Path, copy: Path) -> None:
    gone = keys_of(copy, "imagenet")
    edit(copy, "predictions", lambda table: table.filter(~pl.col("key").is_in(gone)))
    failed = pl.col("key").is_in(gone)
    edit(
        copy,
        "trials",
        lambda table: table.with_columns(
            status=pl.when(failed).then(pl.lit("failed")).otherwise(pl.col("status")),
            error=pl.when(failed).then(pl.lit("MemoryError: <b>too large</b>")).otherwise(pl.col("error")),
        ),
    )
    found = diff(before, copy, draws=200)
    assert [one.column for one in found.endpoints if one.outcome == "lost"] == ["arm:imagenet"] * 2
    assert found.regressions == 2
    assert len(found.failures) == len(gone)
    page = render_diff(found)
    assert "&lt;b&gt;too large" in page
    assert "<b>too large" not in page


def test_a_task_that_is_gone_is_a_regression(before: Path, copy: Path) -> None:
    meta = json.loads((copy / "run.json").read_text())
    meta["tasks"] = [task for task in meta["tasks"] if task["name"] != "reconstruction"]
    (copy / "run.json").write_text(json.dumps(meta))
    edit(
        copy,
        "trials",
        lambda table: table.filter(pl.col("task").is_null() | (pl.col("task") != "reconstruction")),
    )
    found = diff(before, copy, draws=50)
    lost = [one for one in found.endpoints if one.outcome == "lost"]
    assert {one.task for one in lost} == {"reconstruction"}
    assert found.regressions == len(lost) == 3
    assert {one.outcome for one in diff(copy, before, draws=50).endpoints} == {"new", "unchanged"}


def test_configuration_and_environment_show_what_differs_alone(before: Path, copy: Path) -> None:
    meta = json.loads((copy / "run.json").read_text())
    meta["suite"]["budget"]["draws"] = 9
    meta["arms"][0]["version"] = "2"
    meta["provenance"]["versions"]["torch"] = "9.9"
    meta["provenance"]["wall_seconds"] = 1.0
    (copy / "run.json").write_text(json.dumps(meta))
    found = diff(before, copy, draws=50)
    assert [(one.field, one.before, one.after) for one in found.configuration] == [
        ("arms.imagenet.version", "1", "2"),
        ("suite.budget.draws", "4", "9"),
    ]
    assert [(one.field, one.after) for one in found.environment] == [("versions.torch", "9.9")]


def test_other_cohorts_are_not_compared(before: Path, copy: Path) -> None:
    meta = json.loads((copy / "run.json").read_text())
    meta["cohort"]["fingerprint"] = "cd" * 32
    (copy / "run.json").write_text(json.dumps(meta))
    found = diff(before, copy, draws=50)
    assert "cohorts differ" in found.comparable
    assert found.endpoints == ()
    result = CliRunner().invoke(command, [str(before), str(copy)], standalone_mode=False)
    assert result.return_value == 2


def test_disagreeing_targets_are_an_error(before: Path, copy: Path) -> None:
    edit(copy, "predictions", lambda table: table.with_columns(target=pl.col("target") + 1))
    with pytest.raises(RecordsError, match="cannot be paired"):
        diff(before, copy, draws=50)


def test_the_command_writes_page_and_twin_and_answers_by_its_status(before: Path, copy: Path) -> None:
    first = CliRunner().invoke(command, [str(before), str(copy)], standalone_mode=False)
    assert first.return_value == 0
    worsen(copy, "dxa_vae", 3.0)
    second = CliRunner().invoke(command, [str(before), str(copy)], standalone_mode=False)
    assert second.return_value == 1
    assert "regression: Anthropometry, matched, DXA-VAE" in second.output
    twin = json.loads((copy / "diff.json").read_text())
    assert twin["regressions"] == 2
    assert twin["simulated"] is True
    page = (copy / "diff.html").read_text()
    assert "Simulated data: these results" in page
    assert "<script" not in page
    with pytest.raises(RecordsError, match=r"no run\.json"):
        CliRunner().invoke(command, [str(before), str(copy / "results")], catch_exceptions=False)


def test_flattening_names_list_entries_by_their_key() -> None:
    assert flattened({"rows": [{"key": "a", "unit": "cm"}, {"key": "b", "unit": "L"}]}) == {
        "rows.a.key": "a",
        "rows.a.unit": "cm",
        "rows.b.key": "b",
        "rows.b.unit": "L",
    }
    assert NOISE["dxa_vae"] < NOISE["imagenet"]  # the default run has a better and a worse arm
