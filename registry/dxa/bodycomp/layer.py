"""What a layer of fat under the skin looks like from above.

The limbs carry their fat as a layer under the skin, which a beam crosses obliquely near the outline: fat
rises towards the edges of a limb, although the layer is the same all around. Fat itself is therefore a poor
thing to interpolate across bone; the thickness of the layer is a good one. A body that is symmetric front
to back has the surface ``+-T/2`` over its thickness map T; moving that surface inwards by t everywhere is
an erosion of T/2 by a ball of radius t, and what lies between is the layer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit
from skimage.morphology import reconstruction

from registry.dxa.imaging.geometry import GRID, Grid

Array = npt.NDArray[np.float64]

LEVELS_CM = np.array(
    [0.0, 0.15, 0.3, 0.5, 0.75, 1.0, 1.3, 1.7, 2.2, 2.8, 3.5, 4.5, 6.0, 8.0, 11.0, 15.0, 20.0]
)
# Lipid in adipose tissue, and soft tissue as a whole, in g/cm3: they only set the scale of the thicknesses.
LIPID_DENSITY_G_CM3 = 0.78
TISSUE_DENSITY_G_CM3 = 1.03
# Rows are twice as far apart as columns; halving them makes the ball round enough.
_ROW_REFINEMENT = 2


def layer_fat_g_cm2(total_g_cm2: Array, grid: Grid = GRID) -> Array:
    """Fat seen in every pixel if the layer had each of ``LEVELS_CM``.

    Parameters
    ----------
    total_g_cm2
        Areal density of all tissue, zero outside the body, shape (rows, columns). Pits that the outline does
        not reach (lungs, gas) are filled: they lie inside and do not move the skin.
    grid
        Pixel spacing.

    Returns
    -------
    array
        Shape (levels, rows, columns), rising with the level up to a body of nothing but fat.
    """
    thickness = fill_pits(total_g_cm2) / TISSUE_DENSITY_G_CM3
    rows = len(thickness)
    position = (np.arange(rows * _ROW_REFINEMENT) + 0.5) / _ROW_REFINEMENT - 0.5
    upper = np.clip(np.floor(position).astype(np.int64), 0, rows - 2)
    share = np.clip(position - upper, 0.0, 1.0)[:, None]
    fine = thickness[upper] * (1.0 - share) + thickness[upper + 1] * share
    layers = _layers(fine, grid.row_spacing_cm / _ROW_REFINEMENT, grid.column_spacing_cm, LEVELS_CM)
    coarse = layers.reshape(len(LEVELS_CM), rows, _ROW_REFINEMENT, -1).mean(axis=2)
    return np.asarray(LIPID_DENSITY_G_CM3 * coarse)


def fill_pits(values: Array) -> Array:
    """Raise every pit to the lowest level at which it would overflow to the image's border."""
    seed = np.full_like(values, values.max())
    seed[[0, -1], :] = values[[0, -1], :]
    seed[:, [0, -1]] = values[:, [0, -1]]
    filled = reconstruction(seed, values, method="erosion")  # type: ignore[no-untyped-call]
    return np.asarray(filled, dtype=np.float64)


@njit(cache=True, error_model="numpy")
def _layers(thickness, row_cm, column_cm, levels):  # type: ignore[no-untyped-def]  # noqa: PLR0912
    rows, columns = thickness.shape
    result = np.zeros((len(levels), rows, columns))
    for level in range(1, len(levels)):
        radius = levels[level]
        reach_rows, reach_columns = int(radius / row_cm), int(radius / column_cm)
        caps = np.full((2 * reach_rows + 1, 2 * reach_columns + 1), -1.0)
        for a in range(-reach_rows, reach_rows + 1):
            for b in range(-reach_columns, reach_columns + 1):
                rest = radius**2 - (a * row_cm) ** 2 - (b * column_cm) ** 2
                if rest > 0.0:
                    caps[a + reach_rows, b + reach_columns] = 2.0 * np.sqrt(rest)
        for i in range(rows):
            for j in range(columns):
                whole = thickness[i, j]
                if whole <= 0.0:
                    continue
                inner = whole - 2.0 * radius
                # Once a pixel is all fat, it stays so.
                if inner <= 0.0 or result[level - 1, i, j] >= whole:
                    result[level, i, j] = whole
                    continue
                for a in range(-reach_rows, reach_rows + 1):
                    for b in range(-reach_columns, reach_columns + 1):
                        cap = caps[a + reach_rows, b + reach_columns]
                        if cap < 0.0:
                            continue
                        y, x = i + a, j + b
                        there = 0.0
                        if 0 <= y < rows and 0 <= x < columns:
                            there = thickness[y, x]
                        inner = min(inner, there - cap)
                    if inner <= 0.0:
                        break
                result[level, i, j] = whole - max(inner, 0.0)
    return result
