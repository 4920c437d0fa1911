"""The network that tells true scans from reconstructed ones, for the adversarial term of the loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from registry.dxa.imaging import CHANNELS
from registry.dxa.models.architecture import Architecture

#: Channels of the first convolution, slope of the leaky activations and halvings, as published.
_WIDTH, _SLOPE, _HALVINGS = 16, 0.25, 5


class Discriminator(nn.Module):
    """Five times two convolutions, the second of stride 2 and normalised, then a dense layer.

    Parameters
    ----------
    architecture
        Scan size and normalisation.
    """

    channel_mean: Tensor
    channel_scale: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        for name in ("channel_mean", "channel_scale"):
            values = torch.tensor(getattr(architecture, name), dtype=torch.float32)[:, None, None]
            self.register_buffer(name, values, persistent=False)
        size = [architecture.height, architecture.width]
        layers: list[nn.Module] = [nn.Conv2d(len(CHANNELS), _WIDTH, 3, padding=1), nn.LeakyReLU(_SLOPE)]
        before = width = _WIDTH
        for _ in range(_HALVINGS):
            layers += [
                nn.Conv2d(before, width, 3, padding=1),
                nn.LeakyReLU(_SLOPE),
                nn.Conv2d(width, width, 3, stride=2, padding=1),
                nn.BatchNorm2d(width, momentum=0.5),
            ]
            size = [-(-length // 2) for length in size]
            before, width = width, 2 * width
        layers += [
            nn.Flatten(),
            nn.Linear(before * size[0] * size[1], width),
            nn.LeakyReLU(_SLOPE),
            nn.Linear(width, 1),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, scans: Tensor) -> Tensor:
        """(n, 6, height, width) counts -> (n,) logits of being a true scan."""
        logits: Tensor = self.layers((scans - self.channel_mean) / self.channel_scale)
        return logits.squeeze(1)


def adversarial_terms(discriminator: Discriminator, true: Tensor, made: Tensor) -> dict[str, Tensor]:
    """What the generator and what the discriminator minimise, each without a gradient for the other.

    Returns
    -------
    dict[str, Tensor]
        `adversarial`, cross-entropy of the reconstructions being taken for true, and `discriminator`, the sum
        of its own two cross-entropies. Both are log 2 per judgement where it cannot tell them apart.
    """
    weights = {name: value.detach() for name, value in discriminator.named_parameters()}
    judged = torch.func.functional_call(discriminator, weights, made)
    real, false = discriminator(true), discriminator(made.detach())
    return {
        "adversarial": _cross_entropy(judged, 1.0),
        "discriminator": _cross_entropy(real, 1.0) + _cross_entropy(false, 0.0),
    }


def _cross_entropy(logits: Tensor, label: float) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, label).float())
