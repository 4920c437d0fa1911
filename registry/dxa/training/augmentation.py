"""Changes of a scan that an autoencoder has to see through: it is compared with the clean scan.

As published: a small rotation, shift and zoom, and pixels shuffled inside a random box in most channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from registry.contracts import InputError

#: Degrees; shifts in parts of width and height (down is positive); relative zoom.
_ROTATION_DEGREES = 5.0
_SHIFT_WIDTH, _SHIFT_UP, _SHIFT_DOWN = 0.08, 0.013, 0.005
_ZOOM = 0.05
#: Channels that are shuffled at least, and sides of a box as parts of a scan's height (5 to 75 of 150 rows).
_SHUFFLED_CHANNELS = 4
_BOX_LEAST, _BOX_MOST = 5 / 150, 75 / 150
#: Side of a patch that is masked, as a part of the height.
_PATCH = 0.1
#: What the factor `augmentation` may be.
KINDS = ("none", "published")


def require_kind(kind: str) -> None:
    """Refuse an augmentation that is not known.

    Raises
    ------
    InputError
        With those that are.
    """
    if kind not in KINDS:
        raise InputError(
            f"factor 'augmentation' = {kind!r} is not known", mend=f"choose one of {', '.join(KINDS)}"
        )


def augment(scans: Tensor, random: torch.Generator | None = None) -> Tensor:
    """Move and shuffle (n, 6, height, width) scans, which stay as they are.

    Random numbers, here and below, are torch's own where none are given.
    """
    return shuffle_boxes(move(scans, random), random)


def move(scans: Tensor, random: torch.Generator | None = None) -> Tensor:
    """Rotate, shift and zoom each scan, all channels alike; edges continue outwards."""
    count, _, height, width = scans.shape
    draws = torch.rand(4, count, generator=random)
    angle = math.radians(_ROTATION_DEGREES) * (2 * draws[0] - 1)
    zoom = 1 + _ZOOM * (2 * draws[1] - 1)
    # In units of half a scan, as torch's grids have it.
    across = 2 * _SHIFT_WIDTH * (2 * draws[2] - 1)
    down = 2 * (_SHIFT_DOWN - (_SHIFT_DOWN + _SHIFT_UP) * draws[3])
    cosine, sine, ratio = angle.cos() * zoom, angle.sin() * zoom, height / width
    matrix = torch.stack([cosine, -sine * ratio, across, sine / ratio, cosine, down], 1)
    grid = functional.affine_grid(matrix.view(count, 2, 3).to(scans), list(scans.shape), align_corners=False)
    return functional.grid_sample(scans, grid, padding_mode="border", align_corners=False)


def shuffle_boxes(scans: Tensor, random: torch.Generator | None = None) -> Tensor:
    """Shuffle the pixels inside a random box of four channels or more of each scan."""
    shuffled = scans.clone()
    channels, height, width = scans.shape[1:]
    for scan in shuffled:
        number = int(torch.randint(min(_SHUFFLED_CHANNELS, channels), channels + 1, (), generator=random))
        for channel in torch.randperm(channels, generator=random)[:number].tolist():
            rows, top = _span(height, height, random)
            columns, left = _span(height, width, random)
            box = scan[channel, top : top + rows, left : left + columns]
            order = torch.randperm(rows * columns, generator=random).to(scan.device)
            box.copy_(box.reshape(-1)[order].view(rows, columns))
    return shuffled


def _span(height: int, length: int, random: torch.Generator | None) -> tuple[int, int]:
    """Length of a box's side and where it begins, along an axis of `length` pixels."""
    least, most = (max(1, round(part * height)) for part in (_BOX_LEAST, _BOX_MOST))
    side = min(int(torch.randint(least, most + 1, (), generator=random)), length)
    return side, int(torch.randint(0, length - side + 1, (), generator=random))


def mask_patches(
    scans: Tensor, blank: Tensor, fraction: float, random: torch.Generator | None = None
) -> Tensor:
    """Show `blank`, a (6, height, width) scan, in that fraction of each scan's patches, all channels alike.

    A patch is a tenth of a scan's height on either side.
    """
    count, _, height, width = scans.shape
    side = max(1, round(_PATCH * height))
    rows, columns = -(-height // side), -(-width // side)
    hidden = max(1, round(fraction * rows * columns))
    order = torch.rand(count, rows * columns, generator=random).argsort(1)
    mask = (order < hidden).view(count, 1, rows, columns).to(scans.device)
    pixels = mask.repeat_interleave(side, 2).repeat_interleave(side, 3)[:, :, :height, :width]
    return torch.where(pixels, blank, scans)
