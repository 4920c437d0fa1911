"""How close a reconstructed scan is to the true one; one number per scan and metric.

All metrics are of counts as stored (offset kept), nothing clipped or rounded, over the full frame and all six
channels. Their data range is that of 14 bits, the same for every scan.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from registry.dxa.imaging.channels import MAXIMUM_CODE, OFFSET_COUNTS
from registry.dxa.imaging.r_image import MINIMUM_COUNTS

#: Data range of PSNR and SSIM: what 14 bits hold.
DATA_RANGE = MAXIMUM_CODE
#: Said beside every table of these metrics.
CONVENTION = (
    "PSNR: counts, data range 16383, squared error pooled over the pixels and channels of a scan, then "
    "mean over scans in dB. SSIM: Wang 2004 (Gaussian window, sigma 1.5, population covariance, borders left "
    "out), data range 16383, mean over channels, then over scans. NMAE: sum of absolute errors over sum of true "
    "counts (offset of 200 included) of a scan, then mean over scans. R error: mean absolute error of "
    "(low + 800) / (high + 800), attenuation in counts above the offset, over body pixels and three phases. "
    "Full frame, all six channels, nothing clipped."
)
#: Keeps the R of thin pixels from being noise over noise in the metric.
_R_PEDESTAL_COUNTS = 800.0

Scans = NDArray[np.float32]
Scores = dict[str, NDArray[np.float64]]


def score_scans(true: Scans, reconstructed: Scans) -> Scores:
    """Score reconstructions.

    Parameters
    ----------
    true, reconstructed
        (n, 6, height, width) counts.

    Returns
    -------
    dict[str, NDArray[np.float64]]
        `psnr_db`, `ssim`, `nmae` and `r_image_error`, (n,) each.
    """
    return {
        "psnr_db": psnr_db(true, reconstructed),
        "ssim": ssim(true, reconstructed),
        "nmae": nmae(true, reconstructed),
        "r_image_error": r_image_error(true, reconstructed),
    }


def psnr_db(true: Scans, reconstructed: Scans) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of each scan in dB; infinite where nothing differs."""
    mean_square = np.square(reconstructed - true, dtype=np.float64).mean((1, 2, 3))
    with np.errstate(divide="ignore"):
        return np.asarray(20 * np.log10(DATA_RANGE) - 10 * np.log10(mean_square))


def ssim(true: Scans, reconstructed: Scans) -> NDArray[np.float64]:
    """Structural similarity of each scan as Wang et al. 2004 compute it, mean over channels."""
    from skimage.metrics import structural_similarity  # noqa: PLC0415

    return np.array(
        [
            structural_similarity(  # type: ignore[no-untyped-call]
                one,
                other,
                data_range=DATA_RANGE,
                channel_axis=0,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            for one, other in zip(true, reconstructed, strict=True)
        ],
        dtype=np.float64,
    )


def nmae(true: Scans, reconstructed: Scans) -> NDArray[np.float64]:
    """Normalised mean absolute error of each scan: sum of absolute errors over sum of true counts."""
    error = np.abs(reconstructed - true).sum((1, 2, 3), dtype=np.float64)
    return np.asarray(error / true.sum((1, 2, 3), dtype=np.float64))


def r_image_error(true: Scans, reconstructed: Scans) -> NDArray[np.float64]:
    """Mean absolute error of R over the body pixels of each true scan, three phases together."""
    body = body_mask(true)[:, None]
    error = np.where(body, np.abs(_floored_r(reconstructed) - _floored_r(true)), 0.0)
    return np.asarray(error.sum((1, 2, 3)) / np.maximum(3 * body.sum((1, 2, 3)), 1))


def body_mask(true: Scans) -> NDArray[np.bool_]:
    """(n, height, width): pixels that attenuate in the air phase at high energy."""
    return np.asarray(true[:, 0] - OFFSET_COUNTS > MINIMUM_COUNTS)


def _floored_r(scans: Scans) -> NDArray[np.float64]:
    attenuation = scans.astype(np.float64) - OFFSET_COUNTS + _R_PEDESTAL_COUNTS
    # A reconstruction may fall below zero attenuation; at the pedestal's foot R has no meaning any more.
    return np.asarray(attenuation[:, 1::2] / np.maximum(attenuation[:, 0::2], _R_PEDESTAL_COUNTS / 4))
