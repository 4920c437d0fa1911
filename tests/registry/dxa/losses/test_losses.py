import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference_divergence

from registry.contracts import InputError
from registry.dxa.losses.divergence import kl_divergence
from registry.dxa.losses.perceptual import DECLARED, Layers, PerceptualNetwork, distance, layer_scales
from registry.dxa.losses.ratios import body_mask, ratio, ratio_images
from registry.dxa.losses.scan_loss import LossFactors, ScanLoss
from registry.dxa.losses.vicreg import vicreg_terms
from registry.dxa.models.backbones import BUNDLED, build_backbone
from registry.dxa.models.folding import merge
from registry.dxa.models.vae import Reconstruction
from registry.dxa.training.scans import load_scans
from tests.registry.dxa.stand_in import open_split

FACTORS = LossFactors(
    perceptual_weight=1.0,
    pixel_weight=0.5,
    r_image_weight=0.1,
    r_variant="energy",
    r_offset="subtracted",
    kl_weight=1e-3,
)
#: Counts of one pixel: air, bone and tissue at high and low energy, as they alternate in a scan.
PIXEL = (1200.0, 1500.0, 2200.0, 2700.0, 2000.0, 2600.0)


@pytest.fixture(scope="module")
def scans():
    return torch.from_numpy(load_scans(open_split("pretraining", "train"), 4))


@pytest.fixture(scope="module")
def network():
    return PerceptualNetwork()


@pytest.fixture(scope="module")
def plain():
    """The perceptual network as timm gives it."""
    network, _ = build_backbone(BUNDLED, stages=(0, 1, 2), imagenet=True)
    return network.eval().requires_grad_(False)


def reconstruction_of(scans, count, *, noise=100.0):
    generator = torch.Generator().manual_seed(0)
    changed = scans[:count] + noise * torch.randn(scans[:count].shape, generator=generator)
    mean = torch.randn(count, 8, generator=generator)
    return Reconstruction(changed, mean, -mean)


def plain_ratios(variant, offset, scans, true):
    """Written out channel by channel."""
    pedestal = {"subtracted": 200.0, "kept": 0.0}[offset]
    air_hi, air_lo, bone_hi, bone_lo, tissue_hi, tissue_lo = (scans[:, c] - pedestal for c in range(6))
    body = true[:, 0] > 440
    if variant == "released":
        return plain_released((air_hi, air_lo, bone_hi, bone_lo, tissue_hi, tissue_lo))
    if variant == "energy":
        ratios, low = (air_lo / air_hi, bone_lo / bone_hi, tissue_lo / tissue_hi), 0.9
    else:
        ratios, low = (air_hi / bone_hi, air_lo / tissue_lo, tissue_hi / bone_hi), 0.2
    return [torch.stack([(torch.where(body, r, 1.0) - low) / 0.8 for r in ratios], 1)]


def plain_released(channels):
    """As docs/strategies.md describes the published images, one by one."""
    air_hi, air_lo, bone_hi, bone_lo, tissue_hi, tissue_lo = (channel / 16383 for channel in channels)

    def clip(image):
        return image.clamp(1 / 16383, 1.0)

    def sums(air, bone, tissue, plus):
        return [clip(air + plus), clip(bone + plus), clip(tissue + plus)]

    def air_group(air, bone, tissue, second):
        return [clip(air), clip(second), clip(tissue + tissue - air)]

    hi_air = air_group(air_hi, bone_hi, tissue_hi, 2 * bone_hi - air_hi)
    lo_air = air_group(air_lo, bone_lo, tissue_lo, 2 * bone_lo - air_lo)
    groups = [
        ([low / high for low, high in zip(lo_air, hi_air, strict=True)],),
        (air_group(air_hi, bone_hi, tissue_hi, bone_hi),),
        (air_group(air_lo, bone_lo, tissue_lo, bone_lo),),
    ]
    for hi_plus, lo_plus in ((tissue_hi - air_hi, tissue_lo - air_lo), (bone_hi - air_hi, bone_lo - air_lo)):
        hi = sums(air_hi, bone_hi, tissue_hi, hi_plus)
        lo = sums(air_lo, bone_lo, tissue_lo, lo_plus)
        groups += [([low / high for low, high in zip(lo, hi, strict=True)],), (hi,), (lo,)]
    return [torch.stack(channels, 1) for (channels,) in groups]


