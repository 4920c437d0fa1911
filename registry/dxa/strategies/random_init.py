"""No pretraining: the untrained encoder and generator that the autoencoders start from."""

from __future__ import annotations

from registry.contracts import Artifact, Strategy, TrialContext, strategy


@strategy(
    "random_init",
    title="Random",
    provides={"encoder", "generator"},
    version="2",
    domain="dxa",
    factors={"initialisation": "linear regime, batch statistics of train scans"},
    summary="Untrained weights: the initialisation that the autoencoders start from.",
)
class RandomInit(Strategy):
    """Hands on untrained weights."""

    def pretrain(self, context: TrialContext) -> Artifact:
        """Draw the weights by the trial's seed and measure batch statistics on train scans."""
        from registry.dxa.strategies.start import begin, initial_autoencoder  # noqa: PLC0415

        start = begin(context)
        vae = initial_autoencoder(start, context.seed)
        return Artifact(
            parts=vae.parts(),
            metadata={"architecture": start.architecture.metadata(), "source": "random"},
        )
