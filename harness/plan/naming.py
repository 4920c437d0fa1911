"""The trials of a matrix by name: which specification each has, and so which identity."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.arms import Arm
from harness.conditions import Condition, Place, Source
from harness.plan.matrix import Matrix
from harness.plan.trials import Trial
from harness.search.cell import Setting
from harness.specs import PROTOCOLS, Protocol, Stage, TrialSpec


def pretraining_trial(
    matrix: Matrix,
    source: Source,
    setting: Setting | None = None,
    *,
    draw: int | None = None,
    protocols: tuple[Protocol, ...] = (),
) -> Trial:
    """The pretraining of a source at a setting; at the declared one unless given."""
    arm = matrix.arms[source.arm]
    card = arm.strategy.card
    # of a search, the weights that tuning starts from; nothing is selected by those that are judged
    probed = matrix.probe is not None and source.arm in matrix.searched
    probed = probed and source.seed == matrix.suite.seeds.tuned_weights
    spec = TrialSpec(
        stage="pretrain",
        domain=matrix.suite.domain,
        settings=matrix.settings,
        seed=source.seed,
        strategy=card.name,
        strategy_version=card.version,
        strategy_plugin=arm.digest,
        factors=arm.card.factors,
        pretraining_hyperparameters=arm.space.defaults() if setting is None else setting,
        hyperparameters={},
        pretraining_seed=source.seed,
        # weights that come from elsewhere are the same whatever the cohort
        cohort=matrix.cohorts[source.split] if card.needs_data or probed else None,
        stream=arm.stream if card.seeded else 0,
        probe=matrix.probe[0] if matrix.probe is not None and probed else None,
    )
    return Trial(spec, source.arm, draw, protocols, Condition(split=source.split))


def tuning_trial(
    matrix: Matrix, place: Place, draw: int, hyperparameters: Setting, upstream: TrialSpec
) -> Trial:
    """The trial that tries draw number `draw` of a place on the weights of `upstream`."""
    seed = matrix.suite.seeds.tuning
    spec = _task_spec(matrix, "tune", place, hyperparameters, seed=seed, upstream=upstream)
    return Trial(spec, place.arm, draw, condition=place.condition)


def final_trials(
    matrix: Matrix,
    place: Place,
    hyperparameters: Mapping[str, Any] | None,
    upstream: Callable[[int], TrialSpec],
    *,
    draw: int | None,
    protocols: tuple[Protocol, ...],
) -> Iterator[Trial]:
    """The final trials of a place with chosen hyperparameters (`None`: none could be chosen).

    Parameters
    ----------
    upstream
        Pretraining seed to the specification of the weights to start from.
    """
    for pretraining_seed in matrix.suite.seeds.pretraining:
        weights = upstream(pretraining_seed)
        for seed in matrix.final_seeds(place.task):
            spec = _task_spec(matrix, "final", place, hyperparameters, seed=seed, upstream=weights)
            yield Trial(spec, place.arm, draw, protocols, place.condition)


def baseline_trial(matrix: Matrix, baseline: str, task: str, condition: Condition) -> Trial:
    """The trial of a cheap reference inside a task; it serves every protocol."""
    spec = TrialSpec(
        stage="final",
        domain=matrix.suite.domain,
        settings=matrix.settings,
        seed=matrix.suite.seeds.final[0],
        task=task,
        task_version=matrix.tasks[task].card.version,
        task_plugin=matrix.catalogue.tasks[task].digest,
        baseline=baseline,
        cohort=matrix.cohorts[condition.split],
        label_fraction=condition.label_fraction,
        label_draw=condition.label_draw,
    )
    return Trial(spec, protocols=PROTOCOLS, condition=condition)


def _task_spec(
    matrix: Matrix,
    stage: Stage,
    place: Place,
    hyperparameters: Mapping[str, Any] | None,
    *,
    seed: int,
    upstream: TrialSpec,
) -> TrialSpec:
    arm = matrix.arms[place.arm]
    return TrialSpec(
        stage=stage,
        domain=matrix.suite.domain,
        settings=matrix.settings,
        seed=seed,
        strategy=upstream.strategy,
        strategy_version=upstream.strategy_version,
        strategy_plugin=upstream.strategy_plugin,
        task=place.task,
        task_version=matrix.tasks[place.task].card.version,
        task_plugin=matrix.catalogue.tasks[place.task].digest,
        pretraining_hyperparameters=upstream.pretraining_hyperparameters,
        hyperparameters=hyperparameters,
        pretraining_seed=upstream.seed,
        cohort=matrix.cohorts[place.condition.split],
        upstream=(upstream.key,),
        label_fraction=place.condition.label_fraction,
        label_draw=place.condition.label_draw,
        shuffled_labels=arm.shuffled_labels,
        stream=_nested(upstream.seed, arm) if stage == "final" else arm.stream,
    )


def _nested(pretraining_seed: int, arm: Arm) -> int:
    """Final seeds are nested in pretraining seeds: the same number begins others in each of them.

    Were they crossed, what one order of scans does would come back with every pretraining seed and not
    average out; and weights that no seed changes would be trained on in the same way again and again.
    Arms keep each other's streams, so that they pair up; A/A arms have the odd ones.
    """
    return 2 * pretraining_seed + arm.stream
