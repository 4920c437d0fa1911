"""What runs next: dependencies, fairness between arms, selection. Pure Python; knows no executor.

The policy is told what became of each trial and hands out the next one that may start:

1. pretraining first, the one with most dependants before the others: it is the critical path;
2. then the arm that is least advanced, so that an interrupted run has spent equal budgets;
3. there is no barrier: an arm's final trials start when its own selection is known.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from harness.conditions import Condition, Place
from harness.plan import Plan, Trial
from harness.selection import BestMeanRank, BestValidationScore, Choice, Selection
from harness.specs import PROTOCOLS, Protocol

State = Literal["waiting", "ready", "running", "done", "failed", "blocked"]
SETTLED: frozenset[State] = frozenset({"done", "failed", "blocked"})

#: A task under a condition: where arms share one matched setting.
Contest = tuple[str, Condition]


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Parameters
    ----------
    validation_score
        The task's primary metric on validation; selects hyperparameters.
    artifact
        Digest of the weights that a pretraining made.
    error
        Why it failed or is blocked, in one line.
    """

    status: Literal["done", "failed", "blocked"]
    validation_score: float | None = None
    artifact: str | None = None
    error: str | None = None


class Policy:
    """The state of a run.

    Parameters
    ----------
    plan
        What there is to do.
    finished
        Outcomes of trials that need not run: finished earlier or taken from the cache.

    Examples
    --------
    The loop that every executor serves::

        policy = Policy(plan, finished)
        while not policy.finished:
            while (trial := policy.next_trial()) is not None:
                executor.submit(...)
            event = executor.next_event(...)
            policy.complete(event.key, ...)    # or policy.fail(event.key, error)
    """

    def __init__(self, plan: Plan, finished: Mapping[str, Outcome] | None = None) -> None:
        self.plan = plan
        self.trials: dict[str, Trial] = {}
        self.states: dict[str, State] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.protocols: dict[str, set[Protocol]] = defaultdict(set)
        self.selections: list[Selection] = []
        self._adoptable = dict(finished or {})
        self._unsettled = 0
        self._dependants: dict[str, list[str]] = defaultdict(list)
        self._ready_pretraining: list[tuple[int, int, str]] = []
        self._ready: dict[str, deque[str]] = defaultdict(deque)
        self._advanced: Counter[str] = Counter()
        self._planned = self._planned_per_arm()
        self._open_draws = {place: len(trials) for place, trials in plan.tuning.items()}
        self._followers = self._places_by_leader()
        self._references = self._reference_places()
        self._open_references = {contest: len(places) for contest, places in self._references.items()}
        for trial in plan.known_trials:
            self._add(trial)
        for key in [key for key in self.trials if self.trials[key].stage == "pretrain"]:
            self._enqueue_if_ready(key)
        for contest, places in self._references.items():
            if not places:
                self._select_matched(contest)

    # What an executor's loop needs -------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """Whether every trial is done, failed or blocked."""
        return self._unsettled == 0

    def next_trial(self) -> Trial | None:
        """Hand out the trial to start now; `None` while nothing may start."""
        if self._ready_pretraining:
            key = heapq.heappop(self._ready_pretraining)[2]
        else:
            arms = [arm for arm, queue in self._ready.items() if queue]
            if not arms:
                return None
            arm = min(arms, key=self._progress)
            key = self._ready[arm].popleft()
            self._advanced[arm] += 1
        self.states[key] = "running"
        return self.trials[key]

    def complete(self, key: str, outcome: Outcome) -> None:
        """Record that a trial is done, and release what waited for it."""
        self._settle(key, outcome)

    def fail(self, key: str, error: str) -> None:
        """Record that a trial failed; what depends on it is blocked, everything else goes on."""
        self._settle(key, Outcome("failed", error=error))

    # What records and displays need ------------------------------------------------------------------

    def artifact_of(self, trial: Trial) -> str | None:
        """Digest of the weights that `trial` starts from or made."""
        key = trial.key if trial.stage == "pretrain" else next(iter(trial.spec.upstream), None)
        outcome = self.outcomes.get(key) if key else None
        return outcome.artifact if outcome else None

    def protocols_of(self, key: str) -> list[Protocol]:
        """The protocols that a final trial serves, in order."""
        return [protocol for protocol in PROTOCOLS if protocol in self.protocols[key]]

    def counts(self) -> Counter[State]:
        """How many trials are in which state."""
        return Counter(self.states.values())

    def selection_rows(self) -> list[Selection]:
        """All selections, each with its arm's own validation score even where that came in later."""
        return [
            replace(row, validation_score=self._scores(self.plan.leader(row.place))[row.draw])
            if row.draw is not None
            else row
            for row in self.selections
        ]

    def unselected_slots(self) -> int:
        """How many final results still wait for a selection."""
        return self.unselected_by_place().total()

    def unselected_by_place(self) -> Counter[Place]:
        """How many final results of each place still wait for a selection."""
        made = {(selection.place, selection.protocol) for selection in self.selections}
        waiting: Counter[Place] = Counter()
        for places in self._followers.values():
            for place in places:
                open_protocols = sum((place, protocol) not in made for protocol in PROTOCOLS)
                waiting[place] = open_protocols * self.plan.slots(place.task) // len(PROTOCOLS)
        return waiting

    # How it works ------------------------------------------------------------------------------------

    def _planned_per_arm(self) -> Counter[str]:
        planned: Counter[str] = Counter(trial.arm for trial in self.plan.fixed)
        for place, trials in self.plan.tuning.items():
            planned[place.arm] += len(trials)
        for place in self.plan.places:
            if self.plan.draws[place.task]:
                planned[place.arm] += self.plan.slots(place.task)
        return planned

    def _progress(self, arm: str) -> float:
        return self._advanced[arm] / max(self._planned[arm], 1)

    def _places_by_leader(self) -> dict[Place, list[Place]]:
        """Every place with draws to the places that take its setting, itself first."""
        followers: dict[Place, list[Place]] = {place: [] for place in self.plan.tuning}
        for place in self.plan.places:
            if self.plan.draws[place.task]:
                followers[self.plan.leader(place)].append(place)
        return followers

    def _reference_places(self) -> dict[Contest, list[Place]]:
        """Contest to the places of reference arms that have draws in it."""
        references = set(self.plan.suite.references)
        places: dict[Contest, list[Place]] = {contest_of(place): [] for place in self.plan.tuning}
        for place in self.plan.tuning:
            if place.arm in references:
                places[contest_of(place)].append(place)
        return places

    def _add(self, trial: Trial, *, blocked: str | None = None) -> None:
        """Take a trial in, or only its protocols where the same trial is there already."""
        self.protocols[trial.key].update(trial.protocols)
        if trial.key in self.trials:
            return
        self.trials[trial.key] = trial
        self.states[trial.key] = "waiting"
        self._unsettled += 1
        if blocked is not None:
            self._settle(trial.key, Outcome("blocked", error=blocked))
            return
        for upstream in trial.spec.upstream:
            self._dependants[upstream].append(trial.key)
        if trial.stage != "pretrain":
            self._enqueue_if_ready(trial.key)

    def _enqueue_if_ready(self, key: str) -> None:
        """Move a waiting trial on: adopt it, block it, queue it, or let it wait."""
        if self.states[key] != "waiting":
            return
        trial = self.trials[key]
        if key in self._adoptable:
            self._settle(key, self._adoptable[key])
            return
        for upstream in trial.spec.upstream:
            if self.states[upstream] in ("failed", "blocked"):
                name = self.trials[upstream].label
                self._settle(key, Outcome("blocked", error=f"{name} failed: {self.outcomes[upstream].error}"))
                return
            if self.states[upstream] != "done":
                return
        self.states[key] = "ready"
        if trial.stage == "pretrain":
            entry = (-len(self._dependants[key]), len(self._ready_pretraining), key)
            heapq.heappush(self._ready_pretraining, entry)
        else:
            self._ready[trial.arm].append(key)

    def _settle(self, key: str, outcome: Outcome) -> None:
        if self.states[key] in SETTLED:
            raise ValueError(f"trial {key} is {self.states[key]} already")
        trial = self.trials[key]
        if self.states[key] == "waiting":  # it never was handed out, yet its arm has come that far
            self._advanced[trial.arm] += trial.stage != "pretrain"
        self.states[key] = outcome.status
        self.outcomes[key] = outcome
        self._unsettled -= 1
        for dependant in self._dependants.pop(key, []):
            self._enqueue_if_ready(dependant)
        if trial.stage == "tune":
            self._draw_settled(trial.place)

    def _draw_settled(self, place: Place) -> None:
        self._open_draws[place] -= 1
        if self._open_draws[place]:
            return
        self._select_tuned(place)
        contest = contest_of(place)
        if place in self._references[contest]:
            self._open_references[contest] -= 1
            if self._open_references[contest] == 0:
                self._select_matched(contest)

    def _scores(self, leader: Place) -> dict[int, float | None]:
        scores: dict[int, float | None] = {}
        for draw, trial in enumerate(self.plan.tuning[leader]):
            outcome = self.outcomes.get(trial.key)
            scores[draw] = outcome.validation_score if outcome and outcome.status == "done" else None
        return scores

    def _first_error(self, leader: Place) -> str:
        errors = (self.outcomes[trial.key].error for trial in self.plan.tuning[leader])
        return next((error for error in errors if error), "no draw has a result")

    def _select_tuned(self, leader: Place) -> None:
        direction = self.plan.tasks[leader.task].card.primary.direction
        choice = BestValidationScore(direction).choose(self._scores(leader))
        if choice.draw is None:
            choice = replace(choice, reason=f"{choice.reason}: {self._first_error(leader)}")
        for place in self._followers[leader]:
            self._select(place, "tuned", choice)

    def _select_matched(self, contest: Contest) -> None:
        task, _ = contest
        direction = self.plan.tasks[task].card.primary.direction
        scores = {place.arm: self._scores(place) for place in self._references[contest]}
        choice = BestMeanRank(direction).choose(scores)
        for leader, followers in self._followers.items():
            if contest_of(leader) == contest:
                for place in followers:
                    self._select(place, "matched", choice)

    def _select(self, place: Place, protocol: Protocol, choice: Choice) -> None:
        """Write the selection down and release the final trials it names."""
        leader, draw, reason = self.plan.leader(place), choice.draw, choice.reason
        if leader != place:
            reason = f"frozen, as chosen for {described(leader)}: {reason}"
        hyperparameters: Mapping[str, Any] | None = None
        score = None
        if draw is not None:
            hyperparameters = self.plan.draws[place.task][draw]
            score = self._scores(leader)[draw]
        self.selections.append(
            Selection(
                place.task,
                protocol,
                place.arm,
                draw,
                score,
                choice.mean_rank,
                hyperparameters,
                reason,
                **vars(place.condition),
            )
        )
        blocked = f"no {protocol} setting: {reason}" if draw is None else None
        for trial in self.plan.finals(place, hyperparameters, draw=draw, protocols=(protocol,)):
            self._add(trial, blocked=blocked)

    def running(self) -> Iterator[Trial]:
        """Trials that were handed out and have not come back."""
        return (self.trials[key] for key, state in self.states.items() if state == "running")


def contest_of(place: Place) -> Contest:
    """The contest that a place takes part in."""
    return place.task, place.condition


def described(place: Place) -> str:
    """A place in words, for reasons."""
    return f"{place.arm}{'' if place.condition.is_main else f' with {place.condition}'}"
