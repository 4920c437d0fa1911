"""Whole runs in one process: equal numbers, nothing repeated, nothing lost, one clear message."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sklearn.metrics import r2_score

from harness.executors.inline import InlineExecutor
from harness.files import StorageError
from harness.outlook import look_ahead
from harness.progress import SilentDisplay
from harness.results import TABLES
from harness.run import run_suite
from harness.summary import endpoints
from harness.trial import attempt
from registry.contracts import DataError, InputError, PrimaryEndpoint
from tests.domains import digits
from tests.domains.digits import Digits
from tests.harness.digits_run import digits_request, journal, numbers, run_inline, tables

FLAKY = """
import os
from pathlib import Path
from tests.domains.digits import RandomProjection
from registry.contracts import strategy

@strategy("flaky", provides={"encoder"}, domain="digits", needs_data=False)
class Flaky(RandomProjection):
    def pretrain(self, context):
        if Path("MARK").exists():
            raise RuntimeError("not today")
        return super().pretrain(context)
"""


def flaky(folder: Path) -> tuple[Path, Path]:
    mark = folder / "broken-today"
    mark.touch()
    plugin = folder / "flaky.py"
    plugin.write_text(FLAKY.replace("MARK", str(mark)))
    return plugin, mark


def started(run: Path) -> list[str]:
    return [event["key"] for event in journal(run) if event["event"] == "started"]


def test_the_run_folder_is_as_documented(tmp_path: Path) -> None:
    request = digits_request(tmp_path)
    finished = run_inline(request)
    assert finished.complete
    run = request.output
    found = tables(run)
    assert set(found) == set(TABLES)
    for name, frame in found.items():
        assert frame.columns == list(TABLES[name])
        assert pl.read_parquet_metadata(run / "results" / f"{name}.parquet")["schema"] == "1"
    described = json.loads((run / "run.json").read_text())
    assert set(described) == {
        *("schema", "suite", "domain", "cohort", "arms", "tasks", "cells"),
        *("ablations", "attributions", "caveats", "claims", "status", "provenance"),
    }
    assert described["claims"] == "artifact"
    assert described["status"] == {"state": "complete", "done": 19, "failed": 0, "blocked": 0, "missing": 0}
    assert {cell["reason"] for cell in described["cells"] if not cell["applicable"]} == {
        "Random projection has no generator"
    }
    for key in found["trials"]["key"]:
        assert json.loads((run / "trials" / key / "result.json").read_text())["key"] == key
    final = found["trials"].filter(pl.col("stage") == "final")
    assert set(found["predictions"]["key"]) | set(found["scores"]["key"]) == set(final["key"])
    layouts = json.loads((run / "layouts.json").read_text())
    assert [row["key"] for row in layouts["stroke"][0]["rows"]] == ["ink", "height", "width"]
    exhibits = list((run / "trials").glob("*/exhibits.json"))
    assert len(exhibits) == 2
    assert not list((run / "scratch").iterdir())


def test_two_runs_with_the_same_seeds_give_the_same_numbers(tmp_path: Path) -> None:
    runs = []
    for name in ("one", "two"):
        request = digits_request(tmp_path / name)
        run_inline(request)
        runs.append(numbers(request.output))
    assert runs[0].keys() == runs[1].keys()
    for name in runs[0]:
        assert_frame_equal(runs[0][name], runs[1][name], check_exact=True)


def test_a_finished_run_repeats_nothing(tmp_path: Path) -> None:
    request = digits_request(tmp_path)
    run_inline(request)
    before = numbers(request.output)
    count = len(started(request.output))
    assert run_inline(request).complete
    assert len(started(request.output)) == count
    for name, frame in numbers(request.output).items():
        assert_frame_equal(frame, before[name], check_exact=True)


def test_a_larger_budget_keeps_what_is_there(tmp_path: Path) -> None:
    request = digits_request(tmp_path)
    run_inline(request)
    old = set(started(request.output))
    run_inline(digits_request(tmp_path, budget={"draws": 3}))
    everything = started(request.output)
    assert len(everything) == len(set(everything))
    assert old < set(everything)


def test_pretraining_is_shared_between_runs_through_the_cache(tmp_path: Path) -> None:
    run_inline(digits_request(tmp_path))
    second = digits_request(tmp_path, output="second")
    assert look_ahead(second).counts["cached"] == 3
    run_inline(second)
    pretraining = tables(second.output)["trials"].filter(pl.col("stage") == "pretrain")
    assert pretraining["cached"].all()
    assert not set(pretraining["key"]) & set(started(second.output))


def test_a_result_that_the_journal_missed_is_adopted(tmp_path: Path) -> None:
    request = digits_request(tmp_path)
    run_inline(request)
    before = numbers(request.output)
    path = request.output / "journal.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if '"event":"finished"' not in line]
    path.write_text("".join(kept))
    count = len(started(request.output))
    run_inline(request)
    assert len(started(request.output)) == count
    adopted = [e for e in journal(request.output) if e["event"] == "finished"]
    assert {e["adopted"] for e in adopted} == {"folder"}
    for name, frame in numbers(request.output).items():
        assert_frame_equal(frame, before[name], check_exact=True)
    openings = json.loads((request.output / "run.json").read_text())["provenance"]["test_openings"]
    assert openings == before["trials"].filter(pl.col("stage") == "final").height


def test_a_result_that_the_journal_claims_but_nobody_has_runs_again(tmp_path: Path) -> None:
    request = digits_request(tmp_path)
    run_inline(request)
    victim = next(e["key"] for e in journal(request.output) if e.get("label", "").startswith("tune"))
    shutil.rmtree(request.output / "trials" / victim)
    run_inline(request)
    again = started(request.output)
    assert again.count(victim) == 2
    assert len(again) == len(set(again)) + 1


def test_half_written_folders_are_swept_away(tmp_path: Path) -> None:
    request = digits_request(tmp_path)
    run_inline(request)
    partial = request.output / "trials" / f".{'a' * 64}.1.partial"
    partial.mkdir()
    (partial / "result.json").write_text("{")
    run_inline(request)
    assert not partial.exists()


def test_a_failure_leaves_the_rest_complete_and_runs_again_next_time(tmp_path: Path) -> None:
    plugin, mark = flaky(tmp_path)
    request = digits_request(
        tmp_path, plugins=(plugin,), strategies=["random_projection", "flaky"], tasks=["stroke"]
    )
    finished = run_inline(request)
    assert not finished.complete
    assert finished.status == {"state": "incomplete", "done": 6, "failed": 1, "blocked": 6, "missing": 0}
    trials_table = tables(request.output)["trials"]
    by_status = dict(trials_table.group_by("status").len().iter_rows())
    assert by_status == {"done": 6, "failed": 1, "blocked": 6}
    assert trials_table.filter(pl.col("status") == "failed")["error"].item() == "RuntimeError: not today"
    blocked = trials_table.filter(pl.col("status") == "blocked")["error"]
    assert all("not today" in error for error in blocked)
    failures = [e for e in journal(request.output) if e["event"] == "failed"]
    assert "Traceback" in failures[0]["traceback"]
    outlook = look_ahead(request)
    assert any("failed before: RuntimeError: not today" in trial.note for trial in outlook.trials)
    assert outlook.counts["blocked"] == 2
    mark.unlink()
    assert run_inline(request).complete
    again = started(request.output)
    assert sum(again.count(key) - 1 for key in set(again)) == 1


def test_a_full_disk_is_one_message_and_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = digits_request(tmp_path)
    write, left = attempt.write_folder, [5]

    def filling(destination: Path, files: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(destination))
        write(destination, files)

    monkeypatch.setattr(attempt, "write_folder", filling)
    with pytest.raises(StorageError, match=r"No space left on device; free some space .* same command again"):
        run_inline(request)
    monkeypatch.undo()
    kept = {path.name for path in (request.output / "trials").iterdir()}
    assert kept
    assert run_inline(request).complete
    again = started(request.output)
    assert all(again.count(key) == 1 for key in kept)


@pytest.mark.parametrize("executions", [1, 4, 9, 14])
def test_interruption_leaves_records_and_resumes(tmp_path: Path, executions: int) -> None:
    class Impatient(InlineExecutor):
        left = executions

        def next_event(self, timeout_seconds: float) -> Any:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            return super().next_event(timeout_seconds)

    request = digits_request(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_suite(request, Impatient(), SilentDisplay())
    described = json.loads((request.output / "run.json").read_text())
    assert described["status"]["state"] == "incomplete"
    assert described["status"]["missing"] > 0
    assert tables(request.output)["trials"].height == executions
    assert run_inline(request).complete
    again = started(request.output)
    assert sum(again.count(key) - 1 for key in set(again)) == 1  # the one in flight


def test_a_patient_in_two_splits_stops_the_run_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = digits._make

    def leaky(declared: Any, part: int, split: str) -> Any:
        arrays = make(declared, part, split)
        return {
            **arrays,
            "patients": np.where(np.arange(len(arrays["patients"])) == 0, "twin", arrays["patients"]),
        }

    request = digits_request(tmp_path)
    folder = Digits().cohort(request.suite.cohort, request.cache).folder
    folder.mkdir(parents=True)
    for number, part in enumerate(Digits.parts):
        for split in digits.SPLITS:
            digits._write(
                folder / f"{part}-{split}.npz",
                leaky({**digits.COHORT_DEFAULTS, "patients": 20}, number, split),
            )
    with pytest.raises(DataError, match="patient 'twin' is in splits 'train' and 'validation'"):
        run_inline(request)
    assert not request.output.exists()


def test_a_corrupt_cohort_stops_the_run_before_anything_is_written(tmp_path: Path) -> None:
    request = digits_request(tmp_path)
    folder = Digits().cohort(request.suite.cohort, request.cache).folder
    folder.mkdir(parents=True)
    (folder / "labelled-test.npz").write_bytes(b"not a cohort")
    with pytest.raises(DataError, match=r"labelled-test\.npz cannot be read.*made anew|make the cohort anew"):
        run_inline(request)
    assert not request.output.exists()


PICKY = """
from tests.domains.digits import Stroke
from registry.contracts import InputError, task

