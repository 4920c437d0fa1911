"""`harness report`: the page of a run folder, written anew."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import command_line
from harness.source import source_commit
from registry.contracts import InputError
from reports import FORMATS, build_report, keep_report


class Formats(click.ParamType[tuple[str, ...]]):
    """Comma-separated names of formats."""

    name = "formats"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Names in the order given; an unknown one is an error that lists the known ones."""
        names = tuple(name.strip() for name in str(value).split(",") if name.strip())
        for name in names:
            if name not in FORMATS:
                self.fail(f"{name!r} is none of {', '.join(FORMATS)}", param, ctx)
        return names


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "formats",
    type=Formats(),
    metavar="A,B",
    help=f"Write these instead: {', '.join(FORMATS)} (figures: svg, pdf).  [default: html,json,csv,latex]",
)
@click.option(
    "--keep",
    "kept",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write tables small enough for a repository into FOLDER instead, with their provenance.",
)
def report(run: Path, formats: tuple[str, ...] | None, kept: Path | None) -> None:
    r"""Write the report of the run folder RUN anew from its records.

    \b
    Examples:
      harness report runs/quick
      harness report runs/quick --format latex,pdf
      harness report runs/study --keep docs/results/study
    """
    if not (run / "run.json").is_file():
        raise InputError(f"{run} is no run folder: it has no run.json", mend="give the --output of a run")
    if kept is None:
        click.echo(build_report(run, formats))
        return
    if formats is not None:
        raise InputError("--keep has formats of its own", mend="leave out --format")
    click.echo(keep_report(run, kept, written={"command": command_line(), "commit": source_commit()}))
