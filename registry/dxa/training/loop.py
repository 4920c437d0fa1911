"""The training loop that every strategy and task shares.

All randomness of step i is a function of (seed, i), and so is the learning rate: a checkpoint holds weights,
optimiser and step alone, and an interrupted training that resumes equals one that was never interrupted.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from registry.contracts import TrialContext
from registry.dxa.training.checkpoint import load_checkpoint, save_checkpoint
from registry.dxa.training.compute import autocast, derived_seed
from registry.dxa.training.loader import Batch, View, made_ahead
from registry.dxa.training.polar import PolarMomentum

#: Losses by name, as weighted in the sum that is minimised.
Terms = Mapping[str, Tensor]
#: Time between checkpoints.
CHECKPOINT_SECONDS = 30.0
#: A loss this many times the first one of the same terms has exploded.
EXPLODED = 1000.0


class DivergedError(RuntimeError):
    """A loss is no longer a number, or has exploded; the trial has failed, its last checkpoint is good."""


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate.

    Parameters
    ----------
    parameters, learning_rate
        What is trained, and its peak rate.
    polar
        Whether they are matrices that take steps of `PolarMomentum` in the place of AdamW's.
    weight_decay
        What each step takes off them, times the learning rate; the recipe's for AdamW, none for polar steps
        where not given.
    apart
        Whether their gradients are clipped by their own norm, as those of an opponent are.
    frozen_steps
        Steps at the start in which they stay as they are.
    """

    parameters: Sequence[nn.Parameter]
    learning_rate: float
    polar: bool = False
    weight_decay: float | None = None
    apart: bool = False
    frozen_steps: int = 0


@dataclass(frozen=True)
class Recipe:
    """How long and how a module is trained: linear warm-up, cosine decay, clipped gradients.

    Parameters
    ----------
    steps, batch_size
        Length, and scans per step.
    warmup
        Fraction of the steps over which the learning rate rises.
    final
        Learning rate at the end, as a fraction of the peak.
    weight_decay, betas, clip_norm
        Of AdamW, and the largest norm of a gradient.
    """

    steps: int
    batch_size: int
    warmup: float = 0.05
    final: float = 0.01
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    clip_norm: float = 1.0

    def rate(self, step: int) -> float:
        """Learning rate at `step` as a fraction of the peak.

        Examples
        --------
        >>> recipe = Recipe(steps=100, batch_size=8, warmup=0.1, final=0.0)
        >>> [round(recipe.rate(step), 3) for step in (0, 9, 55, 100)]
        [0.1, 1.0, 0.5, 0.0]
        """
        warmup = max(1, round(self.warmup * self.steps))
        if step < warmup:
            return (step + 1) / warmup
        progress = (step - warmup) / max(1, self.steps - warmup)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class Selection:
    """Keeps the weights that score best on the validation split.

    Parameters
    ----------
    evaluate
        Scores by name, of the module as it stands.
    metric, direction
        The score that decides, and whether it should be large (`max`) or small (`min`).
    every
        Steps between evaluations; the last step is always evaluated.
    patience
        Evaluations without a better score after which training ends; without end where `None`.
    """

    evaluate: Callable[[], Mapping[str, float]]
    metric: str
    direction: str
    every: int
    patience: int | None = None

    def better(self, scores: Mapping[str, float], best: Mapping[str, float]) -> bool:
        """Whether `scores` beat `best`; anything beats nothing."""
        if not best:
            return True
        sign = 1 if self.direction == "max" else -1
        return sign * scores[self.metric] > sign * best[self.metric]


@dataclass(frozen=True)
class Trained:
    """What a training came to.

    Parameters
    ----------
    steps
        How many were taken: fewer than the recipe's where patience ran out.
    kept_step
        After which one the weights were as they are kept.
    scores
        Of the kept weights; empty without a selection.
    """

    steps: int
    kept_step: int
    scores: Mapping[str, float]


@dataclass
class _Progress:
    step: int = 0
    first_loss: float = math.nan
    first_terms: tuple[str, ...] = ()
    stale: int = 0
    best: dict[str, float] = field(default_factory=dict)
    best_step: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)


