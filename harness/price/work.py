"""What is still to run, trials of one kind together: what a price is made of."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from harness.plan import Plan, Trial
from harness.policy import Policy
from harness.price.price import Work
from harness.price.timings import kind_of


def work_of(plan: Plan, policy: Policy, *, timed: bool = True) -> list[Work]:
    """What is to run, every selection at its most expensive: each protocol with trials of its own.

    Parameters
    ----------
    timed
        Whether kinds must be told apart as timings do; without, they go by their words, which costs less.
    """
    tally = _Tally(plan, policy, timed)
    for key, trial in policy.trials.items():
        if policy.states[key] != "done":
            tally.add(trial, 1)
    for trial, count, before in policy.decisions.unnamed():
        tally.add(trial, count, before)
    return tally.work()


@dataclass
class _Tally:
    plan: Plan
    policy: Policy
    timed: bool
    counts: Counter[str] = field(default_factory=Counter)
    described: dict[str, tuple[Trial, tuple[str, ...]]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    def add(self, trial: Trial, count: int, before: tuple[Trial, ...] = ()) -> None:
        kind = self._kind(trial)
        self.counts[kind] += count
        if kind not in self.described:
            upstream = (self.policy.trials.get(key) for key in trial.spec.upstream)
            chain = tuple(self._kind(earlier) for earlier in (*upstream, *before) if earlier is not None)
            self.described[kind] = (trial, chain)

    def work(self) -> list[Work]:
        return [
            Work(kind, _words(trial), trial.stage, self.counts[kind], chain, self.plan.resources(trial))
            for kind, (trial, chain) in self.described.items()
        ]

    def _kind(self, trial: Trial) -> str:
        words = _words(trial)
        if not self.timed:
            return words
        if words not in self.kinds:
            device, threads = self.plan.resources(trial).device, self.plan.suite.resources.threads
            self.kinds[words] = kind_of(trial.spec, device=device, threads=threads)
        return self.kinds[words]


def _words(trial: Trial) -> str:
    """A kind of trials in words: what `Trial.label` says, without the seed."""
    who = trial.arm or f"{trial.spec.baseline} baseline"
    task = f" / {trial.spec.task}" if trial.spec.task else ""
    special = "" if trial.condition.is_main else f" ({trial.condition})"
    return f"{trial.stage} {who}{task}{special}"
