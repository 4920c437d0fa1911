"""From six channels to maps of fat, lean tissue and bone mineral."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, label

from registry.dxa.bodycomp.baseline import BaselineSettings, estimate_baseline
from registry.dxa.bodycomp.inversion import (
    FAT,
    LEAN,
    MINERAL,
    solve_lean_alone,
    solve_soft_tissue,
    solve_under_bone,
)
from registry.dxa.imaging.attenuation import BeamMode
from registry.dxa.imaging.channels import MAXIMUM_CODE, decode
from registry.dxa.imaging.geometry import GRID, Grid

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Value = TypeVar("Value", bound=np.generic)

# About 0.15 g/cm2 of soft tissue: above what noise and the ripples of generated images reach.
BODY_NEPERS = 0.03
SMALLEST_BODY_PIXELS = 300
# Median of the chi-square distribution with four degrees of freedom: six channels less two unknowns.
_CHI_SQUARE_MEDIAN = 3.3567
# Where fat is known no better, or no channel of low energy is left, bone cannot be told from soft tissue.
_STARVED_G_CM2 = 8.0
# Fat and lean tissue may fall this many standard deviations below zero, and not count as impossible.
_TOLERATED_SDS = 6.0
_TOLERATED_G_CM2 = 0.5


@dataclass(frozen=True)
class CompositionMaps:
    """What one scan holds.

    Parameters
    ----------
    densities_g_cm2
        Fat, lean tissue and bone mineral, zero outside the body, shape (rows, columns, 3).
    soft_tissue_g_cm2
        Fat and lean tissue as they are where bone is not thought of, shape (rows, columns, 2): over bone far
        too little fat. Zero fat where there are too few photons to tell.
    body, with_mineral
        Pixels of the body, and those of them in which mineral was solved for: bone and its surroundings.
    starved
        Pixels with too few photons to tell bone from soft tissue. Where channels are at the end of the scale,
        mineral is bridged from around them; elsewhere it counts as none.
    impossible
        Pixels without a physical solution: the channels contradict each other or ask for less than nothing.
    photons
        Photons per channel in the open beam, estimated from the scatter of the channels.
    """

    densities_g_cm2: Array
    soft_tissue_g_cm2: Array
    body: Mask
    with_mineral: Mask
    starved: Mask
    impossible: Mask
    photons: float


def find_body(attenuation: Array) -> Mask:
    """The largest connected part of what attenuates the open high-energy beam."""
    attenuating = attenuation[..., 0] > BODY_NEPERS
    parts, number = label(attenuating)
    if not number:
        return np.zeros(attenuating.shape, dtype=np.bool_)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == int(sizes.argmax()))


def composition_maps(
    codes: npt.NDArray[np.generic],
    *,
    mode: BeamMode = "polychromatic",
    settings: BaselineSettings | None = None,
    fat_under_bone: tuple[Array, Mask] | None = None,
    grid: Grid = GRID,
) -> CompositionMaps | None:
    """Solve one scan.

    Parameters
    ----------
    codes
        Channels in the order of ``CHANNELS``, shape (rows, columns, 6); floating values are taken as they
        are.
    mode
        Beam of the scanner.
    settings
        Of the estimate of fat under bone.
    fat_under_bone
        True fat and the pixels that hold bone, for studies of what the rest of the analysis adds; both of
        shape (rows, columns).
    grid
        Pixel spacing.

    Returns
    -------
    CompositionMaps or None
        None where there is no body.
    """
    attenuation = decode(codes)
    attenuation[np.asarray(codes) >= MAXIMUM_CODE] = np.inf
    body = find_body(attenuation)
    if body.sum() < SMALLEST_BODY_PIXELS:
        return None
    channels = attenuation[body]
    soft = solve_soft_tissue(channels, mode)
    usable = soft.converged & np.isfinite(soft.error_factor_g_cm2)
    per_photon = (
        max(float(np.median(soft.misfit[usable])) / _CHI_SQUARE_MEDIAN, 1e-12) if usable.any() else 1.0
    )
    noise = np.where(usable, soft.error_factor_g_cm2 * np.sqrt(per_photon), np.inf)
    starved = ~usable | (noise > _STARVED_G_CM2)
    total = soft.densities_g_cm2.sum(axis=1)
    total[starved] = _total_of_starved(channels[starved], total[~starved], mode)

    without_bone = np.where(starved, 0.0, soft.densities_g_cm2[:, FAT])
    soft_tissue = np.stack([without_bone, total - without_bone], axis=1)

    densities = soft.densities_g_cm2.copy()
    if fat_under_bone is not None:
        fat, bone = fat_under_bone[0][body], fat_under_bone[1][body] & ~starved
    else:
        estimate = estimate_baseline(
            _image(densities[:, FAT], body),
            _image(total, body),
            _image(np.where(starved, 1.0, noise), body),
            _image(~starved, body),
            body,
            settings=settings,
            grid=grid,
        )
        fat = np.clip(estimate.fat_g_cm2[body], 0.0, 0.97 * np.maximum(total, 0.01))
        probable = (estimate.free_of_bone < 0.5) & body & ~_image(starved, body)
        # Bone fades out over its neighbours.
        bone = binary_dilation(probable)[body] & ~starved
    under = solve_under_bone(channels[bone], fat[bone], total[bone], mode)
    densities[bone] = under.densities_g_cm2
    mineral = _image(np.nan_to_num(densities[:, MINERAL]), body)
    bridged = bridge_mineral(mineral, _image(starved, body), body)[body]
    # Where all channels are there and contradict each other, as in generated scans, nothing is made up.
    bridged[np.isfinite(channels).all(axis=1)] = 0.0
    densities[starved] = solve_lean_alone(
        channels[starved], fat[starved], total[starved], mode, mineral_g_cm2=bridged[starved]
    ).densities_g_cm2
    least = -(_TOLERATED_G_CM2 + _TOLERATED_SDS * np.where(starved, 0.0, noise))
    misfit_limit = 12.0 * _CHI_SQUARE_MEDIAN * max(per_photon, 1e-7)
    impossible = (densities[:, :MINERAL] < least[:, None]).any(axis=1) | (soft.misfit > misfit_limit)
    impossible |= ~np.isfinite(densities).all(axis=1)
    impossible[bone] |= ~under.converged
    densities[~np.isfinite(densities)] = 0.0
    return CompositionMaps(
        _image(densities, body),
        _image(soft_tissue, body),
        body,
        _image(bone, body),
        _image(starved, body),
        _image(impossible, body),
        1.0 / per_photon,
    )


def bridge_mineral(mineral: Array, missing: Mask, body: Mask) -> Array:
    """Mineral of missing pixels, straight between the nearest known pixels of the body above and below.

    What is too thick is the abdomen, and the bones there, the spine above all, run along the body. All maps
    have the shape (rows, columns), mineral is in g/cm2; a column without a known pixel has none.
    """
    bridged = mineral.copy()
    for column in np.flatnonzero(missing.any(axis=0)):
        wanted = np.flatnonzero(missing[:, column])
        known = np.flatnonzero(body[:, column] & ~missing[:, column])
        bridged[wanted, column] = np.interp(wanted, known, mineral[known, column]) if known.size else 0.0
    return bridged


def _image(values: npt.NDArray[Value], body: Mask) -> npt.NDArray[Value]:
    """Values of the body's pixels on the grid, zero or false elsewhere."""
    result = np.zeros((*body.shape, *values.shape[1:]), dtype=values.dtype)
    result[body] = values
    return result


def _total_of_starved(channels: Array, others: Array, mode: BeamMode) -> Array:
    """All tissue of pixels that miss channels: what the rest would show of lean tissue alone.

    Elsewhere, and where nothing is left, the largest total of the scan: the beam was weakest there.
    """
    alone = solve_lean_alone(channels, 0.0, np.full(len(channels), 30.0), mode)
    lean = alone.densities_g_cm2[:, LEAN]
    left = np.isfinite(channels)
    seen = left.any(axis=1) & ~left.all(axis=1) & alone.converged & (lean > 0.0)
    return np.where(seen, lean, others.max() if others.size else 0.0)
