"""Air in the body: lungs less the heart between them, the stomach's bubble and gas along the colon."""

from __future__ import annotations

import numpy as np

from registry.dxa.cohort.bodies import Array
from registry.dxa.cohort.individual import OrganTraits
from registry.dxa.cohort.primitives import ellipsoid_chords_cm
from registry.dxa.cohort.sources import OrganVariation
from registry.dxa.imaging.geometry import GRID, Grid

# Semi-axes in cm of the left and right lung and the heart of a 170 cm adult.
LUNGS_CM = ((4.9, 5.8, 10.5), (5.3, 5.8, 11.5))
HEART_CM = (5.5, 4.0, 6.0)
LUNG_DENSITY = 0.28
# The frame of the colon from the right groin over the stomach's lower edge to the left, about the navel.
COLON_CM = np.array([[-9, -7], [-9.5, 0], [-8, 6], [-2, 4], [4, 5], [9, 7], [9.5, 0], [8, -7], [2, -11]])
STOMACH_CM = np.array([5.0, 11.0])
# The six compartments of the gut hold about equal amounts; the stomach is one of them.
STOMACH_SHARE = 1 / 6
MEAN_BUBBLES = 9.0


def air_chords_cm(
    joints: tuple[Array, Array, Array],
    scale: float,
    traits: OrganTraits,
    *,
    variation: OrganVariation,
    generator: np.random.Generator,
    grid: Grid = GRID,
) -> Array:
    """Centimetres of air in each pixel, shape (rows, columns).

    Parameters
    ----------
    joints
        Middle and top of the spine of the chest (``spine02``, ``neck01``), and ``spine04``.
    scale
        Size over that of the reference adult.
    traits
        The person's lungs and heart.
    variation
        How far the diaphragm and the gas vary from scan to scan.
    generator
        Draws the breath and the gas of this scan.
    grid
        Pixels.

    Notes
    -----
    Gas volumes are log-normal; see ``OrganVariation`` for the published quartiles.
    """
    middle, top, belly = joints
    breath_cm = scale * generator.normal(0.0, variation.diaphragm_sd_cm)
    chest = (middle + top) / 2
    air = _lungs(chest, scale, traits, breath_cm, grid)
    gas_cm3 = scale**3 * variation.gas_median_ml * np.exp(generator.normal(0.0, variation.gas_log_sd))
    return air + _gas(belly, scale, float(gas_cm3), generator, grid)


def _lungs(chest: Array, scale: float, traits: OrganTraits, breath_cm: float, grid: Grid) -> Array:
    lungs = np.zeros(grid.shape)
    for number, (side, axes) in enumerate(zip((1.0, -1.0), LUNGS_CM, strict=True)):
        width, height = traits.lung_width[number], traits.lung_height[number]
        # The top of a lung stays, a breath moves its floor.
        centre = chest + scale * np.array([6.9 * side, 0.0, 0.0]) - [0.0, 0.0, breath_cm / 2]
        size = scale * np.array(axes) * [width, width, height] + [0.0, 0.0, breath_cm / 2]
        lungs += ellipsoid_chords_cm(centre, size, 0.1 * side, grid=grid)
    across, along = traits.heart_shift_cm
    heart = ellipsoid_chords_cm(
        chest + scale * np.array([2.5 + across, 0.0, -4.0 + along]),
        scale * traits.heart * np.array(HEART_CM),
        0.6,
        grid=grid,
    )
    return np.asarray((1.0 - LUNG_DENSITY / 1.06) * np.maximum(lungs - heart, 0.0))


def _gas(belly: Array, scale: float, gas_cm3: float, generator: np.random.Generator, grid: Grid) -> Array:
    """A bubble in the stomach and bubbles of unequal size along the colon; together ``gas_cm3``."""
    count = 1 + int(generator.poisson(MEAN_BUBBLES - 1))
    along = np.sort(generator.random(count)) * (len(COLON_CM) - 1)
    places = np.stack(
        [np.interp(along, np.arange(len(COLON_CM)), COLON_CM[:, axis]) for axis in (0, 1)], axis=1
    )
    places += generator.normal(0.0, 1.2, size=(count, 2))
    shares = generator.dirichlet(np.full(count, 0.8)) * (1.0 - STOMACH_SHARE)
    elongation, tilt = generator.uniform(1.0, 2.5, count), generator.uniform(0.0, np.pi, count)
    bubbles = [(STOMACH_CM, STOMACH_SHARE, 1.4, 0.3)]
    bubbles += list(zip(places, shares, elongation, tilt, strict=True))
    gas = np.zeros(grid.shape)
    for place, share, long, angle in bubbles:
        # An ellipsoid of semi-axes (long, 1, 1) r holds 4/3 pi long r^3.
        radius = (3.0 * share * gas_cm3 / (4.0 * np.pi * long)) ** (1 / 3)
        centre = belly + scale * np.array([place[0], 0.0, place[1]])
        gas += ellipsoid_chords_cm(centre, radius * np.array([long, 1.0, 1.0]), float(angle), grid=grid)
    return gas
