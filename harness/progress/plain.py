"""A line per finished trial, where there is no terminal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.plan import Trial
from harness.policy import Policy
from harness.progress.display import Display
from harness.progress.tally import Tally, trial_label
from harness.progress.words import duration, latest_of


class PlainDisplay:
    """A line per finished trial, and a line now and then while nothing finishes.

    Parameters
    ----------
    interval_seconds
        Longest silence.
    """

    def __init__(self, console: Console, *, interval_seconds: float = 30.0) -> None:
        self._console = console
        self._interval_seconds = interval_seconds
        self._tally: Tally | None = None
        self._scratch = Path()
        self._last_line = time.monotonic()
        self._last_tenth = -1

    def note(self, text: str) -> None:
        """Print a line."""
        self._print(text)

    def cohort(self, done: int, total: int, message: str) -> None:
        """Print a line at every tenth of the way."""
        tenth = 10 * done // max(total, 1)
        if tenth != self._last_tenth or done == total:
            self._last_tenth = tenth
            self._print(f"cohort {done}/{total}  {message}")

    def begin(self, policy: Policy, scratch: Path) -> None:
        """Print how much there is to do."""
        self._tally, self._scratch = Tally(policy, scratch), scratch
        now = self._tally.snapshot
        self._print(f"{now.total} trials, {now.settled} of them done before")

    def working(self, slots: int) -> None:
        """Print how many trials run at once."""
        if self._tally is not None:
            self._tally.slots = slots
        self._print(f"{slots} at a time")

    def ended(self, trial: Trial, status: str, row: dict[str, Any]) -> None:
        """Print the trial's line."""
        if self._tally is None:
            return
        self._tally.ended(trial, row)
        now = self._tally.snapshot
        score = row.get("validation_score")
        words = [f"[{now.settled}/{now.total}]", status, trial_label(trial)]
        words += [f"validation {score:.4g}"] if score is not None else []
        words += [f"{row['wall_seconds']:.1f} s"] if row.get("wall_seconds") is not None else []
        words += [str(row["error"])] if row.get("error") else []
        self._print("  ".join(words))

    def tick(self) -> None:
        """Print what runs if nothing was said for a while."""
        if self._tally is None or time.monotonic() - self._last_line < self._interval_seconds:
            return
        self._tally.refresh()
        now = self._tally.snapshot
        running = "; ".join(f"{label}: {latest_of(key, self._scratch)}" for key, label in now.running)
        self._print(
            f"{duration(self._tally.elapsed_seconds)}, about {duration(now.remaining_seconds)} to go, "
            f"{now.busy} of {now.slots} busy  running {running or 'nothing yet'}"
        )

    def close(self) -> None:
        """Nothing to give back."""

    def _print(self, text: str) -> None:
        self._last_line = time.monotonic()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def make_display(console: Console) -> Display:
    """A live display on a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        return PlainDisplay(console)
    from harness.progress.live import TerminalDisplay  # noqa: PLC0415 - only where there is a terminal

    return TerminalDisplay(console)
