"""How a subject lies on the table: posing by linear blend skinning, and placing within the field."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from registry.dxa.cohort.bodies import Array, Body, BodyModel, body_model
from registry.dxa.cohort.rig import ARM_BONES, HAND_BONES, SIDES, bones_starting_with
from registry.dxa.cohort.sources import PlacementVariation, PoseVariation
from registry.dxa.imaging.geometry import GRID

# Angles that are tried for the upper arms; the rest pose holds them out by about 45 degrees.
ARM_ANGLES_DEG = np.arange(10.0, 46.0, 2.5)
# One empty pixel stays on every side.
MARGIN_ACROSS_CM = GRID.column_spacing_cm
MARGIN_ALONG_CM = GRID.row_spacing_cm
# Room that is kept for what the choice of arm angles does not foresee.
SPARE_ACROSS_CM = 0.5
# Legs lie at least so far apart from the lower thigh down; they are spread in at most so many steps.
LEG_GAP_CM = 0.6
LEG_STEPS = 6
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
    arm_rolls, leg_rolls
        Turn of forearm and hand, and of the whole leg, about the limb's axis; positive turns inward.
    shrugs
        Raising of the shoulders.
    head_nod
        Lifting of the chin.
    bend
        Sideways curve of the spine, to the subject's left.
    """

    arms: tuple[float, float]
    elbows: tuple[float, float]
    hands: tuple[float, float]
    legs: tuple[float, float]
    feet_turn: tuple[float, float]
    feet_point: tuple[float, float]
    head_turn: float
    head_tilt: float
    arm_rolls: tuple[float, float] = (0.0, 0.0)
    leg_rolls: tuple[float, float] = (0.0, 0.0)
    shrugs: tuple[float, float] = (0.0, 0.0)
    head_nod: float = 0.0
    bend: float = 0.0

    def straightened(self, share: float) -> Pose:
        """The pose with the spine's curve and the shoulders' raising reduced to a share."""
        left, right = self.shrugs
        return replace(self, bend=share * self.bend, shrugs=(share * left, share * right))


@dataclass(frozen=True)
class Placement:
    """Where the body lies: shift of its midline, rotation about the beam, roll about its own axis."""

    across_cm: float
    along_cm: float
    rotation_deg: float
    roll_deg: float = 0.0


@dataclass(frozen=True)
class Habit:
    """Normal numbers that are partly a person's own and partly a scan's.

    Parameters
    ----------
    person
        Draws how this person lies; must start anew for each of their scans.
    scan
        Draws how they lie this time.
    share
        Standard deviation between scans of one person over that between all scans.
    """

    person: np.random.Generator
    scan: np.random.Generator
    share: float

    def normal(self, mean: float = 0.0, spread: float = 1.0) -> float:
        """Draw from a normal distribution that is the same over all people whatever the share."""
        own, this = self.person.normal(), self.scan.normal()
        return float(mean + spread * (np.sqrt(1.0 - self.share**2) * own + self.share * this))

    def uniform(self) -> float:
        """Draw from 0 to 1, evenly."""
        return float(ndtr(self.normal()))


def sample_pose(variation: PoseVariation, arms: tuple[float, float], habit: Habit) -> Pose:
    """Draw everything but the arm angles, which the body decides."""

    def pair(mean: float, spread: float) -> tuple[float, float]:
        """Both sides vary together and on their own, half of the variance each."""
        half = spread * np.sqrt(0.5)
        centre = habit.normal(mean, half)
        return centre + habit.normal(0.0, half), centre + habit.normal(0.0, half)

    return Pose(
        arms=arms,
        elbows=pair(variation.elbow_mean_deg, variation.elbow_sd_deg),
        hands=pair(0.0, variation.hand_sd_deg),
        legs=pair(variation.leg_mean_deg, variation.leg_sd_deg),
        feet_turn=pair(variation.foot_turn_mean_deg, variation.foot_turn_sd_deg),
        feet_point=pair(variation.foot_point_mean_deg, variation.foot_point_sd_deg),
        head_turn=habit.normal(0.0, variation.head_turn_sd_deg),
        head_tilt=habit.normal(0.0, variation.head_tilt_sd_deg),
        arm_rolls=pair(0.0, variation.arm_roll_sd_deg),
        leg_rolls=pair(0.0, variation.leg_roll_sd_deg),
        shrugs=pair(0.0, variation.shrug_sd_deg),
        head_nod=habit.normal(0.0, variation.head_nod_sd_deg),
        bend=habit.normal(0.0, variation.bend_sd_deg),
    )


