"""Fine-tuning an encoder for measures of a scan: a linear head on its features, all weights trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from registry.contracts import Artifact, DataError, FittedModel, InputError, TrialContext
from registry.dxa.models.architecture import Architecture
from registry.dxa.models.encoder import FeatureScale, ScanEncoder
from registry.dxa.models.initialization import calibrate_batch_statistics, set_modes
from registry.dxa.models.vae import load_encoder
from registry.dxa.settings import DxaSettings
from registry.dxa.training.compute import prepare
from registry.dxa.training.loader import Batch
from registry.dxa.training.loop import Group, Recipe, Selection, Terms, train

Values = NDArray[np.float64]


@dataclass(frozen=True)
class LabelledScans:
    """Scans with the measures to learn.

    Attributes
    ----------
    scans
        (n, 6, height, width) counts.
    values
        (n, m) true measures.
    """

    scans: NDArray[np.float32]
    values: Values


class Regressor(nn.Module):
    """Encoder, mean over the feature map, linear head.

    Parameters
    ----------
    encoder
        With its initial weights.
    mean, scale
        (m,) of the train targets: the head predicts standardised values.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, encoder: ScanEncoder, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.features = FeatureScale(encoder.feature_shape[0])
        self.head = nn.Linear(encoder.feature_shape[0], len(mean))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def pooled(self, scans: Tensor) -> Tensor:
        """(n, channels) features, averaged over the feature map."""
        features: Tensor = self.encoder(scans).mean((2, 3))
        return features

    def forward(self, scans: Tensor) -> Tensor:
        """(n, 6, height, width) counts -> (n, m) standardised measures."""
        standardised: Tensor = self.head(self.features(self.pooled(scans)))
        return standardised

    def predict(self, scans: NDArray[np.float32], *, batch_size: int = 32) -> Values:
        """(n, m) measures in their units; the module ends in evaluation mode."""
        self.eval()
        device = self.head.weight.device
        with torch.inference_mode():
            batches = [
                self(batch.to(device).contiguous(memory_format=torch.channels_last)).float()
                for batch in torch.split(torch.from_numpy(scans), batch_size)
            ]
            return (torch.cat(batches) * self.scale + self.mean).cpu().numpy().astype(np.float64)


def finetune(
    context: TrialContext,
    artifact: Artifact,
    train_data: LabelledScans,
    validation_data: LabelledScans,
    score: Callable[[Values, Values], float],
) -> FittedModel:
    """Train encoder and head; keep the epoch with the largest `score` on validation.

    With `finetuning_patience` training ends after that many epochs without a better one; the schedule of the
    learning rate stays that of all epochs. Beside the score, the epoch that is kept (`kept_epoch`) and how
    many were trained (`epochs`) are told.

    Hyperparameters: `learning_rate` of the encoder's last stage, `layer_decay` (rate of each earlier stage
    relative to the next), `head_rate_factor` (of the head, relative to the last stage) and `batch_norm`:
    `frozen` keeps the statistics that came with the weights, `calibrated` those of the labelled train scans,
    `trained` follows the batches.

    Raises
    ------
    DataError
        If a measure has the same value in every train scan.
    InputError
        If the weights were made for scans of another size.
    """
    device = prepare(context)
    settings = DxaSettings(**context.settings)
    regressor = untrained_regressor(
        artifact, train_data, calibrate=context.hyperparameters["batch_norm"] != "frozen"
    )
    regressor.to(device).to(memory_format=torch.channels_last)
    scans = torch.from_numpy(train_data.scans).to(device)
    targets = torch.from_numpy(train_data.values).float().to(device)
    targets = (targets - regressor.mean) / regressor.scale
    train_batch_norm = context.hyperparameters["batch_norm"] == "trained"

    def losses(batch: Batch) -> Terms:
        set_modes(regressor, train_batch_norm=train_batch_norm)
        seen = scans[batch.seen].contiguous(memory_format=torch.channels_last)
        return {"regression": functional.smooth_l1_loss(regressor(seen), targets[batch.seen])}

    def evaluate() -> dict[str, float]:
        return {"mean_r2": score(validation_data.values, regressor.predict(validation_data.scans))}

    rate = float(context.hyperparameters["learning_rate"])
    stages, decay = regressor.encoder.stages(), float(context.hyperparameters["layer_decay"])
    groups = [
        *(
            Group([parameter for module in stage for parameter in module.parameters()], rate * decay**depth)
            for depth, stage in enumerate(reversed(stages))
        ),
        Group(list(regressor.head.parameters()), rate * float(context.hyperparameters["head_rate_factor"])),
    ]
    per_epoch = max(1, len(scans) // settings.finetuning_batch_size)
    recipe = Recipe(
        per_epoch * settings.finetuning_epochs, settings.finetuning_batch_size, warmup=0.15, clip_norm=2.0
    )
    selection = Selection(evaluate, "mean_r2", "max", every=per_epoch, patience=settings.finetuning_patience)
    trained = train(
        context, regressor, groups, recipe, examples=len(scans), losses=losses, selection=selection
    )
    epochs = {"epochs": trained.steps / per_epoch, "kept_epoch": trained.kept_step / per_epoch}
    return FittedModel(regressor, {**trained.scores, **epochs})


def untrained_regressor(artifact: Artifact, data: LabelledScans, *, calibrate: bool = True) -> Regressor:
    """The regressor before training, whose head says the mean of the train targets.

    Parameters
    ----------
    artifact
        Holds the encoder.
    data
        The labelled train scans.
    calibrate
        Whether batch statistics are measured on them; those that came with the weights stay otherwise.
    """
    architecture = Architecture.of(artifact)
    size = data.scans.shape[2:]
    if size != (architecture.height, architecture.width):
        raise InputError(
            f"the weights were made for scans of {architecture.height} x {architecture.width} pixels, "
            f"these have {size[0]} x {size[1]}",
            mend="use the same 'scan_reduction' for pretraining and tasks",
        )
    scale = data.values.std(0)
    if not (scale > 0).all():
        raise DataError(
            f"target {int(np.argmin(scale))} has the same value in every train scan",
            mend="declare a cohort with more train scans",
        )
    encoder = ScanEncoder(architecture)
    load_encoder(encoder, artifact)
    encoder.eval()
    if calibrate:
        calibrate_batch_statistics(encoder, torch.from_numpy(data.scans))
    mean = torch.from_numpy(data.values.mean(0)).float()
    regressor = Regressor(encoder, mean, torch.from_numpy(scale).float())
    with torch.no_grad():
        scans = torch.split(torch.from_numpy(data.scans), 64)
        regressor.features.measure(torch.cat([regressor.pooled(batch) for batch in scans]))
    return regressor
