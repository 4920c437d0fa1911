import math

import numpy as np
import pytest
import torch

from registry.contracts import Artifact, InputError
from registry.dxa.models.architecture import Architecture
from registry.dxa.models.backbones import BUNDLED, build_backbone
from registry.dxa.models.discriminator import Discriminator, adversarial_terms
from registry.dxa.models.encoder import ScanEncoder
from registry.dxa.models.generator import ScanGenerator
from registry.dxa.models.initialization import (
    calibrate_batch_statistics,
    set_modes,
    start_in_linear_regime,
)
from registry.dxa.models.pretrained import BUNDLED_SOURCE, bundled
from registry.dxa.models.published_generator import PublishedGenerator
from registry.dxa.models.vae import ScanVae, load_encoder
from registry.dxa.models.weights import load_weights, weights_of
from registry.dxa.settings import DxaSettings
from registry.dxa.training.scans import load_scans
from tests.registry.dxa.stand_in import open_split


@pytest.fixture(scope="module")
def scans():
    return torch.from_numpy(load_scans(open_split("pretraining", "train"), 6))


@pytest.fixture(scope="module")
def architecture(scans):
    return Architecture.for_scans(DxaSettings(latent_size=8), scans.numpy())


def test_a_backbone_with_imagenet_weights_holds_exactly_the_bundled_ones():
    backbone, source = build_backbone(BUNDLED, imagenet=True)
    weights = bundled()
    assert (source.source, source.sha256) == (BUNDLED_SOURCE, weights.sha256())
    assert all(torch.equal(value, weights.tensors[name]) for name, value in backbone.state_dict().items())


def test_a_wrong_backbone_gets_the_nearest_name():
    with pytest.raises(InputError, match="'densenet12' is not known; did you mean 'densenet121'"):
        build_backbone("densenet12")


def test_the_encoder_takes_another_backbone(scans):
    architecture = Architecture.for_scans(DxaSettings(backbone="resnet18"), scans.numpy())
    encoder = ScanEncoder(architecture).eval()
    assert encoder(scans[:2]).shape == (2, *encoder.feature_shape) == (2, 512, 1, 1)


def test_networks_see_channels_with_mean_zero_and_deviation_one(scans, architecture):
    seen = ScanEncoder(architecture).normalise(scans)
    torch.testing.assert_close(seen.mean((0, 2, 3)), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.std((0, 2, 3)), torch.ones(6), atol=1e-3, rtol=0)


def test_a_constant_channel_is_refused(scans):
    flat = scans.numpy().copy()
    flat[:, 4] = 7.0
    with pytest.raises(InputError, match=r"channel 4 .* is constant"):
        Architecture.for_scans(DxaSettings(), flat)


def test_statistics_of_scans_in_a_file_are_those_of_scans_in_memory(
    scans, architecture, tmp_path, monkeypatch
):
    monkeypatch.setattr("registry.dxa.models.architecture._BLOCK_SCANS", 5)
    mapped = np.memmap(tmp_path / "scans", np.float32, mode="w+", shape=tuple(scans.shape))
    mapped[:] = scans.numpy()
    found = Architecture.for_scans(DxaSettings(latent_size=8), mapped)
    np.testing.assert_allclose(found.channel_mean, architecture.channel_mean, rtol=1e-12)
    np.testing.assert_allclose(found.channel_scale, architecture.channel_scale, rtol=1e-12)


def test_the_stem_shows_high_low_and_all_energies(scans, architecture):
    encoder = ScanEncoder(architecture)
    seen = encoder.normalise(scans)
    expected = torch.stack([seen[:, 0::2].mean(1), seen[:, 1::2].mean(1), seen.mean(1)], 1)
    torch.testing.assert_close(encoder.stem(seen), expected, atol=1e-5, rtol=1e-5)


