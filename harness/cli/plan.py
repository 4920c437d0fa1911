"""`harness plan`: what a suite would run, without running it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.cli.options import request_from, suite_options
from harness.outlook import STATES, Outlook, look_ahead


@click.command("plan")
@suite_options
@click.option("--json", "as_json", is_flag=True, help="Machine-readable: every cell and every trial.")
def plan(as_json: bool, **what: Any) -> None:
    r"""Show what a suite would run, without running it.

    Every cell with its trials: done, cached, to run, blocked, or N/A with its reason. Final trials that
    depend on a selection are counted as to run until the selection is known.

    \b
    Examples:
      harness plan --suite quick
      harness plan --suite mine.toml --plugin my_strategy.py --json
    """
    outlook = look_ahead(request_from(**what))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(outlook), indent=1, ensure_ascii=False))
    else:
        print_outlook(Console(), outlook)


def print_outlook(console: Console, outlook: Outlook) -> None:
    """Print the cells and their trials by state."""
    table = Table(title=f"suite {escape(outlook.suite)}", title_justify="left")
    for column in ("task", "strategy"):
        table.add_column(column, overflow="fold")
    for column in STATES:
        table.add_column(column, justify="right")
    for line in outlook.cells:
        counts = [str(line.counts[state] or "") for state in STATES] if line.applicable else ["N/A"]
        table.add_row(escape(line.task), escape(line.strategy), *counts)
    console.print(table)
    for note in dict.fromkeys(line.note for line in outlook.cells if line.note):
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    words = ", ".join(f"{count} {state}" for state, count in outlook.counts.items())
    console.print(f"{sum(outlook.counts.values())} trials: {words}", highlight=False)
