"""A picture of one analysed scan: maps, regions and bone, with measures, flags and scales beside them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from registry.dxa.bodycomp.analysis import ScanAnalysis
from registry.dxa.bodycomp.wording import COLUMNS, SIMULATED, cells_of, explained, unanalysed
from registry.dxa.cohort.rig import REGIONS
from registry.dxa.imaging.channels import CHANNELS
from registry.dxa.imaging.geometry import GRID, Grid

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

Bytes = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

#: Brightest at these areal densities (g/cm2), the same in every picture, so that pictures compare.
MAPS = (
    ("Fat", 10.0, (240, 160, 20)),
    ("Lean tissue", 25.0, (222, 70, 70)),
    ("Bone mineral", 2.5, (110, 160, 225)),
)
# Outside, then the regions in their order; hues that stay apart for most kinds of colour vision.
_REGION_COLOURS: tuple[Colour, ...] = (
    (0, 0, 0), (230, 159, 0), (150, 150, 150), (0, 114, 178), (86, 180, 233), (0, 158, 115), (213, 94, 0),
)  # fmt: skip
# Shown in place of the maps where there is no body.
_CHANNELS_SHOWN = (0, 1, 2, 4)
_BACKGROUND, _TEXT, _MUTED, _WARNING = (20, 23, 28), (235, 237, 240), (160, 170, 184), (245, 179, 53)
_MARGIN, _GAP, _HEAD, _FOOT, _TABLE = 24, 14, 84, 56, 360
_COLUMN_PIXELS = 2
_RULER_CM = 20


def draw(
    scan_id: str, codes: npt.ArrayLike, scan: ScanAnalysis, *, simulated: bool, grid: Grid = GRID
) -> Image:
    """Draw one scan in true proportions, the subject's right to the left.

    Parameters
    ----------
    scan_id
        Its title.
    codes
        What was analysed, shape (rows, columns, 6): shown where it has no body.
    scan
        Its analysis.
    simulated
        Whether scan or calibration are.
    grid
        Pixels of the scan.

    Returns
    -------
    PIL.Image.Image
        Maps of fat, lean tissue and bone mineral, the regions with the bone mask in white, and the measures
        with their units and flags; or channels, and why there is nothing else.
    """
    from PIL import Image, ImageDraw  # noqa: PLC0415 - only where a picture is wanted

    panels = _panels(codes, scan, grid)
    width, height = panels[0][1].size
    right = _MARGIN + len(panels) * (width + _GAP)
    canvas = Image.new("RGB", (right + _TABLE + _MARGIN, _HEAD + height + _FOOT), _BACKGROUND)
    pen = ImageDraw.Draw(canvas)
    pen.text((_MARGIN, 16), scan_id, _TEXT, _font(22))
    if simulated:
        pen.text((canvas.width - _MARGIN, 22), SIMULATED, _WARNING, _font(15), anchor="ra")
    for number, (title, panel, ramp, most) in enumerate(panels):
        left = _MARGIN + number * (width + _GAP)
        pen.text((left, _HEAD - 26), title, _TEXT, _font(15))
        canvas.paste(panel, (left, _HEAD))
        pen.text((left + 6, _HEAD + 4), "R", _MUTED, _font(13))
        pen.text((left + width - 6, _HEAD + 4), "L", _MUTED, _font(13), anchor="ra")
        if ramp is not None:
            canvas.paste(ramp.resize((width, 8)), (left, _HEAD + height + 10))
            pen.text((left, _HEAD + height + 24), "0", _MUTED, _font(13))
            pen.text((left + width, _HEAD + height + 24), most, _MUTED, _font(13), anchor="ra")
    _ruler(pen, _MARGIN + 3 * (width + _GAP), _HEAD + height + 12, grid)
    _side(pen, right + _GAP, codes, scan)
    return canvas


def png(picture: Image, description: str) -> bytes:
    """A picture as a PNG file that says what it shows, and whether that is simulated."""
    from PIL import PngImagePlugin  # noqa: PLC0415

    facts, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    facts.add_text("Description", description)
    picture.save(buffer, format="PNG", pnginfo=facts, optimize=True)
    return buffer.getvalue()


def _panels(
    codes: npt.ArrayLike, scan: ScanAnalysis, grid: Grid
) -> list[tuple[str, Image, Image | None, str]]:
    """Title, picture, colour scale and its upper end of each panel."""
    if scan.maps is None or scan.regions is None:
        values = np.asarray(codes, dtype=np.float64)
        low, high = values.min(), max(values.max(), values.min() + 1)
        shades = np.repeat(((values - low) / (high - low) * 255)[..., None], 3, axis=-1).astype(np.uint8)
        return [(CHANNELS[k], _stretched(shades[:, :, k], grid), None, "") for k in _CHANNELS_SHOWN]
    panels: list[tuple[str, Image, Image | None, str]] = []
    for number, (title, most, colour) in enumerate(MAPS):
        shown = _coloured(scan.maps.densities_g_cm2[..., number] / most, colour)
        ramp = _stretched(_coloured(np.linspace(0, 1, 128)[None], colour), grid)
        panels.append((title, _stretched(shown, grid, smooth=True), ramp, f"{most:g} g/cm2 or more"))
    regions = np.array(_REGION_COLOURS, dtype=np.uint8)[scan.regions.astype(np.int64) + 1]
    regions[scan.bone] = 255
    return [*panels, ("Regions, bone in white", _stretched(regions, grid), None, "")]


def _coloured(share: npt.NDArray[np.floating], colour: Colour) -> Bytes:
    """From black over a colour to white: lightness rises throughout, so that grey prints keep the order."""
    stops = np.array([(0, 0, 0), colour, (255, 255, 255)], dtype=np.float64)
    levels = [np.interp(share, (0.0, 0.6, 1.0), stops[:, channel]) for channel in range(3)]
    return np.stack(levels, axis=-1).astype(np.uint8)


def _stretched(pixels: Bytes, grid: Grid, *, smooth: bool = False) -> Image:
    from PIL import Image  # noqa: PLC0415

    height = round(pixels.shape[0] * _COLUMN_PIXELS * grid.row_spacing_cm / grid.column_spacing_cm)
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    return Image.fromarray(pixels).resize((pixels.shape[1] * _COLUMN_PIXELS, height), how)


def _ruler(pen: ImageDraw, left: int, top: int, grid: Grid) -> None:
    length = round(_RULER_CM / grid.column_spacing_cm * _COLUMN_PIXELS)
    pen.line([(left, top + 4), (left + length, top + 4)], _TEXT, 2)
    for end in (left, left + length):
        pen.line([(end, top), (end, top + 8)], _TEXT, 2)
    pen.text((left + length + 8, top - 4), f"{_RULER_CM} cm", _MUTED, _font(13))


def _side(pen: ImageDraw, left: int, codes: npt.ArrayLike, scan: ScanAnalysis) -> None:
    """Measures, flags and the names of the regions."""
    top = _HEAD - 26
    if scan.measures:
        pen.text((left, top), "Measures", _TEXT, _font(15))
        top = _table(pen, left, top + 34, cells_of(scan.measures)) + 26
    pen.text((left, top), "Flags", _TEXT, _font(15))
    lines = explained(scan.flags, scan.shares) or ["none"]
    if not scan.measures:
        lines = [*lines, unanalysed(codes)]
    for line in lines:
        top = _paragraph(pen, left, top + 26, line, _WARNING if scan.flags else _MUTED)
    if scan.regions is None:
        return
    top += 44
    pen.text((left, top), "Regions", _TEXT, _font(15))
    for name, colour in zip(REGIONS, _REGION_COLOURS[1:], strict=True):
        top += 24
        pen.rectangle([left, top + 2, left + 13, top + 15], fill=colour)
        pen.text((left + 22, top), name.replace("_", " "), _MUTED, _font(14))


def _table(pen: ImageDraw, left: int, top: int, rows: Sequence[tuple[str, Sequence[str]]]) -> int:
    edges = [left + 42 + round((number + 1) * (_TABLE - 56) / len(COLUMNS)) for number in range(len(COLUMNS))]
    for edge, (name, unit) in zip(edges, COLUMNS.values(), strict=True):
        pen.text((edge, top), name, _MUTED, _font(14), anchor="ra")
        pen.text((edge, top + 18), unit, _MUTED, _font(12), anchor="ra")
    top += 42
    pen.line([(left, top), (edges[-1], top)], _MUTED, 1)
    for place, cells in rows:
        pen.text((left, top + 8), place, _MUTED, _font(14))
        for edge, cell in zip(edges, cells, strict=True):
            pen.text((edge, top + 8), cell, _TEXT, _font(14), anchor="ra")
        top += 26
    return top


def _paragraph(pen: ImageDraw, left: int, top: int, text: str, colour: Colour) -> int:
    """Write text in lines as wide as the table; returns the top of the last one."""
    line = ""
    for word in text.split():
        if line and pen.textlength(f"{line} {word}", _font(14)) > _TABLE - 14:
            pen.text((left, top), line, colour, _font(14))
            top, line = top + 19, word
        else:
            line = f"{line} {word}".strip()
    pen.text((left, top), line, colour, _font(14))
    return top


def _font(size: int) -> FreeTypeFont:
    from PIL import ImageFont  # noqa: PLC0415

    return ImageFont.load_default(size)  # type: ignore[return-value]  # with a size, one of outlines
