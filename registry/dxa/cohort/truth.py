"""The 13 measures of body composition, from the true maps and the rig's regions."""

from __future__ import annotations

import numpy as np

from registry.dxa.cohort.composition import Composition
from registry.dxa.cohort.rig import REGIONS
from registry.dxa.imaging.geometry import GRID, Grid

# A pixel counts as bone above this areal density; bone mineral density depends on it.
BONE_THRESHOLD_G_CM2 = 0.4
_PARTS = {
    "arm": ("arm_left", "arm_right"),
    "leg": ("leg_left", "leg_right"),
    "total": REGIONS,
}


def composition_measures(composition: Composition, grid: Grid = GRID) -> dict[str, float]:
    """Measure the true maps.

    Masses sum all pixels of a region. Bone mineral density is the mineral within the bone mask
    (``BONE_THRESHOLD_G_CM2``) over the mask's area.

    Returns
    -------
    dict
        Values by the names of ``measures.COMPOSITION``.
    """
    fat, lean, mineral = np.moveaxis(composition.densities_g_cm2, -1, 0)
    area = grid.pixel_area_cm2
    result: dict[str, float] = {}
    for part, names in _PARTS.items():
        inside = np.isin(composition.region, [REGIONS.index(name) for name in names])
        bone = inside & (mineral > BONE_THRESHOLD_G_CM2)
        result[f"{part}_bmc_kg"] = float(mineral[inside].sum()) * area / 1000.0
        result[f"{part}_bmd_g_cm2"] = float(mineral[bone].mean()) if bone.any() else 0.0
        result[f"{part}_fat_kg"] = float(fat[inside].sum()) * area / 1000.0
        result[f"{part}_lean_kg"] = float(lean[inside].sum()) * area / 1000.0
    result["total_mass_kg"] = float(composition.densities_g_cm2.sum()) * area / 1000.0
    return result
