"""What a reconstruction is judged by while it is learned, term by term."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from registry.contracts import InputError
from registry.dxa.losses.divergence import kl_divergence
from registry.dxa.losses.perceptual import PerceptualNetwork, distance, layer_scales
from registry.dxa.losses.ratios import ratio_images
from registry.dxa.models.vae import Reconstruction

#: What `layer_units` may be.
LAYER_UNITS = ("relative", "summed")
#: Counts that the network sees as 1.
_COUNTS_SCALE = 10_000.0
#: Scans over which the layers' scales are measured.
_SCALE_SCANS = 64
#: Largest size of the kept features of true scans; beyond it they are computed at every step.
_CACHE_BYTES = 1_500_000_000


@dataclass(frozen=True)
class LossFactors:
    """The factors of a strategy that its loss reads.

    Parameters
    ----------
    perceptual_weight
        Of the distance of the two raw triplets, averaged.
    pixel_weight
        Of the mean absolute difference of counts.
    r_image_weight
        Of the distance of the ratio images, averaged.
    r_variant, r_offset
        Which ratios: see `registry.dxa.losses.ratios`.
    kl_weight
        Of the latent's divergence.
    layer_units
        `relative`: a layer's distance is divided by how much it varies over true scans and averaged over
        layers. `summed`: absolute differences are summed over all that a scan has of a layer, and over layers
        and images; the ratio images' weights of layers are those of the next layer. So the published code.
    """

    perceptual_weight: float
    pixel_weight: float
    r_image_weight: float
    r_variant: str
    r_offset: str
    kl_weight: float
    layer_units: str = "relative"

    def __post_init__(self) -> None:
        if self.layer_units not in LAYER_UNITS:
            raise InputError(
                f"factor 'layer_units' = {self.layer_units!r} is not known",
                mend=f"choose one of {', '.join(LAYER_UNITS)}",
            )

    @classmethod
    def of(cls, factors: Mapping[str, Any]) -> LossFactors:
        """Those among all factors of a strategy."""
        return cls(**{name: factors[name] for name in cls.__dataclass_fields__})

    @property
    def needs_network(self) -> bool:
        """Whether any term compares features."""
        return bool(self.perceptual_weight or self.r_image_weight)


class ScanLoss:
    """Distances of raw triplets, ratio images and pixels, and the latent's divergence.

    Features of true scans are computed once and kept where memory allows. All images of a step go through the
    network together.

    Parameters
    ----------
    scans
        (n, 6, height, width) true train scans in counts; batches are named by their indices.
    factors
        Terms and weights; a weight of zero leaves its term out, and its images out of the network.
    network
        What images are compared by; not needed where no term compares features.
    """

    def __init__(self, scans: Tensor, factors: LossFactors, network: PerceptualNetwork | None = None) -> None:
        self.scans = scans
        self.factors = factors
        self.network = network
        self._ratios = ratio_images(factors.r_variant, factors.r_offset)
        some = scans[:_SCALE_SCANS]
        (self.pixel_scale,) = layer_scales([some])
        self._raw = 2 if factors.perceptual_weight else 0
        self.shares: list[list[float]] = []
        self._cache: list[list[Tensor]] | None = None
        if network is not None and factors.needs_network:
            with torch.no_grad():
                self.shares = self._shares(network, some)
                self._cache = self._cached_targets()

    def __call__(self, indices: NDArray[np.int64], reconstruction: Reconstruction) -> dict[str, Tensor]:
        """The weighted terms for the scans with these indices; `perceptual`, `r_image`, `pixel`, `kl`."""
        true = self.scans[torch.from_numpy(indices)]
        made = _exact(reconstruction.scans)
        terms = self._feature_terms(indices, true, made) if self.factors.needs_network else {}
        if self.factors.pixel_weight:
            terms["pixel"] = self.factors.pixel_weight * (made - true).abs().mean() / self.pixel_scale
        if self.factors.kl_weight:
            terms["kl"] = self.factors.kl_weight * kl_divergence(
                _exact(reconstruction.mean), _exact(reconstruction.log_variance)
            )
        return terms

    def images(self, scans: Tensor, true: Tensor) -> list[Tensor]:
        """Three-channel images of `scans` as the network sees them; `true` decides what is masked."""
        found: list[Tensor] = []
        if self.factors.perceptual_weight:
            found += [scans[:, :3] / _COUNTS_SCALE, scans[:, 3:] / _COUNTS_SCALE]
        if self.factors.r_image_weight:
            found += self._ratios(scans, true)
        return found

    def _feature_terms(self, indices: NDArray[np.int64], true: Tensor, made: Tensor) -> dict[str, Tensor]:
        distances = torch.stack(
            [
                distance(target, layer, share)
                for target, layer, share in zip(
                    self._targets(indices, true), self._layers(made, true), self.shares, strict=True
                )
            ]
        )
        together = torch.sum if self.factors.layer_units == "summed" else torch.mean
        terms = {}
        if self._raw:
            terms["perceptual"] = self.factors.perceptual_weight * together(distances[: self._raw])
        if self.factors.r_image_weight:
            terms["r_image"] = self.factors.r_image_weight * together(distances[self._raw :])
        return terms

    def _shares(self, network: PerceptualNetwork, some: Tensor) -> list[list[float]]:
        """Per image and layer, what its mean absolute difference is multiplied by."""
        weights = network.layers.weights
        found = []
        for number, layers in enumerate(self._layers(some, some)):
            if self.factors.layer_units == "summed":
                # For the ratio images the published code reads its list of weights one place too far.
                used = weights if number < self._raw else (*weights[1:], 0.0)
                found.append([w * layer[0].numel() for w, layer in zip(used, layers, strict=True)])
            else:
                units = zip(weights, layer_scales(layers), strict=True)
                found.append([weight / sum(weights) / scale for weight, scale in units])
        return found

    def _layers(self, scans: Tensor, true: Tensor) -> list[list[Tensor]]:
        """Per image, its layers; all images in one pass."""
        assert self.network is not None  # noqa: S101 - `needs_network` without one is a mistake of the caller
        images = self.images(scans, true)
        joint = self.network(torch.cat(images))
        parts = [layer.chunk(len(images)) for layer in joint]
        return [[part[number] for part in parts] for number in range(len(images))]

    def _cached_targets(self) -> list[list[Tensor]] | None:
        one = self._layers(self.scans[:1], self.scans[:1])
        size = sum(layer.nbytes for layers in one for layer in layers[1:]) * len(self.scans)
        if size > _CACHE_BYTES:
            return None
        batches = [self._layers(batch, batch) for batch in torch.split(self.scans, 16)]
        return [
            [torch.cat([batch[image][layer] for batch in batches]) for layer in range(1, len(one[image]))]
            for image in range(len(one))
        ]

    def _targets(self, indices: NDArray[np.int64], true: Tensor) -> Sequence[Sequence[Tensor]]:
        with torch.no_grad():
            if self._cache is None:
                return self._layers(true, true)
            chosen = torch.from_numpy(indices)
            return [
                [image, *(layer[chosen] for layer in layers)]
                for image, layers in zip(self.images(true, true), self._cache, strict=True)
            ]


def _exact(values: Tensor) -> Tensor:
    """At least single precision: a loss in half of it stops at a thousandth."""
    return values.float() if values.dtype in {torch.bfloat16, torch.float16} else values
