"""Where the legs part: the valley between them, followed up to its end.

Where thighs are apart, the gap between them ends at the crotch. Where they touch, the valley between them
becomes shallow below the crotch, and no depth tells where it ends; but the pelvis does: its lower edge, the
first mineral that lies between the legs, is at the height of the crotch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from registry.dxa.imaging.geometry import GRID, Grid

Array = npt.NDArray[np.float64]

# Shares of the body's length, from the top: between these the crotch is searched; the valley is followed on.
_HIGHEST, _LOWEST, _FOLLOWED = 0.38, 0.72, 0.80
# The valley has so much of a row's tissue on either side.
_LEAST_SHARE = 0.3
# A step aside costs as much as this share of the row's greatest density.
_STEP = 0.1
# The valley has ended where the tissue in it exceeds the first share of what the thinner leg has; or the
# second, and mineral so near to it the third share of the greatest in a row of the thighs.
_FILLED, _SHALLOW, _MINERAL, _MINERAL_REACH_CM = 0.85, 0.6, 0.3, 2.4
_THIGHS = (0.55, 0.70)
_LEG_REACH_CM = 14.3
_EMPTY_G_CM2 = 0.3


@dataclass(frozen=True)
class Crotch:
    """The crotch, as fractional pixel indices.

    Parameters
    ----------
    row
        Where the valley between the legs ends.
    column
        The valley's column there.
    valley
        First column of the left leg in every row; constant above the crotch and below the knees.
    """

    row: float
    column: float
    valley: Array


def find_crotch(density: Array, mineral: Array, top: int, bottom: int, grid: Grid = GRID) -> Crotch | None:
    """Follow the valley between the legs up to its end; None where no legs part.

    Parameters
    ----------
    density, mineral
        Areal density of all tissue and of bone mineral in g/cm2, zero outside the body, shape
        (rows, columns).
    top, bottom
        First and last row of the body.
    grid
        Pixel spacing.
    """
    length = bottom - top + 1
    first, last = top + round(_HIGHEST * length), top + round(_LOWEST * length)
    valley = _follow_valley(density[first : top + round(_FOLLOWED * length) + 1])
    thighs = slice(top + round(_THIGHS[0] * length), top + round(_THIGHS[1] * length))
    much_mineral = max(float(np.median(mineral[thighs].max(axis=1))), 1e-3)
    filled = np.array(
        [
            _filled(density[row], mineral[row] / much_mineral, int(valley[row - first]), grid)
            for row in range(first, last + 1)
        ]
    )
    ended = np.flatnonzero(filled > 1.0)
    if not len(ended) or ended[-1] == len(filled) - 1:
        return None
    # Between the last row of the trunk and the first of the legs.
    end = int(ended[-1])
    row = first + end + float((filled[end] - 1.0) / (filled[end] - filled[end + 1]))
    column = float(valley[end + 1 : end + 4].mean())
    columns = np.full(len(density), float(valley[-1]))
    columns[first : first + len(valley)] = valley
    columns[: first + end + 1] = valley[end + 1]
    return Crotch(row, column, columns)


def _follow_valley(density: Array) -> npt.NDArray[np.int64]:
    """The column of least tissue in every row that moves by a column at most from row to row."""
    columns = np.arange(density.shape[1])
    whole = np.maximum(density.sum(axis=1, keepdims=True), 1e-9)
    share = (np.cumsum(density, axis=1) - density / 2) / whole
    cost = density / np.maximum(density.max(axis=1, keepdims=True), 1e-9)
    # Beyond a leg there is no tissue either: more than any path between the legs can cost.
    cost[(share <= _LEAST_SHARE) | (share >= 1.0 - _LEAST_SHARE)] = 3.0
    steps = np.array([0, -1, 1])
    sums, came_from = cost[-1], []
    for line in cost[-2::-1]:
        padded = np.pad(sums, 1, constant_values=np.inf)
        options = np.stack([padded[1:-1], padded[:-2] + _STEP, padded[2:] + _STEP])
        best = options.argmin(axis=0)
        came_from.append(steps[best])
        sums = options[best, columns] + line
    path = [int(sums.argmin())]
    for step in reversed(came_from):
        path.append(path[-1] + int(step[path[-1]]))
    return np.array(path)


def _filled(line: Array, mineral: Array, column: int, grid: Grid) -> float:
    """How full the valley is in a row; above one, it has ended."""
    leg_reach = round(_LEG_REACH_CM / grid.column_spacing_cm)
    reach = round(_MINERAL_REACH_CM / grid.column_spacing_cm)
    right, left = line[max(0, column - leg_reach) : column], line[column + 1 : column + leg_reach + 1]
    leg = max(min(float(right.max(initial=0.0)), float(left.max(initial=0.0))), _EMPTY_G_CM2)
    depth = float(line[max(0, column - 1) : column + 2].min()) / leg
    bone = float(mineral[max(0, column - reach) : column + reach + 1].max())
    return max(depth / _FILLED, min(depth / _SHALLOW, bone / _MINERAL))
