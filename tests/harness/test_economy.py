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
    # t: pretraining 10 + 20, tuning 1, finals 2 + 2 + 2; u: pretraining 10, tuning 3, final 4, baseline 5
    assert (saved.grid_trials, saved.grid_seconds) == (10, 59.0)


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
