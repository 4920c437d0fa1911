"""One search: a place on given weights, which protocols it serves, and how the journal knows it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from harness.conditions import Place
from harness.files import canonical_json
from harness.journal import History
from harness.outcome import Outcome
from harness.search.cell import CellSearch, Setting, Tried
from harness.specs import Protocol


@dataclass(frozen=True)
class Proposal:
    """A setting that a sampler proposed: on record, so that an execution that goes on takes it again."""

    hunt: str
    strategy: str
    task: str
    draw: int
    hyperparameters: Setting


@dataclass
class Hunt:
    """The search of one place on given weights, and the protocols that it serves.

    Parameters
    ----------
    place
        An arm on a task under a condition; the task is empty for the arm's pretraining.
    weights
        The setting of the weights that it tunes on; the declared one where there is none.
    """

    place: Place
    weights: Setting | None
    search: CellSearch
    protocols: list[Protocol]
    closed: set[Protocol] = field(default_factory=set)
    error: str = ""

    @property
    def name(self) -> str:
        """Names it in the records of this and of later executions."""
        return hunt_name(self.place, self.weights)


def tried(outcome: Outcome) -> Tried:
    """An outcome as a search sees it."""
    if outcome.status == "done" and outcome.pruned_at is not None:
        return Tried("pruned", None, outcome.wall_seconds, outcome.pruned_at, outcome.interim_score)
    score = outcome.validation_score if outcome.status == "done" else None
    return Tried(outcome.status, score, outcome.wall_seconds)


def recorded_proposals(history: History) -> dict[str, dict[int, Setting]]:
    """What samplers proposed in earlier executions: search to settings by draw."""
    recorded: dict[str, dict[int, Setting]] = defaultdict(dict)
    for entry in history.of("proposed"):
        recorded[entry["hunt"]][entry["draw"]] = entry["hyperparameters"]
    return recorded


def hunt_name(place: Place, weights: Setting | None) -> str:
    """Names a search, in this execution and in the records of earlier ones."""
    return canonical_json([place.arm, place.task, vars(place.condition), weights])


def weights_text(weights: Setting | None) -> str:
    """Tells settings of weights apart; empty for the declared one."""
    return "" if weights is None else canonical_json(weights)
