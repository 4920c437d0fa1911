"""`harness retry`: what failed in a run, once more."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path

import click

from harness.cli.execution import run_request
from harness.journal import read_journal
from harness.request import read_request
from harness.resources import parse_resources
from harness.results import RunFolder


@click.command("retry")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="As in run-all.")
@click.option("--resources", metavar="KEY=VALUE,...", help="As in run-all: more memory, a longer time limit.")
@click.option("--report/--no-report", default=True, help="Write the HTML report at the end.")
def retry(run: Path, workers: int | None, resources: str | None, report: bool) -> int:
    r"""Run the trials of RUN that failed, and what they kept from running, and nothing else.

    With the suite, plug-ins, cache and executor that the run was given. `run-all` does the same and also
    what was never started.

    \b
    Examples:
      harness retry runs/quick
      harness retry runs/quick --resources memory=16GiB,time_limit_seconds=7200
    """
    request = read_request(run)
    if not read_journal(RunFolder(run).journal).last_failures():
        click.echo(f"nothing failed in {run}; `{request.command}` runs what is missing, if anything is")
        return 0
    request = dataclasses.replace(
        request,
        suite=request.suite.narrowed(resources=parse_resources(resources or "")),
        workers=workers or request.workers,
        command=shlex.join(["harness", *sys.argv[1:]]),
    )
    return run_request(request, report=report, only_failed=True)
