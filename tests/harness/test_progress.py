"""What a person sees: counted by hand, in plain lines and on a terminal."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.executors.inline import InlineExecutor
from harness.policy import Outcome, Policy
from harness.progress import PlainDisplay, duration, make_display
from harness.progress.live import TerminalDisplay, cells_table
from harness.progress.tally import Tally
from harness.run import run_suite
from tests.harness.digits_run import digits_request
from tests.harness.toys import toy_plan, toy_strategy, toy_task


def text_of(renderable: Any) -> str:
    console = Console(file=io.StringIO(), width=120, record=True)
    console.print(renderable)
    return console.export_text()


def advanced(tmp_path: Path) -> tuple[Policy, Tally]:
    """Two arms, a task with three draws: s0 pretrained and tuned once, s1's pretraining failed."""
    policy = Policy(toy_plan([toy_strategy("s0"), toy_strategy("s1")], [toy_task("t0", direction="min")]))
    tally = Tally(policy, tmp_path)
    tally.slots = 2
    first, second = policy.next_trial(), policy.next_trial()
    assert first is not None
    assert second is not None
    policy.complete(first.key, Outcome("done", artifact="a"))
    tally.ended(first, {"wall_seconds": 10.0})
    policy.fail(second.key, "it broke")
    tally.ended(second, {"wall_seconds": 10.0})
    tuned = policy.next_trial()
    assert tuned is not None
    policy.complete(tuned.key, Outcome("done", 0.25))
    tally.ended(tuned, {"wall_seconds": 2.0})
    running = policy.next_trial()
    assert running is not None
    (tmp_path / running.key).mkdir()
    tally.refresh()
    return policy, tally


def test_the_tally_counts_every_state(tmp_path: Path) -> None:
    _, tally = advanced(tmp_path)
    now = tally.snapshot
    cell = now.cells["s0", "t0"]
    assert (cell.done, cell.running, cell.broken, cell.total) == (1, 1, 0, 3)
    cell = now.cells["s1", "t0"]
    assert (cell.done, cell.running, cell.broken) == (0, 0, cell.total)
    assert (now.cells["s0", "pretraining"].done, now.cells["s1", "pretraining"].broken) == (1, 1)
    assert (now.busy, now.slots) == (1, 2)
    (best,) = now.best.values()
    assert (best.score, best.arm, best.metric) == (0.25, "s0", "score")
    assert now.settled <= now.total


def test_the_time_to_go_is_that_of_trials_of_the_same_kind(tmp_path: Path) -> None:
    policy, tally = advanced(tmp_path)
    tune = 2 * 2.0  # two draws of s0 at what the first one took
    finals = policy.unselected_slots() * (10 + 10 + 2) / 3  # none was timed: the mean of all
    open_finals = sum(
        state in ("waiting", "ready", "running") and policy.trials[key].stage == "final"
        for key, state in policy.states.items()
    )
    expected = (tune + finals + open_finals * 22 / 3) / 2
    assert tally.snapshot.remaining_seconds == pytest.approx(expected)


def test_before_anything_ended_the_time_to_go_is_unknown(tmp_path: Path) -> None:
    assert Tally(Policy(toy_plan(1, 1)), tmp_path).snapshot.remaining_seconds is None
    assert duration(None) == "?"


def test_the_table_of_cells_has_a_row_per_arm_and_a_column_per_task(tmp_path: Path) -> None:
    _, tally = advanced(tmp_path)
    lines = text_of(cells_table(tally.snapshot)).splitlines()
    assert lines[0].split() == ["pretraining", "t0"]
    assert lines[1].split() == ["s0", "1/1", "1/3", "+1"]
    assert lines[2].split()[:3] == ["s1", "0/1", "!1"]


def test_a_live_display_shows_what_runs_and_what_is_best(tmp_path: Path) -> None:
    policy, tally = advanced(tmp_path)
    console = Console(file=io.StringIO(), width=160, force_terminal=True)
    display = make_display(console)
    assert isinstance(display, TerminalDisplay)
    display.cohort(1, 2, "bodies")
    assert "cohort" in text_of(display._render())
    display.cohort(2, 2, "bodies")
    display.begin(policy, tmp_path)
    display.working(2)
    display.tick()
    (key, label), *_ = tally.snapshot.running
    (tmp_path / f"{key}.json").write_text('{"step": 3, "steps": 9, "values": {"loss": "0.5"}}')
    shown = text_of(display._render())
    display.close()
    assert label in shown
    assert "step 3/9  loss 0.5" in shown
    assert "1 of 2 slots busy" in shown
    assert "best on validation  t0: score 0.25 (s0)" in shown


def test_plain_lines_elsewhere(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    display = make_display(console)
    assert isinstance(display, PlainDisplay)
    assert run_suite(digits_request(tmp_path), InlineExecutor(), display).complete
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert "1 at a time" in lines
    ended = [line for line in lines if line.startswith("[")]
    assert ended[-1].startswith(f"[{len(ended)}/{len(ended)}]  done")
    assert not any("\x1b" in line for line in lines)


def test_a_silence_is_broken_by_what_runs(tmp_path: Path) -> None:
    policy, _ = advanced(tmp_path)
    console = Console(file=io.StringIO(), width=200)
    display = PlainDisplay(console, interval_seconds=-1)
    display.begin(policy, tmp_path)
    display.tick()
    assert isinstance(console.file, io.StringIO)
    assert "of 1 busy  running tune s0 / t0 seed 100 draw" in console.file.getvalue()
