"""What a person sees while a run goes on: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.door import read_sign_of_life
from harness.plan import Trial
from harness.policy import Policy


class Display(Protocol):
    """What the driver tells whoever watches."""

    def note(self, text: str) -> None:
        """Say something once."""

    def cohort(self, done: int, total: int, message: str) -> None:
        """`done` of `total` steps of making the cohort are over."""

    def begin(self, policy: Policy, scratch: Path) -> None:
        """Trials are about to run; running ones give signs of life in `scratch`."""

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

    def ended(self, trial: Trial, status: str, row: dict[str, Any]) -> None:
        """Say nothing."""

    def tick(self) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Say nothing."""


class _Progress:
    """What both displays count."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.policy: Policy | None = None
        self.scratch = Path()
        self.run_here = 0

    @property
    def elapsed_seconds(self) -> float:
        return time.monotonic() - self.started

    def settled_and_total(self) -> tuple[int, int]:
        if self.policy is None:
            return 0, 0
        counts = self.policy.counts()
        settled = counts["done"] + counts["failed"] + counts["blocked"]
        return settled, sum(counts.values()) + self.policy.unselected_slots()

    def remaining_seconds(self) -> float | None:
        """From the pace so far; `None` before there is one."""
        settled, total = self.settled_and_total()
        if not self.run_here:
            return None
        return (total - settled) * self.elapsed_seconds / self.run_here

    def running(self) -> list[tuple[str, str]]:
        """Label and latest sign of life of every running trial."""
        if self.policy is None:
            return []
        lines = []
        for trial in self.policy.running():
            sign = read_sign_of_life(self.scratch / f"{trial.key}.json")
            latest = "starting" if (self.scratch / trial.key).is_dir() else "queued"
            if sign is not None:
                latest = sign_text(sign)
            lines.append((trial_label(trial), latest))
        return lines


def sign_text(sign: Mapping[str, Any]) -> str:
    """A sign of life as people read it."""
    values = "  ".join(f"{name} {value}" for name, value in sign["values"].items())
    return f"step {sign['step']}/{sign['steps']}  {values}"


def trial_label(trial: Trial) -> str:
    """A trial's label with its draw."""
    draw = f" draw {trial.draw}" if trial.stage == "tune" else ""
    return trial.label + draw


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
        self._progress = _Progress()
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
        self._progress.policy, self._progress.scratch = policy, scratch
        settled, total = self._progress.settled_and_total()
        self._print(f"{total} trials, {settled} of them done before")

    def ended(self, trial: Trial, status: str, row: dict[str, Any]) -> None:
        """Print the trial's line."""
        self._progress.run_here += 1
        settled, total = self._progress.settled_and_total()
        score = row.get("validation_score")
        words = [f"[{settled}/{total}]", status, trial_label(trial)]
        words += [f"validation {score:.4g}"] if score is not None else []
        words += [f"{row['wall_seconds']:.1f} s"] if row.get("wall_seconds") is not None else []
        words += [str(row["error"])] if row.get("error") else []
        self._print("  ".join(words))

    def tick(self) -> None:
        """Print what runs if nothing was said for a while."""
        if time.monotonic() - self._last_line < self._interval_seconds:
            return
        running = "; ".join(f"{label}: {latest}" for label, latest in self._progress.running())
        self._print(f"{duration(self._progress.elapsed_seconds)}  running {running or 'nothing yet'}")

    def close(self) -> None:
        """Nothing to give back."""

    def _print(self, text: str) -> None:
        self._last_line = time.monotonic()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class TerminalDisplay:
    """Stages, running trials with their latest values, how far, how long, how much longer."""

    def __init__(self, console: Console) -> None:
        self._progress = _Progress()
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
        self._progress.policy, self._progress.scratch = policy, scratch

    def ended(self, trial: Trial, status: str, row: dict[str, Any]) -> None:
        """Count the trial; failures leave a line."""
        self._progress.run_here += 1
        if status != "done":
            self._console.print(
                Text(f"{status}  {trial_label(trial)}: {row.get('error')}", style="red"), soft_wrap=True
            )

    def tick(self) -> None:
        """Nothing: the display refreshes itself."""

    def close(self) -> None:
        """Take the display away."""
        self._live.stop()

    def _render(self) -> Group:
        if self._cohort is not None:
            done, total, message = self._cohort
            return Group(_bar("cohort", done, total, message))
        settled, total = self._progress.settled_and_total()
        remaining = duration(self._progress.remaining_seconds())
        times = f"{duration(self._progress.elapsed_seconds)} elapsed, about {remaining} to go"
        running = Table.grid(padding=(0, 2))
        for label, latest in self._progress.running():
            running.add_row(escape(label), Text(latest, style="dim"))
        return Group(_bar("trials", settled, total, times), self._stages(), running)

    def _stages(self) -> Text:
        """One line: how many trials of each stage are done."""
        policy = self._progress.policy
        if policy is None:
            return Text("")
        done: Counter[str] = Counter()
        known: Counter[str] = Counter()
        for key, trial in policy.trials.items():
            known[trial.stage] += 1
            done[trial.stage] += policy.states[key] == "done"
        known["final"] += policy.unselected_slots()
        return Text("   ".join(f"{stage} {done[stage]}/{known[stage]}" for stage in known), style="dim")


def _bar(name: str, done: int, total: int, message: str) -> Table:
    row = Table.grid(padding=(0, 1))
    row.add_row(
        name, ProgressBar(total=max(total, 1), completed=done, width=30), f"{done}/{total}", escape(message)
    )
    return row


def make_display(console: Console) -> Display:
    """A live display on a terminal, plain lines elsewhere."""
    return TerminalDisplay(console) if console.is_terminal else PlainDisplay(console)