def sample_placement(variation: PlacementVariation, habit: Habit) -> Placement:
    """Draw where the body lies; ``place`` limits it to the field."""
    return Placement(
        across_cm=habit.normal(0.0, variation.across_sd_cm),
        along_cm=habit.normal(0.0, variation.along_sd_cm),
        rotation_deg=habit.normal(0.0, variation.rotation_sd_deg),
        roll_deg=habit.normal(0.0, variation.roll_sd_deg),
    )


def rotations(pose: Pose) -> dict[str, Array]:
    """Rotation matrices about the table's axes by bone name."""
    head = (
        _rotation("z", pose.head_turn / 2)
        @ _rotation("y", pose.head_tilt / 2)
        @ _rotation("x", pose.head_nod / 2)
    )
    curve = _rotation("y", pose.bend / len(_SPINE))
    result = {"neck02": head, "head": head, **dict.fromkeys(_SPINE, curve)}
    for number, side in enumerate(SIDES):
        inward = 1.0 if side == "L" else -1.0
        arm, leg = _limb_axes()[side]
        # A raised shoulder must not spread the arm: the upper arm turns back by as much.
        shrug = pose.shrugs[number]
        half_roll = _rotation_about(arm, inward * pose.arm_rolls[number] / 2)
        result |= {
            f"clavicle.{side}": _rotation("y", -inward * shrug),
            f"upperarm01.{side}": _rotation("y", inward * (pose.arms[number] + shrug)),
            f"lowerarm01.{side}": _rotation("y", inward * pose.elbows[number]),
            f"lowerarm02.{side}": half_roll,
            f"wrist.{side}": _rotation("y", inward * pose.hands[number]) @ half_roll,
            f"upperleg01.{side}": _rotation("y", inward * pose.legs[number])
            @ _rotation_about(leg, inward * pose.leg_rolls[number]),
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
    """Lay a posed body on the table: roll and rotate it, shift it as far as the field allows."""
    turn = _rotation("y", placement.rotation_deg) @ _rotation("z", placement.roll_deg)
    vertices, joints = body.vertices_cm @ turn.T, body.joints_cm @ turn.T
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    across = _limited(placement.across_cm, low[0], high[0], GRID.width_cm / 2 - MARGIN_ACROSS_CM)
    middle = (high[2] + low[2]) / 2
    along = _limited(
        placement.along_cm, low[2] - middle, high[2] - middle, GRID.length_cm / 2 - MARGIN_ALONG_CM
    )
    shift = np.array([across, 0.0, GRID.length_cm / 2 + along - middle])
    return Body(vertices + shift, joints + shift)


def _limited(shift: float, low: float, high: float, limit: float) -> float:
    """The nearest shift that keeps (low, high) within plus and minus a limit; centred where none does."""
    least, most = -limit - low, limit - high
    return float(np.clip(shift, least, most)) if least <= most else float(least + most) / 2


def fits_field(body: Body) -> bool:
    """Whether the whole body lies within the field, an empty pixel around it."""
    across = float(np.abs(body.vertices_cm[:, 0]).max())
    low, high = float(body.vertices_cm[:, 2].min()), float(body.vertices_cm[:, 2].max())
    inside_across = across <= GRID.width_cm / 2 - MARGIN_ACROSS_CM + 1e-9
    return inside_across and low >= MARGIN_ALONG_CM - 1e-9 and high <= GRID.length_cm - MARGIN_ALONG_CM + 1e-9


_IDENTITY = np.eye(3)
_SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")


@cache
def _limb_axes() -> dict[str, tuple[Array, Array]]:
    """Directions of forearm and leg in the mean body's rest pose, away from the trunk, by side."""
    model = body_model()
    joints = model.mean_body.joints_cm

    def direction(start: str, end: str) -> Array:
        along = joints[model.bone_index[end]] - joints[model.bone_index[start]]
        return np.asarray(along / np.linalg.norm(along))

    return {
        side: (
            direction(f"lowerarm01.{side}", f"wrist.{side}"),
            direction(f"upperleg01.{side}", f"foot.{side}"),
        )
        for side in SIDES
    }


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


def _rotation_about(axis: Array, degrees: float) -> Array:
    """Right-handed rotation about a unit vector, by the formula of Rodrigues."""
    angle = np.deg2rad(degrees)
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(_IDENTITY + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)
