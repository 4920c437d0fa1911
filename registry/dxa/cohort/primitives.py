"""Chord maps of simple solids: how many centimetres of each a vertical beam crosses, averaged over pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from registry.dxa.cohort.bodies import Array
from registry.dxa.imaging.geometry import GRID, Grid

ROW_SAMPLES = 4
COLUMN_SAMPLES = 2
# A rod seen along its axis: its chord is limited to this many times the diameter.
LONGEST_CHORD = 3.0


@dataclass(frozen=True)
class Rods:
    """Straight rods with round ends and a less dense core.

    Parameters
    ----------
    starts_cm, ends_cm
        Shape (rods, 3).
    radii_cm
        Shape (rods,).
    core
        Radius of the core over that of the rod.
    core_deficit
        Share of the density that the core lacks.
    """

    starts_cm: Array
    ends_cm: Array
    radii_cm: Array
    core: float = 0.55
    core_deficit: float = 0.7

    @classmethod
    def between(
        cls,
        pairs: list[tuple[npt.ArrayLike, npt.ArrayLike]],
        radii_cm: npt.ArrayLike,
        *,
        core: float = 0.55,
        core_deficit: float = 0.7,
    ) -> Rods:
        """Rods between pairs of points; one radius for all, or one for each."""
        starts = np.array([start for start, _ in pairs], dtype=np.float64)
        ends = np.array([end for _, end in pairs], dtype=np.float64)
        radii = np.broadcast_to(np.asarray(radii_cm, dtype=np.float64), len(pairs)).copy()
        return cls(starts, ends, radii, core, core_deficit)

    def chords_cm(self, grid: Grid = GRID) -> Array:
        """Density-weighted chord, shape (rows, columns); overlapping rods add up.

        The chord of a round rod at a distance d from its projected axis is ``2 sqrt(r^2 - d^2)``, longer by
        the ratio of its length to its projected length where it is tilted towards the beam.
        """
        chords = np.zeros(grid.shape)
        _add_rods(
            chords, self.starts_cm, self.ends_cm, self.radii_cm, self.core, self.core_deficit,
            grid.length_cm, grid.width_cm, grid.row_spacing_cm, grid.column_spacing_cm,
        )  # fmt: skip
        return chords


def ellipsoid_chords_cm(
    centre_cm: npt.ArrayLike,
    semi_axes_cm: npt.ArrayLike,
    tilt_rad: float = 0.0,
    wall_cm: float = 0.0,
    grid: Grid = GRID,
) -> Array:
    """Chord of an ellipsoid or of its wall.

    Parameters
    ----------
    centre_cm
        Table coordinates.
    semi_axes_cm
        Across, in depth, along the body, before tilting.
    tilt_rad
        Rotation about the beam, from across towards the head.
    wall_cm
        Thickness of the wall; zero for a solid.

    Notes
    -----
    ``2 b sqrt(1 - (p/a)^2 - (q/c)^2)``, less the same for the semi-axes shortened by the wall.
    """
    chords = np.zeros(grid.shape)
    _add_ellipsoid(
        chords, np.asarray(centre_cm, dtype=np.float64), np.asarray(semi_axes_cm, dtype=np.float64), tilt_rad,
        wall_cm, grid.length_cm, grid.width_cm, grid.row_spacing_cm, grid.column_spacing_cm,
    )  # fmt: skip
    return chords


@njit(cache=True)
def _add_rods(chords, starts, ends, radii, core, core_deficit, length, width, row_step, column_step):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    rows, columns = chords.shape
    dz, dx = row_step / ROW_SAMPLES, column_step / COLUMN_SAMPLES
    share = 1.0 / (ROW_SAMPLES * COLUMN_SAMPLES)
    for rod in range(len(radii)):
        radius = radii[rod]
        ax, az, bx, bz = starts[rod, 0], starts[rod, 2], ends[rod, 0], ends[rod, 2]
        lx, lz, ly = bx - ax, bz - az, ends[rod, 1] - starts[rod, 1]
        flat = lx * lx + lz * lz
        stretch = min(LONGEST_CHORD, np.sqrt(flat + ly * ly) / max(np.sqrt(flat), 1e-3))
        left = max(0, int(np.floor((min(ax, bx) - radius + width / 2) / dx)))
        right = min(columns * COLUMN_SAMPLES - 1, int(np.ceil((max(ax, bx) + radius + width / 2) / dx)))
        top = max(0, int(np.floor((length - max(az, bz) - radius) / dz)))
        bottom = min(rows * ROW_SAMPLES - 1, int(np.ceil((length - min(az, bz) + radius) / dz)))
        for row in range(top, bottom + 1):
            z = length - (row + 0.5) * dz
            for column in range(left, right + 1):
                x = (column + 0.5) * dx - width / 2
                t = 0.0
                if flat > 1e-9:
                    t = min(1.0, max(0.0, ((x - ax) * lx + (z - az) * lz) / flat))
                distance2 = (x - ax - t * lx) ** 2 + (z - az - t * lz) ** 2
                if distance2 < radius * radius:
                    chord = 2.0 * np.sqrt(radius * radius - distance2)
                    if distance2 < (core * radius) ** 2:
                        chord -= core_deficit * 2.0 * np.sqrt((core * radius) ** 2 - distance2)
                    chords[row // ROW_SAMPLES, column // COLUMN_SAMPLES] += chord * stretch * share


@njit(cache=True)
def _add_ellipsoid(chords, centre, axes, tilt, wall, length, width, row_step, column_step):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    rows, columns = chords.shape
    dz, dx = row_step / ROW_SAMPLES, column_step / COLUMN_SAMPLES
    share = 1.0 / (ROW_SAMPLES * COLUMN_SAMPLES)
    cosine, sine = np.cos(tilt), np.sin(tilt)
    radius = max(axes[0], axes[2])
    left = max(0, int(np.floor((centre[0] - radius + width / 2) / dx)))
    right = min(columns * COLUMN_SAMPLES - 1, int(np.ceil((centre[0] + radius + width / 2) / dx)))
    top = max(0, int(np.floor((length - centre[2] - radius) / dz)))
    bottom = min(rows * ROW_SAMPLES - 1, int(np.ceil((length - centre[2] + radius) / dz)))
    for row in range(top, bottom + 1):
        v = length - (row + 0.5) * dz - centre[2]
        for column in range(left, right + 1):
            u = (column + 0.5) * dx - width / 2 - centre[0]
            p, q = cosine * u + sine * v, cosine * v - sine * u
            outer = 1.0 - (p / axes[0]) ** 2 - (q / axes[2]) ** 2
            if outer > 0.0:
                chord = 2.0 * axes[1] * np.sqrt(outer)
                if wall > 0.0:
                    inner = 1.0 - (p / (axes[0] - wall)) ** 2 - (q / (axes[2] - wall)) ** 2
                    if inner > 0.0:
                        chord -= 2.0 * (axes[1] - wall) * np.sqrt(inner)
                chords[row // ROW_SAMPLES, column // COLUMN_SAMPLES] += chord * share