def plain_loss(factors, plain, scans, indices, reconstruction):
    """One pass per image, everything computed again at every step."""
    true = scans[indices]
    made = reconstruction.scans
    ratios = (factors.r_variant, factors.r_offset)
    pairs = [
        (true[:, :3] / 1e4, made[:, :3] / 1e4),
        (true[:, 3:] / 1e4, made[:, 3:] / 1e4),
        *zip(plain_ratios(*ratios, true, true), plain_ratios(*ratios, made, true), strict=True),
    ]
    known = [scans[:, :3] / 1e4, scans[:, 3:] / 1e4, *plain_ratios(*ratios, scans, scans)]
    distances = []
    for (one, other), real in zip(pairs, known, strict=True):
        total = 0.0
        compared = zip(*(_features(plain, image) for image in (one, other, real)), strict=True)
        for target, layer, over in compared:
            deviation = (over - over.mean((0, 2, 3), keepdim=True)).abs().mean()
            total = total + (target - layer).abs().mean() / deviation / 4
        distances.append(total)
    divergence = reference_divergence(
        Normal(reconstruction.mean, (reconstruction.log_variance / 2).exp()), Normal(0.0, 1.0)
    )
    deviation = (scans - scans.mean((0, 2, 3), keepdim=True)).abs().mean()
    return {
        "perceptual": (distances[0] + distances[1]) / 2,
        "r_image": 0.1 * sum(distances[2:]) / len(distances[2:]),
        "pixel": 0.5 * (true - made).abs().mean() / deviation,
        "kl": 1e-3 * divergence.sum(1).mean(),
    }


def _features(plain, image):
    return [image, *plain((image - 0.5) / 0.5)]


@pytest.mark.parametrize(
    ("variant", "offset"),
    [("energy", "subtracted"), ("energy", "kept"), ("phase", "subtracted"), ("released", "kept")],
)
def test_loss_and_gradient_equal_a_plain_reference(scans, network, plain, variant, offset):
    """Values in single precision; gradients in double, where no rounding tips a kink over."""
    factors = replace(FACTORS, r_variant=variant, r_offset=offset)
    indices = np.array([2, 0, 5])
    # Noise stays small enough that no body pixel falls below the threshold where a ratio is continued.
    ours = reconstruction_of(scans[indices], 3, noise=20.0)
    made = ScanLoss(scans, factors, network)(indices, ours)
    reference = plain_loss(factors, plain, scans, indices, ours)
    assert set(made) == set(reference) == {"perceptual", "r_image", "pixel", "kl"}
    for name, value in reference.items():
        torch.testing.assert_close(made[name], value, rtol=1e-5, atol=1e-6)

    loss = ScanLoss(scans.double(), factors, exactly(network))
    exact = [twice(ours) for _ in range(2)]
    sum(loss(indices, exact[0]).values()).backward()
    exact_plain = copy.deepcopy(plain).double()
    sum(plain_loss(factors, exact_plain, scans.double(), indices, exact[1]).values()).backward()
    for name in ("scans", "mean", "log_variance"):
        found, wanted = (getattr(one, name).grad for one in exact)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


def exactly(network):
    """The same network in double precision."""
    exact = copy.deepcopy(network).double()
    merge(exact.network)
    return exact


def twice(reconstruction):
    values = (reconstruction.scans, reconstruction.mean, reconstruction.log_variance)
    return Reconstruction(*(value.detach().double().requires_grad_(True) for value in values))


def test_targets_that_do_not_fit_into_memory_are_computed_anew(scans, network, monkeypatch):
    indices, made = np.array([2, 0, 5]), reconstruction_of(scans[[2, 0, 5]], 3)
    kept = ScanLoss(scans, FACTORS, network)(indices, made)
    monkeypatch.setattr("registry.dxa.losses.scan_loss._CACHE_BYTES", 0)
    anew = ScanLoss(scans, FACTORS, network)(indices, made)
    for name, value in kept.items():
        torch.testing.assert_close(anew[name], value, rtol=1e-5, atol=1e-6)


