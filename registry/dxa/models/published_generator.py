"""The paper's generator: five blocks that double the size of a map and halve its channels.

The text prints no more than "consecutive units of bilinear upsampling and 2D convolutional layers". What they
are, kernels, channels, order and the corners that upsampling keeps in place, is as in the published
implementation (github.com/LambertLeong/DXA-VAE), which writes them down for 150 x 109 pixels alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from registry.dxa.imaging import CHANNELS
from registry.dxa.models.architecture import Architecture
from registry.dxa.settings import LATENT_PIXEL

_BLOCKS = 5
#: The last blocks, whose maps are large enough, end with another, wider convolution.
_WIDE_FROM = 3


class PublishedGenerator(nn.Module):
    """From a latent map to a scan, through five blocks, a wide convolution, the frame, and six channels.

    A block is 1 x 1 and, from the second on, 1 x 2 convolution, doubled size, 2 x 2, 4 x 4 and, in the last
    two, 8 x 8 convolution. A scan of another size starts from ceil(height / 32) x ceil(width / 32) pixels.

    Parameters
    ----------
    architecture
        Scan size, latent size and normalisation.
    mean_scan
        Not used: this generator starts from nothing.
    """

    channel_mean: Tensor
    channel_scale: Tensor

    def __init__(self, architecture: Architecture, mean_scan: Tensor | None = None) -> None:
        super().__init__()
        self.scan_size = (architecture.height, architecture.width)
        rows, columns = (-(-length // LATENT_PIXEL) for length in self.scan_size)
        self.map_shape = (architecture.latent_size // (rows * columns), rows, columns)
        for name in ("channel_mean", "channel_scale"):
            values = torch.tensor(getattr(architecture, name), dtype=torch.float32)[:, None, None]
            self.register_buffer(name, values, persistent=False)
        channels = self.map_shape[0]
        self.first = nn.PReLU(channels)
        self.blocks = nn.ModuleList(
            _Block(
                channels >> max(number - 1, 0),
                channels >> number,
                first=not number,
                wide=number >= _WIDE_FROM,
            )
            for number in range(_BLOCKS)
        )
        last = channels >> _BLOCKS
        self.smooth = nn.Conv2d(channels >> (_BLOCKS - 1), last, 8, padding="same")
        self.last = nn.Conv2d(last, len(CHANNELS), 1)

    def forward(self, latent: Tensor) -> Tensor:
        """Map (n, latent size) to (n, 6, height, width) counts; nothing is clipped."""
        image = self.first(latent.view(len(latent), *self.map_shape))
        image = image.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            image = block(image)
        image = self.smooth(image)
        top, left = ((have - want) // 2 for have, want in zip(image.shape[2:], self.scan_size, strict=True))
        height, width = self.scan_size
        scan = self.last(image[:, :, top : top + height, left : left + width])
        counts: Tensor = scan * self.channel_scale + self.channel_mean
        return counts


class _Block(nn.Module):
    def __init__(self, before: int, channels: int, *, first: bool, wide: bool) -> None:
        super().__init__()
        # Beside the pixel itself its right neighbour, in all blocks but the first; nothing between the two.
        neighbour = [] if first else [nn.Conv2d(channels, channels, (1, 2), padding="same")]
        self.narrow = nn.Sequential(nn.Conv2d(before, channels, 1), *neighbour, nn.PReLU(channels))
        kernels = (2, 4, 8) if wide else (2, 4)
        self.refine = nn.Sequential(
            *(
                layer
                for kernel in kernels
                for layer in (nn.Conv2d(channels, channels, kernel, padding="same"), nn.PReLU(channels))
            )
        )

    def forward(self, image: Tensor) -> Tensor:
        doubled = functional.interpolate(
            self.narrow(image), scale_factor=2, mode="bilinear", align_corners=True
        )
        refined: Tensor = self.refine(doubled)
        return refined
