"""Ridge regression on the features of an encoder that stays as it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from registry.contracts import TrialContext
from registry.dxa.tasks.linear import Matrix, Ridge, mean_r2
from registry.dxa.training.compute import prepare
from registry.dxa.training.finetuning import LabelledScans, Regressor

_PENALTIES = tuple(10.0**power for power in range(-3, 5))


@dataclass(frozen=True)
class RidgeOnFeatures:
    """Encoder and ridge.

    Attributes
    ----------
    regressor
        Its encoder is read, its head is not.
    ridge
        From pooled features to measures.
    """

    regressor: Regressor
    ridge: Ridge

    @classmethod
    def fit(
        cls, context: TrialContext, regressor: Regressor, train: LabelledScans, validation: LabelledScans
    ) -> tuple[RidgeOnFeatures, float]:
        """Learn from train, the penalty chosen on validation; the model and its mean R² there."""
        regressor.to(prepare(context))
        features, held_out = (pooled_features(regressor, data.scans) for data in (train, validation))
        ridges = [Ridge.fit(features, train.values, penalty) for penalty in _PENALTIES]
        scores = [mean_r2(validation.values, ridge.predict(held_out)) for ridge in ridges]
        best = int(np.argmax(scores))
        return cls(regressor, ridges[best]), scores[best]

    def predict(self, scans: NDArray[np.float32]) -> Matrix:
        """(n, m) measures of (n, 6, height, width) counts."""
        return self.ridge.predict(pooled_features(self.regressor, scans))


def pooled_features(regressor: Regressor, scans: NDArray[np.float32], *, batch_size: int = 32) -> Matrix:
    """(n, channels) features averaged over the feature map, in evaluation mode."""
    regressor.eval()
    device = regressor.head.weight.device
    with torch.inference_mode():
        batches = [
            regressor.pooled(batch.to(device)).cpu()
            for batch in torch.split(torch.from_numpy(scans), batch_size)
        ]
    return torch.cat(batches).numpy().astype(np.float64)
