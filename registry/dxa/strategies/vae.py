"""Variational autoencoders of scans that differ in the terms of their loss alone."""

from __future__ import annotations

from registry.contracts import Artifact, Space, Strategy, TrialContext, loguniform, strategy

_PAPER = "arXiv 2206.06663"


@strategy(
    "nodxa_vae",
    title="noDXA-VAE",
    provides={"encoder", "generator"},
    trained_jointly=frozenset({"encoder", "generator"}),
    domain="dxa",
    version="3",
    factors={
        "perceptual_weight": 1.0,
        "pixel_weight": 0.0,
        "r_image_weight": 0.0,
        "r_variant": "energy",
        "r_offset": "subtracted",
        "kl_weight": 1e-5,
        "adversarial_weight": 0.0,
        "layer_units": "relative",
        "augmentation": "none",
        "masked_fraction": 0.0,
    },
    summary="An autoencoder of scans whose reconstructions are compared by what an ImageNet network sees.",
    citation=_PAPER,
)
class NoDxaVae(Strategy):
    """Trains the autoencoder; which terms its loss has is a matter of factors alone."""

    space = Space(
        learning_rate=loguniform(5e-4, 1e-2, default=5e-3),
        encoder_rate_factor=loguniform(0.01, 1.0, default=0.1),
        dense_rate_factor=loguniform(0.06, 6.0, default=0.6),
        head_weight_decay=loguniform(0.8, 80.0, default=8.0),
    )

    def pretrain(self, context: TrialContext) -> Artifact:
        """Train encoder and generator together on the train scans of the pretraining part."""
        from registry.dxa.training.autoencoder import train_autoencoder  # noqa: PLC0415

        return train_autoencoder(context)


@strategy(
    "dxa_vae",
    title="DXA-VAE",
    provides={"encoder", "generator"},
    trained_jointly=frozenset({"encoder", "generator"}),
    domain="dxa",
    version="3",
    changes={"r_image_weight": 0.1},
    summary="The same autoencoder, whose reconstructions must also agree in the ratio of both energies.",
    citation=_PAPER,
)
class DxaVae(NoDxaVae):
    """The noDXA-VAE with one factor changed: the R image counts."""


@strategy(
    "dxa_vae_permuted",
    title="DXA-VAE, permuted",
    provides={"encoder", "generator"},
    trained_jointly=frozenset({"encoder", "generator"}),
    domain="dxa",
    version="2",
    changes={"r_variant": "phase"},
    summary=(
        "A control: the same ratio arithmetic, mask and number of images, but each ratio is taken between "
        "two phases of one energy, so that no contrast of the two energies is in it."
    ),
)
class DxaVaePermuted(DxaVae):
    """The DXA-VAE with one factor changed: its ratios have no energy contrast."""


@strategy(
    "vae_pixel",
    title="Pixel VAE",
    provides={"encoder", "generator"},
    trained_jointly=frozenset({"encoder", "generator"}),
    domain="dxa",
    version="2",
    changes={"perceptual_weight": 0.0, "pixel_weight": 1.0},
    summary="The same autoencoder, whose reconstructions are compared count by count.",
)
class VaePixel(NoDxaVae):
    """The noDXA-VAE with pixels in the place of features."""


@strategy(
    "dxa_vae_released",
    title="DXA-VAE, as released",
    provides={"encoder", "generator"},
    trained_jointly=frozenset({"encoder", "generator"}),
    domain="dxa",
    version="2",
    changes={
        "r_image_weight": 0.05,
        "r_variant": "released",
        "r_offset": "kept",
        "kl_weight": 0.0,
        "adversarial_weight": 500.0,
        "layer_units": "summed",
        "augmentation": "published",
    },
    summary=(
        "The loss of the published implementation, which differs from the printed one: nine images of sums "
        "of phases, no divergence, a discriminator, features summed and not averaged, augmented scans."
    ),
    citation=f"{_PAPER}; its code, github.com/LambertLeong/DXA-VAE",
)
class DxaVaeReleased(DxaVae):
    """The DXA-VAE with the factors of the code in the place of those of the text."""
