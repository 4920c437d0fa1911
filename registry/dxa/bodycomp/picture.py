"""A picture of one analysed scan: fat, lean tissue, bone mineral and regions side by side."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from registry.contracts import InputError
from registry.dxa.bodycomp.analysis import ScanAnalysis
from registry.dxa.cohort.manifest import write_atomically
from registry.dxa.imaging.geometry import GRID, Grid

# White at these areal densities (g/cm2) of fat, lean tissue and bone mineral.
WHITE_G_CM2 = (10.0, 25.0, 2.5)
# Outside, then the regions in their order; hues that stay apart for most kinds of colour vision.
_REGION_COLOURS = np.array(
    [(0, 0, 0), (230, 159, 0), (204, 204, 204), (0, 114, 178), (86, 180, 233), (0, 158, 115), (213, 94, 0)],
    dtype=np.uint8,
)
_BONE_COLOUR = (255, 255, 255)
_MAGNIFICATION = 3


def draw(scan: ScanAnalysis, grid: Grid = GRID) -> npt.NDArray[np.uint8]:
    """Draw one scan, pixels stretched to their true proportions.

    Returns
    -------
    array
        RGB image; four panels from left to right: fat, lean tissue, bone mineral, and the regions with the
        bone mask in white.

    Raises
    ------
    InputError
        If the scan could not be analysed.
    """
    if scan.maps is None or scan.regions is None:
        raise InputError("a scan without a body cannot be drawn", mend="look at its channels instead")
    panels = [
        np.repeat(np.clip(255 * scan.maps.densities_g_cm2[..., k, None] / white, 0, 255), 3, axis=-1)
        for k, white in enumerate(WHITE_G_CM2)
    ]
    coloured = _REGION_COLOURS[scan.regions.astype(np.int64) + 1].astype(np.float64)
    coloured[scan.bone] = _BONE_COLOUR
    panels.append(coloured)
    image = np.concatenate(panels, axis=1).astype(np.uint8)
    stretch = grid.row_spacing_cm / grid.column_spacing_cm * _MAGNIFICATION
    rows = (np.arange(round(len(image) * stretch)) / stretch).astype(np.int64)
    return np.asarray(np.repeat(image, _MAGNIFICATION, axis=1)[np.minimum(rows, len(image) - 1)])


def write_picture(scan: ScanAnalysis, path: Path, grid: Grid = GRID) -> None:
    """Write :func:`draw`'s image as PNG."""
    from PIL import Image  # noqa: PLC0415 - only where a picture is wanted

    buffer = io.BytesIO()
    Image.fromarray(draw(scan, grid)).save(buffer, format="PNG")
    write_atomically(path, buffer.getvalue())
