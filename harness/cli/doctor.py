"""`harness doctor`: what this machine has and lacks."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from harness.cli import INCOMPLETE
from harness.doctor import examine
from harness.files import default_cache
from registry.catalog import Catalogue


@click.command("doctor")
@click.option("--plugin", "plugins", multiple=True, metavar="FILE|MODULE", help="Check its domain too.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("runs"), help="Where runs will go.")
@click.option("--cache", type=click.Path(path_type=Path), help="Where cohorts and weights will go.")
def doctor(plugins: tuple[str, ...], output: Path, cache: Path | None) -> int:
    """Check that this machine has what is needed; exit status 1 if something is missing."""
    console = Console()
    healthy = True
    for check in examine(Catalogue.load(plugins), cache=cache or default_cache(), output=output):
        healthy &= check.ok
        mark = Text("ok   ", style="green") if check.ok else Text("MEND ", style="bold red")
        console.print(mark + Text(f"{check.name}: {check.detail}"), soft_wrap=True)
        if not check.ok and check.mend:
            console.print(Text(f"     {check.mend}", style="yellow"), soft_wrap=True)
    return 0 if healthy else INCOMPLETE