def test_a_perfect_reconstruction_costs_its_divergence_alone(scans, network):
    loss = ScanLoss(scans, FACTORS, network)
    terms = loss(np.array([0, 1]), Reconstruction(scans[:2], torch.zeros(2, 8), torch.zeros(2, 8)))
    assert all(float(term) == pytest.approx(0.0, abs=1e-6) for term in terms.values())


def test_a_weight_of_zero_leaves_its_term_out(scans, network):
    loss = ScanLoss(scans, replace(FACTORS, r_image_weight=0.0, kl_weight=0.0, pixel_weight=0.0), network)
    assert set(loss(np.array([0]), reconstruction_of(scans, 1))) == {"perceptual"}


def test_every_layer_is_a_relative_error(scans, network):
    """Images that are replaced by their mean are wrong by their mean absolute deviation: distance 1."""
    layers = network(scans[:, :3] / 1e4)
    flat = [layer.mean((0, 2, 3), keepdim=True).expand_as(layer) for layer in layers]
    shares = [0.25 / scale for scale in layer_scales(layers)]
    assert float(distance(layers, flat, shares)) == pytest.approx(1.0, abs=1e-5)


def test_layers_weigh_what_is_declared(scans):
    """With weights 1 and 3, the second layer's share of the loss is three quarters."""
    network = PerceptualNetwork(layers=Layers((1.0, 3.0), stages=(0,)))
    plain = build_backbone(BUNDLED, stages=(0,), imagenet=True)[0].eval()
    loss = ScanLoss(scans, replace(FACTORS, r_image_weight=0.0), network)
    made = reconstruction_of(scans, 2)
    expected = 0.0
    for channels in (slice(0, 3), slice(3, 6)):
        images = [image[:, channels] / 1e4 for image in (scans[:2], made.scans, scans)]
        layers = [[image, *plain((image - 0.5) / 0.5)] for image in images]
        for weight, true, other, real in zip((1, 3), *layers, strict=True):
            deviation = (real - real.mean((0, 2, 3), keepdim=True)).abs().mean()
            expected += weight / 4 * (true - other).abs().mean() / deviation / 2
    found = loss(np.array([0, 1]), made)["perceptual"]
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_summed_units_are_those_of_the_published_code(scans, network, plain):
    """Absolute differences summed over a scan, over layers and images; ratios one weight further on."""
    layers = Layers((0.5, 0.75, 0.25, 0.1), stages=(0, 1, 2))
    factors = replace(FACTORS, r_variant="released", r_offset="kept", layer_units="summed")
    loss = ScanLoss(scans, factors, PerceptualNetwork(layers=layers))
    made = reconstruction_of(scans, 2)

    def summed(images, others, weights):
        total = 0.0
        for image, other in zip(images, others, strict=True):
            pairs = zip(_features(plain, image), _features(plain, other), weights, strict=False)
            total += sum(weight * (one - two).abs().sum() / 2 for one, two, weight in pairs)
        return float(total)

    raw = ([x[:, :3] / 1e4, x[:, 3:] / 1e4] for x in (scans[:2], made.scans))
    ratios = (plain_ratios("released", "kept", x, scans[:2]) for x in (scans[:2], made.scans))
    found = loss(np.array([0, 1]), made)
    assert float(found["perceptual"]) == pytest.approx(summed(*raw, layers.weights), rel=1e-5)
    assert float(found["r_image"]) == pytest.approx(0.1 * summed(*ratios, layers.weights[1:]), rel=1e-5)


def test_unknown_units_are_refused():
    with pytest.raises(InputError, match="'layer_units' = 'squared' is not known"):
        replace(FACTORS, layer_units="squared")


def test_the_published_layers_of_vgg16_follow_its_convolutions():
    """Sixteen weights with the image's; each activation behind a convolution, and two of the poolings."""
    layers = DECLARED["vgg16"]
    backbone = timm.create_model("vgg16", features_only=True)
    chosen = [backbone.get_submodule(name) for name in layers.modules]
    assert len(layers.weights) == 16 == len(chosen) + 1
    assert sum(isinstance(module, torch.nn.ReLU) for module in chosen) == 13
    assert sum(isinstance(module, torch.nn.MaxPool2d) for module in chosen) == 2


