"""`harness diff`: whether a second run is worse than a first one; the exit status is for CI."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("diff")
@click.argument("run_a", type=click.Path(path_type=Path))
@click.argument("run_b", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where diff.html and diff.json are written.  [default: the folder of RUN_B]",
)
def diff(run_a: Path, run_b: Path, output: Path | None) -> int:
    r"""Compare the results, configuration and environment of RUN_B with those of RUN_A.

    Results are paired by patient and seed. RUN_B has a regression where a primary endpoint is worse beyond
    its noise and its declared margin, or is missing.

    \b
    Exit status: 0 no regression, 1 a regression, 2 the runs cannot be compared.
    Example:
      harness diff runs/released runs/candidate
    """
    from reports.diff import diff as compare  # noqa: PLC0415 - imports polars and scipy
    from reports.diff.page import headline, write_diff  # noqa: PLC0415

    found = compare(run_a, run_b)
    page = write_diff(found, output or run_b)
    for one in found.endpoints:
        if one.outcome in ("regression", "lost"):
            click.echo(f"{one.outcome}: {one.title}, {' and '.join(one.protocols)}, {one.arm}: {one.label}")
    click.echo(headline(found))
    click.echo(page)
    return 2 if found.comparable else 1 if found.regressions else 0
