"""The generator: from a latent vector to a six-channel scan of any declared size."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from registry.dxa.imaging import CHANNELS
from registry.dxa.models.architecture import Architecture
from registry.dxa.models.folding import pointwise

#: Channels of the convolutional path at a quarter, a half and the whole of a scan's size.
_WIDTHS = (24, 24, 16)


class ScanGenerator(nn.Module):
    """Sum of a mean scan, a linear path and a convolutional path.

    The linear path (latent -> half-size scan, upsampled) learns the broad shape within minutes; the
    convolutional path starts at zero and adds what is not linear.

    Parameters
    ----------
    architecture
        Scan size, latent size and normalisation.
    mean_scan
        (6, height, width) counts that an untrained generator draws.
    """

    channel_mean: Tensor
    channel_scale: Tensor

    def __init__(self, architecture: Architecture, mean_scan: Tensor | None = None) -> None:
        super().__init__()
        latent, height, width = architecture.latent_size, architecture.height, architecture.width
        self.register_buffer("channel_mean", _channel(architecture.channel_mean), persistent=False)
        self.register_buffer("channel_scale", _channel(architecture.channel_scale), persistent=False)
        self.sizes = [(-(-height // factor), -(-width // factor)) for factor in (4, 2, 1)]
        (rows, columns), half, _ = self.sizes
        self.scan_size = (height, width)
        self.mean_scan = nn.Parameter(torch.zeros(len(CHANNELS), height, width))
        if mean_scan is not None:
            with torch.no_grad():
                self.mean_scan.copy_((mean_scan - self.channel_mean) / self.channel_scale)
        self.linear = nn.Linear(latent, len(CHANNELS) * half[0] * half[1])
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)
        self.spread = nn.Linear(latent, _WIDTHS[0] * rows * columns)
        self.blocks = nn.ModuleList(_block(before, after) for before, after in itertools.pairwise(_WIDTHS))
        self.last = nn.Conv2d(_WIDTHS[-1], len(CHANNELS), 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, latent: Tensor) -> Tensor:
        """Map (n, latent size) to (n, 6, height, width) counts; nothing is clipped."""
        count = len(latent)
        broad = self.linear(latent).view(count, len(CHANNELS), *self.sizes[1])
        scan = self.mean_scan + _resize(broad, self.sizes[2])
        detail = self.spread(latent).view(count, _WIDTHS[0], *self.sizes[0])
        detail = detail.contiguous(memory_format=torch.channels_last)
        for block, size in zip(self.blocks, self.sizes[1:], strict=True):
            detail = block(_resize(detail, size))
        scan = scan + pointwise(detail, self.last.weight, self.last.bias)
        counts: Tensor = scan * self.channel_scale + self.channel_mean
        return counts


def _block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1),
        nn.PReLU(after),
        nn.Conv2d(after, after, 3, padding=1),
        nn.PReLU(after),
    )


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(image, size=size, mode="bilinear", align_corners=False)


def _channel(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None]