PRIMARY = Stroke.card.primary

@task("picky", title="Picky", needs={"encoder"}, domain="digits", part="labelled", primary=PRIMARY)
class Picky(Stroke):
    def check_data(self, settings, train):
        raise InputError(f"{len(train.patients)} patients are too few", mend="find more")
"""


def test_data_that_a_task_cannot_work_with_stop_the_run_before_anything_is_trained(tmp_path: Path) -> None:
    plugin = tmp_path / "picky.py"
    plugin.write_text(PICKY)
    request = digits_request(tmp_path, plugins=(plugin,), tasks=["stroke", "picky"])
    with pytest.raises(InputError, match=r"task 'picky': \d+ patients are too few; find more"):
        run_inline(request)
    assert not request.output.exists()


def test_a_plan_writes_nothing(tmp_path: Path) -> None:
    request = digits_request(tmp_path)
    outlook = look_ahead(request)
    assert outlook.counts == {"done": 0, "cached": 0, "to run": 25, "blocked": 0}
    assert not request.output.exists()
    assert not request.cache.exists()


def test_the_plan_of_a_finished_run_has_nothing_to_do(tmp_path: Path) -> None:
    request = digits_request(tmp_path)
    finished = run_inline(request)
    assert look_ahead(request).counts == {
        "done": finished.status["done"],
        "cached": 0,
        "to run": 0,
        "blocked": 0,
    }


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    request = digits_request(tmp_path)
    request.output.write_text("")
    with pytest.raises(InputError, match="is a file; give a folder"):
        run_inline(request)


def test_the_terminal_endpoints_agree_with_scikit_learn(tmp_path: Path) -> None:
    request = digits_request(tmp_path)
    run_inline(request)
    found = tables(request.output)
    primary = PrimaryEndpoint("mean_r2", "", "max", "r2", ("ink", "height"))
    values = endpoints({"stroke": primary}, found["trials"], found["predictions"], found["scores"])
    (ours,) = [v for v in values if (v.arm, v.protocol) == ("random_projection", "tuned")]
    keys = found["trials"].filter(
        pl.col("stage") == "final",
        pl.col("strategy") == "random_projection",
        pl.col("protocols").list.contains("tuned"),
    )["key"]
    assert ours.trials == len(keys) == 2
    scores = [
        r2_score(frame["target"], frame["prediction"])
        for key in keys
        for measure in ("ink", "height")
        for frame in [found["predictions"].filter(pl.col("key") == key, pl.col("measure") == measure)]
    ]
    assert ours.mean == pytest.approx(np.mean(scores))
