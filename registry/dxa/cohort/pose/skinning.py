"""Posing a body: every bone turns about its own head, and the skin follows (linear blend skinning)."""

from __future__ import annotations

from functools import cache

import numpy as np

from registry.dxa.cohort.bodies import Array, Body, BodyModel, body_model
from registry.dxa.cohort.pose.angles import Pose
from registry.dxa.cohort.pose.rotation import rotation, rotation_about
from registry.dxa.cohort.rig import SIDES

_IDENTITY = np.eye(3)
_SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")


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


def rotations(pose: Pose) -> dict[str, Array]:
    """Rotation matrices about the table's axes by bone name."""
    head = (
        rotation("z", pose.head_turn / 2)
        @ rotation("y", pose.head_tilt / 2)
        @ rotation("x", pose.head_nod / 2)
    )
    curve = rotation("y", pose.bend / len(_SPINE))
    result = {"neck02": head, "head": head, **dict.fromkeys(_SPINE, curve)}
    for number, side in enumerate(SIDES):
        inward = 1.0 if side == "L" else -1.0
        arm, leg = _limb_axes()[side]
        # A raised shoulder must not spread the arm: the upper arm turns back by as much.
        shrug = pose.shrugs[number]
        half_roll = rotation_about(arm, inward * pose.arm_rolls[number] / 2)
        result |= {
            f"clavicle.{side}": rotation("y", -inward * shrug),
            f"upperarm01.{side}": rotation("y", inward * (pose.arms[number] + shrug)),
            f"lowerarm01.{side}": rotation("y", inward * pose.elbows[number]),
            f"lowerarm02.{side}": half_roll,
            f"wrist.{side}": rotation("y", inward * pose.hands[number]) @ half_roll,
            f"upperleg01.{side}": rotation("y", inward * pose.legs[number])
            @ rotation_about(leg, inward * pose.leg_rolls[number]),
            f"foot.{side}": rotation("z", -inward * pose.feet_turn[number])
            @ rotation("x", pose.feet_point[number]),
        }
    return result


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
