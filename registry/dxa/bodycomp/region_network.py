"""Regions by a small segmentation network that learned the rig's division on simulated subjects.

Where an arm lies on the trunk, the outline does not tell where one ends and the other begins; bones and
creases do, and a network reads them. It sees geometry alone, what a scan shows when it is solved without bone
(fat, and all tissue), and answers with a region for each pixel; it neither sees nor changes any measure.
``scripts/train_regions.py`` makes the weights (``data/regions.npz``). A fully convolutional encoder and
decoder with skip connections (Ronneberger, Fischer and Brox 2015), 57,000 parameters.
"""

from __future__ import annotations

import hashlib
import io
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import IO

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import distance_transform_edt, label
from torch import nn
from torch.nn import functional

from registry.dxa.bodycomp.inversion import FAT
from registry.dxa.bodycomp.outline import OUTSIDE
from registry.dxa.cohort.rig import REGIONS
from registry.dxa.imaging.geometry import GRID, Grid

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

DATA_FILE = "data/regions.npz"
_CHANNELS = (8, 16, 24, 32)
_INPUTS = 2
_HALVINGS = len(_CHANNELS) - 1
# What one unit of the network's inputs stands for, and where solved fat stops meaning more or less of it.
_TOTAL_G_CM2, _FAT_G_CM2, _FAT_RANGE_G_CM2 = 15.0, 10.0, (-30.0, 15.0)
# A piece of a region that is smaller than this share of all of it belongs to what is around it.
_SMALLEST_PIECE = 0.05


class RegionNetwork(nn.Module):
    """Scores of every region in every pixel.

    Takes (scans, 2, rows, columns), rows and columns multiples of 8, and returns (scans, 6, rows, columns).
    """

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(_block(*sizes) for sizes in pairwise((_INPUTS, *_CHANNELS)))
        self.up = nn.ModuleList(_block(fine + coarse, fine) for fine, coarse in pairwise(_CHANNELS))
        self.head = nn.Conv2d(_CHANNELS[0], len(REGIONS), 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Score every pixel."""
        values, passed_on = inputs, []
        for depth, block in enumerate(self.down):
            values = block(functional.max_pool2d(values, 2) if depth else values)
            passed_on.append(values)
        for depth in reversed(range(_HALVINGS)):
            values = functional.interpolate(values, scale_factor=2.0, mode="nearest")
            values = self.up[depth](torch.cat([values, passed_on[depth]], dim=1))
        scores: torch.Tensor = self.head(values)
        return scores


def _block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for size in (inputs, outputs):
        layers += [nn.Conv2d(size, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


def network_inputs(soft_tissue_g_cm2: npt.ArrayLike) -> torch.Tensor:
    """All tissue and its fat in the network's units.

    Parameters
    ----------
    soft_tissue_g_cm2
        Fat and lean tissue as solved without bone, zero outside the body, shape (scans, rows, columns, 2).

    Returns
    -------
    torch.Tensor
        Shape (scans, 2, rows, columns).
    """
    tissue = torch.as_tensor(np.asarray(soft_tissue_g_cm2, dtype=np.float32))
    total, fat = tissue.sum(dim=-1), tissue[..., FAT].clamp(*_FAT_RANGE_G_CM2)
    return torch.stack([total / _TOTAL_G_CM2, fat / _FAT_G_CM2], dim=1)


def pad_to_network(values: torch.Tensor, fill: float = 0.0) -> torch.Tensor:
    """Add rows and columns at the end until the network can halve them."""
    step = 2**_HALVINGS
    rows, columns = values.shape[-2:]
    return functional.pad(values, (0, -columns % step, 0, -rows % step), value=fill)


def read_region_network(stream: IO[bytes]) -> RegionNetwork:
    """A network with weights from an archive of arrays, for use, not for training."""
    network = RegionNetwork().eval().requires_grad_(False)
    weights = {name: torch.from_numpy(values.astype(np.float32)) for name, values in np.load(stream).items()}
    missing, unknown = network.load_state_dict(weights, strict=False)
    if unknown or any(not name.endswith("num_batches_tracked") for name in missing):
        raise ValueError(f"weights of another network: {missing} missing, {unknown} unknown")
    return network


@cache
def region_network() -> RegionNetwork:
    """The network with the package's weights."""
    return read_region_network(io.BytesIO(_weights()))


@cache
def weights_digest() -> str:
    """SHA-256 of the package's weights, part of the analyser's fingerprint."""
    return hashlib.sha256(_weights()).hexdigest()


def _weights() -> bytes:
    return resources.files("registry.dxa.bodycomp").joinpath(DATA_FILE).read_bytes()


def divide(
    soft_tissue_g_cm2: Array, body: Mask, grid: Grid = GRID, network: RegionNetwork | None = None
) -> npt.NDArray[np.int8]:
    """Divide one body.

    Parameters
    ----------
    soft_tissue_g_cm2
        Fat and lean tissue as solved without bone, shape (rows, columns, 2).
    body
        The body's pixels.
    grid
        Pixel spacing; other grids than the scanner's are resampled to its spacing and back.
    network
        The package's unless given.

    Returns
    -------
    array
        Index into ``REGIONS`` of each pixel, ``OUTSIDE`` where there is no body, shape (rows, columns).
    """
    inputs = network_inputs(soft_tissue_g_cm2[None])
    if grid != GRID:
        size = (
            max(1, round(grid.length_cm / GRID.row_spacing_cm)),
            max(1, round(grid.width_cm / GRID.column_spacing_cm)),
        )
        inputs = functional.interpolate(inputs, size=size, mode="bilinear", antialias=True)
    rows, columns = inputs.shape[-2:]
    scores = (network or region_network())(pad_to_network(inputs))[..., :rows, :columns]
    if grid != GRID:
        scores = functional.interpolate(scores, size=body.shape, mode="bilinear")
    regions = scores[0].argmax(dim=0).numpy().astype(np.int8)
    return join_stray_pieces(np.where(body, regions, OUTSIDE).astype(np.int8))


def join_stray_pieces(regions: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Give small pieces that lie apart from their region to the nearest region, shape (rows, columns)."""
    stray = np.zeros(regions.shape, dtype=np.bool_)
    for region in range(len(REGIONS)):
        pieces, number = label(regions == region)
        sizes = np.bincount(pieces.ravel(), minlength=number + 1)
        sizes[0] = sizes[1:].sum()
        stray |= (sizes < _SMALLEST_PIECE * sizes[0])[pieces]
    if not stray.any():
        return regions
    kept = (regions != OUTSIDE) & ~stray
    nearest = distance_transform_edt(~kept, return_distances=False, return_indices=True)
    return np.where(stray, regions[tuple(nearest)], regions).astype(np.int8)
