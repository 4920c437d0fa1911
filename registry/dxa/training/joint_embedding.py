"""Training an encoder so that two augmented views of a scan have like features (VICReg)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from registry.contracts import Artifact, InputError, TrialContext
from registry.dxa.losses.vicreg import vicreg_terms
from registry.dxa.models.encoder import FeatureScale, ScanEncoder
from registry.dxa.models.initialization import set_modes
from registry.dxa.models.weights import weights_of
from registry.dxa.strategies.start import PART, begin, initial_encoder
from registry.dxa.training.augmentation import augment
from registry.dxa.training.compute import derived_seed
from registry.dxa.training.loop import Group, Recipe, Terms, train
from registry.dxa.training.scans import load_scans

#: Numbers in which views are compared; they belong to the training and are thrown away after it.
_EMBEDDING = 256
#: Views that go through the encoder together; a split of a large cohort has more than memory holds.
_AT_ONCE = 64
_TERMS = ("invariance", "variance", "covariance")


class Expander(nn.Module):
    """Encoder, mean over the feature map, two dense layers: where views are compared."""

    def __init__(self, encoder: ScanEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.features = FeatureScale(encoder.feature_shape[0])
        self.expand = nn.Sequential(
            nn.Linear(encoder.feature_shape[0], _EMBEDDING), nn.GELU(), nn.Linear(_EMBEDDING, _EMBEDDING)
        )

    def pooled(self, scans: Tensor) -> Tensor:
        """(n, channels) features, averaged over the feature map."""
        features: Tensor = self.encoder(scans.contiguous(memory_format=torch.channels_last)).mean((2, 3))
        return features

    def forward(self, scans: Tensor) -> Tensor:
        """(n, 6, height, width) counts -> (n, 256)."""
        embedded: Tensor = self.expand(self.features(self.pooled(scans)))
        return embedded


def train_joint_embedding(context: TrialContext) -> Artifact:
    """Train on the train scans, as many as an autoencoder sees; score the terms on the validation scans."""
    start = begin(context)
    weights = {name: float(context.factors[f"{name}_weight"]) for name in _TERMS}
    count = min(int(context.factors["scans_per_step"]), len(start.train_scans))
    if count < 2:
        raise InputError("'vicreg' compares scans, a step has one", mend="raise the factor 'scans_per_step'")
    expander = Expander(initial_encoder(start, context.seed))
    with torch.no_grad():
        batches = torch.split(start.calibration_scans, _AT_ONCE)
        expander.features.measure(torch.cat([expander.pooled(batch) for batch in batches]))
    expander.to(start.device).to(memory_format=torch.channels_last)
    scans = torch.from_numpy(start.train_scans)

    def view(indices: NDArray[np.int64], random: torch.Generator) -> Tensor:
        return two_views(scans[torch.from_numpy(indices)], random)

    def terms_of(seen: Tensor) -> Terms:
        parts = torch.split(seen.to(start.device, non_blocking=True), _AT_ONCE)
        views = torch.cat([expander(part) for part in parts])
        return {name: weights[name] * term for name, term in vicreg_terms(*views.float().chunk(2)).items()}

    set_modes(expander, train_batch_norm=False)
    rate = float(context.hyperparameters["learning_rate"])
    groups = [
        Group(list(expander.encoder.parameters()), rate * context.hyperparameters["encoder_rate_factor"]),
        Group(list(expander.expand.parameters()), rate),
    ]
    settings = start.settings
    steps = max(1, settings.pretraining_steps * settings.pretraining_batch_size // count)
    train(
        context,
        expander,
        groups,
        Recipe(steps, count),
        examples=len(scans),
        losses=lambda batch: terms_of(batch.seen),
        view=view,
    )

    validation = load_scans(context.open_split(PART, "validation"), settings.scan_reduction)
    random = torch.Generator().manual_seed(derived_seed(context.seed, "validation views"))
    expander.eval()
    with torch.no_grad():
        found = terms_of(two_views(torch.from_numpy(validation), random))
    return Artifact(
        parts={"encoder": weights_of(expander.encoder)},
        metadata={
            "architecture": start.architecture.metadata(),
            "source": "trained on the cohort",
            "factors": dict(context.factors),
        },
        validation={f"vicreg_{name}": float(term) for name, term in found.items()},
    )


def two_views(scans: Tensor, random: torch.Generator) -> Tensor:
    """(2 n, 6, height, width): each scan augmented once, then each once more."""
    return torch.cat([augment(scans, random), augment(scans, random)])
