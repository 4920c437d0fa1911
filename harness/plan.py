"""From a suite to cells and trials: what would run, in which order it may, and under which identity.

Planning loads cards and spaces, never data or weights, and imports neither torch nor ray.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from harness.arms import Arm, DerivedDesign, arms_of
from harness.conditions import MAIN, Condition, Place, Source
from harness.resources import TrialResources
from harness.search.cell import Setting
from harness.search.draws import SharedDraws
from harness.search.pretraining import probe_for, searched_arms
from harness.specs import PROTOCOLS, STAGES, Protocol, Stage, TrialSpec
from harness.suite import Suite
from registry.catalog import Catalogue, unknown_name
from registry.contracts import InputError, Probe, ResourceRequest, Task


@dataclass(frozen=True)
class Cell:
    """One strategy on one task, and why not where it does not apply."""

    strategy: str
    task: str
    applicable: bool
    reason: str


@dataclass(frozen=True)
class Trial:
    """A specification in its place.

    Parameters
    ----------
    arm
        For which arm it runs; the empty text for baselines.
    draw, protocols
        Which draw it is, and which protocols it serves.
    condition
        Under which labels and on which split.
    """

    spec: TrialSpec
    arm: str = ""
    draw: int | None = None
    protocols: tuple[Protocol, ...] = ()
    condition: Condition = MAIN

    @property
    def key(self) -> str:
        """Identity of the trial."""
        return self.spec.key

    @property
    def stage(self) -> Stage:
        """`pretrain`, `tune` or `final`."""
        return self.spec.stage

    @property
    def place(self) -> Place:
        """The place of a trial that learns a task."""
        return Place(self.arm, str(self.spec.task), self.condition)

    @property
    def label(self) -> str:
        """How progress and errors call it."""
        spec = self.spec
        special = f" ({self.condition})" if not self.condition.is_main else ""
        if spec.stage == "pretrain":
            return f"pretrain {self.arm} seed {spec.seed}{special}"
        return (
            f"{spec.stage} {self.arm or f'{spec.baseline} baseline'} / {spec.task} seed {spec.seed}{special}"
        )


@dataclass(frozen=True)
class Plan:
    """Every trial of a suite that is known before anything has run, and how to name the others.

    Final trials of a task with a search space depend on the selection: `finals` names them once
    hyperparameters are chosen, `slots` says how many there will be. Where hyperparameters of pretraining are
    searched, so do the weights: `weights`, `tune` and `finals` name what follows from a chosen setting.

    Parameters
    ----------
    settings
        The suite's settings as the domain completed them.
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
    pretraining
        Trials at the declared setting, of the arms whose pretraining is not searched.
    tuning
        The draws of every place that chooses a setting of its own, for weights that are known by now.
    fixed
        Final trials that need no selection, and baselines.
    """

    suite: Suite
    settings: Mapping[str, Any]
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
    pretraining: Mapping[Source, Trial]
    tuning: Mapping[Place, tuple[Trial, ...]]
    fixed: tuple[Trial, ...]

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
    def known_trials(self) -> Iterator[Trial]:
        """All trials whose settings are known before anything has run."""
        yield from self.pretraining.values()
        for trials in self.tuning.values():
            yield from trials
        yield from self.fixed

    def resources(self, trial: Trial) -> TrialResources:
        """What `trial` is given: by its stage, and by what its strategy or task declares."""
        task = trial.spec.task
        card = self.arms[trial.arm].card if task is None else self.tasks[task].card
        asked = (trial.stage, card.resources)
        if asked not in self._given:
            self._given[asked] = self.suite.resources.of(*asked)
        return self._given[asked]

    @cached_property
    def _given(self) -> dict[tuple[Stage, ResourceRequest], TrialResources]:
        """What was worked out already: few shapes serve ten thousand trials."""
        return {}

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
        for pretraining_seed in self.suite.seeds.pretraining:
            upstream = self.weights(self.source(place, pretraining_seed), weights).spec
            for seed in self.final_seeds(place.task):
                spec = self._task_spec("final", place, hyperparameters, seed=seed, upstream=upstream)
                yield Trial(spec, place.arm, draw, protocols, place.condition)

    def tune(
        self, place: Place, draw: int, hyperparameters: Setting, weights: Setting | None = None
    ) -> Trial:
        """The trial that tries draw number `draw` of a place on weights of the given setting."""
        if weights is None and draw < len(known := self.tuning.get(place, ())):
            return known[draw]
        upstream = self.weights(self.source(place, self.suite.seeds.tuned_weights), weights).spec
        spec = self._task_spec(
            "tune", place, hyperparameters, seed=self.suite.seeds.tuning, upstream=upstream
        )
        return Trial(spec, place.arm, draw, condition=place.condition)

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
        return _pretraining_trial(self, source, setting, draw=draw, protocols=protocols)

    def _leading_condition(self, condition: Condition) -> Condition:
        """Shares of the labels may take the setting chosen with all of them; another split never may."""
        shares = self.suite.label_efficiency
        frozen = shares is not None and shares.hyperparameters == "frozen"
        return replace(condition, label_fraction=None, label_draw=None) if frozen else condition

    def _task_spec(
        self,
        stage: Stage,
        place: Place,
        hyperparameters: Mapping[str, Any] | None,
        *,
        seed: int,
        upstream: TrialSpec,
    ) -> TrialSpec:
        arm = self.arms[place.arm]
        return TrialSpec(
            stage=stage,
            domain=self.suite.domain,
            settings=self.settings,
            seed=seed,
            strategy=upstream.strategy,
            strategy_version=upstream.strategy_version,
            strategy_plugin=upstream.strategy_plugin,
            task=place.task,
            task_version=self.tasks[place.task].card.version,
            task_plugin=self.catalogue.tasks[place.task].digest,
            pretraining_hyperparameters=upstream.pretraining_hyperparameters,
            hyperparameters=hyperparameters,
            pretraining_seed=upstream.seed,
            cohort=self.cohorts[place.condition.split],
            upstream=(upstream.key,),
            label_fraction=place.condition.label_fraction,
            label_draw=place.condition.label_draw,
            shuffled_labels=arm.shuffled_labels,
            stream=_nested(upstream.seed, arm) if stage == "final" else arm.stream,
        )

    def _baseline_spec(self, baseline: str, task: str, condition: Condition) -> TrialSpec:
        return TrialSpec(
            stage="final",
            domain=self.suite.domain,
            settings=self.settings,
            seed=self.suite.seeds.final[0],
            task=task,
            task_version=self.tasks[task].card.version,
            task_plugin=self.catalogue.tasks[task].digest,
            baseline=baseline,
            cohort=self.cohorts[condition.split],
            label_fraction=condition.label_fraction,
            label_draw=condition.label_draw,
        )


def make_plan(
    suite: Suite,
    catalogue: Catalogue,
    *,
    settings: Mapping[str, Any],
    cohort: str,
    other_splits: Mapping[int, str] = MappingProxyType({}),
    probes: Mapping[str, Probe] = MappingProxyType({}),
) -> Plan:
    """Lay out the trials of `suite`.

    Parameters
    ----------
    settings
        The suite's settings as the domain completed them.
    cohort
        Fingerprint of the cohort.
    other_splits
        The same of its repeated splits, by number.
    probes
        The domain's, one of which may choose hyperparameters of pretraining.

    Raises
    ------
    InputError
        If a name is not known, a thing belongs to another domain, no cell applies, or pretraining is to be
        searched and no probe suits every arm.
    """
    arms, designs = arms_of(suite, catalogue)
    tasks = {name: catalogue.task(name) for name in suite.tasks}
    for kind, cards in (
        ("strategy", {name: arm.card for name, arm in arms.items()}),
        ("task", {name: task.card for name, task in tasks.items()}),
    ):
        for name, card in cards.items():
            if card.domain != suite.domain:
                raise InputError(
                    f"{kind} {name!r} belongs to domain {card.domain!r}, the suite to {suite.domain!r}",
                    mend=f"take {name!r} out, or use a suite of its domain",
                )
    cells = tuple(
        Cell(name, task, *_applies(tasks[task], arm)) for task in suite.tasks for name, arm in arms.items()
    )
    if not any(cell.applicable for cell in cells):
        reasons = "; ".join(sorted({cell.reason for cell in cells}))
        raise InputError(
            f"no cell of suite {suite.name!r} applies: {reasons}", mend="add strategies or tasks"
        )
    _check_judgements(suite, tasks)
    shared = {
        name: SharedDraws(task.space, seed=suite.seeds.draws, method=suite.search.method)
        for name, task in tasks.items()
    }
    searched = searched_arms(suite, arms, cells)
    plan = Plan(
        suite,
        settings,
        {0: cohort, **other_splits},
        catalogue,
        arms,
        designs,
        tasks,
        cells,
        conditions={name: tuple(_conditions(suite, task)) for name, task in tasks.items()},
        shared=shared,
        draws={name: one.first(suite.search.shared(suite.budget.draws)) for name, one in shared.items()},
        searched=searched,
        probe=probe_for(suite, probes, arms, cells) if searched else None,
        pretraining={},
        tuning={},
        fixed=(),
    )
    plan = replace(plan, pretraining=_pretraining_trials(plan))
    return replace(plan, tuning=_tuning_trials(plan), fixed=_fixed_trials(plan))


def _check_judgements(suite: Suite, tasks: Mapping[str, Task]) -> None:
    """Margins and endpoints must be about rows and statistics that a task's tables have."""
    for name, margins in suite.margins.items():
        for key in margins:
            statistic, _, row = key.partition(".")
            _check_shown(f"margins.{name}", tasks[name], statistic, (row,) if row else ())
    for name, endpoint in suite.endpoints.items():
        _check_shown(f"endpoints.{name}", tasks[name], endpoint.statistic, endpoint.rows)


