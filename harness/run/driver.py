"""The loop that hands out trials and takes in what becomes of them, until nothing is left to run."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness import records
from harness.executors import Event, Executor
from harness.files import StorageError, utc_now
from harness.journal import read_journal
from harness.plan import Plan, Trial
from harness.policy import Policy
from harness.price.timings import record_timing
from harness.progress import Display
from harness.remote import RemoteRun
from harness.resources import TrialResources
from harness.results import RunFolder, compact, outcome_of
from harness.retries import FailedBefore, Retries
from harness.run.journaling import RunJournal
from harness.run.payloads import Payloads
from harness.run.preparation import Prepared
from harness.run.resumption import Resumption
from harness.watchdog import killed_by_time_limit

#: How long the driver waits for an event before it looks at the clock.
PATIENCE_SECONDS = 0.5


@dataclass(frozen=True)
class Finished:
    """What came out: the status as in `run.json`, and the run folder."""

    status: Mapping[str, Any]
    run: RunFolder
    simulated: bool

    @property
    def complete(self) -> bool:
        """Whether every applicable cell has its results."""
        return bool(self.status["state"] == "complete")


@dataclass
class Driver:
    """One execution of a suite, while it holds the journal.

    Parameters
    ----------
    remote
        The object store that nodes go through, if they share no folders.
    only_failed
        Run what failed the last time and what that kept from running, and nothing else.
    """

    prepared: Prepared
    plan: Plan
    run: RunFolder
    facts: records.RunFacts
    journal: RunJournal
    executor: Executor
    display: Display
    remote: RemoteRun | None = None
    only_failed: bool = False
    failures: dict[str, str] = field(default_factory=dict)
    retries: Retries = field(default_factory=Retries)
    given: dict[str, TrialResources] = field(default_factory=dict)
    failed_rows: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    policy: Policy = field(init=False)
    payloads: Payloads = field(init=False)
    clock: float = field(default_factory=time.monotonic)

    def drive(self) -> Finished:
        """Run, and leave the records in order whatever happens."""
        self._resume()
        records.write_layouts(self.run, self.plan)
        self._write_run(finished=None)
        self.display.begin(self.policy, self.run.scratch)
        try:
            self._loop()
        except KeyboardInterrupt:
            self.journal.interrupted()
            self._write_records()
            raise
        status = self._write_records()
        self.journal.ended(status)
        return Finished(status, self.run, self.prepared.cohort.simulated)

    def _resume(self) -> None:
        """Take in what earlier executions left."""
        cache = self.prepared.request.cache
        history = read_journal(self.run.journal)
        resumption = Resumption(self.plan, self.run, cache, self.remote, self.journal, self.display)
        known = resumption.look(history)
        self.journal.remember(history)
        self.failures = history.last_failures()
        self.retries = Retries.remembered(history.of("retried"))
        self.journal.began(
            suite=self.plan.suite.name, command=self.facts.command, cohort=self.facts.cohort.fingerprint
        )
        self.policy = resumption.policy(history, known)
        self.payloads = Payloads(self.prepared, self.plan, self.run, self.remote)
        self.journal.decided(self.policy.decisions)

    def _loop(self) -> None:
        if self.policy.finished:
            return
        in_flight = 0
        wanted = FailedBefore(self.policy, self.failures) if self.only_failed else None
        try:
            counts, shapes = self.policy.counts(), itertools.chain(*self.plan.shapes.values())
            self.executor.start(counts.total() - counts["done"], tuple(dict.fromkeys(shapes)))
            self.display.working(self.executor.slots)
            while not self.policy.finished:
                while in_flight < self.executor.capacity and (trial := self.policy.next_trial()) is not None:
                    if wanted is not None and not wanted.concerns(trial):
                        continue
                    self.journal.started(trial)
                    self._give(trial)
                    self._submit(trial)
                    in_flight += 1
                if wanted is not None and not in_flight:
                    break
                self.display.tick()
                event = self.executor.next_event(PATIENCE_SECONDS)
                if event is not None and not self._tried_again(event := self._received(event)):
                    in_flight -= 1
                    self._take(event)
        finally:
            self.executor.stop()

    def _give(self, trial: Trial) -> TrialResources:
        """Decide what the next attempt at a trial is given."""
        self.given[trial.key] = self.retries.resources(trial.key, self.plan.resources(trial))
        return self.given[trial.key]

    def _submit(self, trial: Trial) -> None:
        self.executor.submit(self.payloads.of(trial, self.policy, self.given[trial.key]))

    def _received(self, event: Event) -> Event:
        """Bring here what a trial left in the object store; what does not come back counts as lost."""
        if self.remote is None:
            return event
        self.remote.receive_log(event.key, self.run)
        if event.outcome["status"] != "done":
            return event
        error = self.remote.receive_result(event.key, self.run)
        return event if error is None else Event(event.key, {"status": "lost", "error": error})

    def _tried_again(self, event: Event) -> bool:
        """Hand a trial out once more whose worker was lost or that ran out of memory."""
        trial, outcome = self.policy.trials[event.key], event.outcome
        if outcome["status"] == "lost" and self._ended_at_its_time_limit(event.key):
            return False
        if not self.retries.again(event.key, outcome, self.given[event.key], self.executor.room):
            return False
        self.journal.retried(event.key, outcome, self._give(trial))
        self._submit(trial)
        self.display.note(f"{trial.label} is tried again: {outcome.get('error')}")
        return True

    def _ended_at_its_time_limit(self, key: str) -> bool:
        return killed_by_time_limit(self.run.last_words(key)) is not None

    def _why(self, event: Event) -> dict[str, Any]:
        """Error and traceback of a trial that failed for good."""
        outcome, given = event.outcome, self.given[event.key]
        stacks = killed_by_time_limit(self.run.last_words(event.key))
        if outcome["status"] == "lost" and stacks is not None:
            self.run.last_words(event.key).unlink(missing_ok=True)
            limit = f"time limit of {given.time_limit_seconds:g} s reached; it did not react and was ended"
            return {"error": limit, "traceback": stacks}
        error = self.retries.explain(event.key, outcome, given)
        return {"error": error, "traceback": outcome.get("traceback")}

    def _take(self, event: Event) -> None:
        """Journal the end of a trial, then tell the policy."""
        trial = self.policy.trials[event.key]
        outcome, row = event.outcome, dict(event.outcome.get("row") or {})
        openings = outcome.get("test_openings", 0)
        if outcome["status"] == "storage":
            self.journal.failed(event.key, {"error": outcome["error"]}, openings)
            what, _, mend = outcome["error"].partition("; ")
            raise StorageError(what, mend=mend)
        if outcome["status"] == "done":
            self.journal.finished(event.key, row, openings)
            record_timing(self.prepared.request.cache, trial.spec, row)
            self.policy.complete(event.key, outcome_of(row))
        else:
            why = self._why(event)
            self.journal.failed(event.key, why, openings)
            self.failed_rows[event.key] = row
            self.policy.fail(event.key, why["error"])
            row["error"] = why["error"]
        self.journal.decided(self.policy.decisions)
        self.display.ended(trial, "done" if outcome["status"] == "done" else "failed", row)

    def _write_run(self, *, finished: str | None) -> None:
        records.write_run(
            self.run,
            self.plan,
            self.policy,
            self.facts,
            finished=finished,
            wall_seconds=time.monotonic() - self.clock if finished else None,
            test_openings=self.journal.test_openings,
            test_openings_afterwards=self.journal.test_openings_afterwards,
        )

    def _write_records(self) -> dict[str, Any]:
        compact(
            self.run,
            records.trial_rows(self.run, self.policy, self.failed_rows),
            records.selection_rows(self.policy),
            records.search_rows(self.policy),
        )
        self._write_run(finished=utc_now())
        return records.status(self.policy)
