"""Regions from the silhouette: head, trunk, arms and legs, cut as an analyst of whole-body DXA cuts them.

They are the second opinion beside ``region_network``'s, which measures are taken of: made of rules alone,
they have learned nothing, and where the two disagree a scan is flagged. Landmarks tell whether there is a
body, and whether its arms lie apart from the trunk.

Landmarks are read off the outline and the areal densities of all tissue and of mineral: the top of the head,
the neck, the armpits (where the arms part from the trunk) and the crotch (where the legs part). Where thighs
touch, the valley between them stands in for the gap and the lower edge of the pelvis for its end
(``crotch``). The cuts through the shoulder and the hip joints lie at distances from these landmarks that were
fitted once to the simulated bodies' rig (``CUTS``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from registry.dxa.bodycomp.crotch import Crotch, find_crotch
from registry.dxa.cohort.rig import REGIONS
from registry.dxa.imaging.geometry import GRID, Grid

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
OUTSIDE = -1
HEAD, TRUNK, ARM_LEFT, ARM_RIGHT, LEG_LEFT, LEG_RIGHT = range(len(REGIONS))


@dataclass(frozen=True)
class Cuts:
    """Where the joints lie relative to the landmarks; lengths as shares of the silhouette's length.

    Parameters
    ----------
    shoulder_drop, shoulder_drop_cm
        From the top of the head to the upper end of the arm's cut: share of the length, plus centimetres.
    shoulder_width, shoulder_width_cm
        From the midline to that end: share of the distance to the outline there, plus centimetres.
    armpit_depth, armpit_inset_cm
        An armpit is expected no lower than this share below the shoulder; where the arm lies against the
        trunk longer, the cut passes this much nearer to the midline there.
    arm_length, hand_width_cm
        An arm that never parts from the body ends this share below the shoulder, so far inside the outline;
        no arm reaches more than a quarter further.
    crotch_drop
        From the crotch down to the apex of the legs' cut.
    hip_slope
        Rise of that cut over its run, through the hip joint, across the body's axis.
    hip_ceiling
        Legs end this share above the apex.
    """

    shoulder_drop: float = 0.0819
    shoulder_drop_cm: float = 14.6
    shoulder_width: float = 0.7334
    shoulder_width_cm: float = 0.8
    armpit_depth: float = 0.13
    armpit_inset_cm: float = 6.0
    arm_length: float = 0.32
    hand_width_cm: float = 1.5
    crotch_drop: float = 0.012
    hip_slope: float = 0.788
    hip_ceiling: float = 0.083


CUTS = Cuts()


@dataclass(frozen=True)
class Landmarks:
    """Rows and columns, as fractional pixel indices.

    Parameters
    ----------
    top, bottom
        First and last row of the body.
    midline
        Column of the upper body's axis.
    tilt
        How far the axis from the crotch to the upper body's middle moves aside for each centimetre up.
    neck
        Row where the neck is narrowest.
    crotch
        Where the legs part, and the valley between them.
    armpits
        Row and column for left and right; None where no arm parts from the trunk.
    """

    top: int
    bottom: int
    midline: float
    tilt: float
    neck: int
    crotch: Crotch
    armpits: tuple[tuple[int, int] | None, tuple[int, int] | None]


def find_landmarks(
    total_g_cm2: Array, mineral_g_cm2: Array, body: Mask, grid: Grid = GRID
) -> Landmarks | None:
    """Find the landmarks of a scan that lies head up; None where the silhouette is no body.

    Parameters
    ----------
    total_g_cm2, mineral_g_cm2
        Areal density of all tissue and of bone mineral, shape (rows, columns).
    body
        The body's pixels.
    """
    rows = np.flatnonzero(body.any(axis=1))
    if len(rows) < 40:
        return None
    top, bottom = int(rows[0]), int(rows[-1])
    length = bottom - top + 1
    density = np.where(body, total_g_cm2, 0.0)
    upper = density[top : top + length // 2]
    midline = float(np.average(np.arange(density.shape[1]), weights=upper.sum(axis=0)))
    centre_row = float(np.average(np.arange(top, top + length // 2), weights=upper.sum(axis=1)))
    width = body.sum(axis=1)
    first = top + round(0.08 * length)
    neck = first + int(np.argmin(width[first : top + round(0.19 * length)]))
    crotch = find_crotch(density, np.where(body, mineral_g_cm2, 0.0), top, bottom, grid)
    if crotch is None:
        return None
    shift_cm = (midline - crotch.column) * grid.column_spacing_cm
    tilt = shift_cm / (max(crotch.row - centre_row, 1.0) * grid.row_spacing_cm)
    armpits = tuple(_armpit(body, midline, neck, round(crotch.row), side) for side in (1, -1))
    return Landmarks(top, bottom, midline, tilt, neck, crotch, (armpits[0], armpits[1]))


def _armpit(body: Mask, midline: float, neck: int, crotch: int, side: int) -> tuple[int, int] | None:
    """The first row below the neck in which a gap divides arm and trunk, and the gap's inner column."""
    centre = round(midline)
    for row in range(neck + 6, crotch + 1):
        line = body[row, centre:] if side > 0 else body[row, centre::-1]
        outside = np.flatnonzero(~line)
        if len(outside) and outside[0] > 5 and line[outside[0] :].any():
            column = centre + side * int(outside[0])
            # A gap goes on below; a nick in the outline does not.
            if not body[row : row + 3, column].any():
                return row, column
    return None


