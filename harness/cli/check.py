"""`harness check`: whether a strategy or task keeps its contract."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from harness.cli import INCOMPLETE
from harness.cli.options import absolute_plugins
from harness.conformance import Finding, examine
from harness.files import default_cache
from registry.catalog import Catalogue
from registry.contracts import InputError

_MARKS = {"ok": ("ok   ", "green"), "failed": ("MEND ", "bold red"), "not applicable": ("n/a  ", "dim")}


@click.command("check")
@click.argument("name", required=False)
@click.option(
    "--plugin", "plugins", multiple=True, metavar="FILE|MODULE", help="Register what it declares; repeatable."
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="Longest time that any process of the check may take.",
)
@click.option(
    "--executor",
    type=click.Choice(["tune", "inline"]),
    default="tune",
    show_default=True,
    help="Where the last check runs everything: a worker of Ray, or this machine's own process.",
)
@click.option("--cache", type=click.Path(path_type=Path), help="Where the tiny cohort is kept.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def check(
    *,
    name: str | None,
    plugins: tuple[str, ...],
    time_limit: float,
    executor: str,
    cache: Path | None,
    as_json: bool,
) -> int:
    r"""Check that the strategy or task NAME keeps its contract, on tiny data; without NAME, all of --plugin.

    Exit status 0: it does; 1: something is to be mended; 2: it cannot be found or loaded.

    \b
    Examples:
      harness check random_init
      harness check --plugin my_strategy.py
    """
    plugins = absolute_plugins(plugins)
    findings: list[Finding] = []
    console = Console()
    for one in [name] if name else _declared(plugins):
        found = examine(
            one,
            cache=(cache or default_cache()).expanduser(),
            plugins=plugins,
            time_limit_seconds=time_limit,
            executor=executor,
        )
        findings += found
        if not as_json:
            _print(console, one, found)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(one) for one in findings], indent=1, ensure_ascii=False))
    return INCOMPLETE if any(one.failed for one in findings) else 0


def _declared(plugins: tuple[str, ...]) -> list[str]:
    """Names of the strategies and tasks that `plugins` declare."""
    if not plugins:
        raise InputError(
            "there is nothing to check", mend="give the name of a strategy or task, or --plugin FILE"
        )
    catalogue = Catalogue.load(plugins)
    entries = [*catalogue.strategies.values(), *catalogue.tasks.values()]
    return [entry.name for entry in entries if entry.origin in plugins]


def _print(console: Console, name: str, findings: list[Finding]) -> None:
    console.print(Text(name, style="bold"))
    for finding in findings:
        mark, style = _MARKS[finding.state]
        console.print(
            Text(f"  {mark}", style=style) + Text(f"{finding.check}: {finding.detail}"), soft_wrap=True
        )
        if finding.mend:
            console.print(Text(f"       {finding.mend}", style="yellow"), soft_wrap=True)
