"""R images: the ratio of low- to high-energy attenuation, which depends on what a pixel is made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from registry.dxa.imaging.channels import OFFSET_COUNTS, PHASES

# Where high-energy attenuation is less than this many counts above the offset, noise alone sets the ratio.
MINIMUM_COUNTS = 240.0


def r_image(
    codes: npt.ArrayLike,
    phase: str = "air",
    *,
    background: float = 1.0,
    minimum_counts: float = MINIMUM_COUNTS,
) -> npt.NDArray[np.float64]:
    """R image of one phase, ``R = (low - offset) / (high - offset)``.

    Parameters
    ----------
    codes
        Scans, shape (..., 6), channels in the order of ``CHANNELS``.
    phase
        ``air``, ``bone`` or ``tissue``.
    background
        Value of pixels that attenuate too little.
    minimum_counts
        High-energy counts above the offset that a pixel needs.

    Examples
    --------
    >>> r_image([[1200.0, 1500.0, 0, 0, 0, 0]])
    array([1.3])
    """
    values = np.asarray(codes, dtype=np.float64) - OFFSET_COUNTS
    high, low = values[..., 2 * PHASES.index(phase)], values[..., 2 * PHASES.index(phase) + 1]
    attenuates = high > minimum_counts
    return np.where(attenuates, low / np.where(attenuates, high, 1.0), background)
