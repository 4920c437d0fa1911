"""`harness new`: a small plug-in that works, and its test."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template

import click

from harness.files import write_atomically
from registry.catalog import Catalogue
from registry.contracts import InputError

#: A name that a file, a function and an entry of the catalogue can all have.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
_TEST = Template('''"""Tests of the $kind `$name`."""

from pathlib import Path

from harness.conformance import examine

PLUGIN = Path(__file__).with_name("$name.py")


def test_${name}_keeps_its_contract(tmp_path):
    findings = examine("$name", cache=tmp_path, plugins=(str(PLUGIN),))
    assert [finding for finding in findings if finding.failed] == []
''')


@click.command("new")
@click.argument("kind", type=click.Choice(["strategy", "task"]))
@click.argument("name")
@click.option("--domain", metavar="NAME", help="For which data.  [default: the built-in domain]")
@click.option("--plugin", "plugins", multiple=True, metavar="FILE|MODULE", help="That declares the domain.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=Path(), help="Where to write.  [default: here]"
)
def new(kind: str, name: str, domain: str | None, plugins: tuple[str, ...], folder: Path) -> None:
    r"""Write a small strategy or task that works, NAME.py, and its test, test_NAME.py.

    \b
    Examples:
      harness new strategy thumbnail
      harness check --plugin thumbnail.py
    """
    catalogue = Catalogue.load(plugins)
    _check_free(catalogue, kind, name)
    template = _template(catalogue, kind, domain or next(iter(catalogue.domains)))
    words = {
        "kind": kind,
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "class_name": "".join(word.capitalize() for word in name.split("_")),
    }
    texts = {
        folder / f"{name}.py": template.substitute(words),
        folder / f"test_{name}.py": _TEST.substitute(words),
    }
    for path in texts:
        if path.exists():
            raise InputError(f"{path} exists already", mend="choose another name or another --folder")
    for path, text in texts.items():
        write_atomically(path, text.encode())
        click.echo(f"wrote {path}")
    click.echo(f"next: harness check --plugin {folder / name}.py")


def _check_free(catalogue: Catalogue, kind: str, name: str) -> None:
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise InputError(
            f"{name!r} cannot name a file, a class and a {kind}",
            mend="begin with a small letter; use small letters, digits and '_', 60 at the most",
        )
    taken = (catalogue.strategies if kind == "strategy" else catalogue.tasks).get(name)
    if taken is not None:
        raise InputError(f"{kind} {name!r} exists already, from {taken.origin}", mend="choose another name")


def _template(catalogue: Catalogue, kind: str, domain: str) -> Template:
    """The domain's template for `kind`."""
    folder = catalogue.domain(domain).templates
    file = folder / f"{kind}.py.txt" if folder is not None else None
    if file is None or not file.is_file():
        raise InputError(
            f"domain {domain!r} has no template of a {kind}",
            mend="copy one of its own, or give the domain's class a folder of templates",
        )
    return Template(file.read_text(encoding="utf-8"))
