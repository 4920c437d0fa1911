"""`harness report`: the page of a run folder, written anew."""

from __future__ import annotations

from pathlib import Path

import click

from registry.contracts import InputError


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    r"""Write the report of the run folder RUN anew from its records.

    \b
    Example:
      harness report runs/quick
    """
    if not (run / "run.json").is_file():
        raise InputError(f"{run} is no run folder: it has no run.json", mend="give the --output of a run")
    import reports  # noqa: PLC0415 - imports the plotting library

    click.echo(reports.build_report(run))