def _check_shown(field: str, task: Task, statistic: str, rows: tuple[str, ...]) -> None:
    shown: dict[str, set[str]] = {}
    for layout in task.layouts():
        for column in layout.statistics:
            shown.setdefault(column.name, set()).update(row.key for row in layout.rows)
    if statistic not in shown:
        raise InputError(
            f"{field}: {task.card.title} shows no {statistic!r}", mend=f"it shows {', '.join(sorted(shown))}"
        )
    for row in rows:
        if row not in shown[statistic]:
            hint = unknown_name("row", row, shown[statistic])
            raise InputError(f"{field}: {task.card.title} has no row {row!r}", mend=hint.mend)


def _nested(pretraining_seed: int, arm: Arm) -> int:
    """Final seeds are nested in pretraining seeds: the same number begins others in each of them.

    Were they crossed, what one order of scans does would come back with every pretraining seed and not
    average out; and weights that no seed changes would be trained on in the same way again and again.
    Arms keep each other's streams, so that they pair up; A/A arms have the odd ones.
    """
    return 2 * pretraining_seed + arm.stream


def _applies(task: Task, arm: Arm) -> tuple[bool, str]:
    if arm.shuffled_labels and not task.card.uses_labels:
        return False, f"{task.card.title} learns from no labels that could be shuffled"
    return task.applies(arm.card)


