"""The driver: from a request to a finished run folder.

Everything is checked before anything is written, and everything is written before anything is forgotten:
giving the same command again goes on where the last one stopped.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import records
from harness.decisions import recorded_proposals
from harness.evidence import evidence_of, warnings_of
from harness.executors import Event, Executor
from harness.files import StorageError, digest_of, storage_guard, utc_now
from harness.journal import Journal, check_free, read_journal
from harness.labels import check_domain, check_enough
from harness.learning_view import learning_view
from harness.outcome import Outcome, stopped_early
from harness.overlap import split_overlap
from harness.plan import Plan, Trial, make_plan
from harness.policy import Policy
from harness.progress import Display
from harness.recovery import Damage, Known, discard_stale_pretraining, known_outcomes, known_pretraining
from harness.remote import RemoteRun
from harness.request import Request, write_request
from harness.resources import TrialResources
from harness.results import RunFolder, compact, outcome_of
from harness.retries import FailedBefore, Retries
from harness.search.tpe import require_optuna
from harness.storage import ObjectStore
from harness.suite import Suite
from harness.timings import record_timing
from harness.trial import make_payload
from harness.watchdog import killed_by_time_limit
from registry.catalog import Catalogue
from registry.contracts import CohortReference, Domain, InputError, SplitSize

#: How long the driver waits for an event before it looks at the clock.
PATIENCE_SECONDS = 0.5


@dataclass(frozen=True)
class Prepared:
    """A request whose every name and setting has been checked."""

    request: Request
    catalogue: Catalogue
    domain: Domain
    settings: Mapping[str, Any]
    cohort: CohortReference
    other_splits: Mapping[int, CohortReference]

    def plan(self) -> Plan:
        """The plan of this run."""
        if self.request.suite.search.method == "tpe":
            require_optuna()
        return make_plan(
            self.request.suite,
            self.catalogue,
            settings=self.settings,
            cohort=self.cohort.fingerprint,
            other_splits={split: cohort.fingerprint for split, cohort in self.other_splits.items()},
            probes=self.domain.probes,
        )

    def folder(self, split: int) -> Path:
        """Where the cohort is that has this split."""
        return (self.other_splits[split] if split else self.cohort).folder.resolve()

    def learning_folder(self, split: int) -> Path:
        """Where its train and validation records are, without those of the test split."""
        reference = self.other_splits[split] if split else self.cohort
        cache = self.request.cache.resolve()
        fingerprint = reference.fingerprint
        return learning_view(self.domain, self.folder(split), fingerprint=fingerprint, cache=cache)


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


def prepare(request: Request) -> Prepared:
    """Resolve every name and check every setting; makes and writes nothing.

    Raises
    ------
    InputError
        Naming the first thing that is wrong.
    """
    catalogue = Catalogue.load(request.plugins).frozen()
    suite = request.suite
    domain = catalogue.domain(suite.domain)
    settings = domain.check_settings(suite.settings)
    check_domain(domain, suite)
    cohort = domain.cohort(suite.cohort, request.cache)
    return Prepared(request, catalogue, domain, settings, cohort, _other_splits(domain, suite, request.cache))


def split_declaration(declaration: Mapping[str, Any], split: int) -> dict[str, Any]:
    """The `[cohort]` table of a repeated split; the cohort's own is left as it was written."""
    return {**declaration, "split": split} if split else dict(declaration)


def _other_splits(domain: Domain, suite: Suite, cache: Path) -> dict[int, CohortReference]:
    try:
        return {
            split: domain.cohort(split_declaration(suite.cohort, split), cache)
            for split in range(1, suite.splits)
        }
    except InputError as error:
        raise InputError(
            f"splits = {suite.splits}: the cohort cannot be split again: {error.message}", mend=error.mend
        ) from error


def run_suite(
    request: Request, executor: Executor, display: Display, *, only_failed: bool = False
) -> Finished:
    """Run what is left to run of a suite.

    Parameters
    ----------
    only_failed
        Run what failed the last time and what that kept from running, and nothing else.

    Raises
    ------
    InputError
        If anything in the request is wrong, before anything is written; if the disk fills up, after what
        was finished has been kept.
    KeyboardInterrupt
        After the run folder has been left in order.
    """
    prepared = prepare(request)
    plan = prepared.plan()
    run = RunFolder(request.output.resolve())
    if run.root.exists() and not run.root.is_dir():
        raise InputError(f"output {run.root} is a file", mend="give a folder with --output")
    check_free(run.root)
    for warning in warnings_of(evidence_of(plan)):
        display.note(warning)
    with storage_guard(request.cache):
        sizes = _prepare_cohorts(prepared, display)
    check_enough(plan, sizes)
    facts = records.RunFacts(
        prepared.domain,
        prepared.cohort,
        sizes,
        split_overlap(prepared.domain, prepared.cohort.folder, sizes),
        command=request.command,
        started=utc_now(),
        device=_device(plan),
        cache=request.cache,
    )
    remote = None if request.storage is None else RemoteRun(ObjectStore(request.storage), run.root.name)
    if remote is not None:
        if request.suite.search.early_stopping is not None:
            raise InputError(
                "early stopping needs a run folder that all workers share, not an object store",
                mend="take [search.early_stopping] out, or --storage",
            )
        remote.store.check()
    with Journal(run.journal) as journal:
        write_request(request)
        return _Driver(prepared, plan, run, facts, journal, executor, display, remote, only_failed).drive()


