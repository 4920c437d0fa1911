"""What a strategy or task handed back must be, and the code that it came from."""

from __future__ import annotations

import math

import numpy as np

from harness.specs import TrialSpec
from registry.catalog import Catalogue
from registry.contracts import Artifact, FittedModel, InputError, Strategy, Task


def check_artifact(artifact: object, strategy: Strategy) -> Artifact:
    """Take over what a strategy pretrained.

    Raises
    ------
    TypeError
        If it is no artifact.
    ValueError
        If its parts are not the declared ones, or weights or scores are no numbers: that is a failure here,
        and not in everything that builds on them.
    """
    card = strategy.card
    if not isinstance(artifact, Artifact):
        raise TypeError(f"strategy {card.name!r} returned {type(artifact).__name__}, not an Artifact")
    if set(artifact.parts) != card.provides:
        raise ValueError(
            f"strategy {card.name!r} declares parts {sorted(card.provides)} "
            f"and returned {sorted(artifact.parts)}"
        )
    _check_finite(artifact, card.name)
    return artifact


def primary_score(task: Task, model: FittedModel) -> float:
    """The validation score by which a task judges a model; a `ValueError` where there is none."""
    metric = task.card.primary.metric
    if metric not in model.validation:
        raise ValueError(
            f"task {task.card.name!r} is judged by {metric!r}, its validation scores are "
            f"{sorted(model.validation)}"
        )
    return finite_score(model.validation[metric], f"validation score {metric!r}")


def finite_score(value: float, name: str) -> float:
    """A score as a number; a `ValueError` where it is none."""
    score = float(value)
    if not math.isfinite(score):
        raise ValueError(f"{name} is {score}: training diverged")
    return score


def _check_finite(artifact: Artifact, strategy: str) -> None:
    for part, weights in artifact.parts.items():
        for name, array in weights.items():
            if not np.isfinite(array).all():
                raise ValueError(
                    f"strategy {strategy!r}: weights {part}.{name} are not finite: training diverged"
                )
    for name, value in artifact.validation.items():
        if not math.isfinite(value):
            raise ValueError(
                f"strategy {strategy!r}: validation score {name!r} is {value}: training diverged"
            )


def check_same_code(spec: TrialSpec, catalogue: Catalogue) -> None:
    """A plug-in that was edited since the run was planned would give results under a wrong identity."""
    planned = [(catalogue.tasks, spec.task, spec.task_plugin)]
    if spec.stage == "pretrain":
        planned = [(catalogue.strategies, spec.strategy, spec.strategy_plugin)]
    for entries, name, digest in planned:
        if name is not None and name in entries and entries[name].digest != digest:
            raise InputError(
                f"plug-in {entries[name].origin} has changed since this run began",
                mend="give the same command again: changed strategies and tasks are run anew",
            )
