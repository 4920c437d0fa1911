"""The matrix of a suite: arms, tasks and conditions, resolved, before any trial is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.arms import Arm, DerivedDesign
from harness.conditions import MAIN, Condition, Place, Source
from harness.plan.trials import Cell
from harness.search.draws import SharedDraws
from harness.specs import PROTOCOLS
from harness.suite import Suite
from registry.catalog import Catalogue
from registry.contracts import Probe, Task
from registry.contracts.tables import Direction


@dataclass(frozen=True)
class Matrix:
    """What a suite compares: every arm on every task under every condition, and who takes whose setting.

    Parameters
    ----------
    settings
        The suite's settings as the domain completed them, as they stand in the identity of a trial.
    execution
        Settings that decide nothing, as the suite has them: in an identity they stand at their defaults.
    cohorts
        Fingerprint of the data on each split.
    cells
        Every arm on every task.
    conditions
        Task to the conditions under which strategies learn it; the main one first.
    shared
        Task to the settings that every arm tries, by number.
    draws
        The first of them, as many as are certain.
    searched
        Settings of pretraining, by number, of the arms that search their own; empty where none is searched.
    probe
        Name and declaration of what chooses among these.
    """

    suite: Suite
    settings: Mapping[str, Any]
    execution: Mapping[str, Any]
    cohorts: Mapping[int, str]
    catalogue: Catalogue
    arms: Mapping[str, Arm]
    designs: tuple[DerivedDesign, ...]
    tasks: Mapping[str, Task]
    cells: tuple[Cell, ...]
    conditions: Mapping[str, tuple[Condition, ...]]
    shared: Mapping[str, SharedDraws]
    draws: Mapping[str, tuple[dict[str, object], ...]]
    searched: Mapping[str, SharedDraws]
    probe: tuple[str, Probe] | None

    @property
    def applicable(self) -> Iterator[Cell]:
        """The cells that run."""
        return (cell for cell in self.cells if cell.applicable)

    @property
    def places(self) -> Iterator[Place]:
        """Every arm on every task that it applies to, under every condition."""
        for cell in self.applicable:
            for condition in self.conditions[cell.task] if self.arms[cell.strategy].competes else (MAIN,):
                yield Place(cell.strategy, cell.task, condition)

    @property
    def leaders(self) -> Iterator[Place]:
        """The places that choose a setting of their own."""
        return (place for place in self.places if self.draws[place.task] and self.leader(place) == place)

    def leader(self, place: Place) -> Place:
        """The place whose setting `place` takes: itself, unless its hyperparameters are frozen."""
        return Place(self.arms[place.arm].setting_of, place.task, self._leading_condition(place.condition))

    def weights_leader(self, arm: str) -> str:
        """The arm whose setting of pretraining `arm` takes: itself, unless its hyperparameters are frozen."""
        return self.arms[self.arms[arm].weights_of].setting_of

    def is_searched(self, arm: str) -> bool:
        """Whether the weights of `arm` come from a search, its own or its leader's."""
        return self.weights_leader(arm) in self.searched

    def source(self, place: Place, seed: int) -> Source:
        """The pretraining that `place` starts from."""
        return Source(self.arms[place.arm].weights_of, seed, place.condition.split)

    def final_seeds(self, task: str) -> tuple[int, ...]:
        """Seeds of the final trials of `task`: one where fitting draws no random numbers."""
        seeds = self.suite.seeds.final
        return seeds if self.tasks[task].card.trains else seeds[:1]

    def slots(self, task: str) -> int:
        """How many final results a place of `task` needs, over protocols, pretraining seeds and seeds."""
        return len(PROTOCOLS) * len(self.suite.seeds.pretraining) * len(self.final_seeds(task))

    def direction(self, task: str) -> Direction:
        """Which way scores of a task are better; of pretraining, where the task is empty, its probe's."""
        if task:
            return self.tasks[task].card.primary.direction
        if self.probe is None:
            raise RuntimeError("a pretraining search without a probe")
        return self.probe[1].direction

    def _leading_condition(self, condition: Condition) -> Condition:
        """Shares of the labels may take the setting chosen with all of them; another split never may."""
        shares = self.suite.label_efficiency
        frozen = shares is not None and shares.hyperparameters == "frozen"
        return replace(condition, label_fraction=None, label_draw=None) if frozen else condition
