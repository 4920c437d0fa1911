import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference_divergence

from registry.dxa.losses.divergence import kl_divergence
from registry.dxa.losses.perceptual import PerceptualNetwork, distance, layer_scales
from registry.dxa.losses.r_image import body_mask, r_image
from registry.dxa.losses.scan_loss import ScanLoss
from registry.dxa.models.vae import Reconstruction
from registry.dxa.training.scans import load_scans
from tests.registry.dxa.stand_in import open_split

WEIGHTS = {"perceptual_weight": 1.0, "r_image_weight": 0.1, "kl_weight": 1e-3}


@pytest.fixture(scope="module")
def scans():
    return torch.from_numpy(load_scans(open_split("pretraining", "train"), 4))


@pytest.fixture(scope="module")
def network():
    return PerceptualNetwork()


def reconstruction_of(scans, count, *, noise=100.0, requires_grad=False):
    generator = torch.Generator().manual_seed(0)
    changed = scans[:count] + noise * torch.randn(scans[:count].shape, generator=generator)
    mean = torch.randn(count, 8, generator=generator)
    return Reconstruction(changed.requires_grad_(requires_grad), mean, -mean)


def plain_loss(loss, network, scans, indices, reconstruction):
    """One pass per stack and image, everything computed again at every step."""
    true = scans[indices]
    made = reconstruction.scans
    body = true[:, :1] > 440

    def ratio(image):
        return (torch.where(body, image[:, 1::2] / image[:, 0::2], torch.ones(())) - 0.9) / 0.8

    pairs = [
        (true[:, :3] / 1e4, made[:, :3] / 1e4),
        (true[:, 3:] / 1e4, made[:, 3:] / 1e4),
        (ratio(true), ratio(made)),
    ]
    distances = []
    for (one, other), scales in zip(pairs, loss.scales, strict=True):
        layers = zip([one, *network.network((one - 0.5) / 0.5)], _features(network, other), strict=True)
        total = 0.0
        for (target, layer), scale in zip(layers, scales, strict=True):
            total = total + (target - layer).abs().mean() / scale
        distances.append(total / len(scales))
    divergence = reference_divergence(
        Normal(reconstruction.mean, (reconstruction.log_variance / 2).exp()), Normal(0.0, 1.0)
    )
    return {
        "perceptual": (distances[0] + distances[1]) / 2,
        "r_image": 0.1 * distances[2],
        "kl": 1e-3 * divergence.sum(1).mean(),
    }


def _features(network, image):
    return [image, *network.network((image - 0.5) / 0.5)]


@pytest.mark.parametrize("cached", [True, False])
def test_loss_and_gradient_equal_a_plain_reference(scans, network, monkeypatch, cached):
    if not cached:
        monkeypatch.setattr("registry.dxa.losses.scan_loss._CACHE_BYTES", 0)
    loss = ScanLoss(scans, WEIGHTS, network)
    assert (loss._cache is not None) == cached
    indices = np.array([2, 0, 5])
    # Noise stays small enough that no body pixel falls below the threshold where R is continued.
    ours = reconstruction_of(scans[indices], 3, noise=20.0, requires_grad=True)
    theirs = Reconstruction(ours.scans.detach().clone().requires_grad_(True), ours.mean, ours.log_variance)
    made, reference = loss(indices, ours), plain_loss(loss, network, scans, indices, theirs)
    assert set(made) == set(reference) == {"perceptual", "r_image", "kl"}
    for name, value in reference.items():
        torch.testing.assert_close(made[name], value, rtol=1e-5, atol=1e-6)
    sum(made.values()).backward()
    sum(reference.values()).backward()
    largest = theirs.scans.grad.abs().max()
    torch.testing.assert_close(ours.scans.grad, theirs.scans.grad, rtol=1e-4, atol=float(1e-5 * largest))


def test_a_perfect_reconstruction_costs_its_divergence_alone(scans, network):
    loss = ScanLoss(scans, WEIGHTS, network)
    terms = loss(np.array([0, 1]), Reconstruction(scans[:2], torch.zeros(2, 8), torch.zeros(2, 8)))
    assert all(float(term) == pytest.approx(0.0, abs=1e-6) for term in terms.values())


def test_a_weight_of_zero_leaves_its_term_out(scans, network):
    loss = ScanLoss(scans, {**WEIGHTS, "r_image_weight": 0.0, "kl_weight": 0.0}, network)
    assert set(loss(np.array([0]), reconstruction_of(scans, 1))) == {"perceptual"}


def test_every_layer_is_a_relative_error(scans, network):
    """Images that are replaced by their mean are wrong by their mean absolute deviation: distance 1."""
    images = scans[:, :3] / 1e4
    layers = network(images)
    flat = [layer.mean((0, 2, 3), keepdim=True).expand_as(layer) for layer in layers]
    assert float(distance(layers, flat, layer_scales(layers))) == pytest.approx(1.0, abs=1e-5)


def test_gradients_are_finite_everywhere(scans, network):
    loss = ScanLoss(scans, WEIGHTS, network)
    wild = torch.linspace(-5_000, 30_000, scans[:2].numel()).reshape(scans[:2].shape).requires_grad_(True)
    mean = torch.zeros(2, 8, requires_grad=True)
    terms = loss(np.array([0, 1]), Reconstruction(wild, mean, mean))
    sum(terms.values()).backward()
    assert torch.isfinite(wild.grad).all()
    assert torch.isfinite(mean.grad).all()


def test_the_perceptual_network_stays_frozen_and_in_evaluation_mode(network):
    network.train()
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_r_is_low_over_high_above_the_threshold():
    scan = torch.tensor([1000.0, 1300.0, 2000.0, 3000.0, 500.0, 450.0]).reshape(1, 6, 1, 1)
    torch.testing.assert_close(r_image(scan).flatten(), torch.tensor([1.3, 1.5, 0.9]))


def test_below_the_threshold_r_continues_along_the_tangent():
    """At a high-energy count of 0, 1 / 440 is continued to 2 / 440; the slope stays that of 1 / 440."""
    high = torch.tensor([440.0, 340.0, 0.0, -440.0], requires_grad=True)
    scan = torch.ones(4, 6, 1, 1) * 880.0
    scan = scan.index_copy(1, torch.tensor([0]), high.reshape(4, 1, 1, 1))
    ratio = r_image(scan)[:, 0].flatten()
    torch.testing.assert_close(ratio, torch.tensor([2.0, 2 * (1 + 100 / 440), 4.0, 6.0]))
    (slope,) = torch.autograd.grad(ratio.sum(), high)
    torch.testing.assert_close(slope, torch.full((4,), -880.0 / 440**2))


def test_the_mask_follows_the_air_phase_of_true_scans():
    scan = torch.full((1, 6, 1, 2), 5000.0)
    scan[:, 0] = torch.tensor([440.0, 441.0])
    assert body_mask(scan).flatten().tolist() == [False, True]


def test_divergence_equals_torch_distributions():
    generator = torch.Generator().manual_seed(1)
    mean, log_variance = torch.randn(2, 5, 7, generator=generator)
    expected = reference_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)


def test_divergence_worked_by_hand():
    # One dimension, mean 1, variance e: (1 + e - 1 - 1) / 2.
    value = kl_divergence(torch.ones(1, 1), torch.ones(1, 1))
    assert float(value) == pytest.approx((math.e - 1) / 2)
