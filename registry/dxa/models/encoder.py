"""The scan encoder: a 6 -> 3 convolution in front of a timm backbone; one architecture for all arms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from registry.dxa.imaging import CHANNELS
from registry.dxa.models.architecture import Architecture
from registry.dxa.models.backbones import build_backbone


class ScanEncoder(nn.Module):
    """Turns scans into a feature map.

    Parameters
    ----------
    architecture
        Backbone, scan size and normalisation.
    imagenet
        Whether the backbone starts from ImageNet weights.

    Attributes
    ----------
    source
        Where the backbone's weights come from.
    """

    channel_mean: Tensor
    channel_scale: Tensor

    def __init__(self, architecture: Architecture, *, imagenet: bool = False) -> None:
        super().__init__()
        self.register_buffer("channel_mean", _channel(architecture.channel_mean), persistent=False)
        self.register_buffer("channel_scale", _channel(architecture.channel_scale), persistent=False)
        self.stem = nn.Conv2d(len(CHANNELS), 3, 1)
        initialise_stem(self.stem)
        self.backbone, self.source = build_backbone(architecture.backbone, imagenet=imagenet)
        with torch.no_grad():
            sample = torch.zeros(1, len(CHANNELS), architecture.height, architecture.width)
            was_training = self.training
            self.feature_shape = tuple(self.eval()(sample).shape[1:])
            self.train(was_training)

    @property
    def feature_count(self) -> int:
        """Numbers in the feature map of one scan."""
        channels, height, width = self.feature_shape
        return int(channels * height * width)

    def normalise(self, scans: Tensor) -> Tensor:
        """Counts to numbers with mean 0 and standard deviation 1 over the training scans."""
        return (scans - self.channel_mean) / self.channel_scale

    def forward(self, scans: Tensor) -> Tensor:
        """Map (n, 6, height, width) counts to (n, channels, rows, columns) features."""
        features: Tensor = self.backbone(self.stem(self.normalise(scans)))[-1]
        return features


def initialise_stem(stem: nn.Conv2d) -> None:
    """Start the stem as an image that an RGB network knows: high energies, low energies, and all six.

    The same for every arm and every seed.
    """
    with torch.no_grad():
        stem.weight.zero_()
        stem.weight[0, 0::2] = 1 / 3
        stem.weight[1, 1::2] = 1 / 3
        stem.weight[2] = 1 / 6
        if stem.bias is not None:
            stem.bias.zero_()


def _channel(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None]