def _conditions(suite: Suite, task: Task) -> Iterator[Condition]:
    """The main condition, then one axis at a time: shares of the labels, repeated splits."""
    yield MAIN
    shares = suite.label_efficiency
    if shares is not None and task.card.uses_labels and task.card.name in (shares.tasks or suite.tasks):
        for fraction in sorted(set(shares.fractions) - {1.0}):
            for draw in range(shares.draws):
                yield Condition(label_fraction=fraction, label_draw=draw)
    for split in range(1, suite.splits):
        yield Condition(split=split)


def _pretraining_trials(plan: Plan) -> dict[Source, Trial]:
    """One trial for every weights that are known by now and that any place starts from, arm by arm."""
    seeds = plan.suite.seeds
    needed = {plan.source(place, seed) for place in plan.places for seed in seeds.pretraining}
    needed |= {plan.source(place, seeds.tuned_weights) for place in plan.leaders}
    order = {name: number for number, name in enumerate(plan.arms)}
    rank = {seed: number for number, seed in enumerate(seeds.pretraining)}
    rank.setdefault(seeds.tuned_weights, len(rank))
    return {
        source: _pretraining_trial(plan, source)
        for source in sorted(needed, key=lambda one: (one.split, order[one.arm], rank[one.seed]))
        if not plan.is_searched(source.arm)
    }


def _pretraining_trial(
    plan: Plan,
    source: Source,
    setting: Setting | None = None,
    *,
    draw: int | None = None,
    protocols: tuple[Protocol, ...] = (),
) -> Trial:
    arm = plan.arms[source.arm]
    card = arm.strategy.card
    # of a search, the weights that tuning starts from; nothing is selected by those that are judged
    probed = plan.probe is not None and source.arm in plan.searched
    probed = probed and source.seed == plan.suite.seeds.tuned_weights
    spec = TrialSpec(
        stage="pretrain",
        domain=plan.suite.domain,
        settings=plan.settings,
        seed=source.seed,
        strategy=card.name,
        strategy_version=card.version,
        strategy_plugin=arm.digest,
        factors=arm.card.factors,
        pretraining_hyperparameters=arm.space.defaults() if setting is None else setting,
        hyperparameters={},
        pretraining_seed=source.seed,
        # weights that come from elsewhere are the same whatever the cohort
        cohort=plan.cohorts[source.split] if card.needs_data or probed else None,
        stream=arm.stream if card.seeded else 0,
        probe=plan.probe[0] if plan.probe is not None and probed else None,
    )
    return Trial(spec, source.arm, draw, protocols, Condition(split=source.split))


def _tuning_trials(plan: Plan) -> dict[Place, tuple[Trial, ...]]:
    """The draws of every place that chooses its own setting on weights that are known by now."""
    return {
        place: tuple(
            plan.tune(place, draw, hyperparameters)
            for draw, hyperparameters in enumerate(plan.draws[place.task])
        )
        for place in plan.leaders
        if not plan.is_searched(place.arm)
    }


def _fixed_trials(plan: Plan) -> tuple[Trial, ...]:
    """Finals that need no selection, and baselines."""
    fixed: list[Trial] = []
    for place in plan.places:
        if not plan.draws[place.task] and not plan.is_searched(place.arm):
            fixed.extend(plan.finals(place, {}, draw=None, protocols=PROTOCOLS))
    for task in dict.fromkeys(cell.task for cell in plan.applicable):
        for condition in plan.conditions[task]:
            for baseline in plan.tasks[task].card.baselines:
                spec = plan._baseline_spec(baseline, task, condition)
                fixed.append(Trial(spec, protocols=PROTOCOLS, condition=condition))
    return tuple(fixed)
