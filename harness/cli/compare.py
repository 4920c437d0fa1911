"""`harness compare`: runs of different people over the same cohort, in one report."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/comparison"),
    show_default=True,
    help="Folder of the report.",
)
def compare(runs: tuple[Path, ...], output: Path) -> None:
    r"""Join RUNS into one report, their arms side by side.

    Runs over another cohort, of another domain, or with another version of a task are refused. Arms that
    several runs have are told apart by the names of their folders.

    \b
    Example:
      harness compare runs/quick colleague/quick --output runs/ours
    """
    from reports.compare import compare_runs  # noqa: PLC0415 - imports polars and scipy

    click.echo(compare_runs(runs, output))
