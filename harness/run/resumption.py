"""Where an execution goes on: what earlier ones and other runs left, and the policy that starts from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.decisions import recorded_proposals
from harness.journal import History
from harness.outcome import Outcome
from harness.plan import Plan, Trial
from harness.policy import Policy
from harness.progress import Display
from harness.recovery import Damage, Known, discard_stale_pretraining, known_outcomes, known_pretraining
from harness.remote import RemoteRun
from harness.results import RunFolder
from harness.run.journaling import RunJournal


@dataclass
class Resumption:
    """Takes in what is done already, and clears what was left half-done.

    Parameters
    ----------
    cache
        Where other runs left pretraining.
    remote
        The object store that they left it in, if there is one.
    """

    plan: Plan
    run: RunFolder
    cache: Path
    remote: RemoteRun | None
    journal: RunJournal
    display: Display

    def look(self, history: History) -> Known:
        """What need not run; half-written folders go."""
        if history.damaged:
            self.display.note(
                f"{self.run.journal}: {len(history.damaged)} damaged lines are ignored; trial folders decide"
            )
        self.run.clear_partial()
        self._collect([trial.key for trial in self.plan.pretraining.values()])
        return known_outcomes(self.plan, self.run, self.cache, history, adopt=True, remote=self.remote)

    def policy(self, history: History, known: Known) -> Policy:
        """The policy that starts from what is known, and journals what the journal did not know."""
        journaled = {entry["key"] for entry in history.of("finished")}
        self._report_damage(known.damage)
        for key in sorted(known.done.keys() - journaled):
            self._adopted(key, known.done[key], "cache" if key in known.cached else "folder")
        discard_stale_pretraining(self.plan, self.run, self.cache, known.done)
        return Policy(
            self.plan,
            known.done,
            adopt=lambda trial: self._adopt_pretraining(trial, known),
            recorded=recorded_proposals(history),
        )

    def _collect(self, pretraining: Iterable[str]) -> None:
        """Bring here what earlier executions and other runs left in the object store."""
        if self.remote is not None:
            for name in self.remote.collect(self.run, self.cache, pretraining):
                self.display.note(f"{self.remote.store.uri}/{name} is damaged: deleted, made anew")

    def _adopt_pretraining(self, trial: Trial, known: Known) -> Outcome | None:
        """Take over a pretraining whose setting has only now been chosen."""
        seen, was_done = len(known.damage), trial.key in known.done
        self._collect([trial.key])
        outcome = known_pretraining(trial, self.run, self.cache, known, adopt=True, remote=self.remote)
        self._report_damage(known.damage[seen:])
        if outcome is not None and not was_done:
            self._adopted(trial.key, outcome, "cache")
        return outcome

    def _adopted(self, key: str, outcome: Outcome, source: str) -> None:
        self.journal.adopted(key, outcome, source, self.run.test_openings(key))

    def _report_damage(self, damage: Sequence[Damage]) -> None:
        """Say what was not as it had been written; it runs again."""
        for harm in damage:
            self.display.note(f"{harm.folder} is damaged: {harm.problem}; set aside, made anew")
            self.journal.damaged(harm)
