"""`harness suite`: what a suite says, whether it can be run, and the format of its file."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.options import absolute_plugins
from harness.difference import ABSENT, differences
from harness.files import default_cache
from harness.suite import load_suite
from harness.suite.toml import to_toml, toml_value

_PLUGINS = click.option(
    "--plugin", "plugins", multiple=True, metavar="FILE|MODULE", help="Register what it declares."
)


@click.group("suite")
def suite() -> None:
    """Show a suite, check its file, or print the format of suite files."""


@suite.command("show")
@click.argument("name", metavar="NAME|FILE")
def show(name: str) -> None:
    r"""Print a suite with every default filled in, as a file that can be changed and run.

    \b
    Example:
      harness suite show quick > mine.toml
    """
    click.echo(to_toml(load_suite(name).as_table()), nl=False)


@suite.command("validate")
@click.argument("name", metavar="NAME|FILE")
@_PLUGINS
def validate(name: str, plugins: tuple[str, ...]) -> None:
    r"""Check everything in a suite that can be checked without data; exit status 2 if something is wrong.

    \b
    Example:
      harness suite validate mine.toml --plugin my_strategy.py
    """
    from harness.request import Request  # noqa: PLC0415 - show and schema need none of this
    from harness.run import prepare  # noqa: PLC0415

    chosen = load_suite(name)
    request = Request(chosen, absolute_plugins(plugins), Path("runs") / chosen.name, default_cache())
    plan = prepare(request).plan()
    left_out = [f"{cell.strategy} / {cell.task}: {cell.reason}" for cell in plan.cells if not cell.applicable]
    click.echo(f"{chosen.name}: {len(plan.cells)} cells, {len(left_out)} of them N/A")
    for line in left_out:
        click.echo(f"  N/A {line}")


@suite.command("diff")
@click.argument("one", metavar="NAME|FILE")
@click.argument("other", metavar="NAME|FILE")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def diff(one: str, other: str, as_json: bool) -> int:
    r"""Show where two suites differ, everything that they take over filled in.

    Exit status 0: they are the same; 1: they differ.

    \b
    Examples:
      harness suite diff smoke quick
      harness suite diff quick mine.toml
    """
    found = list(differences(load_suite(one).as_table(), load_suite(other).as_table()))
    if as_json:
        click.echo(json.dumps([vars(difference) for difference in found], indent=1, ensure_ascii=False))
    else:
        for difference in found:
            click.echo(difference.key)
            for name, value in ((one, difference.one), (other, difference.other)):
                click.echo(f"  {name}: {_shown(value)}")
    return 1 if found else 0


def _shown(value: object) -> str:
    return ABSENT if value == ABSENT else toml_value(value)


@suite.command("fields")
def fields() -> None:
    r"""Print every field of suite files, with its meaning, as Markdown.

    \b
    Example:
      harness suite fields
    """
    from harness.suite.fields import field_reference  # noqa: PLC0415

    click.echo(field_reference(), nl=False)


@suite.command("schema")
def schema() -> None:
    r"""Print the JSON schema of suite files, for editors.

    \b
    Example:
      harness suite schema > suite.schema.json
    """
    from harness.suite.schema import suite_schema  # noqa: PLC0415

    click.echo(json.dumps(suite_schema(), indent=1, ensure_ascii=False))