def _prepare_cohorts(prepared: Prepared, display: Display) -> dict[str, dict[str, SplitSize]]:
    """Make or verify the cohort on each of its splits; sizes are those of its own."""
    request = prepared.request
    found = [
        prepared.domain.prepare(
            split_declaration(request.suite.cohort, split),
            request.cache,
            workers=request.workers,
            progress=display.cohort,
        )
        for split in range(request.suite.splits)
    ]
    return found[0]


@dataclass
class _Driver:
    """One execution of a suite, while it holds the journal."""

    prepared: Prepared
    plan: Plan
    run: RunFolder
    facts: records.RunFacts
    journal: Journal
    executor: Executor
    display: Display
    remote: RemoteRun | None = None
    only_failed: bool = False
    failures: dict[str, str] = field(default_factory=dict)
    retries: Retries = field(default_factory=Retries)
    given: dict[str, TrialResources] = field(default_factory=dict)
    failed_rows: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    policy: Policy = field(init=False)
    clock: float = field(default_factory=time.monotonic)
    test_openings: int = 0
    test_openings_afterwards: int = 0
    journaled_proposals: int = 0
    journaled_selections: int = 0
    learning: dict[int, Path] = field(default_factory=dict)

    def drive(self) -> Finished:
        """Run, and leave the records in order whatever happens."""
        self._recover()
        records.write_layouts(self.run, self.plan)
        self._write_run(finished=None)
        self.display.begin(self.policy, self.run.scratch)
        try:
            self._loop()
        except KeyboardInterrupt:
            self.journal.append("interrupted")
            self._write_records()
            raise
        status = self._write_records()
        self.journal.append("ended", **status)
        return Finished(status, self.run, self.prepared.cohort.simulated)

    def _recover(self) -> None:
        """Take in what earlier executions left, and clear what they left half-done."""
        history = read_journal(self.run.journal)
        if history.damaged:
            self.display.note(
                f"{self.run.journal}: {len(history.damaged)} damaged lines are ignored; trial folders decide"
            )
        self.run.clear_partial()
        cache = self.prepared.request.cache
        if self.remote is not None:
            pretraining = [trial.key for trial in self.plan.pretraining.values()]
            self._collect(self.remote, pretraining)
        known = known_outcomes(self.plan, self.run, cache, history, adopt=True, remote=self.remote)
        done, cached = known.done, known.cached
        journaled = {entry["key"] for entry in history.of("finished")}
        self.test_openings = sum(entry.get("test_openings", 0) for entry in history.events)
        self.test_openings_afterwards = sum(1 for _ in history.of("opened"))
        self.failures = history.last_failures()
        self.retries = Retries.remembered(history.of("retried"))
        self.journal.append(
            "began",
            suite=self.plan.suite.name,
            command=self.facts.command,
            cohort=self.facts.cohort.fingerprint,
        )
        self._report_damage(known.damage)
        for key in sorted(done.keys() - journaled):
            self._journal_adopted(key, done[key], "cache" if key in cached else "folder")
        discard_stale_pretraining(self.plan, self.run, cache, done)
        self.policy = Policy(
            self.plan,
            done,
            adopt=lambda trial: self._adopt_pretraining(trial, known),
            recorded=recorded_proposals(history),
        )
        self._journal_decisions()

    def _collect(self, remote: RemoteRun, pretraining: Iterable[str]) -> None:
        """Bring here what earlier executions and other runs left in the object store."""
        for name in remote.collect(self.run, self.prepared.request.cache, pretraining):
            self.display.note(f"{remote.store.uri}/{name} is damaged: deleted, made anew")

    def _journal_adopted(self, key: str, outcome: Outcome, source: str) -> None:
        openings = self.run.test_openings(key)
        self.test_openings += openings
        self.journal.append(
            "finished",
            key=key,
            adopted=source,
            validation_score=outcome.validation_score,
            artifact=outcome.artifact,
            wall_seconds=outcome.wall_seconds,
            test_openings=openings,
            **stopped_early(vars(outcome)),
        )

    def _adopt_pretraining(self, trial: Trial, known: Known) -> Outcome | None:
        """Take over a pretraining whose setting has only now been chosen."""
        seen, was_done = len(known.damage), trial.key in known.done
        cache = self.prepared.request.cache
        if self.remote is not None:
            self._collect(self.remote, [trial.key])
        outcome = known_pretraining(trial, self.run, cache, known, adopt=True, remote=self.remote)
        self._report_damage(known.damage[seen:])
        if outcome is not None and not was_done:
            self._journal_adopted(trial.key, outcome, "cache")
        return outcome

    def _report_damage(self, damage: Sequence[Damage]) -> None:
        """Say what was not as it had been written; it runs again."""
        for harm in damage:
            self.display.note(f"{harm.folder} is damaged: {harm.problem}; set aside, made anew")
            self.journal.append("damaged", folder=str(harm.folder), problem=harm.problem)

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
                    self.journal.append("started", key=trial.key, label=trial.label, draw=trial.draw)
                    self._give(trial)
                    self.executor.submit(self._payload(trial))
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
        """Decide what the next attempt of a trial is given."""
        self.given[trial.key] = self.retries.resources(trial.key, self.plan.resources(trial))
        return self.given[trial.key]

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
        self.test_openings += outcome.get("test_openings", 0)
        self.journal.append(
            "retried",
            key=event.key,
            reason=outcome["status"],
            error=outcome.get("error"),
            resources=self._give(trial).as_dict(),
            test_openings=outcome.get("test_openings", 0),
        )
        self.executor.submit(self._payload(trial))
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
        self.test_openings += openings
        if outcome["status"] == "storage":
            self.journal.append("failed", key=event.key, error=outcome["error"], test_openings=openings)
            what, _, mend = outcome["error"].partition("; ")
            raise StorageError(what, mend=mend)
        if outcome["status"] == "done":
            self.journal.append(
                "finished",
                key=event.key,
                validation_score=row["validation_score"],
                artifact=row["artifact"],
                wall_seconds=row["wall_seconds"],
                test_openings=openings,
                **stopped_early(row),
            )
            record_timing(self.prepared.request.cache, trial.spec, row)
            self.policy.complete(event.key, outcome_of(row))
        else:
            why = self._why(event)
            self.journal.append("failed", key=event.key, **why, test_openings=openings)
            self.failed_rows[event.key] = row
            self.policy.fail(event.key, why["error"])
            row["error"] = why["error"]
        self._journal_decisions()
        self.display.ended(trial, "done" if outcome["status"] == "done" else "failed", row)

    def _journal_decisions(self) -> None:
        """Put what was decided on record, before anything of it runs."""
        decisions = self.policy.decisions
        for proposal in decisions.proposals[self.journaled_proposals :]:
            self.journal.append("proposed", **vars(proposal))
        for selection in decisions.selections[self.journaled_selections :]:
            self.journal.append("selected", **vars(selection))
        self.journaled_proposals = len(decisions.proposals)
        self.journaled_selections = len(decisions.selections)

    def _payload(self, trial: Trial) -> dict[str, Any]:
        request, split = self.prepared.request, trial.condition.split
        if split not in self.learning:
            self.learning[split] = self.prepared.learning_folder(split)
        payload = make_payload(
            trial.spec,
            arm=trial.arm,
            run=self.run.root,
            cache=request.cache.resolve(),
            cohort_folder=self.learning[split],
            test_folder=self.prepared.folder(split) if trial.stage == "final" else None,
            plugins=request.plugins,
            artifact=self.policy.artifact_of(trial),
            draw=trial.draw,
            protocols=list(self.policy.protocols_of(trial.key)),
            resources=self.given[trial.key],
            threads=request.suite.resources.threads,
            bracket=self._bracket(trial),
            keep_model=request.keep_models,
        )
        if self.remote is None:
            return payload
        # a node keeps the whole cohort where final trials run, and the learning files where others do
        cohort = self.plan.cohorts[split]
        if trial.stage == "final":
            self.remote.offer_cohort(cohort, self.prepared.folder(split))
            return payload | self.remote.as_dict(cohort)
        self.remote.offer_cohort(f"{cohort}-learning", self.learning[split])
        return payload | self.remote.as_dict(f"{cohort}-learning")

    def _bracket(self, trial: Trial) -> dict[str, Any] | None:
        """Where a tuning trial meets the others of its cell, if trials may be stopped early."""
        stopping = self.plan.suite.search.early_stopping
        if stopping is None or trial.stage != "tune":
            return None
        cell = digest_of([trial.place.arm, trial.place.task, vars(trial.condition), trial.spec.upstream])
        folder = self.run.root / "brackets" / cell[:16]
        return {"folder": str(folder), "rungs": stopping.rungs, "reduction": stopping.reduction}

    def _write_run(self, *, finished: str | None) -> None:
        records.write_run(
            self.run,
            self.plan,
            self.policy,
            self.facts,
            finished=finished,
            wall_seconds=time.monotonic() - self.clock if finished else None,
            test_openings=self.test_openings,
            test_openings_afterwards=self.test_openings_afterwards,
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


def _device(plan: Plan) -> str:
    return "cuda" if any(shape.gpus for shapes in plan.shapes.values() for shape in shapes) else "cpu"
