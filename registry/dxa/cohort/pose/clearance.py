"""Limbs that leave each other room: the arms beside the hips, the legs beside each other."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt

from registry.dxa.cohort.bodies import Array, Body, BodyModel, body_model
from registry.dxa.cohort.pose.angles import Pose
from registry.dxa.cohort.pose.habit import Habit
from registry.dxa.cohort.pose.placement import MARGIN_ACROSS_CM
from registry.dxa.cohort.pose.rotation import rotation
from registry.dxa.cohort.pose.skinning import apply_pose
from registry.dxa.cohort.rig import ARM_BONES, HAND_BONES, SIDES, bones_starting_with
from registry.dxa.cohort.sources import PoseVariation
from registry.dxa.imaging.geometry import GRID

# Angles that are tried for the upper arms; the rest pose holds them out by about 45 degrees.
ARM_ANGLES_DEG = np.arange(10.0, 46.0, 2.5)
# Room that is kept for what the choice of arm angles does not foresee.
SPARE_ACROSS_CM = 0.5
# Legs lie at least so far apart from the lower thigh down; they are spread in at most so many steps.
LEG_GAP_CM = 0.6
LEG_STEPS = 6


def fitting_arm_angles(
    model: BodyModel,
    rest: Body,
    pose: Pose,
    variation: PoseVariation,
    habit: Habit,
) -> tuple[float, float]:
    """Choose arm angles that keep the hands on the table and off the hips.

    Per side, the angle is drawn from those that leave the wanted gap between forearm or hand and the hip and
    stay within the field; where none does, the one with the widest gap within the field; where none stays
    within the field, the innermost, and the body will not fit.
    """
    chosen = []
    limit = GRID.width_cm / 2 - MARGIN_ACROSS_CM - SPARE_ACROSS_CM
    # Both arms tend to lie alike.
    both = habit.uniform()
    shares = [0.5 * (both + habit.uniform()) for _ in SIDES]
    for number, (side, share) in enumerate(zip(SIDES, shares, strict=True)):
        x, z = _forearm_by_angle(model, rest, pose, side)
        heights, half_width = _hip_outline(model, rest, side, pose.legs[number])
        gap = (x - np.interp(z, heights, half_width)).min(axis=1)
        fit = x.max(axis=1) < limit
        good = np.flatnonzero(fit & (gap > variation.hand_gap_cm))
        if len(good):
            # From the innermost good angle outwards, as far as the field and the freedom given allow.
            innermost = ARM_ANGLES_DEG[good[-1]]
            outermost = max(ARM_ANGLES_DEG[good[0]], innermost - variation.arm_freedom_deg)
            angle = innermost - share * (innermost - outermost)
        elif fit.any():
            angle = ARM_ANGLES_DEG[np.flatnonzero(fit)[np.argmax(gap[fit])]]
        else:
            angle = ARM_ANGLES_DEG[-1]
        chosen.append(float(angle))
    return chosen[0], chosen[1]


def legs_apart(model: BodyModel, rest: Body, pose: Pose) -> Pose:
    """Spread the legs as far as it takes that knees, calves and feet do not run into each other."""
    hip_z = rest.joints_cm[model.bone_index["upperleg01.L"], 2]
    for _ in range(LEG_STEPS):
        gap_cm, height_cm = _least_leg_gap(apply_pose(model, rest, pose))
        if gap_cm >= LEG_GAP_CM:
            break
        missing = (LEG_GAP_CM - gap_cm) / 2 / max(hip_z - height_cm, 10.0)
        left, right = pose.legs
        spread = float(np.rad2deg(np.arctan(missing))) + 0.3
        pose = replace(pose, legs=(left - spread, right - spread))
    return pose


def _forearm_by_angle(model: BodyModel, rest: Body, pose: Pose, side: str) -> tuple[Array, Array]:
    """Distance from the midline and height of forearm and hand by trial angle, shape (angles, points)."""
    number, sign = SIDES.index(side), (1.0 if side == "L" else -1.0)
    forearm, hand, _ = _rim_vertices(side)
    shoulder, elbow, wrist = (
        rest.joints_cm[model.bone_index[f"{name}.{side}"]][[0, 2]]
        for name in ("upperarm01", "lowerarm01", "wrist")
    )
    plane = rest.vertices_cm[:, [0, 2]]
    points = np.concatenate([plane[forearm], _turned(plane[hand], wrist, sign * pose.hands[number])])
    points = _turned(points, elbow, sign * pose.elbows[number])
    turned = np.stack([_turned(points, shoulder, sign * angle) for angle in ARM_ANGLES_DEG])
    return sign * turned[..., 0], turned[..., 1]


def _hip_outline(model: BodyModel, rest: Body, side: str, leg_deg: float) -> tuple[Array, Array]:
    """Heights and the half width of trunk and leg there, on one side."""
    sign = 1.0 if side == "L" else -1.0
    hip = rest.joints_cm[model.bone_index[f"upperleg01.{side}"]][[0, 2]]
    points = rest.vertices_cm[_rim_vertices(side)[2]][:, [0, 2]]
    share = np.clip((hip[1] + 4.0 - points[:, 1]) / 8.0, 0.0, 1.0)[:, None]
    points = (1.0 - share) * points + share * _turned(points, hip, sign * leg_deg)
    x, z = sign * points[:, 0], points[:, 1]
    edges = np.arange(z.min(), z.max() + 2.0, 2.0)
    half_width = np.zeros(len(edges))
    np.maximum.at(half_width, np.clip(np.searchsorted(edges, z), 0, len(edges) - 1), x)
    return edges - 1.0, half_width


def _turned(points: Array, centre: Array, degrees: float) -> Array:
    """Points (across, along) turned about the beam as ``rotation("y", ...)`` turns them."""
    matrix = rotation("y", degrees)[::2, ::2]
    return np.asarray((points - centre) @ matrix.T + centre)


def _least_leg_gap(body: Body) -> tuple[float, float]:
    """The smallest gap between the legs across the table, and its height, in centimetres."""
    left, right = (body.vertices_cm[_lower_leg_vertices(side)] for side in SIDES)
    low = min(left[:, 2].min(), right[:, 2].min())
    slices = int(min(left[:, 2].max(), right[:, 2].max()) - low) // 2 + 1
    inner, outer = np.full(slices, np.inf), np.full(slices, -np.inf)
    for points, reduce, edge in ((left, np.minimum, inner), (right, np.maximum, outer)):
        place = ((points[:, 2] - low) / 2.0).astype(np.int64)
        reduce.at(edge, place[place < slices], points[place < slices, 0])
    gap = inner - outer
    narrowest = int(np.argmin(gap))
    return float(gap[narrowest]), float(low + 2.0 * narrowest + 1.0)


@cache
def _rim_vertices(side: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Vertices of a side's forearm, of its hand, and of everything but the arms."""
    model = body_model()
    skin = model.skin
    hand = skin.share(bones_starting_with(model, *HAND_BONES, side=side))
    forearm = skin.share(bones_starting_with(model, "lowerarm", side=side))
    arms = skin.share(bones_starting_with(model, *ARM_BONES, "shoulder", "clavicle"))
    return (
        np.flatnonzero((forearm > 0.5) & (hand + forearm > 0.9)),
        np.flatnonzero(hand > 0.5),
        np.flatnonzero(arms < 0.05),
    )


@cache
def _lower_leg_vertices(side: str) -> npt.NDArray[np.int64]:
    """Vertices of a side's lower thigh, calf and foot."""
    model = body_model()
    bones = bones_starting_with(model, "upperleg02", "lowerleg", "foot", "toe", side=side)
    return np.flatnonzero(model.skin.share(bones) > 0.9)
