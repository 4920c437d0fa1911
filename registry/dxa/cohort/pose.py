"""How a subject lies on the table: posing by linear blend skinning, and placing within the field."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from registry.dxa.cohort.bodies import Array, Body, BodyModel, body_model
from registry.dxa.cohort.rig import ARM_BONES, HAND_BONES, SIDES, bones_starting_with
from registry.dxa.cohort.specification import PoseVariation
from registry.dxa.imaging.geometry import GRID

# Angles that are tried for the upper arms; the rest pose holds them out by about 45 degrees.
ARM_ANGLES_DEG = np.arange(10.0, 46.0, 2.5)
# One empty pixel stays on every side.
MARGIN_ACROSS_CM = GRID.column_spacing_cm
MARGIN_ALONG_CM = GRID.row_spacing_cm
# How much less the feet point when a body is too long for the field, step by step.
FOOT_RELIEF_DEG = (20.0, 40.0)


@dataclass(frozen=True)
class Pose:
    """Rotations in degrees, left then right where there are two; positive brings a limb to the midline.

    Parameters
    ----------
    arms, elbows, hands
        Adduction of the upper arm, of the forearm at the elbow, of the hand at the wrist.
    legs, feet_turn, feet_point
        Adduction of the leg, inward turn of the foot, pointing of the toes.
    head_turn, head_tilt
        Turn to the subject's left, tilt to the subject's left shoulder.
    """

    arms: tuple[float, float]
    elbows: tuple[float, float]
    hands: tuple[float, float]
    legs: tuple[float, float]
    feet_turn: tuple[float, float]
    feet_point: tuple[float, float]
    head_turn: float
    head_tilt: float


@dataclass(frozen=True)
class Placement:
    """Where the body lies: shift of its centre and rotation about the vertical beam."""

    across_cm: float
    along_cm: float
    rotation_deg: float


def sample_pose(variation: PoseVariation, arms: tuple[float, float], generator: np.random.Generator) -> Pose:
    """Draw everything but the arm angles, which the body decides."""

    def pair(mean: float, common: float) -> tuple[float, float]:
        """Both sides vary together, and by a third of that on their own."""
        centre = mean + generator.normal(0.0, common)
        left, right = centre + generator.normal(0.0, common / 3, size=2)
        return float(left), float(right)

    return Pose(
        arms=arms,
        elbows=pair(variation.elbow_mean_deg, variation.elbow_sd_deg),
        hands=pair(0.0, variation.hand_sd_deg),
        legs=pair(variation.leg_mean_deg, variation.leg_sd_deg),
        feet_turn=pair(variation.foot_turn_mean_deg, variation.foot_turn_sd_deg),
        feet_point=pair(variation.foot_point_mean_deg, variation.foot_point_sd_deg),
        head_turn=float(generator.normal(0.0, variation.head_turn_sd_deg)),
        head_tilt=float(generator.normal(0.0, variation.head_tilt_sd_deg)),
    )


def rotations(pose: Pose) -> dict[str, Array]:
    """Rotation matrices about the table's axes by bone name."""
    result = {
        "neck02": _rotation("z", pose.head_turn / 2) @ _rotation("y", pose.head_tilt / 2),
        "head": _rotation("z", pose.head_turn / 2) @ _rotation("y", pose.head_tilt / 2),
    }
    for number, side in enumerate(SIDES):
        inward = 1.0 if side == "L" else -1.0
        result |= {
            f"upperarm01.{side}": _rotation("y", inward * pose.arms[number]),
            f"lowerarm01.{side}": _rotation("y", inward * pose.elbows[number]),
            f"wrist.{side}": _rotation("y", inward * pose.hands[number]),
            f"upperleg01.{side}": _rotation("y", inward * pose.legs[number]),
            f"foot.{side}": _rotation("z", -inward * pose.feet_turn[number])
            @ _rotation("x", pose.feet_point[number]),
        }
    return result


def apply_pose(model: BodyModel, rest: Body, pose: Pose) -> Body:
    """Pose a body by linear blend skinning."""
    linear, offset = bone_transforms(model, rest.joints_cm, rotations(pose))
    vertices = np.einsum("vij,vj->vi", model.skin.average(linear), rest.vertices_cm) + model.skin.average(
        offset
    )
    joints = np.einsum("bij,bj->bi", linear, rest.joints_cm) + offset
    return Body(vertices, joints)


