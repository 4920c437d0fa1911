"""A picture of a scan: its six channels side by side, in true proportions."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from registry.dxa.cohort.manifest import write_atomically
from registry.dxa.imaging import GRID, Grid

_MAGNIFICATION = 3


def write_channels(scan: NDArray[np.floating], path: Path, description: str, grid: Grid = GRID) -> None:
    """Write (rows, columns, 6) counts as PNG, each channel from its darkest to its brightest value.

    Parameters
    ----------
    description
        Goes into the file: what it shows, and whether that is simulated.
    grid
        Pixels of the scan.
    """
    from PIL import Image, PngImagePlugin  # noqa: PLC0415 - only where a picture is wanted

    low, high = scan.min((0, 1)), scan.max((0, 1))
    shades = 255 * (scan - low) / np.maximum(high - low, 1e-6)
    image = Image.fromarray(np.concatenate(list(shades.transpose(2, 0, 1)), axis=1).astype(np.uint8))
    height = round(image.height * _MAGNIFICATION * grid.row_spacing_cm / grid.column_spacing_cm)
    stretched = image.resize((image.width * _MAGNIFICATION, height), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    facts = PngImagePlugin.PngInfo()
    facts.add_text("Description", description)
    stretched.save(buffer, format="PNG", pnginfo=facts)
    write_atomically(path, buffer.getvalue())
