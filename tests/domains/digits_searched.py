"""Digits strategies with hyperparameters of pretraining, and a task that learns step by step.

Two random projections share `density`; one has `tilt` of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from registry.contracts import (
    Artifact,
    FittedModel,
    Predictions,
    PrimaryEndpoint,
    Space,
    Strategy,
    TableLayout,
    Task,
    TrialContext,
    loguniform,
    strategy,
    task,
    uniform,
)

MEASURES = ("ink",)


@strategy("sparse", provides={"encoder"}, domain="digits", title="Sparse projection")
class Sparse(Strategy):
    space: ClassVar = Space(density=uniform(0.05, 1.0, default=0.5))

    def pretrain(self, context: TrialContext) -> Artifact:
        generator = np.random.default_rng(context.seed)
        weight = generator.standard_normal((64, context.settings["features"])) / 8
        weight *= generator.random(weight.shape) < context.hyperparameters["density"]
        return Artifact({"encoder": {"mean": np.zeros(64), "weight": self._changed(weight, context)}})

    def _changed(self, weight: Any, context: TrialContext) -> Any:
        return weight


@strategy("tilted", provides={"encoder"}, domain="digits", title="Tilted projection")
class Tilted(Sparse):
    space: ClassVar = Space(**Sparse.space, tilt=uniform(0.0, 2.0, default=0.0))

    def _changed(self, weight: Any, context: TrialContext) -> Any:
        return weight * (1 + context.hyperparameters["tilt"] * np.linspace(-0.5, 0.5, 64)[:, None])


@task(
    "steps",
    title="Ink, step by step",
    needs={"encoder"},
    domain="digits",
    part="labelled",
    primary=PrimaryEndpoint("r2", "r²", "max", "r2", MEASURES),
)
class Steps(Task):
    """Gradient descent on the ink of a digit; reports its validation score after every step."""

    space = Space(rate=loguniform(1e-4, 1.0, default=0.05))
    count: ClassVar = 27

    def fit(self, context: TrialContext, artifact: Artifact) -> FittedModel:
        train, validation = (context.open_split("labelled", split) for split in ("train", "validation"))
        features, judged = (self._features(artifact, one) for one in (train, validation))
        target, wanted = train.images.sum((1, 2)), validation.images.sum((1, 2))
        weights = np.zeros(features.shape[1])
        score = 0.0
        for step in range(1, self.count + 1):
            weights -= (
                context.hyperparameters["rate"] * features.T @ (features @ weights - target) / len(target)
            )
            score = float(
                1 - ((judged @ weights - wanted) ** 2).sum() / ((wanted - wanted.mean()) ** 2).sum()
            )
            context.report(step, self.count, validation_r2=score)
        return FittedModel((artifact, weights), {"r2": score})

    def predict(self, context: TrialContext, model: FittedModel, split: Any) -> Predictions:
        artifact, weights = model.state
        predicted = self._features(artifact, split) @ weights
        return Predictions(
            list(split.patients),
            list(split.scans),
            targets={"ink": split.images.sum((1, 2))},
            predictions={"ink": predicted},
        )

    def layouts(self) -> Sequence[TableLayout]:
        return ()

    @staticmethod
    def _features(artifact: Artifact, split: Any) -> Any:
        encoder = artifact.parts["encoder"]
        features = (split.pixels - encoder["mean"]) @ encoder["weight"]
        features /= np.abs(features).max(axis=0) + 1e-9
        return np.column_stack([features, np.ones(len(features))])
