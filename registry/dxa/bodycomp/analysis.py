"""Body composition of scans: 13 measures, maps, regions, bone masks and quality flags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from registry.contracts import InputError
from registry.dxa.bodycomp.baseline import BaselineSettings
from registry.dxa.bodycomp.calibration import Calibration
from registry.dxa.bodycomp.inversion import MINERAL
from registry.dxa.bodycomp.maps import CompositionMaps, composition_maps
from registry.dxa.bodycomp.outline import (
    Landmarks,
    find_landmarks,
    find_regions,
    least_overlap,
    lies_on_trunk,
)
from registry.dxa.cohort.measures import COMPOSITION
from registry.dxa.cohort.rig import REGIONS
from registry.dxa.cohort.truth import BONE_THRESHOLD_G_CM2
from registry.dxa.imaging.attenuation import BeamMode
from registry.dxa.imaging.channels import CHANNELS
from registry.dxa.imaging.geometry import GRID, Grid

Array = npt.NDArray[np.float64]

MEASURES: tuple[str, ...] = tuple(measure.name for measure in COMPOSITION)
Flag = Literal["no_body", "saturated", "outside_field", "limbs_touching", "regions_unclear", "implausible"]
#: Quality flags. ``no_body`` leaves a scan without measures; the others say why measures may be wrong.
FLAGS: tuple[Flag, ...] = (
    "no_body",
    "saturated",
    "outside_field",
    "limbs_touching",
    "regions_unclear",
    "implausible",
)

# Shares of the body's pixels above which a scan is flagged.
SATURATED_SHARE = 0.002
IMPOSSIBLE_SHARE = 0.02
# Regions are unclear where network and outline agree on less of one of them; 400 simulated subjects, with
# arms on the trunk and without, had at least 0.53.
AGREEING_SHARE = 0.5
# Pixels of the body on the field's border that are put down to noise.
_BORDER_PIXELS = 2
_PARTS = {"arm": ("arm_left", "arm_right"), "leg": ("leg_left", "leg_right"), "total": REGIONS}


@dataclass(frozen=True)
class ScanAnalysis:
    """One analysed scan.

    Parameters
    ----------
    measures
        Values by the names of ``MEASURES``; empty where there is no body.
    flags
        Quality flags.
    shares
        How far a flag goes, raised or not: of the body's pixels, the share that is ``saturated``, and the
        share that is ``implausible``, without a physical solution; for ``regions_unclear``, the overlap of
        the region that network and outline agree on least. Empty where there is no body.
    bone
        Bone mask: pixels above ``BONE_THRESHOLD_G_CM2``, over which bone mineral density is the mean.
    maps, regions, landmarks
        Areal densities and masks, index into ``REGIONS`` of each pixel, and the outline's landmarks; None
        where there is no body.
    """

    measures: dict[str, float]
    flags: frozenset[Flag]
    shares: Mapping[Flag, float]
    bone: npt.NDArray[np.bool_] | None
    maps: CompositionMaps | None
    regions: npt.NDArray[np.int8] | None
    landmarks: Landmarks | None


@dataclass(frozen=True)
class Analysis:
    """A batch of analysed scans.

    Parameters
    ----------
    scans
        One by one, in the given order.
    calibrated
        Whether the measures went through a calibration.
    """

    scans: tuple[ScanAnalysis, ...]
    calibrated: bool

    @property
    def measures(self) -> Array:
        """Values in the order of ``MEASURES``, NaN where a scan could not be analysed, shape (scans, 13)."""
        missing = dict.fromkeys(MEASURES, np.nan)
        rows = [[(scan.measures or missing)[name] for name in MEASURES] for scan in self.scans]
        return np.array(rows, dtype=np.float64).reshape(-1, len(MEASURES))

    @property
    def analysable(self) -> npt.NDArray[np.bool_]:
        """Which scans have measures."""
        return np.array([bool(scan.measures) for scan in self.scans], dtype=np.bool_)

    def flagged(self, flag: Flag) -> npt.NDArray[np.bool_]:
        """Which scans carry a flag."""
        return np.array([flag in scan.flags for scan in self.scans], dtype=np.bool_)


def analyse(
    scans: npt.ArrayLike | Sequence[npt.ArrayLike],
    *,
    calibration: Calibration | None = None,
    mode: BeamMode = "polychromatic",
    settings: BaselineSettings | None = None,
    grid: Grid = GRID,
) -> Analysis:
    """Analyse scans one after the other.

    Parameters
    ----------
    scans
        Codes, channels in the order of ``CHANNELS``, shape (scans, rows, columns, 6), or a sequence of scans;
        integers as a scanner stores them, or floating values as a network generates them.
    calibration
        Applied to every measure; None leaves the raw measures.
    mode
        Beam of the scanner.
    settings
        Of the estimate of fat under bone.
    grid
        Pixel spacing of the scans.

    Raises
    ------
    InputError
        If a scan does not have the grid's shape and six channels, or holds values that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> empty = np.full((1, *GRID.shape, 6), 200, dtype=np.uint16)
    >>> analysis = analyse(empty)
    >>> analysis.analysable.tolist(), sorted(analysis.scans[0].flags)
    ([False], ['no_body'])
    """
    results = []
    for number, scan in enumerate(scans):  # type: ignore[arg-type]
        codes = _check(np.asarray(scan), number, grid)
        results.append(_analyse_one(codes, calibration, mode, settings, grid))
    return Analysis(tuple(results), calibration is not None)


def region_measures(
    densities_g_cm2: Array, regions: npt.NDArray[np.integer], grid: Grid = GRID
) -> dict[str, float]:
    """Measure maps by region, as the truth of a cohort is measured.

    Masses sum all pixels of a region; bone mineral density is the mean of the pixels above
    ``BONE_THRESHOLD_G_CM2``, on which it depends.
    """
    fat, lean, mineral = np.moveaxis(densities_g_cm2, -1, 0)
    kilograms = grid.pixel_area_cm2 / 1000.0
    result: dict[str, float] = {}
    for part, names in _PARTS.items():
        inside = np.isin(regions, [REGIONS.index(name) for name in names])
        bone = inside & (mineral > BONE_THRESHOLD_G_CM2)
        result[f"{part}_bmc_kg"] = float(mineral[inside].sum()) * kilograms
        result[f"{part}_bmd_g_cm2"] = float(mineral[bone].mean()) if bone.any() else 0.0
        result[f"{part}_fat_kg"] = float(fat[inside].sum()) * kilograms
        result[f"{part}_lean_kg"] = float(lean[inside].sum()) * kilograms
    result["total_mass_kg"] = float(densities_g_cm2.sum()) * kilograms
    return result


def _check(codes: npt.NDArray[np.generic], number: int, grid: Grid) -> npt.NDArray[np.generic]:
    if codes.shape != (*grid.shape, len(CHANNELS)):
        raise InputError(
            f"scan {number} has the shape {codes.shape}",
            mend=f"give scans of shape {(*grid.shape, len(CHANNELS))}, channels {', '.join(CHANNELS)}",
        )
    if not np.isfinite(codes.astype(np.float64)).all():
        raise InputError(f"scan {number} holds values that are not finite", mend="replace or drop this scan")
    return codes


def _analyse_one(
    codes: npt.NDArray[np.generic],
    calibration: Calibration | None,
    mode: BeamMode,
    settings: BaselineSettings | None,
    grid: Grid,
) -> ScanAnalysis:
    from registry.dxa.bodycomp.region_network import divide  # noqa: PLC0415 - loads torch

    maps = composition_maps(codes, mode=mode, settings=settings, grid=grid)
    landmarks = None
    if maps is not None:
        total = maps.densities_g_cm2.sum(axis=-1)
        landmarks = find_landmarks(total, maps.densities_g_cm2[..., MINERAL], maps.body, grid)
    if maps is None or landmarks is None:
        return ScanAnalysis({}, frozenset({"no_body"}), {}, None, None, None, None)
    regions = divide(maps.soft_tissue_g_cm2, maps.body, grid)
    by_outline = find_regions(total, maps.body, landmarks, grid=grid)
    measures = region_measures(maps.densities_g_cm2, regions, grid)
    if calibration is not None:
        measures = calibration.apply(measures)
    bone = maps.densities_g_cm2[..., MINERAL] > BONE_THRESHOLD_G_CM2
    shares = _shares(codes, maps, least_overlap(regions, by_outline))
    flags = _flags(shares, maps, landmarks, grid)
    return ScanAnalysis(measures, flags, shares, bone, maps, regions, landmarks)


def _shares(codes: npt.NDArray[np.generic], maps: CompositionMaps, agreement: float) -> Mapping[Flag, float]:
    # A channel at the upper end of the scale costs nothing while others of its energy are left.
    below_scale = (codes.astype(np.float64)[maps.body] <= 0).any(axis=1)
    pixels = float(maps.body.sum())
    return {
        "saturated": float(below_scale.sum() + maps.starved.sum()) / pixels,
        "regions_unclear": agreement,
        "implausible": float(maps.impossible.sum()) / pixels,
    }


def _flags(
    shares: Mapping[Flag, float], maps: CompositionMaps, landmarks: Landmarks, grid: Grid
) -> frozenset[Flag]:
    border = np.concatenate([maps.body[0], maps.body[-1], maps.body[:, 0], maps.body[:, -1]])
    found: dict[Flag, bool] = {
        "saturated": shares["saturated"] > SATURATED_SHARE,
        "outside_field": int(border.sum()) > _BORDER_PIXELS,
        "limbs_touching": any(lies_on_trunk(landmarks, armpit, grid=grid) for armpit in landmarks.armpits),
        "regions_unclear": shares["regions_unclear"] < AGREEING_SHARE,
        "implausible": shares["implausible"] > IMPOSSIBLE_SHARE,
    }
    return frozenset(flag for flag, raised in found.items() if raised)
