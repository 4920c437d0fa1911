"""Self-supervised by filling in: an autoencoder that sees two fifths of a scan and draws all of it."""

from __future__ import annotations

from registry.contracts import strategy
from registry.dxa.strategies.vae import VaePixel


@strategy(
    "masked_autoencoder",
    title="Masked autoencoder",
    provides={"encoder", "generator"},
    trained_jointly=frozenset({"encoder", "generator"}),
    domain="dxa",
    version="2",
    changes={"masked_fraction": 0.6, "kl_weight": 0.0},
    summary="The pixel autoencoder, shown scans with three fifths of their patches hidden.",
    citation="He et al. 2022, arXiv 2111.06377 (the idea; here with a convolutional encoder)",
)
class MaskedAutoencoder(VaePixel):
    """The pixel VAE with two factors changed: most of a scan is hidden, and no prior holds the latent."""
