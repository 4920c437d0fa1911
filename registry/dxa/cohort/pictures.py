"""Pictures of scans for people: channels, the skeleton as a scanner's console shows it, R images, maps."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from registry.dxa.imaging.channels import CHANNELS, MAXIMUM_CODE, OFFSET_COUNTS, decode
from registry.dxa.imaging.geometry import GRID, Grid
from registry.dxa.imaging.r_image import r_image

Array = npt.NDArray[np.float64]

# Where attenuation is less (nepers, high energy), there is air.
AIR_NEPERS = 0.06
# R-values of the darkest and the brightest pixel.
R_WINDOW = (1.10, 1.55)
# The share of a map's pixels that may be brighter than white, in percent of its body.
_BRIGHTEST_PERCENT = 0.5
# A perceptually even ramp from black over blue and orange to white.
_RAMP = np.array(
    [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39],
     [252, 255, 164]],
    dtype=np.float64,
)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """One image as a data URI, what it shows, and what its brightest pixels stand for."""

    title: str
    source: str
    scale: str = ""


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
    """All six channels in one window, from no attenuation to the brightest of the six, by name.

    One window shows what the channels differ in: low energy is brighter than high, and behind a filter the
    air is not black.
    """
    values = (codes.astype(np.float64) - OFFSET_COUNTS) / max(channel_white(codes) - OFFSET_COUNTS, 1.0)
    shown = np.clip(values, 0.0, 1.0) ** 0.85
    return {name: shown[..., number] for number, name in enumerate(CHANNELS)}


def channel_white(codes: npt.NDArray[np.integer]) -> float:
    """Counts that channels are drawn white from."""
    return float(np.percentile(codes, 99.9))


def r_picture(codes: npt.NDArray[np.integer]) -> npt.NDArray[np.uint8]:
    """R image of the air phase in colour, air black."""
    values = r_image(codes, background=R_WINDOW[0])
    share = np.clip((values - R_WINDOW[0]) / (R_WINDOW[1] - R_WINDOW[0]), 0.0, 1.0)
    place = share * (len(_RAMP) - 1)
    left = np.minimum(place.astype(np.int64), len(_RAMP) - 2)
    weight = (place - left)[..., None]
    return np.asarray(_RAMP[left] * (1 - weight) + _RAMP[left + 1] * weight).astype(np.uint8)


def ramp_css() -> str:
    """The colours of R images as a CSS gradient, for a legend."""
    return ", ".join(f"rgb({red:.0f} {green:.0f} {blue:.0f})" for red, green, blue in _RAMP)


def map_images(codes: npt.NDArray[np.integer], grid: Grid = GRID) -> dict[str, tuple[Array, float]] | None:
    """Fat, lean tissue and bone mineral as the analyser sees them, and the g/cm2 that is drawn white.

    Each map has the window of this body: thin and heavy people both show. None where there is no body.
    """
    from registry.dxa.bodycomp.maps import composition_maps  # noqa: PLC0415 - compiles

    found = composition_maps(codes, grid=grid)
    if found is None:
        return None
    result = {}
    for number, name in enumerate(("fat", "lean tissue", "bone mineral")):
        density = found.densities_g_cm2[..., number]
        white = max(float(np.percentile(density[found.body], 100 - _BRIGHTEST_PERCENT)), 0.1)
        result[name] = (np.clip(density / white, 0.0, 1.0), white)
    return result


def data_uri(image: Array | npt.NDArray[np.uint8]) -> str:
    """A PNG at the scan's own pixels: grey from 0 to 1, or RGB bytes; the page stretches it."""
    from PIL import Image  # noqa: PLC0415 - only where a picture is wanted

    values = image if image.dtype == np.uint8 else np.rint(255 * image).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def scan_pictures(codes: npt.NDArray[np.integer], grid: Grid = GRID) -> list[Picture]:
    """Everything the page shows of one scan."""
    pictures = [
        Picture("skeleton", data_uri(skeleton_image(codes))),
        Picture("R image", data_uri(r_picture(codes))),
    ]
    for name, (image, white) in (map_images(codes, grid) or {}).items():
        pictures.append(Picture(name, data_uri(image), f"white: {white:.2g} g/cm²"))
    pictures += [
        Picture(name.replace("_", " "), data_uri(image)) for name, image in channel_images(codes).items()
    ]
    return pictures


def saturated(codes: npt.NDArray[np.integer]) -> int:
    """Values at the end of the scale."""
    return int(np.count_nonzero(codes >= MAXIMUM_CODE))