def test_calibration_measures_the_statistics_of_the_first_layer(scans, architecture):
    encoder = ScanEncoder(architecture)
    first = encoder.backbone.bn1
    calibrate_batch_statistics(encoder, scans, batch_size=len(scans))
    into_first = encoder.backbone.conv_stem(encoder.stem(encoder.normalise(scans)))
    torch.testing.assert_close(first.running_mean, into_first.mean((0, 2, 3)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(first.running_var, into_first.var((0, 2, 3)), atol=1e-5, rtol=1e-4)
    assert not encoder.training
    assert first.momentum == 0.1


def bend(encoder, scans):
    """How far the encoder is from affine: half way between scans against half way between values."""
    with torch.no_grad():
        one, other, between = (
            encoder(batch) for batch in (scans[:6], scans[6:12], (scans[:6] + scans[6:12]) / 2)
        )
    return float((between - (one + other) / 2).norm() / (one - other).norm())


def test_the_linear_regime_is_nearly_affine(scans, architecture):
    found = {}
    for start in (True, False):
        torch.manual_seed(0)
        encoder = ScanEncoder(architecture)
        if start:
            start_in_linear_regime(encoder.backbone)
        calibrate_batch_statistics(encoder, scans)
        found[start] = bend(encoder, scans)
    assert found[True] < 0.25
    assert found[False] > 2 * found[True]


def test_frozen_batch_norm_stays_in_evaluation_mode(architecture):
    encoder = ScanEncoder(architecture)
    set_modes(encoder, train_batch_norm=False)
    assert encoder.training
    assert not encoder.backbone.bn1.training
    set_modes(encoder, train_batch_norm=True)
    assert encoder.backbone.bn1.training


@pytest.mark.parametrize(("height", "width"), [(150, 109), (75, 55), (25, 19), (13, 7)])
def test_the_generator_draws_any_declared_size_and_starts_at_the_mean_scan(height, width):
    architecture = Architecture(BUNDLED, height, width, 5, (100.0,) * 6, (10.0,) * 6)
    mean_scan = torch.rand(6, height, width) * 1000
    generator = ScanGenerator(architecture, mean_scan)
    drawn = generator(torch.zeros(2, 5))
    assert drawn.shape == (2, 6, height, width)
    torch.testing.assert_close(drawn[0], mean_scan, atol=1e-2, rtol=1e-5)
    generator(torch.randn(2, 5)).sum().backward()
    assert all(parameter.grad is not None for parameter in generator.parameters())


@pytest.mark.parametrize(("height", "width", "latent"), [(150, 109, 640), (75, 55, 192), (25, 19, 64)])
def test_the_published_generator_draws_any_declared_size(height, width, latent):
    architecture = Architecture(BUNDLED, height, width, latent, (100.0,) * 6, (10.0,) * 6, "published")
    generator = PublishedGenerator(architecture)
    assert math.prod(generator.map_shape) == latent
    drawn = generator(torch.randn(2, latent))
    assert drawn.shape == (2, 6, height, width)
    drawn.square().mean().backward()
    assert all(parameter.grad is not None for parameter in generator.parameters())


def published(height, width, channels):
    rows, columns = -(-height // 32), -(-width // 32)
    latent = channels * rows * columns
    architecture = Architecture(BUNDLED, height, width, latent, (0.0,) * 6, (1.0,) * 6, "published")
    return PublishedGenerator(architecture)


def test_the_published_generator_has_the_released_convolutions():
    """At 150 x 109 and 512 channels: halving filters, kernels 1, 1 x 2 from the second block on, 2 and 4,
    from the fourth block on also 8."""
    with torch.device("meta"):
        generator = published(150, 109, 512)
    found = [(m.in_channels, m.out_channels, *m.kernel_size) for m in generator.modules() if is_conv(m)]
    expected, before = [], 512
    for number, filters in enumerate((512, 256, 128, 64, 32)):
        expected.append((before, filters, 1, 1))
        expected += [(filters, filters, 1, 2)] if number > 0 else []
        expected += [(filters, filters, k, k) for k in ((2, 4, 8) if number > 2 else (2, 4))]
        before = filters
    assert found == [*expected, (32, 16, 8, 8), (16, 6, 1, 1)]
    assert generator.map_shape == (512, 5, 4)


@pytest.mark.parametrize("size", [(150, 109), (75, 55), (224, 96)])
def test_the_published_generator_has_as_many_parameters_as_its_layers_ask_for(size):
    """Weights and biases of every convolution and one slope per channel of every PReLU, summed by hand; the
    size of a scan changes none of them."""
    with torch.device("meta"):
        generator = published(*size, 512)
    f = np.array([512, 256, 128, 64, 32])
    ones = 512 * 512 + (512 * 256 + 256 * 128 + 128 * 64 + 64 * 32)
    neighbours = 2 * (f[1:] ** 2).sum()
    squares = (4 + 16) * (f**2).sum() + 64 * (f[3:] ** 2).sum()
    biases = 3 * f.sum() + f[1:].sum() + f[3:].sum()
    slopes = 512 + 3 * f.sum() + f[3:].sum()
    last = 64 * 32 * 16 + 16 + 16 * 6 + 6
    counted = sum(parameter.numel() for parameter in generator.parameters())
    assert counted == ones + neighbours + squares + biases + slopes + last == 7_961_686


@pytest.mark.parametrize(
    ("height", "width", "frame"), [(150, 109, (5, 9)), (75, 55, (10, 4)), (33, 64, (15, 0))]
)
def test_the_published_generator_doubles_its_map_five_times_and_cuts_the_frame_off(height, width, frame):
    """At 150 x 109 it cuts off 5 rows before and after, 9 columns before and 10 after, as released."""
    generator, shapes, whole = published(height, width, 32), [], []
    rows, columns = generator.map_shape[1:]
    for number, block in enumerate(generator.blocks):
        block.register_forward_hook(lambda module, seen, made: shapes.append(tuple(made.shape[1:])))
        assert next(block.refine.parameters()).shape[0] == 32 >> number
    generator.smooth.register_forward_hook(lambda module, seen, made: whole.append(made))
    with torch.inference_mode():
        scans = generator(torch.randn(1, math.prod(generator.map_shape)))
        top, left = frame
        inside = whole[0][:, :, top : top + height, left : left + width]
        torch.testing.assert_close(scans, generator.last(inside))
    assert shapes == [(32 >> n, rows << (n + 1), columns << (n + 1)) for n in range(5)]
    assert scans.shape == (1, 6, height, width)


def is_conv(module):
    return isinstance(module, torch.nn.Conv2d)


def test_a_latent_that_fills_no_map_is_refused():
    with pytest.raises(ValueError, match="latent_size 100 is not a multiple of 640"):
        DxaSettings(scan_reduction=1, generator="published", latent_size=100)


def test_the_discriminator_and_its_opponent_learn_from_nothing_of_the_other(scans, architecture):
    torch.manual_seed(0)
    discriminator = Discriminator(architecture)
    made = (scans[:4] + 50).requires_grad_(True)
    terms = adversarial_terms(discriminator, scans[:4], made)
    terms["adversarial"].backward()
    assert made.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    made.grad = None
    adversarial_terms(discriminator, scans[:4], made)["discriminator"].backward()
    assert made.grad is None
    assert all(parameter.grad is not None for parameter in discriminator.parameters())


def test_a_discriminator_that_says_nothing_costs_log_two_per_judgement(scans, architecture):
    discriminator = Discriminator(architecture)
    torch.nn.init.zeros_(discriminator.layers[-1].weight)
    torch.nn.init.zeros_(discriminator.layers[-1].bias)
    terms = adversarial_terms(discriminator, scans[:4], scans[4:8])
    assert float(terms["adversarial"].detach()) == pytest.approx(math.log(2))
    assert float(terms["discriminator"].detach()) == pytest.approx(2 * math.log(2))


def test_an_autoencoder_comes_back_from_its_artifact_unchanged(scans, architecture):
    torch.manual_seed(0)
    vae = ScanVae(architecture).eval()
    artifact = Artifact(vae.parts(), {"architecture": architecture.metadata()})
    again = ScanVae.from_artifact(artifact).eval()
    with torch.no_grad():
        torch.testing.assert_close(again(scans[:2]).scans, vae(scans[:2]).scans, rtol=0, atol=0)


def test_a_task_takes_the_encoder_and_leaves_the_latent_heads(scans, architecture):
    vae = ScanVae(architecture).eval()
    encoder = ScanEncoder(architecture).eval()
    load_encoder(encoder, Artifact(vae.parts(), {"architecture": architecture.metadata()}))
    with torch.no_grad():
        assert torch.equal(encoder(scans[:1]), vae.encoder(scans[:1]))


def test_the_latent_is_drawn_while_training_and_its_mean_otherwise(scans, architecture):
    vae = ScanVae(architecture)
    set_modes(vae, train_batch_norm=False)
    with torch.no_grad():
        vae.log_variance.bias.fill_(0.0)
        assert not torch.equal(vae(scans[:1]).scans, vae(scans[:1]).scans)
        vae.eval()
        assert torch.equal(vae(scans[:1]).scans, vae(scans[:1]).scans)


def test_weights_are_copies_and_must_match(architecture):
    encoder = ScanEncoder(architecture)
    weights = dict(weights_of(encoder))
    with torch.no_grad():
        encoder.stem.weight.zero_()
    assert weights["stem.weight"].any()
    with pytest.raises(InputError, match=r"weights of the encoder lack 'stem\.bias'"):
        load_weights(encoder, {k: v for k, v in weights.items() if k != "stem.bias"}, what="encoder")
    with pytest.raises(InputError, match="have the unknown tensor 'other'"):
        load_weights(encoder, {**weights, "other": np.zeros(1)}, what="encoder")
    with pytest.raises(InputError, match=r"'stem.bias' of the encoder has the shape \(4,\), expected \(3,\)"):
        load_weights(encoder, {**weights, "stem.bias": np.zeros(4)}, what="encoder")


def test_an_artifact_without_its_architecture_is_refused():
    with pytest.raises(InputError, match="'architecture' in their metadata"):
        Architecture.of(Artifact({}))
    with pytest.raises(InputError, match="is not complete"):
        Architecture.of(Artifact({}, {"architecture": {"backbone": BUNDLED}}))


def test_the_architecture_survives_json(architecture):
    import json  # noqa: PLC0415

    metadata = json.loads(json.dumps({"architecture": architecture.metadata()}))
    assert Architecture.of(Artifact({}, metadata)) == architecture
