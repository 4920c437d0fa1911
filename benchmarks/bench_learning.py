"""Hot paths of learning: one pretraining step against a plain one, in the same run.

Run with `pytest benchmarks/bench_learning.py`; the two rows of a group are the comparison. The plain side is
what one writes first: torch's default memory format, every normalisation a layer of its own, the perceptual
network as timm gives it, one pass per image, targets computed at every step, AdamW as it comes.
"""

from __future__ import annotations

import copy
import resource
import time

import numpy as np
import pytest
import torch
from torch import nn

from registry.dxa.losses.perceptual import PerceptualNetwork, layer_scales
from registry.dxa.losses.scan_loss import LossFactors, ScanLoss
from registry.dxa.models.architecture import Architecture
from registry.dxa.models.backbones import BUNDLED, build_backbone
from registry.dxa.models.folding import merge
from registry.dxa.models.initialization import set_modes, start_in_linear_regime
from registry.dxa.models.vae import Reconstruction, ScanVae
from registry.dxa.settings import DxaSettings
from registry.dxa.strategies.vae import DxaVae
from registry.dxa.training.compute import keep_freed_memory

BATCH = np.arange(8)
FACTORS = LossFactors.of(DxaVae.card.factors)


def new_vae(scans):
    torch.manual_seed(0)
    vae = ScanVae(Architecture.for_scans(DxaSettings(), scans.numpy()), mean_scan=scans.mean(0))
    start_in_linear_regime(vae.encoder.backbone)
    vae.measure_features(scans)
    with torch.no_grad():  # draw something: an untrained generator has no gradient behind its last layer
        nn.init.normal_(vae.generator.last.weight, std=0.05)
    set_modes(vae, train_batch_norm=False)
    return vae


class PlainEncoder(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, scans):
        encoder = self.encoder
        return encoder.backbone(encoder.stem(encoder.normalise(scans)))[-1]


class PlainLoss:
    """Perceptual term and R term of the DXA-VAE, written out."""

    def __init__(self, scales):
        self.network, _ = build_backbone(BUNDLED, stages=(0, 1, 2), imagenet=True)
        self.network.eval().requires_grad_(False)
        self.scales = scales

    def __call__(self, true, reconstruction):
        made = reconstruction.scans
        distances = [
            self.distance(target, image, scales)
            for target, image, scales in zip(
                self.images(true, true), self.images(made, true), self.scales, strict=True
            )
        ]
        mean, log_variance = reconstruction.mean, reconstruction.log_variance
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return (
            FACTORS.perceptual_weight * (distances[0] + distances[1]) / 2
            + FACTORS.r_image_weight * distances[2]
            + FACTORS.kl_weight * divergence
        )

    def images(self, scans, true):
        high, low = scans[:, 0::2] - 200, scans[:, 1::2] - 200
        # As the definition has it, which differs only where a body pixel falls below the threshold.
        ratio = torch.where(true[:, :1] > 440, low / high, 1.0)
        return [scans[:, :3] / 1e4, scans[:, 3:] / 1e4, (ratio - 0.9) / 0.8]

    def distance(self, target, image, scales):
        pairs = zip(self.layers(target), self.layers(image), scales, strict=True)
        return torch.stack([(one - other).abs().mean() / scale for one, other, scale in pairs]).mean()

    def layers(self, image):
        return [image, *self.network((image - 0.5) / 0.5)]


class Ours:
    def __init__(self, scans):
        self.scans = scans
        self.vae = new_vae(scans).to(memory_format=torch.channels_last)
        self.loss = ScanLoss(scans, FACTORS, PerceptualNetwork())
        self.optimizer = torch.optim.AdamW(self.vae.parameters(), lr=1e-6, fused=True)

    def double(self):
        self.scans = self.scans.double()
        self.vae.double()
        network = self.loss.network.double()
        merge(network.network)
        self.loss = ScanLoss(self.scans, FACTORS, network)
        return self

    def value(self):
        batch = self.scans[BATCH].contiguous(memory_format=torch.channels_last)
        return torch.stack(list(self.loss(BATCH, self.vae(batch)).values())).sum()


class Plain:
    def __init__(self, scans, scales):
        self.scans = scans
        self.vae = new_vae(scans)
        self.encoder = PlainEncoder(self.vae.encoder)
        self.loss = PlainLoss(scales)
        self.optimizer = torch.optim.AdamW(self.vae.parameters(), lr=1e-6)

    def double(self):
        self.scans = self.scans.double()
        self.vae.double()
        self.loss.network.double()
        return self

    def value(self):
        batch, vae = self.scans[BATCH], self.vae
        features = vae.features(self.encoder(batch).flatten(1))
        mean, log_variance = vae.mean(features), vae.log_variance(features)
        latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return self.loss(batch, Reconstruction(vae.generator(latent), mean, log_variance))


def scales_of(loss):
    with torch.no_grad():
        return [layer_scales(layers) for layers in loss._layers(loss.scans, loss.scans)]


@pytest.fixture(scope="module")
def sides():
    keep_freed_memory()  # as every trial does; the plain side has the advantage of it too
    torch.set_num_threads(1)
    torch.manual_seed(0)
    scans = 3000 + 500 * torch.randn(64, 6, 75, 55)
    ours = Ours(scans)
    return {"ours": ours, "plain": Plain(scans, scales_of(ours.loss))}


def step(side):
    torch.manual_seed(1)
    side.optimizer.zero_grad(set_to_none=True)
    value = side.value()
    value.backward()
    return float(value.detach())


def test_both_sides_of_the_step_agree(sides):
    """In single precision the values; in double precision every gradient, free of rounding at kinks."""
    assert step(sides["ours"]) == pytest.approx(step(sides["plain"]), rel=1e-5)
    exact = [copy.deepcopy(sides[name]).double() for name in ("ours", "plain")]
    exact[1].loss.scales = scales_of(exact[0].loss)
    assert step(exact[0]) == pytest.approx(step(exact[1]), rel=1e-10)
    for (name, one), other in zip(exact[0].vae.named_parameters(), exact[1].vae.parameters(), strict=True):
        assert (one.grad - other.grad).norm() <= 1e-8 * other.grad.norm() + 1e-30, name


# One thread: its processor time is its time on a machine that does nothing else.
@pytest.mark.benchmark(group="pretraining step", timer=time.process_time)
@pytest.mark.parametrize("name", ["ours", "plain"])
def test_pretraining_step(benchmark, sides, name):
    side = sides[name]

    def whole():
        step(side)
        side.optimizer.step()

    benchmark.pedantic(whole, rounds=10, warmup_rounds=2)


def test_memory_of_a_step_does_not_grow(sides):
    """Peak resident memory after 5 steps and after 45: equal but for the allocator's rounding."""
    side = sides["ours"]
    peaks = []
    for count in (5, 40):
        for _ in range(count):
            step(side)
            side.optimizer.step()
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert peaks[1] <= 1.02 * peaks[0]
