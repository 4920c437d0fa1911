"""The variational autoencoder of scans, and its way into an artifact and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from registry.contracts import Artifact, Weights
from registry.dxa.models.architecture import Architecture
from registry.dxa.models.encoder import FeatureScale, ScanEncoder
from registry.dxa.models.generator import ScanGenerator
from registry.dxa.models.published_generator import PublishedGenerator
from registry.dxa.models.weights import load_weights, weights_of

#: Log-variance of an untrained latent: small against the spread of the means, so that signal passes.
_START_LOG_VARIANCE = -8.0
#: Names of the latent heads inside the part `encoder`; everything else there is the scan encoder.
_HEADS = ("features", "mean", "log_variance")

#: What the setting `generator` may be.
GENERATORS: dict[str, type[ScanGenerator] | type[PublishedGenerator]] = {
    "small": ScanGenerator,
    "published": PublishedGenerator,
}
#: What their learning rates are multiplied by. Convolutions of the published generator read up to 16,000
#: numbers, so that a step of one size changes far more: with a rate that rose
#: tenfold every 15 steps (DenseNet-121, 150 x 109), the loss fell up to .0015 and exploded from .0025 on.
GENERATOR_RATES = {"small": 1.0, "published": 0.1}


@dataclass(frozen=True)
class Reconstruction:
    """A scan after its way through the latent.

    Attributes
    ----------
    scans
        (n, 6, height, width) counts.
    mean, log_variance
        (n, latent size) of the latent's normal distribution.
    """

    scans: Tensor
    mean: Tensor
    log_variance: Tensor


class ScanVae(nn.Module):
    """Scan encoder, dense latent of means and log-variances, generator.

    Parameters
    ----------
    architecture
        The size of everything.
    encoder
        Initial encoder; drawn at random where not given.
    mean_scan
        (6, height, width) counts that the untrained autoencoder draws.
    """

    def __init__(
        self,
        architecture: Architecture,
        encoder: ScanEncoder | None = None,
        mean_scan: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder or ScanEncoder(architecture)
        self.features = FeatureScale(self.encoder.feature_count)
        self.mean = nn.Linear(self.encoder.feature_count, architecture.latent_size)
        self.log_variance = nn.Linear(self.encoder.feature_count, architecture.latent_size)
        nn.init.normal_(self.log_variance.weight, std=1e-3)
        nn.init.constant_(self.log_variance.bias, _START_LOG_VARIANCE)
        self.generator = GENERATORS[architecture.generator](architecture, mean_scan)

    def measure_features(self, scans: Tensor, *, batch_size: int = 64) -> None:
        """Standardise the encoder's features over (n, 6, height, width) scans; leaves evaluation mode on."""
        self.eval()
        with torch.no_grad():
            batches = [self.encoder(batch).flatten(1) for batch in torch.split(scans, batch_size)]
            self.features.measure(torch.cat(batches))

    def encode(self, scans: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances, (n, latent size) each."""
        features = self.features(self.encoder(scans).flatten(1))
        return self.mean(features), self.log_variance(features)

    def forward(self, scans: Tensor) -> Reconstruction:
        """Reconstruct (n, 6, height, width) counts: from a draw while training, from the mean otherwise."""
        mean, log_variance = self.encode(scans)
        latent = mean
        if self.training:
            latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return Reconstruction(self.generator(latent), mean, log_variance)

    def parts(self) -> dict[str, Weights]:
        """The parts of an artifact: `encoder` (with the latent heads, by prefix) and `generator`."""
        encoder = dict(weights_of(self.encoder))
        for name in _HEADS:
            head = weights_of(getattr(self, name))
            encoder.update({f"{name}.{key}": value for key, value in head.items()})
        return {"encoder": encoder, "generator": weights_of(self.generator)}

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> ScanVae:
        """Build the autoencoder whose parts `artifact` holds.

        Raises
        ------
        InputError
            If a part or a tensor is missing or has another shape.
        """
        vae = cls(Architecture.of(artifact))
        load_encoder(vae.encoder, artifact)
        for name in _HEADS:
            prefix = f"{name}."
            head = {
                key.removeprefix(prefix): value
                for key, value in artifact.parts["encoder"].items()
                if key.startswith(prefix)
            }
            load_weights(getattr(vae, name), head, what=f"latent head {name!r}")
        load_weights(vae.generator, artifact.parts["generator"], what="generator")
        return vae


def load_encoder(encoder: ScanEncoder, artifact: Artifact) -> None:
    """Load the scan encoder from `artifact`, leaving out latent heads, which belong to the autoencoder."""
    prefixes = tuple(f"{name}." for name in _HEADS)
    weights = {k: v for k, v in artifact.parts["encoder"].items() if not k.startswith(prefixes)}
    load_weights(encoder, weights, what="encoder")
