"""Self-supervised by agreement: two views of a scan shall give like features that vary and do not repeat."""

from __future__ import annotations

from registry.contracts import Artifact, Space, Strategy, TrialContext, loguniform, strategy


@strategy(
    "vicreg",
    title="VICReg",
    provides={"encoder"},
    domain="dxa",
    factors={
        "invariance_weight": 25.0,
        "variance_weight": 25.0,
        "covariance_weight": 1.0,
        "scans_per_step": 32,
    },
    summary="An encoder whose features of two augmented views of a scan agree, vary and are uncorrelated.",
    citation="Bardes, Ponce and LeCun 2022, arXiv 2105.04906",
)
class VicReg(Strategy):
    """Trains the encoder alone, on as many scans as the autoencoders see."""

    space = Space(
        learning_rate=loguniform(2e-4, 5e-3, default=1e-3),
        encoder_rate_factor=loguniform(0.01, 1.0, default=0.1),
    )

    def pretrain(self, context: TrialContext) -> Artifact:
        """Train on two views of each train scan of the pretraining part."""
        from registry.dxa.training.joint_embedding import train_joint_embedding  # noqa: PLC0415

        return train_joint_embedding(context)
