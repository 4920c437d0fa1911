"""Perceptual distance: what a frozen ImageNet network sees of two three-channel images.

Every layer's mean absolute difference is divided by how much that layer varies over real images, so each is a
relative error and all weigh the same. The image itself is the first layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from registry.dxa.models.backbones import BUNDLED, build_backbone, configuration

#: Stages of the network that are compared, beside the image itself.
STAGES = (0, 1, 2)


class PerceptualNetwork(nn.Module):
    """A frozen ImageNet network, always in evaluation mode.

    Parameters
    ----------
    name
        timm backbone with ImageNet weights.
    stages
        Stages whose feature maps are compared.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str = BUNDLED, stages: Sequence[int] = STAGES) -> None:
        super().__init__()
        self.network, self.source = build_backbone(name, stages=tuple(stages), imagenet=True)
        known = configuration(self.network)
        for statistic in ("mean", "std"):
            values = torch.tensor(known[statistic], dtype=torch.float32)[:, None, None]
            self.register_buffer(statistic, values, persistent=False)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> PerceptualNetwork:
        """Stay in evaluation mode: its batch statistics are part of the measure."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(n, 3, height, width) images of about [0, 1] -> the image and its feature maps."""
        images = images.contiguous(memory_format=torch.channels_last)
        return [images, *self.network((images - self.mean) / self.std)]


def layer_scales(layers: Sequence[Tensor]) -> list[float]:
    """Mean absolute deviation of each layer, per channel, over real images: the unit of its distance."""
    scales = [float((layer - layer.mean((0, 2, 3), keepdim=True)).abs().mean()) for layer in layers]
    # A layer that never varies would divide by zero; its distance is then left as it is.
    return [scale or 1.0 for scale in scales]


def distance(targets: Sequence[Tensor], layers: Sequence[Tensor], scales: Sequence[float]) -> Tensor:
    """Mean over layers of the mean absolute difference in units of `scales`."""
    relative = [
        (layer - target).abs().mean() / scale
        for target, layer, scale in zip(targets, layers, scales, strict=True)
    ]
    return torch.stack(relative).mean()
