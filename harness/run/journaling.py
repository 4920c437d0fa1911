"""What a run puts on record as it happens, and how often it opened a test split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.decisions import Decisions
from harness.journal import History, Journal
from harness.outcome import Outcome, stopped_early
from harness.plan import Trial
from harness.recovery import Damage
from harness.resources import TrialResources


@dataclass
class RunJournal:
    """The writing end of a run's journal, by what happened.

    Parameters
    ----------
    test_openings
        How often trials of this and of earlier executions opened the test split.
    test_openings_afterwards
        How often it was opened after the run, by commands that read it again.
    """

    journal: Journal
    test_openings: int = 0
    test_openings_afterwards: int = 0
    _proposals: int = 0
    _selections: int = 0

    def remember(self, history: History) -> None:
        """Count what earlier executions opened."""
        self.test_openings = sum(entry.get("test_openings", 0) for entry in history.events)
        self.test_openings_afterwards = sum(1 for _ in history.of("opened"))

    def began(self, *, suite: str, command: str, cohort: str) -> None:
        """An execution begins."""
        self.journal.append("began", suite=suite, command=command, cohort=cohort)

    def interrupted(self) -> None:
        """Somebody stopped it."""
        self.journal.append("interrupted")

    def ended(self, status: Mapping[str, Any]) -> None:
        """It came to its end."""
        self.journal.append("ended", **status)

    def damaged(self, harm: Damage) -> None:
        """A folder is not what was written."""
        self.journal.append("damaged", folder=str(harm.folder), problem=harm.problem)

    def adopted(self, key: str, outcome: Outcome, source: str, test_openings: int) -> None:
        """A trial was found done, in the run's `folder` or in the `cache`."""
        self.test_openings += test_openings
        self.journal.append(
            "finished",
            key=key,
            adopted=source,
            validation_score=outcome.validation_score,
            artifact=outcome.artifact,
            wall_seconds=outcome.wall_seconds,
            test_openings=test_openings,
            **stopped_early(vars(outcome)),
        )

    def started(self, trial: Trial) -> None:
        """A trial is handed out."""
        self.journal.append("started", key=trial.key, label=trial.label, draw=trial.draw)

    def retried(self, key: str, outcome: Mapping[str, Any], resources: TrialResources) -> None:
        """A trial is handed out once more, with these resources."""
        openings = outcome.get("test_openings", 0)
        self.test_openings += openings
        self.journal.append(
            "retried",
            key=key,
            reason=outcome["status"],
            error=outcome.get("error"),
            resources=resources.as_dict(),
            test_openings=openings,
        )

    def finished(self, key: str, row: Mapping[str, Any], test_openings: int) -> None:
        """A trial is done."""
        self.test_openings += test_openings
        self.journal.append(
            "finished",
            key=key,
            validation_score=row["validation_score"],
            artifact=row["artifact"],
            wall_seconds=row["wall_seconds"],
            test_openings=test_openings,
            **stopped_early(row),
        )

    def failed(self, key: str, why: Mapping[str, Any], test_openings: int) -> None:
        """A trial failed for good; `why` holds its error and, where there is one, the traceback."""
        self.test_openings += test_openings
        self.journal.append("failed", key=key, **why, test_openings=test_openings)

    def decided(self, decisions: Decisions) -> None:
        """Put what has been decided since the last call on record, before anything of it runs."""
        for proposal in decisions.hunts.proposals[self._proposals :]:
            self.journal.append("proposed", **vars(proposal))
        for selection in decisions.selections[self._selections :]:
            self.journal.append("selected", **vars(selection))
        self._proposals = len(decisions.hunts.proposals)
        self._selections = len(decisions.selections)
