"""Learning to generate a scan from a body's surface through a pretrained generator."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from registry.contracts import Artifact, TrialContext
from registry.dxa.losses.perceptual import PerceptualNetwork
from registry.dxa.losses.scan_loss import LossFactors, ScanLoss
from registry.dxa.models.initialization import set_modes
from registry.dxa.models.mesh_to_scan import MeshToScan
from registry.dxa.models.points import PointNet, TransformNet
from registry.dxa.models.vae import GENERATOR_RATES, ScanVae
from registry.dxa.settings import DxaSettings
from registry.dxa.strategies.vae import NoDxaVae
from registry.dxa.training.compute import prepare
from registry.dxa.training.loader import Batch
from registry.dxa.training.loop import Group, Recipe, Terms, train

#: Weight of PointNet's orthogonal regulariser (Qi et al. 2016).
_ORTHOGONALITY = 1e-3
#: Learning rate of its transforms: every point goes through them, large steps blow up all features at once.
_TRANSFORM_RATE = 0.03


def train_generation(
    context: TrialContext, artifact: Artifact, vertices: NDArray[np.float32], scans: NDArray[np.float32]
) -> MeshToScan:
    """Train on paired surfaces and scans.

    First the generator rests and the point encoder learns the latents that the arm's own encoder gives the
    paired scans (`alignment_steps`; only where encoder and generator were trained together). Then scans are
    generated and compared by the loss of the arm's pretraining, the generator frozen for the first part.

    Hyperparameters: `learning_rate` (of the point encoder), `generator_rate_factor` (relative to it),
    `frozen_share` (of the generation steps) and `latent_weight`.

    Parameters
    ----------
    context
        The trial.
    artifact
        Holds the generator, and the encoder where the arm has one.
    vertices, scans
        (n, v, 3) surfaces in cm and (n, 6, height, width) counts.
    """
    device = prepare(context)
    settings = DxaSettings(**context.settings)
    model = MeshToScan.from_artifact(artifact, settings, vertices).to(device)
    surfaces, real = torch.tensor(vertices, device=device), torch.tensor(scans, device=device)
    model.measure_features(surfaces)
    latents = target_latents(artifact, real)
    alignment = 0 if latents is None else settings.alignment_steps
    if latents is not None:
        with torch.no_grad():
            model.mean.bias.copy_(latents.mean(0))
            spread = (latents - latents.mean(0)).square().mean()
    factors = LossFactors.of({**NoDxaVae.card.factors, **artifact.metadata.get("factors", {})})
    network = None
    if factors.needs_network:
        network = PerceptualNetwork(settings.perceptual_network).to(device)
        network = network.to(memory_format=torch.channels_last)
    scan_loss = ScanLoss(real, factors, network)
    centres = model.centres()
    latent_weight = float(context.hyperparameters["latent_weight"])

    def losses(batch: Batch) -> Terms:
        set_modes(model, train_batch_norm=False)
        chosen = batch.seen
        mean, log_variance = model.encode(model.choose(surfaces[chosen], draw=True), centres)
        terms: dict[str, Tensor] = {}
        if latents is not None:
            # 1 for whoever knows no more than the mean latent
            terms["latent"] = latent_weight * functional.mse_loss(mean, latents[chosen]) / spread
        if isinstance(model.points, PointNet):
            terms["orthogonality"] = _ORTHOGONALITY * model.points.orthogonality()
        if int(model.steps) >= alignment:
            terms.update(scan_loss(batch.indices, model.generate(mean, log_variance)))
        model.steps += 1
        return terms

    rate = float(context.hyperparameters["learning_rate"])
    frozen = alignment + round(float(context.hyperparameters["frozen_share"]) * settings.generation_steps)
    transforms = [part for part in model.points.modules() if isinstance(part, TransformNet)]
    sensitive = [parameter for module in transforms for parameter in module.parameters()]
    held = {id(parameter) for parameter in sensitive}
    heads = [model.points, model.mean, model.log_variance]
    others = [parameter for module in heads for parameter in module.parameters() if id(parameter) not in held]
    groups = [
        Group(others, rate),
        *([Group(sensitive, _TRANSFORM_RATE * rate)] if sensitive else []),
        Group(
            list(model.generator.parameters()),
            rate
            * float(context.hyperparameters["generator_rate_factor"])
            * GENERATOR_RATES[model.architecture.generator],
            frozen_steps=frozen,
        ),
    ]
    recipe = Recipe(alignment + settings.generation_steps, settings.generation_batch_size)
    train(context, model, groups, recipe, examples=len(real), losses=losses)
    return model


def target_latents(artifact: Artifact, scans: Tensor, *, batch_size: int = 32) -> Tensor | None:
    """(n, latent size) means that the arm's encoder gives real scans; `None` where it has learned none."""
    # an encoder without the latent's head (`mean`) maps to no latent
    has_latent = any(name.startswith("mean.") for name in artifact.parts.get("encoder", {}))
    if not has_latent or artifact.metadata.get("source") == "random":
        return None
    vae = ScanVae.from_artifact(artifact).to(scans.device).eval()
    with torch.inference_mode():
        found = torch.cat([vae.encode(batch)[0] for batch in torch.split(scans, batch_size)])
    return found.clone()
