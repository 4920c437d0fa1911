"""Hot paths of learning: one pretraining step against a plain one, in the same run.

Run with `pytest benchmarks/bench_learning.py`; the two rows of the group are the comparison.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from registry.dxa.losses.perceptual import PerceptualNetwork, distance
from registry.dxa.losses.scan_loss import LossFactors, ScanLoss
from registry.dxa.models.architecture import Architecture
from registry.dxa.models.initialization import set_modes
from registry.dxa.models.vae import ScanVae
from registry.dxa.settings import DxaSettings
from registry.dxa.strategies.vae import DxaVae

BATCH = np.arange(8)
FACTORS = LossFactors.of(DxaVae.card.factors)


@pytest.fixture(scope="module")
def parts():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    scans = 3000 + 500 * torch.randn(64, 6, 75, 55)
    vae = ScanVae(Architecture.for_scans(DxaSettings(), scans.numpy()), mean_scan=scans.mean(0))
    set_modes(vae, train_batch_norm=False)
    vae.to(memory_format=torch.channels_last)
    return scans, vae, ScanLoss(scans, FACTORS, PerceptualNetwork())


def plain_terms(loss, scans, reconstruction):
    """One pass of the network per stack and image, targets computed at every step."""
    true = scans[torch.from_numpy(BATCH)]
    pairs = zip(loss.images(true, true), loss.images(reconstruction.scans, true), strict=True)
    weights = (0.5, 0.5, 0.1)
    return [
        weight * distance([layer.detach() for layer in loss.network(one)], loss.network(other), scales)
        for weight, scales, (one, other) in zip(weights, loss.scales, pairs, strict=True)
    ]


@pytest.mark.benchmark(group="pretraining step")
@pytest.mark.parametrize("way", ["ours", "plain"])
def test_pretraining_step(benchmark, parts, way):
    scans, vae, loss = parts

    def step():
        vae.zero_grad(set_to_none=True)
        batch = scans[torch.from_numpy(BATCH)].contiguous(memory_format=torch.channels_last)
        reconstruction = vae(batch)
        ours = way == "ours"
        terms = (
            list(loss(BATCH, reconstruction).values()) if ours else plain_terms(loss, scans, reconstruction)
        )
        torch.stack(terms).sum().backward()

    benchmark.pedantic(step, rounds=5, warmup_rounds=1)
