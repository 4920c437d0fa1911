"""Tables on the terminal: the summary of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

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
    found = endpoints(
        primaries, *(pl.read_parquet(run.table(name)) for name in ("trials", "predictions", "scores"))
    )
    titles = {arm["name"]: arm["title"] for arm in described["arms"]}
    for task in described["tasks"]:
        primary = primaries[task["name"]]
        table = Table(
            title=f"{escape(task['title'])}: {escape(primary.label)} on test, "
            f"{'higher' if primary.direction == 'max' else 'lower'} is better",
            title_justify="left",
        )
        table.add_column("arm")
        for column in ("matched", "n", "tuned", "n"):
            table.add_column(column, justify="right")
        of_task = [endpoint for endpoint in found if endpoint.task == task["name"]]
        for cell in (cell for cell in described["cells"] if cell["task"] == task["name"]):
            if cell["applicable"]:
                table.add_row(escape(titles[cell["strategy"]]), *_columns(of_task, cell["strategy"], False))
            else:
                table.add_row(escape(titles[cell["strategy"]]), f"N/A: {escape(cell['reason'])}", style="dim")
        for baseline in task["baselines"]:
            table.add_row(f"{escape(baseline)} (baseline)", *_columns(of_task, baseline, True), style="dim")
        console.print(table)
    console.print("mean over final trials; n is their number", style="dim")
    if finished.simulated:
        console.print(SIMULATED, style="bold yellow")
    _print_status(console, run, finished.status)


def _columns(found: list[Endpoint], arm: str, baseline: bool) -> list[str]:
    columns = []
    for protocol in ("matched", "tuned"):
        match = [e for e in found if (e.arm, e.baseline, e.protocol) == (arm, baseline, protocol)]
        columns += [f"{match[0].mean:.3f}", str(match[0].trials)] if match else ["missing", "0"]
    return columns


def _print_status(console: Console, run: RunFolder, status: Mapping[str, object]) -> None:
    if status["state"] == "complete":
        console.print(f"complete: {status['done']} trials in {run.root}", highlight=False, soft_wrap=True)
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
    console.print("tracebacks are in journal.jsonl; the same command runs what failed again", style="dim")