@pytest.mark.parametrize("variant", ["energy", "phase", "released"])
def test_gradients_are_finite_everywhere(scans, network, variant):
    loss = ScanLoss(scans, replace(FACTORS, r_variant=variant), network)
    wild = torch.linspace(-5_000, 30_000, scans[:2].numel()).reshape(scans[:2].shape).requires_grad_(True)
    mean = torch.zeros(2, 8, requires_grad=True)
    terms = loss(np.array([0, 1]), Reconstruction(wild, mean, mean))
    sum(terms.values()).backward()
    assert torch.isfinite(wild.grad).all()
    assert torch.isfinite(mean.grad).all()


def test_without_features_to_compare_no_network_is_needed(scans):
    loss = ScanLoss(scans, replace(FACTORS, perceptual_weight=0.0, r_image_weight=0.0))
    assert set(loss(np.array([0]), reconstruction_of(scans, 1))) == {"pixel", "kl"}


def test_a_scan_replaced_by_its_mean_has_a_pixel_distance_of_its_weight(scans):
    loss = ScanLoss(scans, replace(FACTORS, perceptual_weight=0.0, r_image_weight=0.0))
    flat = scans.mean((0, 2, 3), keepdim=True).expand_as(scans)
    latent = torch.zeros(len(scans), 8)
    terms = loss(np.arange(len(scans)), Reconstruction(flat, latent, latent))
    assert float(terms["pixel"]) == pytest.approx(0.5, abs=1e-5)


def test_the_perceptual_network_stays_frozen_and_in_evaluation_mode(network):
    network.train()
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def one_pixel(values=PIXEL):
    return torch.tensor(values).reshape(1, 6, 1, 1)


def shown(variant, offset, scan=None, true=None):
    scan = one_pixel() if scan is None else scan
    images = ratio_images(variant, offset)(scan, scan if true is None else true)
    return [image.flatten().tolist() for image in images]


@pytest.mark.parametrize(
    ("variant", "offset", "ratios", "low"),
    [
        # low / high of air, bone, tissue: 1300 / 1000, 2500 / 2000, 2400 / 1800
        ("energy", "subtracted", (1.3, 1.25, 4 / 3), 0.9),
        ("energy", "kept", (1.25, 27 / 22, 1.3), 0.9),
        # air / bone at high, air / tissue at low, tissue / bone at high energy
        ("phase", "subtracted", (0.5, 13 / 24, 0.9), 0.2),
        ("phase", "kept", (12 / 22, 15 / 26, 20 / 22), 0.2),
    ],
)
def test_ratios_worked_by_hand(variant, offset, ratios, low):
    (image,) = shown(variant, offset)
    assert image == pytest.approx([(ratio - low) / 0.8 for ratio in ratios], abs=1e-6)


def test_the_nine_released_images_worked_by_hand():
    """With the offset kept: air 1200 / 1500, c(bone) = 1000 / 1200, c(tissue) = 800 / 1100 at high / low."""
    found = [[value * 16383 for value in image] for image in shown("released", "kept")]
    ratios = [
        [1500 / 1200, 3900 / 3200, 3700 / 2800],
        [2600 / 2000, 3800 / 3000, 3700 / 2800],
        [2700 / 2200, 3900 / 3200, 3800 / 3000],
    ]
    pictures = [
        ([1200, 2200, 2800], [1500, 2700, 3700]),
        ([2000, 3000, 2800], [2600, 3800, 3700]),
        ([2200, 3200, 3000], [2700, 3900, 3800]),
    ]
    for number, (ratio_row, (high, low)) in enumerate(zip(ratios, pictures, strict=True)):
        group = found[3 * number : 3 * number + 3]
        assert [value / 16383 for value in group[0]] == pytest.approx(ratio_row, rel=1e-5)
        assert group[1] == pytest.approx(high, rel=1e-5)
        assert group[2] == pytest.approx(low, rel=1e-5)


