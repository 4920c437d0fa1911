"""The operations that kaolin has, in place of ours; imported only where kaolin is usable."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from registry.dxa.mesh.torch_ops import TorchBackend


class KaolinBackend(TorchBackend):
    """kaolin op by op and device by device; what it lacks stays with torch.

    On every device: areas, normals, sampling by area (the same points for the same seed as torch's). On CUDA
    alone: farthest points (where this version has them) and sided distances.
    """

    name = "kaolin"

    def __init__(self, kaolin: Any) -> None:
        self._kaolin = kaolin

    @property
    def version(self) -> str:
        """Of kaolin."""
        return str(self._kaolin.__version__)

    def face_areas(self, vertices: Tensor, faces: Tensor) -> Tensor:
        """(b, f) areas."""
        areas: Tensor = self._kaolin.ops.mesh.face_areas(vertices, faces)
        return areas

    def face_normals(self, vertices: Tensor, faces: Tensor) -> Tensor:
        """(b, f, 3) unit normals."""
        normals: Tensor = self._kaolin.ops.mesh.face_normals(self.corners(vertices, faces), unit=True)
        return normals

    def sample_points(self, vertices: Tensor, faces: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Draw points uniformly by area."""
        areas = self.face_areas(vertices, faces)
        points, chosen = self._kaolin.ops.mesh.sample_points(vertices, faces, count, areas=areas)
        return points, chosen

    def farthest_points(self, points: Tensor, count: int) -> Tensor:
        """(b, count) indices."""
        # Whether this version has it cannot be told from its number.
        own = getattr(self._kaolin.ops.pointcloud, "farthest_point_sampling", None)
        if own is None or not points.is_cuda:
            return super().farthest_points(points, count)
        chosen: Tensor = own(points, count)
        return chosen

    def sided_distance(self, points: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """Squared distances and indices of the nearest."""
        if not points.is_cuda:
            return super().sided_distance(points, others)
        nearest, index = self._kaolin.metrics.pointcloud.sided_distance(points, others)
        return nearest, index
