"""From a body's surface to its scan: point encoder, latent, generator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from registry.contracts import Artifact, InputError
from registry.dxa.mesh.backend import Request, choose_backend
from registry.dxa.mesh.files import Mesh
from registry.dxa.mesh.torch_ops import TorchBackend, gather_points
from registry.dxa.models.architecture import Architecture
from registry.dxa.models.encoder import FeatureScale
from registry.dxa.models.initialization import calibrate_batch_statistics
from registry.dxa.models.points import PointNet, PointNet2, build_point_encoder
from registry.dxa.models.vae import GENERATORS, Reconstruction
from registry.dxa.models.weights import load_weights
from registry.dxa.settings import DxaSettings

#: Log-variance of an untrained latent, as the autoencoders have it.
_START_LOG_VARIANCE = -8.0
#: Points drawn by area for each one that is kept: farthest points of a dense cloud cover a surface evenly.
_OVERSAMPLING = 4
#: Clouds of a mesh of another topology whose latents are averaged.
_CLOUDS = 8
#: Vertices about each kept one from which training draws: it must not learn one sampling by heart.
_NEIGHBOURS = 8
_MEASURED_DRAWS = 4


@dataclass(frozen=True)
class SurfaceArchitecture:
    """How surfaces are read.

    Parameters
    ----------
    encoder, width, points
        Which point encoder, channels of its first layer, and points that it reads.
    vertices
        Of the meshes that it was trained on, which all have the same topology.
    scale_cm
        Half the longest extent of the mean train body: coordinates are divided by it.
    backend
        What is asked to compute on meshes.
    """

    encoder: str
    width: int
    points: int
    vertices: int
    scale_cm: float
    backend: Request

    @classmethod
    def for_meshes(cls, settings: DxaSettings, vertices: NDArray[np.float32]) -> SurfaceArchitecture:
        """What a suite's settings ask for, scaled by (n, v, 3) train surfaces."""
        extent = float(np.ptp(vertices.mean(0), axis=0).max())
        count = vertices.shape[1]
        return cls(
            encoder=settings.point_encoder,
            width=settings.point_width,
            points=min(settings.mesh_points or count, count),
            vertices=count,
            scale_cm=extent / 2,
            backend=settings.mesh_backend,
        )

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> SurfaceArchitecture:
        """From the metadata of kept weights."""
        return cls(**metadata)

    def metadata(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


class MeshToScan(nn.Module):
    """Point encoder, latent of means and log-variances, generator.

    Parameters
    ----------
    surface
        How surfaces are read.
    architecture
        Of the generator.
    """

    vertex_index: Tensor
    template: Tensor
    neighbours: Tensor
    steps: Tensor

    def __init__(self, surface: SurfaceArchitecture, architecture: Architecture) -> None:
        super().__init__()
        self.surface, self.architecture = surface, architecture
        self.backend: TorchBackend = choose_backend(surface.backend)
        self.points: PointNet | PointNet2 = build_point_encoder(surface.encoder, surface.width, self.backend)
        self.features = FeatureScale(self.points.feature_count)
        self.mean = nn.Linear(self.points.feature_count, architecture.latent_size)
        self.log_variance = nn.Linear(self.points.feature_count, architecture.latent_size)
        nn.init.zeros_(self.mean.weight)
        nn.init.zeros_(self.mean.bias)
        nn.init.normal_(self.log_variance.weight, std=1e-3)
        nn.init.constant_(self.log_variance.bias, _START_LOG_VARIANCE)
        self.generator = GENERATORS[architecture.generator](architecture)
        # What is the same for every mesh of one topology is computed once, on the mean body.
        self.register_buffer("vertex_index", torch.arange(surface.points))
        self.register_buffer("template", torch.zeros(surface.points, 3))
        around = 1 if surface.points == surface.vertices else min(_NEIGHBOURS, surface.vertices)
        self.register_buffer("neighbours", torch.arange(surface.points)[:, None].repeat(1, around))
        # Part of a checkpoint: the loss changes with the step.
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @classmethod
    def from_artifact(
        cls, artifact: Artifact, settings: DxaSettings, vertices: NDArray[np.float32]
    ) -> MeshToScan:
        """Before training: a generator from `artifact`, points chosen on the mean of (n, v, 3) surfaces.

        Raises
        ------
        InputError
            If the generator has another latent or size than its architecture says.
        """
        surface = SurfaceArchitecture.for_meshes(settings, vertices)
        model = cls(surface, Architecture.of(artifact))
        load_weights(model.generator, artifact.parts["generator"], what="generator")
        mean = torch.from_numpy(vertices.mean(0, dtype=np.float64)).float()
        if surface.points < surface.vertices:
            model.vertex_index = model.backend.farthest_points(mean[None], surface.points)[0]
            kept = mean[None, model.vertex_index]
            around = model.neighbours.shape[1]
            model.neighbours = model.backend.ball_query(mean[None], kept, torch.inf, around)[0]
        model.template = model.normalise(mean[None])[0, model.vertex_index]
        return model

    def normalise(self, vertices: Tensor) -> Tensor:
        """(b, v, 3) cm to about [-1, 1]: the middle of the bounding box to the origin, sizes kept."""
        low, high = vertices.amin(1, keepdim=True), vertices.amax(1, keepdim=True)
        return (vertices - (low + high) / 2) / self.surface.scale_cm

    def choose(self, vertices: Tensor, *, draw: bool = False) -> Tensor:
        """(b, points, 3) of (b, v, 3) surfaces of the known topology.

        Parameters
        ----------
        vertices
            In cm.
        draw
            Whether to draw each vertex from the neighbourhood of the kept one, as in training.
        """
        index = self.vertex_index
        if draw:
            place = torch.randint(self.neighbours.shape[1], (len(index), 1), device=index.device)
            index = self.neighbours.gather(1, place)[:, 0]
        return self.normalise(vertices)[:, index]

    def clouds(self, mesh: Mesh) -> Tensor:
        """(clouds, points, 3) of a mesh of any topology: drawn by area, then thinned to farthest points."""
        vertices = torch.from_numpy(mesh.vertices)[None].to(self.template.device)
        faces = torch.from_numpy(mesh.faces).to(self.template.device)
        # the box of the surface, not of the points that happened to be drawn
        several = self.normalise(vertices).expand(_CLOUDS, -1, -1)
        dense, _ = self.backend.sample_points(several, faces, _OVERSAMPLING * self.surface.points)
        return gather_points(dense, self.backend.farthest_points(dense, self.surface.points))

    def centres(self) -> list[Tensor] | None:
        """Centres of groups for meshes of the known topology."""
        return self.points.choose_centres(self.template) if isinstance(self.points, PointNet2) else None

    def measure_features(self, vertices: Tensor, *, batch_size: int = 64) -> None:
        """Batch statistics, then feature scales, over (n, v, 3) surfaces; leaves evaluation mode on.

        Both stay as they are measured: statistics of a few bodies at a time would drown what differs between
        bodies.
        """
        centres = self.centres()
        # several draws: what sampling alone changes belongs to the scale of a feature
        clouds = torch.cat([self.choose(vertices, draw=True) for _ in range(_MEASURED_DRAWS)])
        calibrate_batch_statistics(self.points, clouds, batch_size=batch_size)
        with torch.no_grad():
            batches = [self.points(batch, centres) for batch in torch.split(clouds, batch_size)]
            self.features.measure(torch.cat(batches))

    def encode(self, points: Tensor, centres: list[Tensor] | None) -> tuple[Tensor, Tensor]:
        """Means and log-variances of the latents of (b, n, 3) points."""
        features = self.features(self.points(points, centres))
        return self.mean(features), self.log_variance(features)

    def generate(self, mean: Tensor, log_variance: Tensor) -> Reconstruction:
        """Scans of latents: from a draw while training, from the mean otherwise."""
        latent = mean
        if self.training:
            latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return Reconstruction(self.generator(latent), mean, log_variance)

    def predict(self, vertices: NDArray[np.float32], *, batch_size: int = 16) -> NDArray[np.float32]:
        """(n, v, 3) surfaces of the known topology -> (n, 6, height, width) counts.

        Raises
        ------
        InputError
            If the surfaces have another number of vertices.
        """
        if vertices.shape[1] != self.surface.vertices:
            raise InputError(
                f"the model reads surfaces of {self.surface.vertices} vertices, these have "
                f"{vertices.shape[1]}",
                mend="give meshes with faces: they are sampled by area",
            )
        centres, batches = self.centres(), torch.split(torch.tensor(vertices), batch_size)
        self.eval()
        with torch.inference_mode():
            latents = [
                self.encode(self.choose(batch.to(self.template.device)), centres)[0] for batch in batches
            ]
            return np.concatenate([self._scans(latent) for latent in latents])

    def predict_mesh(self, mesh: Mesh) -> NDArray[np.float32]:
        """(6, height, width) counts for a mesh of any topology; random points come from torch's seed."""
        if len(mesh.vertices) == self.surface.vertices:
            return np.asarray(self.predict(mesh.vertices[None])[0])
        self.eval()
        with torch.inference_mode():
            latent = self.encode(self.clouds(mesh), None)[0].mean(0, keepdim=True)
            return np.asarray(self._scans(latent)[0])

    def _scans(self, latent: Tensor) -> NDArray[np.float32]:
        scans: NDArray[np.float32] = self.generator(latent).cpu().contiguous().numpy()
        return scans
