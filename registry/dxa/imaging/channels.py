"""The six channels of a scan: three filter phases by two energies, stored as logarithms of attenuation.

A drum puts an air (empty), a bone-equivalent and a tissue-equivalent segment into the beam, and the source
switches between 140 kVp (``hi``) and 100 kVp (``lo``). A stored value is ``OFFSET + GAIN * ln(I0 / I)``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

PHASES = ("air", "bone", "tissue")
CHANNELS = ("air_hi", "air_lo", "bone_hi", "bone_lo", "tissue_hi", "tissue_lo")

BIT_DEPTH = 14
MAXIMUM_CODE = 2**BIT_DEPTH - 1
# The published scans are 14 bits deep; gain and offset are ours. The thickest abdomens saturate, counted.
GAIN_COUNTS_PER_NEPER = 2000.0
OFFSET_COUNTS = 200.0


def encode(attenuation: npt.ArrayLike) -> tuple[npt.NDArray[np.uint16], int]:
    """Turn attenuation in nepers into codes.

    Returns
    -------
    codes
        Rounded and limited to the 14 bits, same shape.
    saturated
        How many values had to be limited.

    Examples
    --------
    >>> encode([0.0, 1.0, 9.0])
    (array([  200,  2200, 16383], dtype=uint16), 1)
    """
    counts = np.rint(OFFSET_COUNTS + GAIN_COUNTS_PER_NEPER * np.asarray(attenuation, dtype=np.float64))
    saturated = int(np.count_nonzero((counts < 0) | (counts > MAXIMUM_CODE)))
    return np.clip(counts, 0, MAXIMUM_CODE).astype(np.uint16), saturated


def decode(codes: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Turn codes into attenuation in nepers; the inverse of :func:`encode` up to rounding.

    Examples
    --------
    >>> decode([200, 2200])
    array([0., 1.])
    """
    return (np.asarray(codes, dtype=np.float64) - OFFSET_COUNTS) / GAIN_COUNTS_PER_NEPER
