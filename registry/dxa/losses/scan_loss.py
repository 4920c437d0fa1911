"""What a reconstruction is judged by while it is learned, term by term."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from registry.dxa.losses.divergence import kl_divergence
from registry.dxa.losses.perceptual import PerceptualNetwork, distance, layer_scales
from registry.dxa.losses.r_image import body_mask, r_image
from registry.dxa.models.vae import Reconstruction

#: Counts that the network sees as 1, and the range of R that it sees as [0, 1].
_COUNTS_SCALE = 10_000.0
_R_LOW, _R_RANGE = 0.9, 0.8
#: What masked pixels of an R image show in both images: the R of nothing in the way.
_R_MASKED = 1.0
#: Scans over which the layers' scales are measured.
_SCALE_SCANS = 64
#: Largest size of the kept features of true scans; beyond it they are computed at every step.
_CACHE_BYTES = 1_500_000_000


class ScanLoss:
    """Perceptual distance of the raw triplets and of the R images, and the latent's divergence.

    Features of true scans are computed once and kept where memory allows. All stacks of a step go through the
    network together.

    Parameters
    ----------
    scans
        (n, 6, height, width) true train scans in counts; batches are named by their indices.
    weights
        `perceptual_weight` (distance of the two raw triplets, averaged), `r_image_weight` (distance of the
        masked R images) and `kl_weight`. A weight of zero leaves its term out.
    network
        What images are compared by.
    """

    def __init__(self, scans: Tensor, weights: Mapping[str, float], network: PerceptualNetwork) -> None:
        self.scans = scans
        self.perceptual_weight = weights["perceptual_weight"]
        self.r_image_weight = weights["r_image_weight"]
        self.kl_weight = weights["kl_weight"]
        self.network = network
        some = scans[:_SCALE_SCANS]
        self.scales = [layer_scales(layers) for layers in self._layers(some, some)]
        self._cache = self._cached_targets()

    def __call__(self, indices: NDArray[np.int64], reconstruction: Reconstruction) -> dict[str, Tensor]:
        """The weighted terms for the scans with these indices; `perceptual`, `r_image` and `kl`."""
        true = self.scans[torch.from_numpy(indices)]
        targets = self._targets(indices, true)
        layers = self._layers(reconstruction.scans.float(), true)
        distances = [
            distance(target, layer, scale)
            for target, layer, scale in zip(targets, layers, self.scales, strict=True)
        ]
        terms = {"perceptual": self.perceptual_weight * (distances[0] + distances[1]) / 2}
        if self.r_image_weight:
            terms["r_image"] = self.r_image_weight * distances[2]
        if self.kl_weight:
            terms["kl"] = self.kl_weight * kl_divergence(
                reconstruction.mean.float(), reconstruction.log_variance.float()
            )
        return terms

    def stacks(self, scans: Tensor, true: Tensor) -> list[Tensor]:
        """Three-channel images of `scans` as the network sees them; `true` decides what is masked."""
        images = [scans[:, :3] / _COUNTS_SCALE, scans[:, 3:] / _COUNTS_SCALE]
        if self.r_image_weight:
            masked = torch.where(body_mask(true), r_image(scans), _R_MASKED)
            images.append((masked - _R_LOW) / _R_RANGE)
        return images

    def _layers(self, scans: Tensor, true: Tensor) -> list[list[Tensor]]:
        """Per stack, its layers; all stacks in one pass."""
        stacks = self.stacks(scans, true)
        joint = self.network(torch.cat(stacks))
        parts = [layer.chunk(len(stacks)) for layer in joint]
        return [[part[number] for part in parts] for number in range(len(stacks))]

    def _cached_targets(self) -> list[list[Tensor]] | None:
        with torch.no_grad():
            one = self._layers(self.scans[:1], self.scans[:1])
            size = sum(layer.nbytes for layers in one for layer in layers[1:]) * len(self.scans)
            if size > _CACHE_BYTES:
                return None
            batches = [self._layers(batch, batch) for batch in torch.split(self.scans, 16)]
        return [
            [torch.cat([batch[stack][layer] for batch in batches]) for layer in range(1, len(one[stack]))]
            for stack in range(len(one))
        ]

    def _targets(self, indices: NDArray[np.int64], true: Tensor) -> Sequence[Sequence[Tensor]]:
        with torch.no_grad():
            if self._cache is None:
                return self._layers(true, true)
            chosen = torch.from_numpy(indices)
            images = self.stacks(true, true)
            return [
                [image, *(layer[chosen] for layer in layers)]
                for image, layers in zip(images, self._cache, strict=True)
            ]
