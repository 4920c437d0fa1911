"""A plan: the trials of a matrix that are known by now, how to name the others, and what each is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.conditions import Place, Source
from harness.plan.matrix import Matrix
from harness.plan.naming import final_trials, pretraining_trial, tuning_trial
from harness.plan.trials import Trial
from harness.resources import TrialResources
from harness.search.cell import Setting
from harness.specs import STAGES, Protocol, Stage, TrialSpec
from registry.contracts import ResourceRequest


@dataclass(frozen=True)
class Plan(Matrix):
    """Every trial of a suite that is known before anything has run, and how to name the others.

    Final trials of a task with a search space depend on the selection: `finals` names them once
    hyperparameters are chosen, `slots` says how many there will be. Where hyperparameters of pretraining are
    searched, so do the weights: `weights`, `tune` and `finals` name what follows from a chosen setting.

    Parameters
    ----------
    pretraining
        Trials at the declared setting, of the arms whose pretraining is not searched.
    tuning
        The draws of every place that chooses a setting of its own, for weights that are known by now.
    fixed
        Final trials that need no selection, and baselines.
    """

    pretraining: Mapping[Source, Trial]
    tuning: Mapping[Place, tuple[Trial, ...]]
    fixed: tuple[Trial, ...]

    @property
    def known_trials(self) -> Iterator[Trial]:
        """All trials whose settings are known before anything has run."""
        yield from self.pretraining.values()
        for trials in self.tuning.values():
            yield from trials
        yield from self.fixed

    def weights(
        self,
        source: Source,
        setting: Setting | None = None,
        *,
        draw: int | None = None,
        protocols: tuple[Protocol, ...] = (),
    ) -> Trial:
        """The pretraining of a source at a setting; at the declared one unless given."""
        if setting is None and (known := self.pretraining.get(source)) is not None:
            return known
        return pretraining_trial(self, source, setting, draw=draw, protocols=protocols)

    def tune(
        self, place: Place, draw: int, hyperparameters: Setting, weights: Setting | None = None
    ) -> Trial:
        """The trial that tries draw number `draw` of a place on weights of the given setting."""
        if weights is None and draw < len(known := self.tuning.get(place, ())):
            return known[draw]
        upstream = self.weights(self.source(place, self.suite.seeds.tuned_weights), weights).spec
        return tuning_trial(self, place, draw, hyperparameters, upstream)

    def finals(
        self,
        place: Place,
        hyperparameters: Mapping[str, Any] | None,
        *,
        draw: int | None,
        protocols: tuple[Protocol, ...],
        weights: Setting | None = None,
    ) -> Iterator[Trial]:
        """The final trials of a place with chosen hyperparameters (`None`: none could be chosen).

        Parameters
        ----------
        weights
            The setting of its pretraining; the declared one unless given.
        """

        def upstream(seed: int) -> TrialSpec:
            return self.weights(self.source(place, seed), weights).spec

        return final_trials(self, place, hyperparameters, upstream, draw=draw, protocols=protocols)

    def resources(self, trial: Trial) -> TrialResources:
        """What `trial` is given: by its stage, and by what its strategy or task declares."""
        task = trial.spec.task
        card = self.arms[trial.arm].card if task is None else self.tasks[task].card
        asked = (trial.stage, card.resources)
        if asked not in self._given:
            self._given[asked] = self.suite.resources.of(*asked)
        return self._given[asked]

    @property
    def shapes(self) -> Mapping[Stage, tuple[TrialResources, ...]]:
        """Per stage everything that a trial of it may be given, without repeats."""
        arms = {self.arms[cell.strategy].card.resources: None for cell in self.applicable}
        tasks = {self.tasks[cell.task].card.resources: None for cell in self.applicable}
        return {
            stage: tuple(
                dict.fromkeys(
                    self.suite.resources.of(stage, declared)
                    for declared in (arms if stage == "pretrain" else tasks)
                )
            )
            for stage in STAGES
        }

    @cached_property
    def _given(self) -> dict[tuple[Stage, ResourceRequest], TrialResources]:
        """What was worked out already: few shapes serve ten thousand trials."""
        return {}
