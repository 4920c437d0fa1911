"""The scan encoder: a 6 -> 3 convolution in front of a timm backbone; one architecture for all arms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from registry.dxa.imaging import CHANNELS
from registry.dxa.models.architecture import Architecture
from registry.dxa.models.backbones import build_backbone
from registry.dxa.models.folding import fold, pointwise


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
    origin
        Where the backbone's weights come from.
    """

    channel_mean: Tensor
    channel_scale: Tensor

    def __init__(self, architecture: Architecture, *, imagenet: bool = False) -> None:
        super().__init__()
        self.architecture = architecture
        self.register_buffer("channel_mean", _channel(architecture.channel_mean), persistent=False)
        self.register_buffer("channel_scale", _channel(architecture.channel_scale), persistent=False)
        self.stem = nn.Conv2d(len(CHANNELS), 3, 1)
        initialise_stem(self.stem)
        self.backbone, self.origin = build_backbone(architecture.backbone, imagenet=imagenet)
        # In a tuple, as it holds nothing of its own: the backbone's modules, read in another way.
        self._reader = (_reader(self.backbone),)
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

    def stages(self) -> list[list[nn.Module]]:
        """Its modules from the scan on, in groups that a learning rate may be given to: stem, then stages."""
        found: list[list[nn.Module]] = [[self.stem]]
        for child in self.backbone.children():
            lists = isinstance(child, nn.Sequential | nn.ModuleList)
            parts = list(child.children()) if lists else [child]
            found += [[part] for part in parts if next(part.parameters(), None) is not None]
        return found

    def normalise(self, scans: Tensor) -> Tensor:
        """Counts to numbers with mean 0 and standard deviation 1 over the training scans."""
        return (scans - self.channel_mean) / self.channel_scale

    def forward(self, scans: Tensor) -> Tensor:
        """Map (n, 6, height, width) counts to (n, channels, rows, columns) features."""
        image = pointwise(self.normalise(scans), self.stem.weight, self.stem.bias)
        features: Tensor = self._reader[0](image)[-1]
        return features


class FeatureScale(nn.Module):
    """Standardises features by statistics measured once; part of the weights.

    What differs between scans is a few percent of a feature's value: without this, whatever reads features
    spends its first minutes on their mean.

    Parameters
    ----------
    count
        Number of features.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("scale", torch.ones(count))

    def measure(self, features: Tensor) -> None:
        """Take mean and standard deviation from (n, count) features; a constant one keeps its scale."""
        self.mean.copy_(features.mean(0))
        deviation = features.std(0, unbiased=False)
        self.scale.copy_(torch.where(deviation > 0, deviation, torch.ones(())))

    def forward(self, features: Tensor) -> Tensor:
        """(n, count) features with mean 0 and standard deviation 1 over the scans that were measured."""
        return (features - self.mean) / self.scale


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


def _reader(backbone: nn.Module) -> nn.Module:
    try:
        return fold(backbone)
    except Exception:
        # Whatever tracing stumbles over: the backbone itself gives the same numbers, only later.
        return backbone


def _channel(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None]
