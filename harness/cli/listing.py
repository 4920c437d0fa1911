"""`harness list`: what can be named, and where it comes from."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from harness.suite import load_suite
from registry.ablation import changed_factors, children
from registry.catalog import Catalogue, suite_files
from registry.contracts import StrategyCard


@click.command("list")
@click.option("--plugin", "plugins", multiple=True, metavar="FILE|MODULE", help="Register what it declares.")
@click.option("--tree", is_flag=True, help="Strategies as a graph: parents, and what their children change.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def listing(plugins: tuple[str, ...], tree: bool, as_json: bool) -> None:
    r"""Show strategies, tasks and suites, with their origin.

    \b
    Examples:
      harness list
      harness list --tree
      harness list --plugin my_strategy.py --json
    """
    catalogue = Catalogue.load(plugins)
    if tree and not as_json:
        _print_tree(Console(), catalogue)
        return
    found = _found(catalogue)
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


def _print_tree(console: Console, catalogue: Catalogue) -> None:
    """One tree per strategy without a parent."""
    cards = {name: catalogue.strategy(name).card for name in catalogue.strategies}
    graph = children(cards)

    def grow(branch: Tree, card: StrategyCard) -> None:
        for child in graph.get(card.name, ()):
            grow(branch.add(Text(f"{child.name}: {_changes(card, child)}")), child)

    for root in graph.get(None, ()):
        factors = ", ".join(f"{name} {value}" for name, value in root.factors.items())
        tree = Tree(Text(f"{root.name} ({factors})" if factors else root.name))
        grow(tree, root)
        console.print(tree, soft_wrap=True)


def _changes(parent: StrategyCard, child: StrategyCard) -> str:
    found = changed_factors(parent, child)
    return ", ".join(f"{name} {old} -> {new}" for name, (old, new) in found.items()) or "nothing"


def _found(catalogue: Catalogue) -> dict[str, list[dict[str, Any]]]:
    suites = [(name, load_suite(name)) for name in suite_files()]
    return {
        "strategies": [
            _described(card := catalogue.strategy(name).card, entry.origin)
            | {"parent": card.parent, "changes": dict(card.changes), "factors": dict(card.factors)}
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