def find_regions(
    total_g_cm2: Array, body: Mask, landmarks: Landmarks | None, cuts: Cuts = CUTS, grid: Grid = GRID
) -> npt.NDArray[np.int8]:
    """Divide the body.

    Returns
    -------
    array
        Index into ``REGIONS`` of each pixel, ``OUTSIDE`` where there is no body, shape (rows, columns).
        Without landmarks, everything is trunk.
    """
    regions = np.where(body, TRUNK, OUTSIDE).astype(np.int8)
    if landmarks is None:
        return regions
    _cut_legs(regions, body, landmarks, cuts, grid)
    regions[body & (np.arange(len(body))[:, None] <= landmarks.neck)] = HEAD
    density = np.where(body, total_g_cm2, 0.0)
    for side, region, armpit in ((1, ARM_LEFT, landmarks.armpits[0]), (-1, ARM_RIGHT, landmarks.armpits[1])):
        lateral = _lateral_of_arm(density, body, landmarks, armpit, side=side, cuts=cuts, grid=grid)
        regions[lateral & body] = region
    return regions


def region_overlaps(one: npt.NDArray[np.integer], other: npt.NDArray[np.integer]) -> Array:
    """Intersection over union of each region in two divisions of a body, NaN where neither has it.

    Examples
    --------
    >>> one = np.array([[HEAD, TRUNK, TRUNK, ARM_LEFT]], dtype=np.int8)
    >>> region_overlaps(one, one[:, ::-1])
    array([ 0.,  1.,  0., nan, nan, nan])
    """
    regions = np.arange(len(REGIONS))[:, None]
    in_one, in_other = one.ravel() == regions, other.ravel() == regions
    either = (in_one | in_other).sum(axis=1)
    return np.where(either, (in_one & in_other).sum(axis=1) / np.maximum(either, 1), np.nan)


def least_overlap(one: npt.NDArray[np.int8], other: npt.NDArray[np.int8]) -> float:
    """Overlap of the region that two divisions of a body agree on least.

    Examples
    --------
    >>> one = np.array([[HEAD, TRUNK, TRUNK, ARM_LEFT]], dtype=np.int8)
    >>> least_overlap(one, one), least_overlap(one, one[:, ::-1])
    (1.0, 0.0)
    """
    overlaps = region_overlaps(one, other)
    return float(overlaps[~np.isnan(overlaps)].min(initial=1.0))


def _cut_legs(
    regions: npt.NDArray[np.int8], body: Mask, landmarks: Landmarks, cuts: Cuts, grid: Grid
) -> None:
    length_cm = _length_cm(landmarks, grid)
    row, column = np.indices(body.shape)
    crotch = landmarks.crotch
    apex = crotch.row + cuts.crotch_drop * length_cm / grid.row_spacing_cm
    # Above and out from the apex, in centimetres, then along and across the body's axis (a small angle).
    above = (apex - row) * grid.row_spacing_cm
    aside = (column - crotch.column) * grid.column_spacing_cm
    up, out = above + landmarks.tilt * aside, aside - landmarks.tilt * above
    below = up <= np.minimum(cuts.hip_slope * np.abs(out), cuts.hip_ceiling * length_cm)
    # Left and right part along the valley, and above the crotch along the axis.
    left = np.where(row >= crotch.row, column >= crotch.valley[:, None], out >= 0)
    regions[body & below & left] = LEG_LEFT
    regions[body & below & ~left] = LEG_RIGHT


