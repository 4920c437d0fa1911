"""`harness list`: what can be named, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from harness.arms import Arm, arms_of
from harness.suite import load_suite
from registry.ablation import changed_factors, children
from registry.catalog import Catalogue, suite_files
from registry.contracts import StrategyCard

#: Lines of a tree are never cut: whoever reads them decides.
_WIDTH = 10_000


@click.command("list")
@click.option("--plugin", "plugins", multiple=True, metavar="FILE|MODULE", help="Register what it declares.")
@click.option("--tree", is_flag=True, help="Strategies as a graph: parents, and what their children change.")
@click.option(
    "--suite", metavar="NAME|FILE", help="With --tree: the arms of this suite, those that it derives too."
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def listing(plugins: tuple[str, ...], tree: bool, suite: str | None, as_json: bool) -> None:
    r"""Show strategies, tasks and suites, with their origin.

    \b
    Examples:
      harness list
      harness list --tree
      harness list --tree --suite ablation
      harness list --plugin my_strategy.py --json
    """
    catalogue = Catalogue.load(plugins)
    if suite is not None and not tree:
        raise click.UsageError("--suite is for --tree")
    if tree and not as_json:
        _print_tree(catalogue, suite)
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


def _print_tree(catalogue: Catalogue, suite: str | None) -> None:
    """One tree per strategy without a parent, with the arms that a suite derives below their base."""
    cards = {name: catalogue.strategy(name).card for name in catalogue.strategies}
    arms: dict[str, Arm] = {}
    if suite is not None:
        arms, _ = arms_of(load_suite(suite), catalogue)
        cards = {name: cards[name] for name in _with_ancestors(arms, cards)}
    cards |= {name: arm.card for name, arm in arms.items()}
    graph = children(cards)

    def grow(branch: Tree, card: StrategyCard) -> None:
        for child in graph.get(card.name, ()):
            words = f"{child.name}: {_changes(card, child)}{_notes(arms.get(child.name))}"
            grow(branch.add(Text(words)), child)

    console = Console(width=_WIDTH)
    for root in graph.get(None, ()):
        factors = ", ".join(f"{name} {value}" for name, value in root.factors.items())
        words = f"{root.name} ({factors})" if factors else root.name
        tree = Tree(Text(words + _notes(arms.get(root.name))))
        grow(tree, root)
        with console.capture() as drawn:
            console.print(tree)
        for line in drawn.get().splitlines():
            click.echo(line.rstrip())


def _with_ancestors(arms: Mapping[str, Arm], cards: Mapping[str, StrategyCard]) -> list[str]:
    """Names of the strategies that arms are, or derive from, in the catalogue's order."""
    wanted = {arm.strategy.card.name for arm in arms.values()}
    for name in list(wanted):
        while (parent := cards[name].parent) in cards:
            name = str(parent)  # noqa: PLW2901 - walks up
            wanted.add(name)
    return [name for name in cards if name in wanted]


def _notes(arm: Arm | None) -> str:
    """What a suite does with an arm, besides letting it take part."""
    if arm is None:
        return ""
    designs = dict.fromkeys(run.design for run in arm.ablations)
    notes = [design.replace("_", " ") for design in designs]
    notes += [f"control: {arm.control}"] if arm.control else []
    notes += [] if arm.retuned else [f"frozen, as tuned for {arm.setting_of}"]
    return f" [{'; '.join(notes)}]" if notes else ""


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