def bone_transforms(model: BodyModel, joints_cm: Array, rotation_of: dict[str, Array]) -> tuple[Array, Array]:
    """Linear parts (bones, 3, 3) and offsets (bones, 3) that carry rest-pose points with each bone.

    A bone turns about its own head, then follows its parent: ``G = G_parent T(head) R T(-head)``.
    """
    count = len(model.bone_names)
    linear, offset = np.empty((count, 3, 3)), np.empty((count, 3))
    for number, name in enumerate(model.bone_names):
        own = rotation_of.get(name, _IDENTITY)
        shift = joints_cm[number] - own @ joints_cm[number]
        parent = model.bone_parents[number]
        if parent < 0:
            linear[number], offset[number] = own, shift
        else:
            linear[number] = linear[parent] @ own
            offset[number] = linear[parent] @ shift + offset[parent]
    return linear, offset


def fitting_arm_angles(
    model: BodyModel,
    rest: Body,
    pose: Pose,
    variation: PoseVariation,
    generator: np.random.Generator,
) -> tuple[float, float]:
    """Choose arm angles that keep the hands on the table and off the hips.

    Per side, the angle is drawn from those that leave the wanted gap between forearm or hand and the hip and
    stay within the field; where none does, the one with the widest gap within the field; where none stays
    within the field, the innermost, and the body will not fit.
    """
    chosen = []
    limit = GRID.width_cm / 2 - MARGIN_ACROSS_CM - variation.across_limit_cm
    for number, side in enumerate(SIDES):
        x, z = _forearm_by_angle(model, rest, pose, side)
        heights, half_width = _hip_outline(model, rest, side, pose.legs[number])
        gap = (x - np.interp(z, heights, half_width)).min(axis=1)
        fit = x.max(axis=1) < limit
        good = np.flatnonzero(fit & (gap > variation.hand_gap_cm))
        if len(good):
            # Prefer the innermost good angles, as operators do, with some freedom.
            best = good[max(0, len(good) - 1 - int(generator.integers(0, 3)))]
            angle = ARM_ANGLES_DEG[best] - generator.uniform(0.0, 1.0)
        elif fit.any():
            angle = ARM_ANGLES_DEG[np.flatnonzero(fit)[np.argmax(gap[fit])]]
        else:
            angle = ARM_ANGLES_DEG[-1]
        chosen.append(float(angle))
    return chosen[0], chosen[1]


def posed_within_field(model: BodyModel, rest: Body, pose: Pose) -> tuple[Body, int]:
    """Pose a body; point its feet less where they would leave the field, as is done with tall people.

    Returns
    -------
    body
        The posed body, which may still be too long.
    changes
        How often the pose was changed.
    """
    left, right = pose.feet_point
    body, changes = apply_pose(model, rest, pose), 0
    longest = GRID.length_cm - 3 * MARGIN_ALONG_CM
    while np.ptp(body.vertices_cm[:, 2]) > longest and changes < len(FOOT_RELIEF_DEG):
        relief_deg = FOOT_RELIEF_DEG[changes]
        body = apply_pose(model, rest, replace(pose, feet_point=(left - relief_deg, right - relief_deg)))
        changes += 1
    return body, changes


def place(body: Body, placement: Placement) -> Body:
    """Lay a posed body on the table: rotate about the beam, centre along the body, shift."""
    turn = _rotation("y", placement.rotation_deg)
    vertices, joints = body.vertices_cm @ turn.T, body.joints_cm @ turn.T
    middle = (vertices[:, 2].max() + vertices[:, 2].min()) / 2
    # Long bodies are centred as well as needed to stay within the field.
    room = max(0.0, (GRID.length_cm - float(np.ptp(vertices[:, 2]))) / 2 - MARGIN_ALONG_CM)
    along = float(np.clip(placement.along_cm, -room, room))
    shift = np.array([placement.across_cm, 0.0, GRID.length_cm / 2 + along - middle])
    return Body(vertices + shift, joints + shift)


def fits_field(body: Body) -> bool:
    """Whether the whole body lies within the field, an empty pixel around it."""
    across = float(np.abs(body.vertices_cm[:, 0]).max())
    low, high = float(body.vertices_cm[:, 2].min()), float(body.vertices_cm[:, 2].max())
    inside_across = across <= GRID.width_cm / 2 - MARGIN_ACROSS_CM
    return inside_across and low >= MARGIN_ALONG_CM - 1e-9 and high <= GRID.length_cm - MARGIN_ALONG_CM + 1e-9


_IDENTITY = np.eye(3)


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
    """Points (across, along) turned about the beam as ``_rotation("y", ...)`` turns them."""
    matrix = _rotation("y", degrees)[::2, ::2]
    return np.asarray((points - centre) @ matrix.T + centre)


def _rotation(axis: str, degrees: float) -> Array:
    """Right-handed rotation about an axis of the table."""
    angle = np.deg2rad(degrees)
    cosine, sine = np.cos(angle), np.sin(angle)
    if axis == "x":
        return np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    if axis == "y":
        return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
