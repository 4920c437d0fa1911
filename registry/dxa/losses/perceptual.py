"""Perceptual distance: what a frozen ImageNet network sees of two three-channel images.

Layers are compared by their mean absolute difference; which ones, and what each weighs, is declared by
network. The image itself is the first layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from registry.dxa.models.backbones import BUNDLED, build_backbone, configuration
from registry.dxa.models.folding import fold, merge


@dataclass(frozen=True)
class Layers:
    """What of a network is compared.

    Parameters
    ----------
    weights
        Of the image itself and of each layer; only their ratios matter.
    stages
        Stages of a timm feature extractor, or
    modules
        names of its modules.
    """

    weights: tuple[float, ...]
    stages: tuple[int, ...] = ()
    modules: tuple[str, ...] = ()


#: Activated convolutions and poolings of VGG-16, with the weights of the published implementation.
_VGG16 = {
    "features_1": 0.75,  # first block
    "features_3": 0.5,
    "features_6": 0.5,  # second block
    "features_8": 0.8,
    "features_9": 0.8,  # its pooling
    "features_11": 0.5,  # third block
    "features_13": 0.5,
    "features_15": 0.3,
    "features_18": 0.3,  # fourth block, the third one's pooling is left out
    "features_20": 0.5,
    "features_22": 0.5,
    "features_23": 0.3,  # its pooling
    "features_25": 0.3,  # fifth block
    "features_27": 0.3,
    "features_29": 0.2,
}
#: By network; any other timm feature extractor is compared by its first three stages, all alike.
DECLARED = {"vgg16": Layers((0.5, *_VGG16.values()), modules=tuple(_VGG16))}
_OTHERS = Layers((1.0, 1.0, 1.0, 1.0), stages=(0, 1, 2))


class PerceptualNetwork(nn.Module):
    """A frozen ImageNet network, always in evaluation mode, its batch normalisations folded away.

    Parameters
    ----------
    name
        timm model with ImageNet weights.
    layers
        What is compared; by default what is declared for this model.
    imagenet
        False leaves the weights untrained, for tests of mechanics alone: `origin` then says `random`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str = BUNDLED, layers: Layers | None = None, *, imagenet: bool = True) -> None:
        super().__init__()
        self.layers = layers or DECLARED.get(name, _OTHERS)
        modules = self.layers.modules or None
        backbone, self.origin = build_backbone(
            name, stages=self.layers.stages if modules is None else None, imagenet=imagenet
        )
        known = configuration(backbone)
        for statistic in ("mean", "std"):
            values = torch.tensor(known[statistic], dtype=torch.float32)[:, None, None]
            self.register_buffer(statistic, values, persistent=False)
        self.network = fold(backbone.eval(), modules)
        self.requires_grad_(False)
        self.eval()
        merge(self.network)

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


def distance(targets: Sequence[Tensor], layers: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Sum over layers of the mean absolute difference times the layer's share."""
    parts = [
        share * (layer - target).abs().mean()
        for target, layer, share in zip(targets, layers, shares, strict=True)
    ]
    return torch.stack(parts).sum()
