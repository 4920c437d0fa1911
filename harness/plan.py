"""From a suite to cells and trials: what would run, in which order it may, and under which identity.

Planning loads cards and spaces, never data or weights, and imports neither torch nor ray.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.specs import PROTOCOLS, Protocol, Stage, TrialSpec
from harness.suite import Suite
from registry.catalog import Catalogue
from registry.contracts import InputError, Strategy, Task


@dataclass(frozen=True)
class Cell:
    """One strategy on one task, and why not where it does not apply."""

    strategy: str
    task: str
    applicable: bool
    reason: str


@dataclass(frozen=True)
class Trial:
    """A specification in its place: which draw it is and which protocols it serves."""

    spec: TrialSpec
    draw: int | None = None
    protocols: tuple[Protocol, ...] = ()

    @property
    def key(self) -> str:
        """Identity of the trial."""
        return self.spec.key

    @property
    def stage(self) -> Stage:
        """`pretrain`, `tune` or `final`."""
        return self.spec.stage

    @property
    def arm(self) -> str:
        """The strategy, or the empty text for baselines."""
        return self.spec.strategy or ""


@dataclass(frozen=True)
class Plan:
    """Every trial of a suite that is known before anything has run, and how to name the others.

    Final trials of a task with a search space depend on the selection: `finals` names them once
    hyperparameters are chosen, `slots` says how many there will be.
    """

    suite: Suite
    settings: Mapping[str, Any]
    cohort: str
    catalogue: Catalogue
    strategies: Mapping[str, Strategy]
    tasks: Mapping[str, Task]
    cells: tuple[Cell, ...]
    draws: Mapping[str, tuple[dict[str, object], ...]]
    pretraining: Mapping[tuple[str, int], Trial]
    tuning: Mapping[tuple[str, str], tuple[Trial, ...]]
    fixed: tuple[Trial, ...]

    @property
    def applicable(self) -> Iterator[Cell]:
        """The cells that run."""
        return (cell for cell in self.cells if cell.applicable)

    @property
    def known_trials(self) -> Iterator[Trial]:
        """All trials whose hyperparameters are known before anything has run."""
        yield from self.pretraining.values()
        for trials in self.tuning.values():
            yield from trials
        yield from self.fixed

    def final_seeds(self, task: str) -> tuple[int, ...]:
        """Seeds of the final trials of `task`: one where fitting draws no random numbers."""
        seeds = self.suite.seeds.final
        return seeds if self.tasks[task].card.trains else seeds[:1]

    def slots(self, task: str) -> int:
        """How many final results a cell of `task` needs, over protocols, pretraining seeds and seeds."""
        return len(PROTOCOLS) * len(self.suite.seeds.pretraining) * len(self.final_seeds(task))

    def finals(
        self,
        strategy: str,
        task: str,
        hyperparameters: Mapping[str, Any] | None,
        *,
        draw: int | None,
        protocols: tuple[Protocol, ...],
    ) -> Iterator[Trial]:
        """The final trials of a cell with chosen hyperparameters (`None`: none could be chosen)."""
        for pretraining_seed in self.suite.seeds.pretraining:
            for seed in self.final_seeds(task):
                spec = self._task_spec(
                    "final", strategy, task, hyperparameters, seed=seed, pretraining_seed=pretraining_seed
                )
                yield Trial(spec, draw, protocols)

    def _task_spec(
        self,
        stage: Stage,
        strategy: str,
        task: str,
        hyperparameters: Mapping[str, Any] | None,
        *,
        seed: int,
        pretraining_seed: int,
    ) -> TrialSpec:
        upstream = self.pretraining[strategy, pretraining_seed].spec
        return TrialSpec(
            stage=stage,
            domain=self.suite.domain,
            settings=self.settings,
            seed=seed,
            strategy=strategy,
            strategy_version=upstream.strategy_version,
            strategy_plugin=upstream.strategy_plugin,
            task=task,
            task_version=self.tasks[task].card.version,
            task_plugin=self.catalogue.tasks[task].digest,
            pretraining_hyperparameters=upstream.pretraining_hyperparameters,
            hyperparameters=hyperparameters,
            pretraining_seed=pretraining_seed,
            cohort=self.cohort,
            upstream=(upstream.key,),
        )


def make_plan(suite: Suite, catalogue: Catalogue, *, settings: Mapping[str, Any], cohort: str) -> Plan:
    """Lay out the trials of `suite`.

    Parameters
    ----------
    settings
        The suite's settings as the domain completed them.
    cohort
        Fingerprint of the cohort.

    Raises
    ------
    InputError
        If a name is not known, a thing belongs to another domain, or no cell applies.
    """
    strategies = {name: catalogue.strategy(name) for name in suite.strategies}
    tasks = {name: catalogue.task(name) for name in suite.tasks}
    for kind, things in (("strategy", strategies), ("task", tasks)):
        for name, thing in things.items():
            if thing.card.domain != suite.domain:
                raise InputError(
                    f"{kind} {name!r} belongs to domain {thing.card.domain!r}, the suite to {suite.domain!r}",
                    mend=f"take {name!r} out, or use a suite of its domain",
                )
    cells = tuple(
        Cell(strategy, task, *tasks[task].applies(strategies[strategy].card))
        for task in suite.tasks
        for strategy in suite.strategies
    )
    if not any(cell.applicable for cell in cells):
        reasons = "; ".join(sorted({cell.reason for cell in cells}))
        raise InputError(
            f"no cell of suite {suite.name!r} applies: {reasons}", mend="add strategies or tasks"
        )
    needed = {cell.strategy for cell in cells if cell.applicable}
    pretraining = {
        (name, seed): _pretraining_trial(
            suite,
            strategies[name],
            seed,
            plugin=catalogue.strategies[name].digest,
            settings=settings,
            cohort=cohort,
        )
        for name in suite.strategies
        if name in needed
        for seed in suite.seeds.pretraining
    }
    draws = {name: _draws(suite, task) for name, task in tasks.items()}
    plan = Plan(
        suite, settings, cohort, catalogue, strategies, tasks, cells, draws, pretraining, tuning={}, fixed=()
    )
    return _with_task_trials(plan)


def _draws(suite: Suite, task: Task) -> tuple[dict[str, object], ...]:
    """The settings that every arm of `task` tries; the i-th depends on nothing but the draw seed and i."""
    if not task.space:
        return ()
    return tuple(task.space.draw(seed=suite.seeds.draws, index=index) for index in range(suite.budget.draws))


def _pretraining_trial(
    suite: Suite,
    strategy: Strategy,
    seed: int,
    *,
    plugin: str,
    settings: Mapping[str, Any],
    cohort: str,
) -> Trial:
    card = strategy.card
    return Trial(
        TrialSpec(
            stage="pretrain",
            domain=suite.domain,
            settings=settings,
            seed=seed,
            strategy=card.name,
            strategy_version=card.version,
            strategy_plugin=plugin,
            factors=card.factors,
            pretraining_hyperparameters=strategy.space.defaults(),
            hyperparameters={},
            pretraining_seed=seed,
            # weights that come from elsewhere are the same whatever the cohort
            cohort=cohort if card.needs_data else None,
        )
    )


def _with_task_trials(plan: Plan) -> Plan:
    """Add tuning trials, finals that need no selection, and baselines."""
    suite = plan.suite
    tuning: dict[tuple[str, str], tuple[Trial, ...]] = {}
    fixed: list[Trial] = []
    for cell in plan.applicable:
        if plan.draws[cell.task]:
            tuning[cell.strategy, cell.task] = tuple(
                Trial(
                    plan._task_spec(
                        "tune",
                        cell.strategy,
                        cell.task,
                        hyperparameters,
                        seed=suite.seeds.tuning,
                        pretraining_seed=suite.seeds.pretraining[0],
                    ),
                    draw,
                )
                for draw, hyperparameters in enumerate(plan.draws[cell.task])
            )
        else:
            fixed.extend(plan.finals(cell.strategy, cell.task, {}, draw=None, protocols=PROTOCOLS))
    for name in dict.fromkeys(cell.task for cell in plan.applicable):
        card = plan.tasks[name].card
        for baseline in card.baselines:
            spec = TrialSpec(
                stage="final",
                domain=suite.domain,
                settings=plan.settings,
                seed=suite.seeds.final[0],
                task=name,
                task_version=card.version,
                task_plugin=plan.catalogue.tasks[name].digest,
                baseline=baseline,
                cohort=plan.cohort,
            )
            fixed.append(Trial(spec, None, PROTOCOLS))
    return Plan(**{**plan.__dict__, "tuning": tuning, "fixed": tuple(fixed)})
