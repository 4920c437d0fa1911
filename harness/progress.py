"""What a person sees while a run goes on: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from harness.door import read_sign_of_life
from harness.plan import Trial
from harness.policy import Policy
from harness.tally import Snapshot, Tally, trial_label


class Display(Protocol):
    """What the driver tells whoever watches."""

    def note(self, text: str) -> None:
        """Say something once."""

    def cohort(self, done: int, total: int, message: str) -> None:
        """`done` of `total` steps of making the cohort are over."""

    def begin(self, policy: Policy, scratch: Path) -> None:
        """Trials are about to run; running ones give signs of life in `scratch`."""

    def working(self, slots: int) -> None:
        """So many trials run at once from now on."""

    def ended(self, trial: Trial, status: str, row: dict[str, Any]) -> None:
        """A trial is over."""

    def tick(self) -> None:
        """Some time has passed."""

    def close(self) -> None:
        """Nothing more will come."""


class SilentDisplay:
    """For tests and scripts."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def cohort(self, done: int, total: int, message: str) -> None:
        """Say nothing."""

    def begin(self, policy: Policy, scratch: Path) -> None:
        """Say nothing."""

    def working(self, slots: int) -> None:
        """Say nothing."""

    def ended(self, trial: Trial, status: str, row: dict[str, Any]) -> None:
        """Say nothing."""

    def tick(self) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Say nothing."""


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


def latest_of(key: str, scratch: Path) -> str:
    """The latest sign of life of a trial that was handed out, in words."""
    sign = read_sign_of_life(scratch / f"{key}.json")
    if sign is not None:
        return sign_text(sign)
    return "starting" if (scratch / key).is_dir() else "queued"


def sign_text(sign: Mapping[str, Any]) -> str:
    """A sign of life as people read it."""
    values = "  ".join(f"{name} {value}" for name, value in sign["values"].items())
    return f"step {sign['step']}/{sign['steps']}  {values}"


def best_text(now: Snapshot) -> str:
    """The best validation scores so far, in a line."""
    return "   ".join(
        f"{task}: {best.metric} {best.score:.4g} ({best.arm})" for task, best in now.best.items()
    )


def duration(seconds: float | None) -> str:
    """Seconds as people read them.

    Examples
    --------
    >>> duration(4.2), duration(200), duration(7500), duration(None)
    ('4 s', '3 min 20 s', '2 h 05 min', '?')
    """
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def make_display(console: Console) -> Display:
    """A live display on a terminal, plain lines elsewhere."""
    if not console.is_terminal:
        return PlainDisplay(console)
    from harness.live import TerminalDisplay  # noqa: PLC0415 - only where there is a terminal

    return TerminalDisplay(console)
