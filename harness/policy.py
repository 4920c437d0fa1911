"""What runs next: dependencies, fairness between arms, selection. Pure Python; knows no executor.

The policy is told what became of each trial and hands out the next one that may start:

1. pretraining first, the one with most dependants before the others: it is the critical path;
2. then the arm that is least advanced, so that an interrupted run has spent equal budgets;
3. there is no barrier: an arm's final trials start when its own selection is known.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from harness.decisions import Decisions
from harness.outcome import Outcome
from harness.plan import Plan, Trial
from harness.search.cell import Setting
from harness.selection import Selection
from harness.specs import PROTOCOLS, Protocol

State = Literal["waiting", "ready", "running", "done", "failed", "blocked"]
SETTLED: frozenset[State] = frozenset({"done", "failed", "blocked"})


class Policy:
    """The state of a run.

    Parameters
    ----------
    plan
        What there is to do.
    finished
        Outcomes of trials that need not run: finished earlier or taken from the cache.
    adopt
        Asked for the outcome of a pretraining whose setting has been chosen since, in place of `finished`.
    recorded
        Settings that a sampler proposed in earlier executions.

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

    def __init__(
        self,
        plan: Plan,
        finished: Mapping[str, Outcome] | None = None,
        *,
        adopt: Callable[[Trial], Outcome | None] | None = None,
        recorded: Mapping[str, Mapping[int, Setting]] | None = None,
    ) -> None:
        self.plan = plan
        self.trials: dict[str, Trial] = {}
        self.states: dict[str, State] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.protocols: dict[str, set[Protocol]] = defaultdict(set)
        self._adoptable = dict(finished or {})
        self._adopt = adopt
        self._certain = {trial.key for trial in plan.pretraining.values()}
        self._unsettled = 0
        self._dependants: dict[str, list[str]] = defaultdict(list)
        self._new_pretraining: list[str] = []
        self._ready_pretraining: list[tuple[int, int, str]] = []
        self._ready: dict[str, deque[str]] = defaultdict(deque)
        self._advanced: Counter[str] = Counter()
        self._planned = self._planned_per_arm()
        self.decisions = Decisions(plan, self._add, self.outcomes, recorded or {})
        self.decisions.start()
        self._follow_up()

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
        self._follow_up()

    def fail(self, key: str, error: str) -> None:
        """Record that a trial failed; what depends on it is blocked, everything else goes on."""
        self._settle(key, Outcome("failed", error=error))
        self._follow_up()

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

    @property
    def selections(self) -> list[Selection]:
        """What has been selected, in the order in which it was."""
        return self.decisions.selections

    def selection_rows(self) -> list[Selection]:
        """All selections, each with its arm's own validation score even where that came in later."""
        return self.decisions.selection_rows()

    def unselected_slots(self) -> int:
        """How many trials are still without a name, at most: they wait for a selection."""
        return sum(count for _, count, _ in self.decisions.unnamed())

    # How it works ------------------------------------------------------------------------------------

    def _planned_per_arm(self) -> Counter[str]:
        plan = self.plan
        planned: Counter[str] = Counter(trial.arm for trial in plan.fixed)
        for place in plan.leaders:
            planned[place.arm] += plan.suite.budget.draws
        for place in plan.places:
            if plan.draws[place.task] or plan.is_searched(place.arm):
                planned[place.arm] += plan.slots(place.task)
        return planned

    def _progress(self, arm: str) -> float:
        return self._advanced[arm] / max(self._planned[arm], 1)

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
        if trial.stage == "pretrain":
            self._new_pretraining.append(trial.key)  # queued once it is known how many wait for it
        else:
            self._enqueue_if_ready(trial.key)

    def _follow_up(self) -> None:
        """Take in what a settled trial has led to, until nothing follows."""
        self.decisions.drain()
        while self._new_pretraining:
            keys, self._new_pretraining = self._new_pretraining, []
            for key in keys:
                self._enqueue_if_ready(key)
            self.decisions.drain()

    def _enqueue_if_ready(self, key: str) -> None:
        """Move a waiting trial on: adopt it, block it, queue it, or let it wait."""
        if self.states[key] != "waiting":
            return
        trial = self.trials[key]
        known = self._adoptable.get(key)
        if trial.stage == "pretrain" and self._adopt is not None and key not in self._certain:
            known = self._adopt(trial)
        if known is not None:
            self._settle(key, known)
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
            entry = (-self._waiting_for(trial), len(self._ready_pretraining), key)
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
        self.decisions.settled(key, outcome)

    def _waiting_for(self, trial: Trial) -> int:
        """How many trials wait for a pretraining; for a draw of a search, all that its arm has to do."""
        if trial.spec.probe is not None and not self._dependants[trial.key]:
            return self._planned[trial.arm]
        return len(self._dependants[trial.key])

    def running(self) -> Iterator[Trial]:
        """Trials that were handed out and have not come back."""
        return (self.trials[key] for key, state in self.states.items() if state == "running")
