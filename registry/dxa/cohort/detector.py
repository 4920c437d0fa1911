"""What lies behind each sample of a detector's pixel, for scanners that average intensity over it.

The maps of ``composition`` hold each pixel's mean, which is the truth whatever the scanner does. Here every
mean is spread over the samples of its pixel the way skin, fat shell, bones and metal run through it; the
means stay what they are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter

from registry.dxa.cohort.bodies import Array
from registry.dxa.cohort.composition import (
    ADIPOSE_DENSITY,
    ADIPOSE_LIPID,
    LEAN_DENSITY,
    MINERAL_DENSITY,
    POINT_SPREAD_PIXELS,
    Composition,
    Specimen,
    bone_chords,
)
from registry.dxa.cohort.implants import implant_map
from registry.dxa.cohort.projection import COLUMN_SAMPLES, ROW_SAMPLES, thickness_map
from registry.dxa.imaging.geometry import Grid

SAMPLES = ROW_SAMPLES * COLUMN_SAMPLES


def detector_samples(specimen: Specimen, composition: Composition) -> tuple[Array, Array | None]:
    """Areal densities behind the samples of every pixel.

    The samples are those that the thickness of a pixel is the mean of. Organs, visceral fat and texture are
    taken to be even within a pixel; they are smooth on its scale.

    Parameters
    ----------
    specimen
        The body on the table.
    composition
        What ``compose`` made of it.

    Returns
    -------
    densities_g_cm2
        Fat, lean and bone mineral, shape (rows, columns, samples, 3); the mean over samples is that of
        ``composition``.
    implants_g_cm2
        Metal, shape (rows, columns, samples), or None.
    """
    grid = specimen.grid
    fine = replace(specimen, grid=grid.refined(ROW_SAMPLES, COLUMN_SAMPLES))
    model, marbling = specimen.model, specimen.individual.marbling

    def thickness_cm(vertices_cm: Array) -> Array:
        return _by_pixel(thickness_map(vertices_cm, model.faces, fine.grid, (1, 1)), grid)

    skin_cm = np.maximum(thickness_cm(specimen.body.vertices_cm), 0.0)
    inner_cm = np.clip(thickness_cm(composition.inner_surface_cm), 0.0, skin_cm)
    adipose_cm = skin_cm - inner_cm
    blur = (POINT_SPREAD_PIXELS[0] * ROW_SAMPLES, POINT_SPREAD_PIXELS[1] * COLUMN_SAMPLES)
    bones = _by_pixel(gaussian_filter(bone_chords(fine), blur), grid)
    fat, lean, mineral = np.moveaxis(composition.densities_g_cm2, -1, 0)
    mineral = _spread(mineral, np.where(skin_cm > 0, bones, 0.0))
    tissue_cm = np.maximum(inner_cm - mineral / MINERAL_DENSITY, 0.0)
    densities = [
        _spread(fat, ADIPOSE_DENSITY * ADIPOSE_LIPID * adipose_cm + LEAN_DENSITY * marbling * tissue_cm),
        _spread(
            lean,
            ADIPOSE_DENSITY * (1 - ADIPOSE_LIPID) * adipose_cm + LEAN_DENSITY * (1 - marbling) * tissue_cm,
        ),
        mineral,
    ]
    implants = implant_map(model, specimen.body, specimen.scale, specimen.individual.implants, fine.grid)
    metal = composition.implants_g_cm2
    if metal is not None and implants is not None:
        metal = _spread(metal, _by_pixel(implants, grid))
    return np.stack(densities, axis=-1), metal


def _by_pixel(samples: Array, grid: Grid) -> Array:
    """A map of samples by the pixels that they lie in, shape (rows, columns, samples)."""
    parts = samples.reshape(grid.rows, ROW_SAMPLES, grid.columns, COLUMN_SAMPLES)
    return parts.transpose(0, 2, 1, 3).reshape(*grid.shape, SAMPLES)


def _spread(mean: Array, pattern: Array) -> Array:
    """Samples in proportion to a pattern, with the given mean; even where the pattern is empty."""
    level = pattern.mean(axis=-1, keepdims=True)
    even = level <= 0.0
    return np.asarray(mean[..., None] * np.where(even, 1.0, pattern / np.where(even, 1.0, level)))
