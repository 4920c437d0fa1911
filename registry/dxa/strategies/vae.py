"""Variational autoencoders of scans, without and with the physics of dual energy in their loss."""

from __future__ import annotations

from registry.contracts import Artifact, Space, Strategy, TrialContext, loguniform, strategy

_PAPER = "arXiv 2206.06663"


@strategy(
    "nodxa_vae",
    title="noDXA-VAE",
    provides={"encoder", "generator"},
    trained_jointly=frozenset({"encoder", "generator"}),
    domain="dxa",
    factors={"perceptual_weight": 1.0, "r_image_weight": 0.0, "kl_weight": 1e-5},
    summary="An autoencoder of scans whose reconstructions are compared by what an ImageNet network sees.",
    citation=_PAPER,
)
class NoDxaVae(Strategy):
    """Trains the autoencoder; which terms its loss has is a matter of factors alone."""

    space = Space(
        learning_rate=loguniform(2e-4, 5e-3, default=1e-3),
        encoder_rate_factor=loguniform(0.01, 1.0, default=0.1),
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
    changes={"r_image_weight": 0.1},
    summary="The same autoencoder, whose reconstructions must also agree in the ratio of both energies.",
    citation=_PAPER,
)
class DxaVae(NoDxaVae):
    """The noDXA-VAE with one factor changed: the R image counts."""
