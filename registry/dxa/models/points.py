"""Encoders of point clouds: PointNet++ and PointNet, from points of a body's surface to features.

PointNet++ (Qi et al. 2017, arXiv 1706.02413) groups points around centres, level by level: centres by
farthest point sampling, groups by ball query, a small network and a maximum per group. PointNet (Qi et al.
2016, arXiv 1612.00593) treats points one by one between two learned transforms (T-Nets), with one maximum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from registry.dxa.mesh.torch_ops import TorchBackend, gather_points


@dataclass(frozen=True)
class Level:
    """One level of PointNet++.

    Parameters
    ----------
    centres
        Number of groups.
    radius
        Of a group, where a body is about 2 units long.
    neighbours
        Points of a group.
    widths
        Channels of its network, as multiples of the encoder's width.
    """

    centres: int
    radius: float
    neighbours: int
    widths: tuple[int, ...]


#: Two levels and a global one; radii and proportions after the classification network of the paper.
LEVELS = (Level(64, 0.25, 16, (1, 1, 2)), Level(16, 0.5, 16, (2, 2, 4)))
_GLOBAL_WIDTHS = (4, 8)


def level_centres(levels: Sequence[Level], points: int) -> list[int]:
    """Number of centres per level: at most half of what the level is given.

    Examples
    --------
    >>> level_centres(LEVELS, 64)
    [32, 16]
    """
    counts = []
    for level in levels:
        points = min(level.centres, max(1, points // 2))
        counts.append(points)
    return counts


class PointNet2(nn.Module):
    """PointNet++ with single-scale grouping.

    Parameters
    ----------
    width
        Channels of the first layer.
    backend
        Computes farthest points and balls.
    levels
        From fine to coarse.
    """

    def __init__(self, width: int, backend: TorchBackend, levels: Sequence[Level] = LEVELS) -> None:
        super().__init__()
        self.backend = backend
        self.levels = tuple(levels)
        self.networks = nn.ModuleList()
        channels = 0
        for level in self.levels:
            sizes = [channels + 3, *(width * factor for factor in level.widths)]
            self.networks.append(_network(sizes))
            channels = sizes[-1]
        sizes = [channels + 3, *(width * factor for factor in _GLOBAL_WIDTHS)]
        self.whole = _network(sizes)
        self.feature_count = sizes[-1]

    def choose_centres(self, template: Tensor) -> list[Tensor]:
        """Indices of each level's centres on (n, 3) points of a template: the same for every mesh like it."""
        chosen, points = [], template[None]
        for count in level_centres(self.levels, len(template)):
            index = self.backend.farthest_points(points, count)
            chosen.append(index[0])
            points = gather_points(points, index)
        return chosen

    def forward(self, points: Tensor, centres: Sequence[Tensor] | None = None) -> Tensor:
        """Map (b, n, 3) points to (b, features).

        Parameters
        ----------
        points
            Of a size of about 2 around the origin.
        centres
            From `choose_centres`, where point i is the same place of every body; farthest points of each
            cloud otherwise.
        """
        features: Tensor | None = None
        counts = level_centres(self.levels, points.shape[1])
        for number, (level, network) in enumerate(zip(self.levels, self.networks, strict=True)):
            if centres is None:
                index = self.backend.farthest_points(points, counts[number])
            else:
                index = centres[number].expand(len(points), -1)
            at = gather_points(points, index)
            group = self.backend.ball_query(points, at, level.radius, level.neighbours)
            inputs = gather_points(points, group) - at[:, :, None]
            if features is not None:
                inputs = torch.cat([inputs, gather_points(features, group)], -1)
            features = _apply(network, inputs).amax(2)
            points = at
        inputs = points if features is None else torch.cat([points, features], -1)
        return _apply(self.whole, inputs).amax(1)


class PointNet(nn.Module):
    """PointNet with an input and a feature transform.

    Parameters
    ----------
    width
        Channels of the first layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.input_transform = TransformNet(3, width)
        self.first = _network([3, width, width])
        self.feature_transform = TransformNet(width, width)
        self.second = _network([width, width, 2 * width, 8 * width])
        self.feature_count = 8 * width
        self._transform: Tensor | None = None

    def forward(self, points: Tensor, centres: Sequence[Tensor] | None = None) -> Tensor:
        """Map (b, n, 3) points to (b, features); it has no centres, and needs none."""
        points = points @ self.input_transform(points)
        features = _apply(self.first, points)
        self._transform = self.feature_transform(features)
        return _apply(self.second, features @ self._transform).amax(1)

    def orthogonality(self) -> Tensor:
        """How far the last feature transform A is from a rotation: mean of ||I - A A'||² over the batch."""
        assert self._transform is not None  # noqa: S101 - asked for before anything went forward
        identity = torch.eye(self._transform.shape[-1], device=self._transform.device)
        gram = self._transform @ self._transform.transpose(1, 2)
        return (identity - gram).square().sum((1, 2)).mean()


class TransformNet(nn.Module):
    """T-Net: a small PointNet that gives each cloud a (k, k) matrix, at first the identity."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.size = size
        self.points = _network([size, width, 2 * width, 8 * width])
        last = nn.Linear(4 * width, size**2)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.matrix = nn.Sequential(nn.Linear(8 * width, 4 * width), nn.ReLU(), last)

    def forward(self, values: Tensor) -> Tensor:
        """(b, n, k) values -> (b, k, k) matrices."""
        pooled = _apply(self.points, values).amax(1)
        change: Tensor = self.matrix(pooled).view(-1, self.size, self.size)
        return change + torch.eye(self.size, device=values.device)


def build_point_encoder(name: str, width: int, backend: TorchBackend) -> PointNet | PointNet2:
    """The encoder for a setting: `pointnet2` or `pointnet`."""
    return PointNet(width) if name == "pointnet" else PointNet2(width, backend)


def _network(sizes: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers)


def _apply(network: nn.Module, values: Tensor) -> Tensor:
    """A network for (rows, channels) on values of any leading shape."""
    mapped: Tensor = network(values.reshape(-1, values.shape[-1]))
    return mapped.reshape(*values.shape[:-1], -1)
