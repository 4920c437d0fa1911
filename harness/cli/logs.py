"""`harness logs`: what a trial printed, and why it failed."""

from __future__ import annotations

from pathlib import Path

import click

from harness.logs import all_logs, find_log


@click.command("logs")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("trial", required=False)
def logs(run: Path, trial: str | None) -> None:
    r"""Show what TRIAL of RUN printed, attempt after attempt, and its traceback if it failed.

    TRIAL is the beginning of a key, or words of a label. Without it: every trial that was handed out.

    \b
    Examples:
      harness logs runs/quick
      harness logs runs/quick 3f2a
      harness logs runs/quick "pretrain my_strategy"
    """
    if trial is None:
        for log in all_logs(run):
            click.echo(f"{log.key[:8]}  {log.state:8}  {log.label}" + (f": {log.error}" if log.error else ""))
        return
    log = find_log(run, trial)
    click.echo(f"{log.label}  {log.key}  {log.state}", err=True)
    if log.path is None:
        click.echo("it printed nothing here: it ran in the driver's process, or has not started", err=True)
    else:
        click.echo(log.path.read_text(errors="replace"), nl=False)
    if log.error:
        click.echo(log.traceback or log.error)
