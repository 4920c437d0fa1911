"""`harness status`: how far a run is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
from rich.console import Console

from harness.cli import INCOMPLETE
from harness.cli.plan import print_cells
from harness.progress import duration
from harness.progress.words import sign_text
from harness.status import RunStatus, run_status

#: What each activity means, and what to do about it.
WORDS = {
    "running": "runs",
    "finished": "is over",
    "interrupted": "was interrupted",
    "killed": "ended without a word (killed, or the machine went down)",
}


@click.command("status")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def status(run: Path, as_json: bool) -> int:
    r"""Show how far RUN is, from its folder alone: also from another shell, while it goes on.

    Exit status 0 if it is complete or runs, 1 if trials failed or are missing and nobody runs it.

    \b
    Example:
      harness status runs/quick
    """
    found = run_status(run)
    if as_json:
        table = dataclasses.asdict(found) | {"complete": found.complete}
        click.echo(json.dumps(table, indent=1, ensure_ascii=False))
    else:
        _print(Console(), found)
    return 0 if found.complete or found.activity == "running" else INCOMPLETE


def _print(console: Console, found: RunStatus) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    by = f", {found.process}, for {duration(found.seconds)}" if found.process else f", began {found.began}"
    say(f"{found.run}: suite {found.suite} {WORDS[found.activity]}{by}")
    print_cells(console, found.outlook)
    for trial in found.running:
        draw = f" draw {trial.draw}" if trial.label.startswith("tune") else ""
        say(f"running  {trial.label}{draw}  {sign_text(trial.latest) if trial.latest else 'no sign yet'}")
    for failure in found.failed:
        say(f"failed   {failure.label}: {failure.error}")
    if found.retried:
        say(f"{found.retried} times a trial was handed out again after a lost worker or exhausted memory")
    if found.failed:
        say(f"why: harness logs {found.run} {found.failed[0].key[:8]}; once more: harness retry {found.run}")
    elif not found.complete and found.activity != "running":
        say(f"to go on: {found.command}")
