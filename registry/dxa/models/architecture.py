"""What has to be known to build a network again; travels as an artifact's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.contracts import Artifact, InputError
from registry.dxa.settings import DxaSettings


@dataclass(frozen=True)
class Architecture:
    """The size of everything.

    Parameters
    ----------
    backbone
        Name of the timm model behind the six-channel stem.
    height, width
        Of a scan, in pixels.
    latent_size
        Of the autoencoder.
    generator
        `small` or `published`.
    channel_mean, channel_scale
        Mean and standard deviation of each channel over the training scans, in counts: networks see
        (scan - mean) / scale.
    """

    backbone: str
    height: int
    width: int
    latent_size: int
    channel_mean: tuple[float, ...]
    channel_scale: tuple[float, ...]
    generator: str = "small"

    @classmethod
    def for_scans(cls, settings: DxaSettings, scans: NDArray[np.float32]) -> Architecture:
        """The architecture that a suite's settings ask for, normalised by (n, 6, height, width) scans."""
        mean, scale = _channel_statistics(scans)
        if not (scale > 0).all():
            raise InputError(
                f"channel {int(np.argmin(scale))} of the training scans is constant",
                mend="make or import a cohort whose scans show something",
            )
        try:
            settings.latent_map_of((scans.shape[2], scans.shape[3]))
        except ValueError as error:
            raise InputError(
                f"[settings] does not fit scans of {scans.shape[2]} x {scans.shape[3]} pixels: {error}",
                mend="choose another 'latent_size', or generator = 'small'",
            ) from error
        return cls(
            backbone=settings.backbone,
            height=scans.shape[2],
            width=scans.shape[3],
            latent_size=settings.latent_size,
            channel_mean=tuple(mean.tolist()),
            channel_scale=tuple(scale.tolist()),
            generator=settings.generator,
        )

    @classmethod
    def of(cls, artifact: Artifact) -> Architecture:
        """The architecture that `artifact` was made with.

        Raises
        ------
        InputError
            If the artifact does not say.
        """
        declared = artifact.metadata.get("architecture")
        if not isinstance(declared, Mapping):
            raise InputError(
                "the weights come without 'architecture' in their metadata",
                mend="let the strategy declare it (registry.dxa.models.architecture)",
            )
        try:
            return cls(**{**declared, **{name: tuple(declared[name]) for name in _TUPLES}})
        except (TypeError, KeyError) as error:
            raise InputError(
                f"'architecture' in the metadata of the weights is not complete: {error}",
                mend="make the weights again",
            ) from error

    def metadata(self) -> dict[str, Any]:
        """The same as plain data."""
        return {**asdict(self), **{name: list(getattr(self, name)) for name in _TUPLES}}


def _channel_statistics(scans: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each channel; of scans that memory does not hold, block by block."""
    axes = (0, 2, 3)
    if not isinstance(scans, np.memmap):
        return scans.mean(axes, dtype=np.float64), scans.std(axes, dtype=np.float64)
    blocks = range(0, len(scans), _BLOCK_SCANS)
    count = scans.size / scans.shape[1]
    mean = sum(scans[n : n + _BLOCK_SCANS].sum(axes, dtype=np.float64) for n in blocks) / count
    squares = sum(
        np.square(scans[n : n + _BLOCK_SCANS] - mean[:, None, None]).sum(axes, dtype=np.float64)
        for n in blocks
    )
    return mean, np.sqrt(squares / count)


_BLOCK_SCANS = 64
_TUPLES = ("channel_mean", "channel_scale")
