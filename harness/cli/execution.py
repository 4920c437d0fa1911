"""Run a request on the terminal: the display, the table at the end, the report, the exit status."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from harness.cli import INCOMPLETE, INTERRUPTED
from harness.cli.tables import print_summary
from harness.progress import make_display
from harness.run import run_suite
from registry.contracts import InputError

if TYPE_CHECKING:
    from harness.executors import Executor
    from harness.request import Request


def run_request(request: Request, *, report: bool, only_failed: bool = False) -> int:
    """Run, print, and return the exit status.

    Parameters
    ----------
    report
        Whether to write the page.
    only_failed
        As in `run_suite`.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's request ends like Ctrl-C
    console = Console(stderr=False, soft_wrap=False)
    display = make_display(console)
    try:
        finished = run_suite(request, _executor(request), display, only_failed=only_failed)
    except KeyboardInterrupt:
        display.close()
        click.echo(
            f"interrupted: {request.output} keeps what is finished; give the same command again to go on:\n"
            f"  {request.command}\n"
            f"what is done so far: harness status {shlex.quote(str(request.output))}",
            err=True,
        )
        return INTERRUPTED
    finally:
        display.close()
    print_summary(console, finished)
    if report:
        console.print(f"report: {_report(finished.run.root)}", soft_wrap=True, highlight=False)
    return 0 if finished.complete else INCOMPLETE


def _executor(request: Request) -> Executor:
    if request.executor == "inline":
        if request.trackers:
            raise InputError(
                f"--track {request.trackers[0]} works through Ray, not with --executor inline",
                mend="leave out one of them",
            )
        from harness.executors.inline import InlineExecutor  # noqa: PLC0415

        return InlineExecutor()
    from harness.executors.nodes import Requirements  # noqa: PLC0415 - Ray only where it is used
    from harness.executors.tune import Tracking, TuneExecutor  # noqa: PLC0415

    shared = (request.output.resolve(), request.cache) if request.storage is None else ()
    return TuneExecutor(
        request.suite.resources,
        workers=request.workers,
        address=request.address,
        required=Requirements(request.plugins, shared, request.storage),
        tracking=Tracking(
            request.trackers, request.output.resolve() / "tracking", f"harness-{request.suite.name}"
        ),
    )


def _report(run: Path) -> Path:
    import reports  # noqa: PLC0415 - imports polars and scipy

    path: Path = reports.build_report(run)
    return path
