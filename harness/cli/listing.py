"""`harness list`: what can be named, and where it comes from."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.specs import load_suite
from registry.catalog import Catalogue, suite_files


@click.command("list")
@click.option("--plugin", "plugins", multiple=True, metavar="FILE|MODULE", help="Register what it declares.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def listing(plugins: tuple[str, ...], as_json: bool) -> None:
    r"""Show strategies, tasks and suites, with their origin.

    \b
    Examples:
      harness list
      harness list --plugin my_strategy.py --json
    """
    found = _found(Catalogue.load(plugins))
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    console = Console()
    for kind, things in found.items():
        table = Table(title=kind, title_justify="left")
        for column in ("name", "what it is", "origin"):
            table.add_column(column)
        for thing in things:
            table.add_row(thing["name"], escape(thing["summary"]), escape(thing["origin"]))
        console.print(table)


def _found(catalogue: Catalogue) -> dict[str, list[dict[str, Any]]]:
    suites = [(name, load_suite(name)) for name in suite_files()]
    return {
        "strategies": [
            _described(catalogue.strategy(name).card, entry.origin)
            for name, entry in catalogue.strategies.items()
        ],
        "tasks": [
            _described(catalogue.task(name).card, entry.origin) for name, entry in catalogue.tasks.items()
        ],
        "suites": [
            {
                "name": name,
                "summary": suite.title or suite.description,
                "origin": "built-in",
                "strategies": list(suite.strategies),
                "tasks": list(suite.tasks),
            }
            for name, suite in suites
        ],
    }


def _described(card: Any, origin: str) -> dict[str, Any]:
    return {
        "name": card.name,
        "summary": card.summary or card.title,
        "origin": origin,
        "domain": card.domain,
        "version": card.version,
    }
