"""Other ways to compute a step, and how near they stay to single precision."""

import numpy as np
import pytest
import torch

from registry.dxa.losses.perceptual import PerceptualNetwork
from registry.dxa.losses.scan_loss import LossFactors, ScanLoss
from registry.dxa.models.architecture import Architecture
from registry.dxa.models.initialization import (
    calibrate_batch_statistics,
    set_modes,
    start_in_linear_regime,
)
from registry.dxa.models.vae import ScanVae
from registry.dxa.settings import DxaSettings
from registry.dxa.strategies.vae import DxaVae
from registry.dxa.training.scans import load_scans
from tests.registry.dxa.stand_in import open_split

INDICES = np.arange(4)


@pytest.fixture
def parts():
    scans = torch.from_numpy(load_scans(open_split("pretraining", "train"), 4))
    torch.manual_seed(0)
    vae = ScanVae(Architecture.for_scans(DxaSettings(latent_size=8), scans.numpy()), mean_scan=scans.mean(0))
    start_in_linear_regime(vae.encoder.backbone)
    calibrate_batch_statistics(vae.encoder, scans)
    vae.measure_features(scans)
    torch.nn.init.normal_(vae.generator.last.weight, std=0.05)
    set_modes(vae, train_batch_norm=False)
    network = PerceptualNetwork()
    return scans, vae, network, ScanLoss(scans, LossFactors.of(DxaVae.card.factors), network)


def step(parts):
    """Terms of the loss, and the gradient of everything as one vector."""
    scans, vae, _, loss = parts
    torch.manual_seed(1)
    vae.zero_grad(set_to_none=True)
    terms = loss(INDICES, vae(scans[INDICES]))
    sum(terms.values()).backward()
    gradient = torch.cat([parameter.grad.flatten() for parameter in vae.parameters()])
    return {name: float(term.detach()) for name, term in terms.items()}, gradient


def test_bfloat16_stays_within_a_tenth_per_term_and_its_gradient_within_twenty_degrees(parts):
    exact, gradient = step(parts)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        short, other = step(parts)
    for name, value in exact.items():
        assert short[name] == pytest.approx(value, rel=0.1), name
    assert sum(short.values()) == pytest.approx(sum(exact.values()), rel=0.02)
    assert float(torch.cosine_similarity(gradient, other, dim=0)) > np.cos(np.radians(20))


@pytest.mark.slow
def test_a_compiled_step_equals_the_plain_one(parts):
    exact, gradient = step(parts)
    _, vae, network, _ = parts
    for module in (vae.encoder, vae.generator, network):
        module.compile()
    compiled, other = step(parts)
    for name, value in exact.items():
        assert compiled[name] == pytest.approx(value, rel=1e-4), name
    assert float((gradient - other).norm() / gradient.norm()) < 1e-2
