"""Which failures are tried again, and with what: pure Python, the same for every executor.

A lost worker (killed, its node gone) says nothing about the trial: it is tried again. A trial that ran out
of memory is tried again with more. An exception, a score that is no number or a time limit would come out the
same: it is recorded, once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from harness.plan import Trial
from harness.policy import Policy
from harness.resources import TrialResources, size_text

Reason = Literal["lost", "out_of_memory"]

#: How often a trial is tried again after its worker was lost.
LOSSES = 2
#: How often a trial that ran out of memory is tried again with more.
RAISES = 3
#: What a trial is taken to have had where neither its request nor its measured peak is known.
UNKNOWN_BYTES = 2**30


@dataclass(frozen=True)
class Room:
    """The most that one trial may ask for: what the largest node has.

    Parameters
    ----------
    memory_bytes
        `None` where a request changes nothing, as in one process.
    """

    memory_bytes: int | None = None
    gpus: float = 0


@dataclass
class Retries:
    """What has been tried again so far.

    Parameters
    ----------
    raised
        Trials that were given more than the suite says, after they ran out of memory.
    """

    raised: dict[str, TrialResources] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)
    grown: Counter[str] = field(default_factory=Counter)

    @classmethod
    def remembered(cls, events: Iterable[Mapping[str, Any]]) -> Retries:
        """The larger requests that earlier executions came to, from `retried` events of the journal."""
        retries = cls()
        for event in events:
            if event["reason"] == "out_of_memory":
                retries.raised[event["key"]] = TrialResources(**event["resources"])
        return retries

    def resources(self, key: str, declared: TrialResources) -> TrialResources:
        """What the trial is given next: what is declared, or more after it ran out of memory."""
        raised = self.raised.get(key)
        if raised is None:
            return declared
        return replace(
            declared,
            gpus=max(declared.gpus, raised.gpus),
            memory_bytes=max(declared.memory_bytes or 0, raised.memory_bytes or 0) or None,
        )

    def again(self, key: str, outcome: Mapping[str, Any], given: TrialResources, room: Room) -> bool:
        """Whether the trial is tried again; where it ran out of memory, with a larger request.

        Parameters
        ----------
        outcome
            How it ended: `status`, and where it is known `row` with `peak_memory_bytes`.
        given
            What it had.
        """
        if outcome["status"] == "lost":
            self.lost[key] += 1
            return self.lost[key] <= LOSSES
        if outcome["status"] == "out_of_memory":
            self.grown[key] += 1
            larger = _larger(given, outcome, room)
            if self.grown[key] <= RAISES and larger is not None:
                self.raised[key] = larger
                return True
        return False

    def explain(self, key: str, outcome: Mapping[str, Any], given: TrialResources) -> str:
        """Why a trial that is not tried again has failed, in one line."""
        error = str(outcome.get("error") or "it ended without a word")
        if outcome["status"] == "lost":
            return f"its worker was lost {self.lost[key]} times, the last time: {error}"
        if outcome["status"] == "out_of_memory":
            had = f"{size_text(given.memory_bytes)} requested" if given.memory_bytes else "no request"
            where = f"{given.gpus:g} of a GPU, {had}" if given.gpus else had
            return f"out of memory ({where}, nothing larger to give): {error}"
        return error


class FailedBefore:
    """Which trials concern what failed the last time: for `harness retry`.

    Parameters
    ----------
    failures
        Key to error of the trials that failed.
    """

    def __init__(self, policy: Policy, failures: Mapping[str, str]) -> None:
        self._failures = failures
        failed = [trial for key, trial in policy.trials.items() if key in failures]
        arms = {trial.arm for trial in failed if trial.stage == "pretrain"}
        # a search that comes out otherwise changes everything its arm does
        self._searched = {trial.arm for trial in failed if trial.spec.probe is not None}
        waiting = [trial.spec.task for trial in policy.trials.values() if trial.arm in arms]
        self._tasks = {*waiting, *(trial.spec.task for trial in failed)}

    def concerns(self, trial: Trial) -> bool:
        """Whether it failed, starts from one that did, or may wait for a selection that one held up."""
        if trial.key in self._failures or not self._failures.keys().isdisjoint(trial.spec.upstream):
            return True
        if trial.arm in self._searched:
            return True
        return trial.stage == "final" and trial.spec.task in self._tasks


def _larger(given: TrialResources, outcome: Mapping[str, Any], room: Room) -> TrialResources | None:
    """Twice what ran out, as far as there is room; `None` where there is no more to give."""
    if outcome.get("memory_of") == "gpu":
        share = min(2 * given.gpus, 1.0)
        return replace(given, gpus=share) if 0 < given.gpus < share <= room.gpus else None
    if room.memory_bytes is None:
        return None
    peak = (outcome.get("row") or {}).get("peak_memory_bytes")
    had = given.memory_bytes or peak or UNKNOWN_BYTES
    larger = min(2 * had, room.memory_bytes)
    if given.memory_bytes is not None and larger <= given.memory_bytes:
        return None
    return replace(given, memory_bytes=larger)
