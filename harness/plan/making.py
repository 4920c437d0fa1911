"""Laying out a suite: its matrix, and the trials that are known before anything has run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from harness.arms import Arm, arms_of
from harness.conditions import MAIN, Condition, Place, Source
from harness.plan.checks import check_domains, check_judgements
from harness.plan.matrix import Matrix
from harness.plan.naming import baseline_trial, final_trials, pretraining_trial, tuning_trial
from harness.plan.plan import Plan
from harness.plan.searched import probe_for, searched_arms
from harness.plan.trials import Cell, Trial
from harness.search.draws import SharedDraws
from harness.specs import PROTOCOLS
from harness.suite import Suite
from registry.catalog import Catalogue
from registry.contracts import InputError, Probe, Task


def make_plan(
    suite: Suite,
    catalogue: Catalogue,
    *,
    settings: Mapping[str, Any],
    cohort: str,
    other_splits: Mapping[int, str] = MappingProxyType({}),
    probes: Mapping[str, Probe] = MappingProxyType({}),
    execution: Mapping[str, Any] = MappingProxyType({}),
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
    execution
        Settings that change no bit of a result, with the value that stands for each in identities.

    Raises
    ------
    InputError
        If a name is not known, a thing belongs to another domain, no cell applies, or pretraining is to be
        searched and no probe suits every arm.
    """
    arms, designs = arms_of(suite, catalogue)
    tasks = {name: catalogue.task(name) for name in suite.tasks}
    check_domains(suite, arms, tasks)
    cells = _cells(suite, arms, tasks)
    check_judgements(suite, tasks)
    shared = {
        name: SharedDraws(task.space, seed=suite.seeds.draws, method=suite.search.method)
        for name, task in tasks.items()
    }
    searched = searched_arms(suite, arms, cells)
    matrix = Matrix(
        suite,
        {**settings, **execution},
        {name: settings[name] for name in execution},
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
    )
    pretraining = _pretraining_trials(matrix)
    return Plan(
        **vars(matrix),
        pretraining=pretraining,
        tuning=_tuning_trials(matrix, pretraining),
        fixed=_fixed_trials(matrix, pretraining),
    )


def _cells(suite: Suite, arms: Mapping[str, Arm], tasks: Mapping[str, Task]) -> tuple[Cell, ...]:
    cells = tuple(
        Cell(name, task, *_applies(tasks[task], arm)) for task in suite.tasks for name, arm in arms.items()
    )
    if not any(cell.applicable for cell in cells):
        reasons = "; ".join(sorted({cell.reason for cell in cells}))
        raise InputError(
            f"no cell of suite {suite.name!r} applies: {reasons}", mend="add strategies or tasks"
        )
    return cells


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


def _pretraining_trials(matrix: Matrix) -> dict[Source, Trial]:
    """One trial for every weights that are known by now and that any place starts from, arm by arm."""
    seeds = matrix.suite.seeds
    needed = {matrix.source(place, seed) for place in matrix.places for seed in seeds.pretraining}
    needed |= {matrix.source(place, seeds.tuned_weights) for place in matrix.leaders}
    order = {name: number for number, name in enumerate(matrix.arms)}
    rank = {seed: number for number, seed in enumerate(seeds.pretraining)}
    rank.setdefault(seeds.tuned_weights, len(rank))
    return {
        source: pretraining_trial(matrix, source)
        for source in sorted(needed, key=lambda one: (one.split, order[one.arm], rank[one.seed]))
        if not matrix.is_searched(source.arm)
    }


def _tuning_trials(matrix: Matrix, pretraining: Mapping[Source, Trial]) -> dict[Place, tuple[Trial, ...]]:
    """The draws of every place that chooses its own setting on weights that are known by now."""
    seed = matrix.suite.seeds.tuned_weights
    return {
        place: tuple(
            tuning_trial(matrix, place, draw, hyperparameters, pretraining[matrix.source(place, seed)].spec)
            for draw, hyperparameters in enumerate(matrix.draws[place.task])
        )
        for place in matrix.leaders
        if not matrix.is_searched(place.arm)
    }


def _fixed_trials(matrix: Matrix, pretraining: Mapping[Source, Trial]) -> tuple[Trial, ...]:
    """Finals that need no selection, and baselines."""
    fixed: list[Trial] = []
    for place in matrix.places:
        if not matrix.draws[place.task] and not matrix.is_searched(place.arm):
            weights = {
                seed: pretraining[matrix.source(place, seed)].spec for seed in matrix.suite.seeds.pretraining
            }
            fixed += final_trials(matrix, place, {}, weights.__getitem__, draw=None, protocols=PROTOCOLS)
    for task in dict.fromkeys(cell.task for cell in matrix.applicable):
        for condition in matrix.conditions[task]:
            fixed += [
                baseline_trial(matrix, baseline, task, condition)
                for baseline in matrix.tasks[task].card.baselines
            ]
    return tuple(fixed)
