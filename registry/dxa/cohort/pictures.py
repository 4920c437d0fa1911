"""Pictures of scans for people: channels, the skeleton as a scanner's console shows it, R images, maps."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from registry.dxa.imaging.channels import CHANNELS, MAXIMUM_CODE, decode
from registry.dxa.imaging.r_image import r_image

Array = npt.NDArray[np.float64]

# Where attenuation is less (nepers, high energy), there is air.
AIR_NEPERS = 0.06
# R-values of the darkest and the brightest pixel.
R_WINDOW = (1.10, 1.55)
# g/cm2 shown as the brightest pixel, of fat, lean tissue and bone mineral.
MAP_WHITE_G_CM2 = (10.0, 25.0, 2.0)
# A perceptually even ramp from black over blue and orange to white.
_RAMP = np.array(
    [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39],
     [252, 255, 164]],
    dtype=np.float64,
)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """One image as a data URI, and what it shows."""

    title: str
    source: str


def skeleton_image(codes: npt.NDArray[np.integer]) -> Array:
    """The picture on a scanner's console: bone bright on grey soft tissue, from 0 to 1.

    ``Q = L - k H`` cancels soft tissue; k is the slope of low on high energy over the body, as the QDR
    manual takes it from the tissue segment. A fifth of the high-energy picture is added for the outline.
    """
    attenuation = decode(codes)
    high, low = attenuation[..., 0], attenuation[..., 1]
    body = high > AIR_NEPERS
    if not body.any():
        return np.zeros(high.shape)
    slope = float((high[body] * low[body]).sum() / (high[body] ** 2).sum())
    # Hardening bends the line: what bends is taken out with a second power.
    powers = np.stack([high[body], high[body] ** 2], axis=1)
    fitted = np.linalg.lstsq(powers, low[body], rcond=None)[0] if body.sum() > 100 else [slope, 0.0]
    excess = np.where(body, low - fitted[0] * high - fitted[1] * high**2, 0.0)
    low_end, high_end = np.percentile(excess[body], [10, 99.3])
    bone = np.clip((excess - low_end) / max(float(high_end - low_end), 1e-9), 0.0, 1.0)
    outline = np.clip(high / max(float(np.percentile(high[body], 99)), 1e-9), 0.0, 1.0)
    return np.where(body, np.clip(0.12 + 0.72 * bone + 0.16 * outline, 0.0, 1.0), 0.0)


def channel_images(codes: npt.NDArray[np.integer]) -> dict[str, Array]:
    """All six channels, each from air to its brightest percent, by name."""
    result = {}
    for number, name in enumerate(CHANNELS):
        values = codes[..., number].astype(np.float64)
        least, most = float(np.percentile(values, 1)), float(np.percentile(values, 99.5))
        result[name] = np.clip((values - least) / max(most - least, 1.0), 0.0, 1.0) ** 0.85
    return result


def r_picture(codes: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """R image of the air phase in colour, air black."""
    values = r_image(codes, background=R_WINDOW[0])
    share = np.clip((values - R_WINDOW[0]) / (R_WINDOW[1] - R_WINDOW[0]), 0.0, 1.0)
    place = share * (len(_RAMP) - 1)
    left = np.minimum(place.astype(np.int64), len(_RAMP) - 2)
    weight = (place - left)[..., None]
    return np.asarray(_RAMP[left] * (1 - weight) + _RAMP[left + 1] * weight).astype(np.uint8)


def map_images(codes: npt.NDArray[np.integer]) -> dict[str, Array] | None:
    """Fat, lean tissue and bone mineral as the analyser sees them; None where there is no body."""
    from registry.dxa.bodycomp.maps import composition_maps  # noqa: PLC0415 - compiles

    found = composition_maps(codes)
    if found is None:
        return None
    return {
        name: np.clip(found.densities_g_cm2[..., number] / white, 0.0, 1.0)
        for number, (name, white) in enumerate(
            zip(("fat", "lean tissue", "bone mineral"), MAP_WHITE_G_CM2, strict=True)
        )
    }


def data_uri(image: Array | npt.NDArray[np.uint8]) -> str:
    """A PNG at the scan's own pixels: grey from 0 to 1, or RGB bytes; the page stretches it."""
    from PIL import Image  # noqa: PLC0415 - only where a picture is wanted

    values = image if image.dtype == np.uint8 else np.rint(255 * image).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def scan_pictures(codes: npt.NDArray[np.integer]) -> list[Picture]:
    """Everything the page shows of one scan."""
    pictures = [
        Picture("skeleton", data_uri(skeleton_image(codes))),
        Picture("R image", data_uri(r_picture(codes))),
    ]
    for name, image in (map_images(codes) or {}).items():
        pictures.append(Picture(name, data_uri(image)))
    pictures += [
        Picture(name.replace("_", " "), data_uri(image)) for name, image in channel_images(codes).items()
    ]
    return pictures


def saturated(codes: npt.NDArray[np.integer]) -> int:
    """Values at the end of the scale."""
    return int(np.count_nonzero(codes >= MAXIMUM_CODE))
