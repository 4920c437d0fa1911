"""How close a generated scan is to the true one; one number per scan and metric, under a declared convention.

"PSNR" alone says little: the same pair of scans gives values that differ by many decibels with the data
range, the pooling and the region. Every convention has a key that says which one was used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from registry.dxa.imaging.channels import CHANNELS, MAXIMUM_CODE, OFFSET_COUNTS, PHASES
from registry.dxa.imaging.r_image import MINIMUM_COUNTS

if TYPE_CHECKING:
    from torch import Tensor

Scans = NDArray[np.float32]
Values = NDArray[np.float64]
Scores = dict[str, Values]

#: Data range of PSNR and SSIM by default: what 14 bits hold.
DATA_RANGE = MAXIMUM_CODE
#: Keeps the R of thin pixels from being noise over noise in the metric.
_R_PEDESTAL_COUNTS = 800.0
#: Scans that SSIM works on at once.
_BATCH = 16
#: Scans that are scored at once, so that memory does not grow with a split.
_BLOCK = 256


@dataclass(frozen=True)
class ImageConvention:
    """How PSNR, SSIM and NMAE are computed; counts as stored, all six channels, nothing clipped.

    Parameters
    ----------
    data_range
        L of PSNR and SSIM: `14bit` (16383) or `scan` (largest true count of the scan).
    pooling
        Whether squared errors are pooled over a whole `scan`, or PSNR is taken per `channel` and averaged.
    region
        `frame`, or `body`: pixels that attenuate in the true scan.
    window
        Of SSIM, borders left out: `gaussian` (11 pixels, sigma 1.5; Wang 2004) or `uniform` (7 pixels).
    denominator
        Of NMAE: `counts` (sum of true counts, offset included), `attenuation` (offset left out) or `range`
        (L times the number of values).
    """

    data_range: Literal["14bit", "scan"] = "14bit"
    pooling: Literal["scan", "channel"] = "scan"
    region: Literal["frame", "body"] = "frame"
    window: Literal["gaussian", "uniform"] = "gaussian"
    denominator: Literal["counts", "attenuation", "range"] = "counts"

    @property
    def key(self) -> str:
        """What stands beside every number.

        Examples
        --------
        >>> ImageConvention().key
        'scale=counts L=14bit pooling=scan channels=6 region=frame window=gaussian denominator=counts'
        """
        return (
            f"scale=counts L={self.data_range} pooling={self.pooling} channels={len(CHANNELS)} "
            f"region={self.region} window={self.window} denominator={self.denominator}"
        )


#: Nearest to what the paper can have used: codes divided by 16383, and a NMAE that its PSNR does not imply.
DECLARED = ImageConvention()
#: Said beside every table of these metrics.
CONVENTION = (
    f"{DECLARED.key}. PSNR: squared error pooled over the pixels and channels of a scan, data range 16383, "
    "then mean over scans in dB. SSIM: Wang 2004, mean over channels, then over scans. NMAE: sum of absolute "
    "errors over sum of true counts (offset of 200 included) of a scan, then mean over scans. R error: mean "
    "absolute error of (low + 800) / (high + 800), attenuation in counts above the offset, over body pixels "
    "and three phases."
)


def score_scans(true: Scans, generated: Scans) -> Scores:
    """Score generated scans under the declared convention.

    Parameters
    ----------
    true, generated
        (n, 6, height, width) counts.

    Returns
    -------
    dict[str, NDArray[np.float64]]
        `psnr_db`, `ssim`, `nmae` and `r_image_error`, (n,) each.
    """
    metrics: dict[str, Callable[[Scans, Scans], Values]] = {
        "psnr_db": psnr_db,
        "ssim": ssim,
        "nmae": nmae,
        "r_image_error": r_image_error,
    }
    blocks = [slice(start, start + _BLOCK) for start in range(0, max(len(true), 1), _BLOCK)]
    return {
        name: np.concatenate([metric(true[block], generated[block]) for block in blocks])
        for name, metric in metrics.items()
    }


def score_channels(true: Scans, generated: Scans) -> Scores:
    """NMAE of each channel and R error of each phase: `nmae.air_hi`, `r_image_error.air` and so on."""
    scores: Scores = {
        f"nmae.{name}": nmae(true[:, [number]], generated[:, [number]])
        for number, name in enumerate(CHANNELS)
    }
    for number, phase in enumerate(PHASES):
        scores[f"r_image_error.{phase}"] = r_image_error(true, generated, phases=(number,))
    return scores


def sweep_conventions(true: Scans, generated: Scans) -> dict[str, dict[str, float]]:
    """Mean PSNR, SSIM and NMAE under the declared convention and under each that differs in one choice.

    Returns
    -------
    dict[str, dict[str, float]]
        Convention key to metric to mean over scans.
    """
    one_apart = [
        replace(DECLARED, data_range="scan"),
        replace(DECLARED, pooling="channel"),
        replace(DECLARED, region="body"),
        replace(DECLARED, window="uniform"),
        replace(DECLARED, denominator="attenuation"),
        replace(DECLARED, denominator="range"),
    ]
    return {
        convention.key: {
            "psnr_db": float(psnr_db(true, generated, convention).mean()),
            "ssim": float(ssim(true, generated, convention).mean()),
            "nmae": float(nmae(true, generated, convention).mean()),
        }
        for convention in (DECLARED, *one_apart)
    }


def psnr_db(true: Scans, generated: Scans, convention: ImageConvention = DECLARED) -> Values:
    """Peak signal-to-noise ratio of each scan in dB; infinite where nothing differs."""
    import torch  # noqa: PLC0415
    from torchmetrics.functional.image import peak_signal_noise_ratio  # noqa: PLC0415

    values = []
    for one, other, body in zip(true, generated, body_mask(true), strict=True):
        planes = (one[:, body], other[:, body]) if convention.region == "body" else (_flat(one), _flat(other))
        target, made = (torch.from_numpy(np.ascontiguousarray(plane)).double() for plane in planes)
        decibels = peak_signal_noise_ratio(
            made,
            target,
            data_range=_data_range(one, convention),
            reduction="none",
            dim=(1,) if convention.pooling == "channel" else (0, 1),
        )
        values.append(float(decibels.mean()))
    return np.array(values, np.float64)


def ssim(true: Scans, generated: Scans, convention: ImageConvention = DECLARED) -> Values:
    """Structural similarity of each scan, mean over channels."""
    values: list[float] = []
    for start in range(0, len(true), _BATCH):
        batch = slice(start, start + _BATCH)
        values += _ssim(true[batch], generated[batch], convention)
    return np.array(values, np.float64)


def nmae(true: Scans, generated: Scans, convention: ImageConvention = DECLARED) -> Values:
    """Normalised mean absolute error of each scan: sum of absolute errors over the denominator."""
    inside = np.ones_like(true, dtype=bool)
    if convention.region == "body":
        inside &= body_mask(true)[:, None]
    error = np.where(inside, np.abs(generated - true), 0.0).sum((1, 2, 3), dtype=np.float64)
    offset = OFFSET_COUNTS if convention.denominator == "attenuation" else 0.0
    denominator = np.where(inside, true - offset, 0.0).sum((1, 2, 3), dtype=np.float64)
    if convention.denominator == "range":
        ranges = np.array([_data_range(scan, convention) for scan in true])
        denominator = inside.sum((1, 2, 3)) * ranges
    return np.asarray(error / denominator)


def r_image_error(true: Scans, generated: Scans, *, phases: tuple[int, ...] = (0, 1, 2)) -> Values:
    """Mean absolute error of R over the body pixels of each true scan, of the given phases together."""
    body = body_mask(true)[:, None]
    difference = (_floored_r(generated) - _floored_r(true))[:, list(phases)]
    error = np.where(body, np.abs(difference), 0.0)
    return np.asarray(error.sum((1, 2, 3)) / np.maximum(len(phases) * body.sum((1, 2, 3)), 1))


def body_mask(true: Scans) -> NDArray[np.bool_]:
    """(n, height, width): pixels that attenuate in the air phase at high energy."""
    return np.asarray(true[:, 0] - OFFSET_COUNTS > MINIMUM_COUNTS)


def means(scores: Mapping[str, Values]) -> dict[str, float]:
    """Scores averaged over scans."""
    return {name: float(values.mean()) for name, values in scores.items()}


def _flat(scan: Scans) -> Scans:
    return scan.reshape(len(scan), -1)


def _data_range(true_scan: Scans, convention: ImageConvention) -> float:
    return float(DATA_RANGE) if convention.data_range == "14bit" else float(true_scan.max())


def _ssim(true: Scans, generated: Scans, convention: ImageConvention) -> list[float]:
    import torch  # noqa: PLC0415
    from torchmetrics.functional.image import structural_similarity_index_measure  # noqa: PLC0415

    def similarity(target: Tensor, made: Tensor, data_range: float) -> Tensor:
        gaussian = convention.window == "gaussian"
        _, whole = structural_similarity_index_measure(
            made,
            target,
            gaussian_kernel=gaussian,
            sigma=1.5,
            kernel_size=11 if gaussian else 7,
            data_range=data_range,
            return_full_image=True,
        )
        half = 5 if gaussian else 3
        inner: Tensor = whole[..., half:-half, half:-half]
        return inner

    targets, made = (torch.from_numpy(np.ascontiguousarray(scans)) for scans in (true, generated))
    if convention.data_range == "scan":
        maps = torch.cat(
            [
                similarity(targets[[n]], made[[n]], _data_range(scan, convention))
                for n, scan in enumerate(true)
            ]
        )
    else:
        maps = similarity(targets, made, float(DATA_RANGE))
    if convention.region == "frame":
        return [float(one.double().mean()) for one in maps]
    half = (true.shape[2] - maps.shape[2]) // 2
    body = torch.from_numpy(body_mask(true)[:, half : true.shape[2] - half, half : true.shape[3] - half])
    return [float(one[:, inside].double().mean()) for one, inside in zip(maps, body, strict=True)]


def _floored_r(scans: Scans) -> Values:
    attenuation = scans.astype(np.float64) - OFFSET_COUNTS + _R_PEDESTAL_COUNTS
    # A generated scan may fall below zero attenuation; at the pedestal's foot R has no meaning any more.
    return np.asarray(attenuation[:, 1::2] / np.maximum(attenuation[:, 0::2], _R_PEDESTAL_COUNTS / 4))