def batch_indices(count: int, batch_size: int, step: int, seed: int) -> NDArray[np.int64]:
    """Which of `count` examples step `step` reads: a new order every epoch, incomplete batches left out."""
    batch_size = min(batch_size, count)
    epoch, position = divmod(step, count // batch_size)
    order = np.random.default_rng(derived_seed(seed, "order", epoch)).permutation(count)
    return order[position * batch_size : (position + 1) * batch_size]


def train(
    context: TrialContext,
    module: nn.Module,
    groups: Sequence[Group],
    recipe: Recipe,
    *,
    examples: int,
    losses: Callable[[Batch], Terms],
    view: View | None = None,
    selection: Selection | None = None,
) -> Trained:
    """Train `module` in place; it is left with the weights that are kept.

    Parameters
    ----------
    context
        Seed, number format, where checkpoints go and progress is told.
    module
        What is trained; its modes (`train`, `eval`) are left as the caller set them.
    groups
        Its parameters with their learning rates.
    recipe
        Length, schedule and optimiser.
    examples
        How many examples there are to draw batches from.
    losses
        Terms of the loss for a batch; their sum is minimised.
    view
        What a batch shows of its examples, beside saying which they are; `loader_workers` threads of the
        settings make it ahead.
    selection
        Where given, the module ends with the weights that scored best; otherwise with the last ones.

    Returns
    -------
    Trained
        Length, and the scores of the kept weights.

    Raises
    ------
    DivergedError
        If a term of the loss is infinite or no number, or the loss is a thousand times the first one of the
        same terms; names step and term, and the step of the last checkpoint, which stays.
    """
    optimizers = _optimizers(groups, recipe)
    clipped = [[parameter for group in groups if not group.apart for parameter in group.parameters]]
    clipped += [list(group.parameters) for group in groups if group.apart]
    progress = _resume(context, module, optimizers)
    saved, saved_step = time.monotonic(), progress.step
    with contextlib.closing(_batches(context, recipe, progress.step, examples, view)) as batches:
        for batch in batches:
            for optimizer in optimizers:
                for options in optimizer.param_groups:
                    options["lr"] = options["peak"] * recipe.rate(progress.step)
            for group in groups:
                for parameter in group.parameters if group.frozen_steps else ():
                    parameter.requires_grad_(progress.step >= group.frozen_steps)
            torch.manual_seed(_step_seed(context, progress.step))
            torch.set_rng_state(batch.random_state)
            with autocast(context):
                terms = losses(batch)
            values = {name: float(term.detach()) for name, term in terms.items()}
            _refuse_divergence(values, progress, saved_step)
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
            for parameters in clipped:
                nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
            for optimizer in optimizers:
                optimizer.step()
            progress.step += 1
            context.report(progress.step, recipe.steps, loss=sum(values.values()), **values)
            if selection and (progress.step % selection.every == 0 or progress.step == recipe.steps):
                _select(context, module, selection, progress, recipe.steps)
                if selection.patience is not None and progress.stale >= selection.patience:
                    break
            if time.monotonic() - saved >= CHECKPOINT_SECONDS and progress.step < recipe.steps:
                _save(context, module, optimizers, progress)
                saved, saved_step = time.monotonic(), progress.step
    if not selection:
        return Trained(progress.step, progress.step, {})
    module.load_state_dict(progress.best_weights)
    return Trained(progress.step, progress.best_step, progress.best)


def _batches(
    context: TrialContext, recipe: Recipe, first: int, examples: int, view: View | None
) -> Generator[Batch]:
    """The batches of the steps from `first` on."""
    workers = int(context.settings.get("loader_workers", 0)) if view else 0
    pin = bool(workers) and torch.device(context.device).type == "cuda"

    def make(step: int) -> Batch:
        indices = batch_indices(examples, recipe.batch_size, step, context.seed)
        return Batch.of(indices, _step_seed(context, step), view, pin=pin)

    return made_ahead(make, range(first, recipe.steps), workers)


def _step_seed(context: TrialContext, step: int) -> int:
    return derived_seed(context.seed, "step", step)


def _optimizers(groups: Sequence[Group], recipe: Recipe) -> list[torch.optim.Optimizer]:
    """AdamW, and polar momentum where a group asks for it; each group's `peak` is its learning rate."""

    def options(*, polar: bool) -> list[dict[str, Any]]:
        return [
            {
                "params": list(group.parameters),
                "lr": group.learning_rate,
                "peak": group.learning_rate,
                **({} if group.weight_decay is None else {"weight_decay": group.weight_decay}),
            }
            for group in groups
            if group.polar == polar
        ]

    found: list[torch.optim.Optimizer] = []
    if options(polar=False):
        # Fused: one pass over the weights and their moments in the place of a dozen.
        found.append(
            torch.optim.AdamW(
                options(polar=False), betas=recipe.betas, weight_decay=recipe.weight_decay, fused=True
            )
        )
    if options(polar=True):
        found.append(PolarMomentum(options(polar=True), lr=1.0))
    return found


def _refuse_divergence(values: Mapping[str, float], progress: _Progress, saved_step: int) -> None:
    step, total = progress.step + 1, sum(values.values())
    kept = f"the last checkpoint is that of step {saved_step}" if saved_step else "there is no checkpoint yet"
    for name, value in values.items():
        if not math.isfinite(value):
            raise DivergedError(
                f"training diverged: term {name!r} of the loss is {value} at step {step}; {kept}"
            )
    if progress.first_terms != tuple(values):  # other terms are another loss, in units of its own
        progress.first_loss, progress.first_terms = total, tuple(values)
    if abs(total) > EXPLODED * max(abs(progress.first_loss), 1e-12):
        raise DivergedError(
            f"training diverged: the loss is {total:.3g} at step {step}, it began with "
            f"{progress.first_loss:.3g}; {kept}"
        )


def _select(
    context: TrialContext, module: nn.Module, selection: Selection, progress: _Progress, steps: int
) -> None:
    scores = dict(selection.evaluate())
    context.report(progress.step, steps, **{f"validation_{name}": value for name, value in scores.items()})
    if selection.better(scores, progress.best):
        progress.stale = 0
        progress.best, progress.best_step = scores, progress.step
        progress.best_weights = copy.deepcopy(module.state_dict())
    else:
        progress.stale += 1


def _save(
    context: TrialContext,
    module: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    progress: _Progress,
) -> None:
    save_checkpoint(
        context.scratch,
        {
            **vars(progress),
            "module": module.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        },
    )


def _resume(
    context: TrialContext, module: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
) -> _Progress:
    state: dict[str, Any] | None = load_checkpoint(context.scratch, torch.device(context.device))
    if state is None:
        return _Progress()
    module.load_state_dict(state["module"])
    for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(kept)
    return _Progress(**{name: state[name] for name in vars(_Progress())})
