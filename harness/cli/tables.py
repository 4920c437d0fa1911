"""Tables on the terminal: the summary of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.economy import economy
from harness.progress import duration
from harness.results import RunFolder
from harness.run import Finished
from harness.summary import Endpoint, endpoints
from registry.contracts import PrimaryEndpoint

SIMULATED = "SIMULATED DATA: these numbers say nothing about patients"


def print_summary(console: Console, finished: Finished) -> None:
    """Print the primary endpoint of every cell, what is missing, and the mark of simulated data."""
    run = finished.run
    described = json.loads((run.root / "run.json").read_text(encoding="utf-8"))
    primaries = {
        task["name"]: PrimaryEndpoint(**{**task["primary"], "rows": tuple(task["primary"]["rows"])})
        for task in described["tasks"]
    }
    tables = (pl.read_parquet(run.table(name)) for name in ("trials", "predictions", "scores"))
    found = endpoints(primaries, *tables)
    titles = {arm["name"]: arm["title"] for arm in described["arms"]}
    for task in described["tasks"]:
        cells = [
            {**cell, "title": titles[cell["strategy"]]}
            for cell in described["cells"]
            if cell["task"] == task["name"]
        ]
        of_task = [endpoint for endpoint in found if endpoint.task == task["name"]]
        _print_task(console, task, cells, of_task)
    console.print(
        "means over final trials, each on what it could predict; n is their number. The report compares arms "
        "on the patients that all of them have a prediction for",
        style="dim",
    )
    if finished.simulated:
        console.print(SIMULATED, style="bold yellow")
    _print_status(console, run, finished.status)


def _print_task(
    console: Console,
    task: Mapping[str, Any],
    cells: list[dict[str, Any]],
    found: list[Endpoint],
) -> None:
    primary = task["primary"]
    better = "higher" if primary["direction"] == "max" else "lower"
    console.print(
        f"\n[bold]{escape(task['title'])}[/bold]: {escape(primary['label'])} on test, {better} is better",
        soft_wrap=True,
        highlight=False,
    )
    table = Table()
    table.add_column("arm", overflow="fold")
    for column in ("matched", "n", "tuned", "n"):
        table.add_column(column, justify="right")
    for cell in cells:
        columns = _columns(found, cell["strategy"], baseline=False)
        table.add_row(escape(cell["title"]), *(columns if cell["applicable"] else ["N/A", "", "N/A", ""]))
    for baseline in task["baselines"]:
        columns = _columns(found, baseline, baseline=True)
        table.add_row(f"{escape(baseline)} (baseline)", *columns, style="dim")
    console.print(table)
    for reason in dict.fromkeys(cell["reason"] for cell in cells if not cell["applicable"]):
        console.print(f"N/A: {reason}", style="dim", markup=False, soft_wrap=True)


def _columns(found: list[Endpoint], arm: str, *, baseline: bool) -> list[str]:
    columns = []
    for protocol in ("matched", "tuned"):
        match = [e for e in found if (e.arm, e.baseline, e.protocol) == (arm, baseline, protocol)]
        columns += [f"{match[0].mean:.3f}", str(match[0].trials)] if match else ["missing", "0"]
    return columns


def _print_status(console: Console, run: RunFolder, status: Mapping[str, object]) -> None:
    if status["state"] == "complete":
        console.print(f"complete: {status['done']} trials in {run.root}", highlight=False, soft_wrap=True)
        _print_economy(console, run)
        return
    console.print(
        f"incomplete: {status['done']} trials done, {status['failed']} failed, {status['blocked']} blocked, "
        f"{status['missing']} missing in {run.root}",
        style="bold red",
        highlight=False,
        soft_wrap=True,
    )
    trials = pl.read_parquet(run.table("trials")).filter(pl.col("status") == "failed")
    for row in trials.iter_rows(named=True):
        who = row["strategy"] or row["baseline"]
        what = f" / {row['task']}" if row["task"] else ""
        console.print(f"  {row['stage']} {who}{what}: {row['error']}", markup=False, soft_wrap=True)
    console.print(
        f"why: harness logs {run.root} {(trials['key'].to_list() or [''])[0][:8]}\n"
        f"once more: harness retry {run.root}, or the same command, which also runs what is missing",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )


def _print_economy(console: Console, run: RunFolder) -> None:
    """What one pretraining for all tasks saved."""
    saved = economy(pl.read_parquet(run.table("trials")))
    console.print(
        f"{saved.trials} trials, {duration(saved.seconds)} of computing; cells that pretrain, search "
        f"and tune for themselves, once per protocol, would take {saved.grid_trials} trials "
        f"and {duration(saved.grid_seconds)}",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )
