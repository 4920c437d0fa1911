"""What sharing saves, counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.economy import economy
from harness.results import table
from tests.harness.digits_run import digits_request, run_inline, tables


def row(stage: str, strategy: str | None, task: str | None, seconds: float, **more: Any) -> dict[str, Any]:
    values = {"key": f"{stage}{strategy}{task}{more}", "stage": stage, "strategy": strategy, "task": task}
    defaults = {
        "status": "done",
        "wall_seconds": seconds,
        "cached": False,
        "protocols": [],
        "pretraining_seed": 0,
    }
    return values | defaults | more


def test_a_small_matrix_counted_by_hand() -> None:
    rows = [
        row("pretrain", "a", None, 10.0),
        row("pretrain", "a", None, 20.0, pretraining_seed=1),
        row("tune", "a", "t", 1.0),
        row("final", "a", "t", 2.0, protocols=["matched", "tuned"]),
        row("final", "a", "t", 2.0, protocols=["tuned"], pretraining_seed=1),
        row("tune", "a", "u", 3.0),
        row("final", "a", "u", 4.0, protocols=["matched"]),
        row("final", None, "u", 5.0, protocols=["matched", "tuned"], pretraining_seed=None),
        row("final", "a", "u", 100.0, status="failed"),
    ]
    saved = economy(table("trials", rows))
    assert (saved.trials, saved.seconds) == (8, 47.0)
    # t matched: 10 + 1 + 2, t tuned: 10 + 20 + 1 + 2 + 2, u matched: 10 + 3 + 4, baseline: 5
    assert (saved.grid_trials, saved.grid_seconds) == (3 + 5 + 3 + 1, 13.0 + 35.0 + 17.0 + 5.0)


def test_every_cell_of_the_grid_searches_its_pretraining() -> None:
    rows = [
        row("pretrain", "a", None, 10.0, draw=0, artifact="a9", pretraining_seed=9, validation_score=0.1),
        row("pretrain", "a", None, 12.0, draw=1, artifact="b9", pretraining_seed=9, validation_score=0.2),
        row("pretrain", "a", None, 10.0, draw=0, artifact="a0"),
        row("pretrain", "a", None, 12.0, draw=1, artifact="b0"),
    ]
    for number, setting in enumerate(("A", "B", "A", "B")):
        rows[number]["hyperparameters"] = setting
    for task in ("t", "u"):
        rows += [
            row("tune", "a", task, 1.0, artifact="a9", pretraining_seed=9),
            row("tune", "a", task, 2.0, artifact="b9", pretraining_seed=9),
            row("final", "a", task, 3.0, artifact="a0", protocols=["matched"]),
            row("final", "a", task, 3.0, artifact="b0", protocols=["tuned"]),
        ]
    saved = economy(table("trials", rows))
    assert (saved.trials, saved.seconds) == (12, 44.0 + 2 * 9.0)
    # per task, matched: both draws 22, weights 10, tuning on A 1, final 3; tuned: 22, 12, on B 2, 3
    assert (saved.grid_trials, saved.grid_seconds) == (2 * (5 + 5), 2 * (36.0 + 39.0))


def test_what_others_pretrained_counts_for_arms_and_labels_that_start_from_it() -> None:
    rows = [
        row("pretrain", "a", None, 10.0, artifact="x"),
        row("final", "a", "t", 1.0, artifact="x", protocols=["tuned"]),
        row("final", "a.shuffled", "t", 1.0, artifact="x", protocols=["tuned"]),
        row("final", "a", "t", 1.0, artifact="x", protocols=["tuned"], label_fraction=0.1, label_draw=0),
        row("final", "a", "t", 1.0, artifact="x", protocols=["tuned"], split=1),
    ]
    saved = economy(table("trials", rows))
    assert (saved.trials, saved.grid_trials, saved.grid_seconds) == (5, 8, 4 * 11.0)


def test_tuning_that_led_to_no_final_counts_once() -> None:
    rows = [row("pretrain", "a", None, 10.0), row("tune", "a", "t", 1.0)]
    saved = economy(table("trials", rows))
    assert (saved.grid_trials, saved.grid_seconds) == (2, 11.0)


def test_what_came_from_the_cache_cost_nothing_here() -> None:
    rows = [row("pretrain", "a", None, 10.0, cached=True), row("final", "a", "t", 1.0, protocols=["tuned"])]
    saved = economy(table("trials", rows))
    assert (saved.seconds, saved.grid_seconds) == (1.0, 11.0)


def test_a_run_is_never_dearer_than_its_grid(tmp_path: Path) -> None:
    request = digits_request(tmp_path)
    run_inline(request)
    saved = economy(tables(request.output)["trials"])
    assert saved.grid_trials > saved.trials
    assert saved.grid_seconds > saved.seconds