def test_the_patients_r_is_what_the_imaging_package_computes(scans):
    from registry.dxa.imaging.r_image import r_image  # noqa: PLC0415

    (image,) = ratio_images("energy", "subtracted")(scans, scans)
    counts = scans.permute(0, 2, 3, 1).numpy()
    for channel, phase in enumerate(("air", "bone", "tissue")):
        expected = np.where(body_mask(scans)[:, 0].numpy(), r_image(counts, phase, minimum_counts=0.0), 1.0)
        np.testing.assert_allclose(image[:, channel] * 0.8 + 0.9, expected, rtol=1e-5)


def test_permuted_ratios_say_nothing_of_the_energies():
    """Attenuation that grows by one factor at low energy alone leaves every ratio where it was."""
    changed = one_pixel(tuple(200 + (value - 200) * (1.4 if i % 2 else 1.0) for i, value in enumerate(PIXEL)))
    assert shown("phase", "subtracted", changed)[0] == pytest.approx(shown("phase", "subtracted")[0])
    assert shown("energy", "subtracted", changed)[0] != pytest.approx(shown("energy", "subtracted")[0])


def test_where_the_true_scan_shows_nothing_ratios_are_a_constant():
    air = one_pixel((230.0, 215.0, 1500.0, 1700.0, 1400.0, 1600.0))
    for variant, low in (("energy", 0.9), ("phase", 0.2)):
        assert shown(variant, "subtracted", one_pixel(), true=air)[0] == pytest.approx([(1 - low) / 0.8] * 3)


def test_below_the_threshold_a_ratio_continues_along_the_tangent():
    """At 0 counts, 1 / 240 is continued to 2 / 240; the slope stays that of 1 / 240."""
    under = torch.tensor([240.0, 140.0, 0.0, -240.0], requires_grad=True)
    found = ratio(torch.full((4,), 480.0), under, floor=240.0)
    torch.testing.assert_close(found, torch.tensor([2.0, 2 * (1 + 100 / 240), 4.0, 6.0]))
    (slope,) = torch.autograd.grad(found.sum(), under)
    torch.testing.assert_close(slope, torch.full((4,), -480.0 / 240**2))


@pytest.mark.parametrize(
    ("variant", "offset", "message"),
    [
        ("energies", "kept", "'r_variant' = 'energies' is not known"),
        ("energy", "left", "'r_offset' = 'left'"),
    ],
)
def test_an_unknown_ratio_is_refused(variant, offset, message):
    with pytest.raises(InputError, match=message):
        ratio_images(variant, offset)


def test_the_mask_follows_the_air_phase_of_true_scans():
    scan = torch.full((1, 6, 1, 2), 5000.0)
    scan[:, 0] = torch.tensor([440.0, 441.0])
    assert body_mask(scan).flatten().tolist() == [False, True]


def test_divergence_equals_torch_distributions():
    generator = torch.Generator().manual_seed(1)
    mean, log_variance = torch.randn(2, 5, 7, generator=generator)
    expected = reference_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)


def test_vicreg_worked_by_hand():
    """Two scans, two features, of variance 2 and 0.02."""
    one = torch.tensor([[1.0, 0.1], [-1.0, -0.1]])
    other = torch.tensor([[2.0, 0.1], [0.0, -0.1]])  # the same, moved by 1 in the first feature
    terms = vicreg_terms(one, other)
    assert float(terms["invariance"]) == pytest.approx(2 * 1.0 / 4)
    # Deviations: sqrt(2 + 1e-4) and sqrt(0.02 + 1e-4), of which the second falls short of 1.
    assert float(terms["variance"]) == pytest.approx((1 - math.sqrt(0.0201)) / 2)
    # Covariance 2 x 1 x 0.1 = 0.2, twice off the diagonal, over two features, for both views.
    assert float(terms["covariance"]) == pytest.approx(2 * (2 * 0.2**2) / 2)


def test_divergence_worked_by_hand():
    # One dimension, mean 1, variance e: (1 + e - 1 - 1) / 2.
    value = kl_divergence(torch.ones(1, 1), torch.ones(1, 1))
    assert float(value) == pytest.approx((math.e - 1) / 2)
