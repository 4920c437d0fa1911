"""How far a run is, in numbers: counted in the driver's thread, read by a display in another."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.plan import Trial
from harness.policy import Policy

PRETRAINING = "pretraining"


@dataclass
class Cell:
    """Trials of one arm on one task, or of its pretraining, by state."""

    done: int = 0
    broken: int = 0
    running: int = 0
    total: int = 0


@dataclass(frozen=True)
class Best:
    """The best validation score of a task so far."""

    score: float
    arm: str
    metric: str


@dataclass(frozen=True)
class Snapshot:
    """How far a run is.

    Parameters
    ----------
    settled, total
        Trials that are done, failed or blocked, and all of them, those that wait for a selection too.
    remaining_seconds
        `None` before anything has ended here.
    busy, slots
        Trials at work (handed out and not waiting), and how many can be.
    running
        Key and label of what was handed out.
    cells
        (arm, column) to its trials; columns are `pretraining` and the tasks.
    best
        Task to its best score.
    """

    settled: int = 0
    total: int = 0
    remaining_seconds: float | None = None
    busy: int = 0
    slots: int = 1
    running: tuple[tuple[str, str], ...] = ()
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    best: dict[str, Best] = field(default_factory=dict)


class Tally:
    """Counts for displays.

    Parameters
    ----------
    policy
        The state of the run.
    scratch
        Where running trials give signs of life.
    """

    def __init__(self, policy: Policy, scratch: Path) -> None:
        self.started = time.monotonic()
        self.slots = 1
        self._policy = policy
        self._scratch = scratch
        self._seconds: dict[tuple[str, str | None], list[float]] = defaultdict(list)
        self.snapshot = self._count()

    @property
    def elapsed_seconds(self) -> float:
        """Since the first trial could start."""
        return time.monotonic() - self.started

    def ended(self, trial: Trial, row: dict[str, Any]) -> None:
        """Take in how long a trial took, and count anew."""
        if row.get("wall_seconds") is not None:
            self._seconds[trial.stage, trial.spec.task].append(row["wall_seconds"])
        self.refresh()

    def refresh(self) -> None:
        """Count anew; for the driver's thread alone."""
        self.snapshot = self._count()

    def _count(self) -> Snapshot:
        policy = self._policy
        counts = policy.counts()
        settled = counts["done"] + counts["failed"] + counts["blocked"]
        running = tuple((trial.key, trial_label(trial)) for trial in policy.running())
        at_work = sum((self._scratch / key).is_dir() for key, _ in running)
        if not at_work and self._seconds:  # nodes that share no folder: what was handed out
            at_work = len(running)
        return Snapshot(
            settled=settled,
            total=sum(counts.values()) + policy.unselected_slots(),
            remaining_seconds=self._remaining(),
            busy=min(at_work, self.slots),
            slots=self.slots,
            running=running,
            cells=self._cells(),
            best=self._best(),
        )

    def _remaining(self) -> float | None:
        """Open trials at the mean time of their stage and task, else at the mean of all, over the slots."""
        known = [one for seconds in self._seconds.values() for one in seconds]
        if not known:
            return None
        usual = sum(known) / len(known)
        means = {kind: sum(seconds) / len(seconds) for kind, seconds in self._seconds.items()}
        work = usual * self._policy.unselected_slots()
        for key, state in self._policy.states.items():
            if state in ("waiting", "ready", "running"):
                trial = self._policy.trials[key]
                work += means.get((trial.stage, trial.spec.task), usual)
        return work / self.slots

    def _cells(self) -> dict[tuple[str, str], Cell]:
        cells: dict[tuple[str, str], Cell] = defaultdict(Cell)
        for key, state in self._policy.states.items():
            trial = self._policy.trials[key]
            cell = cells[trial.arm or "baselines", trial.spec.task or PRETRAINING]
            cell.total += 1
            cell.done += state == "done"
            cell.broken += state in ("failed", "blocked")
            cell.running += state == "running"
        return dict(cells)

    def _best(self) -> dict[str, Best]:
        best: dict[str, Best] = {}
        for key, outcome in self._policy.outcomes.items():
            trial = self._policy.trials.get(key)
            if trial is None or not trial.arm or trial.spec.task is None or outcome.validation_score is None:
                continue
            primary = self._policy.plan.tasks[trial.spec.task].card.primary
            sign = 1 if primary.direction == "max" else -1
            old = best.get(trial.spec.task)
            if old is None or sign * outcome.validation_score > sign * old.score:
                best[trial.spec.task] = Best(outcome.validation_score, trial.arm, primary.metric)
        return best


def trial_label(trial: Trial) -> str:
    """A trial's label with its draw."""
    draw = f" draw {trial.draw}" if trial.stage == "tune" else ""
    return trial.label + draw
