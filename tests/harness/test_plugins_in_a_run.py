"""Plug-ins in a run: a strategy added to a finished one, and plug-ins that mean harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from harness.run import prepare
from tests.harness.digits_run import (
    PLUGIN,
    SUITE,
    digits_request,
    harness,
    journal,
    numbers,
    run_inline,
    tables,
)

OWN = """
from registry.contracts import strategy
from tests.domains.digits import RandomProjection

@strategy("mine", title={title!r}, summary={title!r}, provides={{"encoder"}}, domain="digits")
class Mine(RandomProjection):
    def pretrain(self, context):
        {body}
        return super().pretrain(context)
"""


def own(folder: Path, *, title: str = "Mine", body: str = "pass") -> Path:
    path = folder / "mine.py"
    path.write_text(OWN.format(title=title, body=body))
    return path


def started(run: Path) -> list[str]:
    return [entry["key"] for entry in journal(run) if entry["event"] == "started"]


def test_a_strategy_added_to_a_finished_run_repeats_nothing_and_joins_the_report(tmp_path: Path) -> None:
    suite = tmp_path / "suite.toml"
    arms = ["principal_components", "random_projection"]
    suite.write_text(
        f'schema = 1\nname = "added"\nextends = "{SUITE}"\nstrategies = {arms}\nreference_arms = {arms}\n'
        "[budget]\ndraws = 2\n[cohort]\npatients = 40\n".replace("'", '"')
    )
    run = tmp_path / "run"
    command = ["run-all", "--suite", str(suite), "--plugin", str(PLUGIN), "--executor", "inline"]
    command += ["--output", str(run), "--cache", str(tmp_path / "cache")]
    first = harness(*command)
    assert first.returncode == 0, first.stdout + first.stderr
    before, count = numbers(run), len(started(run))

    added = [*command, "--plugin", str(own(tmp_path)), "--strategies", ",".join([*arms, "mine"])]
    second = harness(*added)
    assert second.returncode == 0, second.stdout + second.stderr
    new = started(run)[count:]
    after = numbers(run)
    mine = after["trials"].filter(strategy="mine")
    assert sorted(new) == sorted(mine["key"])
    # one pretraining, two draws, and two final seeds under one or both protocols
    assert (mine["stage"] == "pretrain").sum() == 1
    assert (mine["stage"] == "tune").sum() == 2
    assert (mine["stage"] == "final").sum() in (2, 4)
    for name in ("trials", "predictions", "scores", "selections"):
        columns = before[name].columns
        old = "key" if "key" in columns else "strategy"
        kept = after[name].filter(after[name][old].is_in(before[name][old].unique().to_list()))
        if name == "trials":
            kept = after[name].filter(after[name]["key"].is_in(before[name]["key"].to_list()))
        assert_frame_equal(kept.select(columns), before[name], check_row_order=False)
    compared = json.dumps(json.loads((run / "report.json").read_text())["comparisons"])
    assert all(f'"arm:{arm}"' in compared for arm in [*arms, "mine"])
    assert "Mine" in (run / "report.html").read_text()
    assert harness(*added).returncode == 0
    assert len(started(run)) == count + len(new)


# Hostile plug-ins -----------------------------------------------------------------------------------


def test_a_strategy_that_hangs_ends_at_its_time_limit_and_the_rest_goes_on(tmp_path: Path) -> None:
    plugin = own(tmp_path, body="import time; time.sleep(600)")
    request = digits_request(
        tmp_path,
        plugins=(plugin,),
        strategies=["random_projection", "mine"],
        tasks=["stroke"],
        resources={"time_limit_seconds": 1.0},
    )
    finished = run_inline(request)
    assert not finished.complete
    trials = tables(request.output)["trials"]
    assert "1 s" in trials.filter(status="failed")["error"].item()
    assert set(trials.filter(strategy="random_projection")["status"]) == {"done"}
    assert set(trials.filter(strategy="mine", stage="tune")["status"]) == {"blocked"}


def test_what_a_plug_in_calls_itself_is_text_everywhere(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    plugin = own(tmp_path, title=evil)
    run = tmp_path / "run"
    done = harness(
        *("run-all", "--suite", str(SUITE), "--plugin", str(PLUGIN), "--plugin", str(plugin)),
        *("--strategies", "random_projection,mine", "--tasks", "stroke", "--executor", "inline"),
        *("--output", str(run), "--cache", str(tmp_path / "cache")),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (run / "report.html").read_text()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "alert(1)" in page  # shown, as text


@pytest.mark.parametrize("name", ["../../x", "<script>"])
def test_no_run_begins_with_a_name_that_is_more_than_a_word(tmp_path: Path, name: str) -> None:
    plugin = tmp_path / "named.py"
    plugin.write_text(OWN.format(title="x", body="pass").replace('"mine"', repr(name)))
    run = tmp_path / "inside" / "run"
    done = harness(
        *("run-all", "--suite", str(SUITE), "--plugin", str(PLUGIN), "--plugin", str(plugin)),
        *("--output", str(run), "--cache", str(tmp_path / "cache"), "--no-report", "--executor", "inline"),
    )
    assert done.returncode == 2
    assert "begin with a letter or digit" in done.stderr
    assert not run.exists()


def test_what_a_run_writes_stays_in_its_folder_and_the_cache(tmp_path: Path) -> None:
    """Names of arms, measures and exhibits become no path; keys do."""
    run_inline(digits_request(tmp_path, controls={"aa": ["random_projection"]}))
    assert {path.name for path in tmp_path.iterdir()} == {"run", "cache"}
    folders = {path.name for path in (tmp_path / "run" / "trials").iterdir()}
    assert all(len(name) == 64 and set(name) <= set("0123456789abcdef") for name in folders)


def test_a_catalogue_is_fixed_when_a_run_starts(tmp_path: Path) -> None:
    catalogue: Any = prepare(digits_request(tmp_path)).catalogue
    with pytest.raises(TypeError):
        catalogue.strategies["late"] = catalogue.strategies["random_projection"]
