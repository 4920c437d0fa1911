"""The live display of a terminal: cells by state, what runs, how far, how much longer, best so far."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.plan import Trial
from harness.policy import Policy
from harness.progress.tally import PRETRAINING, Cell, Snapshot, Tally, trial_label
from harness.progress.words import best_text, duration, latest_of

#: How often the driver counts anew while nothing ends.
COUNT_SECONDS = 1.0
#: How many running trials are listed; a cluster has hundreds.
LISTED = 12


class TerminalDisplay:
    """Redrawn by a thread of its own, from a snapshot that the driver's thread counts."""

    def __init__(self, console: Console) -> None:
        self._tally: Tally | None = None
        self._scratch = Path()
        self._counted = 0.0
        self._cohort: tuple[int, int, str] | None = None
        self._console = console
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=2, transient=True)
        self._live.start()

    def note(self, text: str) -> None:
        """Print a line above the display."""
        self._console.print(text, markup=False, highlight=False)

    def cohort(self, done: int, total: int, message: str) -> None:
        """Show how far the cohort is."""
        self._cohort = None if done >= total else (done, total, message)

    def begin(self, policy: Policy, scratch: Path) -> None:
        """Show trials from now on."""
        self._tally, self._scratch = Tally(policy, scratch), scratch

    def working(self, slots: int) -> None:
        """Show how many of so many are busy."""
        if self._tally is not None:
            self._tally.slots = slots

    def ended(self, trial: Trial, status: str, row: dict[str, Any]) -> None:
        """Count the trial; failures leave a line."""
        if self._tally is not None:
            self._tally.ended(trial, row)
        if status != "done":
            text = Text(f"{status}  {trial_label(trial)}: {row.get('error')}", style="red")
            self._console.print(text, soft_wrap=True)

    def tick(self) -> None:
        """Count what runs, now and then."""
        if self._tally is not None and time.monotonic() - self._counted > COUNT_SECONDS:
            self._counted = time.monotonic()
            self._tally.refresh()

    def close(self) -> None:
        """Take the display away."""
        self._live.stop()

    def _render(self) -> RenderableType:
        if self._cohort is not None:
            done, total, message = self._cohort
            return _bar("cohort", done, total, message)
        if self._tally is None:
            return Text("")
        now = self._tally.snapshot
        elapsed, to_go = duration(self._tally.elapsed_seconds), duration(now.remaining_seconds)
        times = f"{elapsed} elapsed, about {to_go} to go, {now.busy} of {now.slots} slots busy"
        parts: list[RenderableType] = [_bar("trials", now.settled, now.total, times), cells_table(now)]
        if now.best:
            parts.append(Text(f"best on validation  {best_text(now)}", style="dim", overflow="fold"))
        return Group(*parts, self._running(now))

    def _running(self, now: Snapshot) -> Table:
        table = Table.grid(padding=(0, 2))
        for key, label in now.running[:LISTED]:
            table.add_row(escape(label), Text(latest_of(key, self._scratch), style="dim"))
        if len(now.running) > LISTED:
            table.add_row(f"and {len(now.running) - LISTED} more", "")
        return table


def cells_table(now: Snapshot) -> Table:
    """A row per arm, a column per task: done of known trials, and how many run (`+`) or broke (`!`)."""
    arms = list(dict.fromkeys(arm for arm, _ in now.cells))
    columns = sorted({column for _, column in now.cells}, key=lambda name: (name != PRETRAINING, name))
    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column("")
    for column in columns:
        table.add_column(escape(column), justify="right")
    for arm in sorted(arms, key=lambda name: name == "baselines"):
        cells = [now.cells.get((arm, column)) for column in columns]
        table.add_row(escape(arm), *(_cell(cell) for cell in cells))
    return table


def _cell(cell: Cell | None) -> Text:
    if cell is None:
        return Text("")
    style = (
        "red" if cell.broken else "green" if cell.done == cell.total else "cyan" if cell.running else "dim"
    )
    text = f"{cell.done}/{cell.total}"
    text += f" +{cell.running}" if cell.running else ""
    text += f" !{cell.broken}" if cell.broken else ""
    return Text(text, style=style)


def _bar(name: str, done: int, total: int, message: str) -> Table:
    row = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=max(total, 1), completed=done, width=30)
    row.add_row(name, bar, f"{done}/{total}", escape(message))
    return row
