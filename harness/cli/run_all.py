"""`harness run-all`: every cell of a suite, then the report."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from harness.cli import INCOMPLETE, INTERRUPTED
from harness.cli.options import request_from, suite_options
from harness.cli.tables import print_summary
from harness.price import this_machine
from harness.progress import make_display
from harness.run import run_suite

if TYPE_CHECKING:
    from harness.executors import Executor
    from harness.suite import Suite


@click.command("run-all")
@suite_options
@click.option(
    "--executor",
    type=click.Choice(["tune", "inline"]),
    default="tune",
    show_default=True,
    help="Ray Tune, or one trial after another in this process.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processors to use on this machine.  [default: all]",
)
@click.option(
    "--address",
    default="local",
    show_default=True,
    metavar="auto|local|HOST:PORT",
    help="A Ray cluster to join instead of this machine.",
)
@click.option("--report/--no-report", default=True, help="Write the HTML report at the end.")
def run_all(executor: str, workers: int | None, address: str, report: bool, **what: Any) -> int:
    r"""Run every cell of a suite and write the report.

    Given again, it goes on where it stopped: no finished trial is repeated. Exit status 0: every
    applicable cell has results; 1: some trials failed or are missing; 2: something in the request is wrong;
    130: interrupted.

    \b
    Examples:
      harness run-all --suite smoke
      harness run-all --suite quick --strategies imagenet,mine --output runs/two
      harness run-all --suite mine.toml --plugin my_strategy.py --executor inline
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's request ends like Ctrl-C
    workers = workers or int(this_machine().cpus)
    request = request_from(**what, workers=workers)
    console = Console(stderr=False, soft_wrap=False)
    display = make_display(console)
    try:
        finished = run_suite(request, _executor(executor, request.suite, workers, address), display)
    except KeyboardInterrupt:
        display.close()
        click.echo(
            f"interrupted: {request.output} keeps what is finished; give the same command again to go on",
            err=True,
        )
        return INTERRUPTED
    finally:
        display.close()
    print_summary(console, finished)
    if report:
        console.print(f"report: {_report(finished.run.root)}", soft_wrap=True, highlight=False)
    return 0 if finished.complete else INCOMPLETE


def _executor(name: str, suite: Suite, workers: int, address: str) -> Executor:
    if name == "inline":
        from harness.executors.inline import InlineExecutor  # noqa: PLC0415

        return InlineExecutor()
    from harness.executors.tune import TuneExecutor  # noqa: PLC0415 - Ray only where it is used

    return TuneExecutor(suite.resources, workers=workers, address=address)


def _report(run: Path) -> Path:
    import reports  # noqa: PLC0415 - imports the plotting library

    path: Path = reports.build_report(run)
    return path
