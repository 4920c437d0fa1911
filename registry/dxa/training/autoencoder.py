"""Training an autoencoder of scans, as the factors of its strategy say."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from registry.contracts import Artifact, TrialContext
from registry.dxa.losses.perceptual import PerceptualNetwork
from registry.dxa.losses.scan_loss import LossFactors, ScanLoss
from registry.dxa.models.discriminator import Discriminator, adversarial_terms
from registry.dxa.models.initialization import set_modes
from registry.dxa.models.vae import GENERATOR_RATES, ScanVae
from registry.dxa.strategies.start import PART, Start, begin, initial_autoencoder
from registry.dxa.tasks.image_metrics import score_scans
from registry.dxa.training.augmentation import augment, mask_patches, require_kind
from registry.dxa.training.loader import Batch, View
from registry.dxa.training.loop import Group, Recipe, Terms, train
from registry.dxa.training.scans import load_scans, room_for

#: Learning rate of the discriminator relative to the generator's, as published.
_DISCRIMINATOR_RATE = 0.1
#: Longest short side of a dense layer that takes polar steps: their cost grows with its cube.
_POLAR_SIDE = 512


def train_autoencoder(context: TrialContext) -> Artifact:
    """Train on the train scans, score on the validation scans."""
    start = begin(context)
    vae = initial_autoencoder(start, context.seed)
    vae.to(start.device).to(memory_format=torch.channels_last)
    scans = torch.from_numpy(start.train_scans).to(start.device)
    factors = LossFactors.of(context.factors)
    network = _network(start) if factors.needs_network else None
    scan_loss = ScanLoss(scans, factors, network)
    if start.settings.compiled:
        for module in filter(None, (vae.encoder, vae.generator, network)):
            module.compile()
    view = _view(context, torch.from_numpy(start.train_scans))
    adversarial_weight = float(context.factors["adversarial_weight"])
    discriminator = Discriminator(start.architecture).to(start.device) if adversarial_weight else None

    def losses(batch: Batch) -> Terms:
        seen = batch.seen.to(start.device, non_blocking=True) if view else scans[batch.seen]
        reconstruction = vae(seen.contiguous(memory_format=torch.channels_last))
        terms = scan_loss(batch.indices, reconstruction)
        if discriminator is not None:
            true = scans[torch.from_numpy(batch.indices)]
            game = adversarial_terms(discriminator, true, reconstruction.scans)
            terms["adversarial"] = adversarial_weight * game["adversarial"]
            terms["discriminator"] = game["discriminator"]
        return terms

    set_modes(vae, train_batch_norm=False)
    groups = _groups(context, vae)
    trained: nn.Module = vae
    if discriminator is not None:
        rate = _rate(context, vae) * _DISCRIMINATOR_RATE
        groups.append(Group(list(discriminator.parameters()), rate, apart=True))
        trained = nn.ModuleList([vae, discriminator])
    recipe = Recipe(start.settings.pretraining_steps, start.settings.pretraining_batch_size)
    train(context, trained, groups, recipe, examples=len(scans), losses=losses, view=view)

    validation = load_scans(context.open_split(PART, "validation"), start.settings.scan_reduction)
    scores = score_scans(validation, reconstruct(vae, validation, start.device))
    return Artifact(
        parts=vae.parts(),
        metadata={
            "architecture": start.architecture.metadata(),
            "source": "trained on the cohort",
            "factors": dict(context.factors),
            "perceptual_network": network.origin.metadata() if network else None,
        },
        validation={name: float(values.mean()) for name, values in scores.items()},
    )


def _network(start: Start) -> PerceptualNetwork:
    network = PerceptualNetwork(start.settings.perceptual_network)
    return network.to(start.device).to(memory_format=torch.channels_last)


def _groups(context: TrialContext, vae: ScanVae) -> list[Group]:
    """Parameters by how they learn: encoder and heads in small steps, dense layers in polar ones."""
    rate = _rate(context, vae)
    encoder_rate = rate * float(context.hyperparameters["encoder_rate_factor"])
    dense_rate = rate * float(context.hyperparameters["dense_rate_factor"])
    head, drawing = _matrices(vae.mean), _matrices(vae.generator)
    apart = {id(parameter) for parameter in (*head, *drawing)}

    def rest(*modules: nn.Module) -> list[nn.Parameter]:
        return [p for module in modules for p in module.parameters() if id(p) not in apart]

    # The latent heads read a thousand features and more: like the encoder, they need small steps.
    groups = [
        Group(rest(vae.encoder, vae.mean, vae.log_variance), encoder_rate),
        Group(rest(vae.generator), rate),
    ]
    # The head reads more features than there are scans: without decay it learns the train scans by heart.
    decay = float(context.hyperparameters["head_weight_decay"])
    if head:
        groups.append(Group(head, dense_rate, polar=True, weight_decay=decay))
    if drawing:
        groups.append(Group(drawing, dense_rate, polar=True))
    return groups


def _rate(context: TrialContext, vae: ScanVae) -> float:
    """Learning rate of the generator, in proportion to what its kind bears."""
    kind = vae.encoder.architecture.generator
    return float(context.hyperparameters["learning_rate"]) * GENERATOR_RATES[kind]


def _matrices(module: nn.Module) -> list[nn.Parameter]:
    """Weights of dense layers that are narrow enough for polar steps."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    return [
        matrix
        for layer in layers
        for matrix in layer.parameters()
        if matrix.ndim == 2 and min(matrix.shape) <= _POLAR_SIDE
    ]


def _view(context: TrialContext, scans: Tensor) -> View | None:
    """What the encoder sees where it is not the clean scans, with which the loss compares."""
    kind, masked = str(context.factors["augmentation"]), float(context.factors["masked_fraction"])
    require_kind(kind)
    if kind == "none" and not masked:
        return None
    blank = scans.mean(0)

    def see(indices: NDArray[np.int64], random: torch.Generator) -> Tensor:
        seen = scans[torch.from_numpy(indices)]
        if kind == "published":
            seen = augment(seen, random)
        return mask_patches(seen, blank, masked, random) if masked else seen

    return see


def reconstruct(
    vae: ScanVae, scans: NDArray[np.float32], device: torch.device, *, batch_size: int = 32
) -> NDArray[np.float32]:
    """Send (n, 6, height, width) scans through the latent's mean and back; leaves evaluation mode on."""
    vae.eval()
    made = room_for(scans.shape)
    with torch.inference_mode():
        for start in range(0, len(scans), batch_size):
            batch = torch.from_numpy(scans[start : start + batch_size]).to(device)
            made[start : start + batch_size] = (
                vae(batch.contiguous(memory_format=torch.channels_last)).scans.cpu().numpy()
            )
    return made