def _lateral_of_arm(
    density: Array,
    body: Mask,
    landmarks: Landmarks,
    armpit: tuple[int, int] | None,
    *,
    side: int,
    cuts: Cuts,
    grid: Grid,
) -> Mask:
    """Pixels beyond the arm's cut; side is 1 for the left arm (high columns) and -1 for the right."""
    length_cm = _length_cm(landmarks, grid)
    shoulder = _shoulder_row(landmarks, cuts, grid)
    reach = [_reach(body[row], landmarks.midline, side) for row in range(shoulder + 2, shoulder + 6)]
    out = cuts.shoulder_width * float(np.mean(reach)) * grid.column_spacing_cm + cuts.shoulder_width_cm
    points = [(float(shoulder), out / grid.column_spacing_cm)]
    depth = cuts.armpit_depth * length_cm / grid.row_spacing_cm
    if lies_on_trunk(landmarks, armpit, cuts, grid):
        points.append((shoulder + depth, (out - cuts.armpit_inset_cm) / grid.column_spacing_cm))
    arm_rows = cuts.arm_length * length_cm / grid.row_spacing_cm
    if armpit is not None:
        points.append((float(armpit[0]), abs(armpit[1] - landmarks.midline)))
        last = round(shoulder + 1.25 * arm_rows)
    else:
        last = min(round(shoulder + arm_rows), len(body) - 1)
        outline = [_reach(body[row], landmarks.midline, side) for row in range(last - 8, last - 2)]
        hand = float(np.median(outline)) - cuts.hand_width_cm / grid.column_spacing_cm
        points.append((float(last), hand))
    path_rows, path_out = zip(*points, strict=True)
    column = np.arange(body.shape[1])
    result = np.zeros(body.shape, dtype=np.bool_)
    boundary = round(landmarks.midline + side * path_out[-1])
    for row in range(max(landmarks.neck + 1, shoulder - 3), min(last, landmarks.bottom) + 1):
        if row <= path_rows[-1]:
            lateral = side * (column - landmarks.midline) >= np.interp(row, path_rows, path_out)
        else:
            boundary = _follow_gap(density[row], boundary)
            lateral = side * (column - boundary) >= 0
            if not (lateral & body[row]).any():
                break
        result[row] = lateral
    return result


def lies_on_trunk(
    landmarks: Landmarks, armpit: tuple[int, int] | None, cuts: Cuts = CUTS, grid: Grid = GRID
) -> bool:
    """Whether an arm lies on or against the trunk: its armpit is missing or far below where it should be."""
    if armpit is None:
        return True
    depth = cuts.armpit_depth * _length_cm(landmarks, grid) / grid.row_spacing_cm
    return armpit[0] - _shoulder_row(landmarks, cuts, grid) > 1.3 * depth


def _length_cm(landmarks: Landmarks, grid: Grid) -> float:
    return (landmarks.bottom - landmarks.top + 1) * grid.row_spacing_cm


def _shoulder_row(landmarks: Landmarks, cuts: Cuts, grid: Grid) -> int:
    """The row of the arm cut's upper end."""
    drop_cm = cuts.shoulder_drop * _length_cm(landmarks, grid) + cuts.shoulder_drop_cm
    return round(landmarks.top + drop_cm / grid.row_spacing_cm)


def _reach(line: Mask, midline: float, side: int) -> float:
    """Distance from the midline to the outline, in columns."""
    columns = np.flatnonzero(line)
    if not len(columns):
        return 0.0
    return float(columns[-1] + 0.5 - midline if side > 0 else midline - columns[0] + 0.5)


def _follow_gap(line: Array, boundary: int) -> int:
    """The emptiest column near the last row's boundary; the nearest of equals."""
    candidates = np.arange(max(0, boundary - 2), min(len(line), boundary + 3))
    order = np.lexsort((np.abs(candidates - boundary), line[candidates]))
    return int(candidates[order[0]])
