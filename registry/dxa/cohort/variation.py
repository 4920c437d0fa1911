"""Local shape: what makes a body its own beyond sex, age and the phenotypes, left and right apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from registry.dxa.cohort.bodies import Array, Body, BodyModel
from registry.dxa.cohort.rig import SIDES, bones_starting_with, positions_on_axes
from registry.dxa.cohort.specification import ShapeVariation

# Bones that grow thicker or longer together.
LIMB_SEGMENTS = {
    "shoulder": ("clavicle", "shoulder"),
    "upper_arm": ("upperarm",),
    "forearm": ("lowerarm",),
    "hand": ("wrist", "metacarpal", "finger"),
    "thigh": ("upperleg",),
    "calf": ("lowerleg",),
    "foot": ("foot", "toe"),
}
LONG_SEGMENTS = ("upper_arm", "forearm", "thigh", "calf")
TRUNK_BONES = ("root", "pelvis", "spine05", "spine04", "spine03", "spine02", "spine01", "neck", "head")


@dataclass(frozen=True)
class LocalShape:
    """Scales of each bone's surroundings, as factors.

    Parameters
    ----------
    width, depth
        Across and in depth, about the bone's axis, shape (bones,).
    length
        Of the bone, shape (bones,).
    coefficients
        Added to the shape coefficients, shape (rank,).
    """

    width: Array
    depth: Array
    length: Array
    coefficients: Array


def sample_local_shape(
    model: BodyModel, variation: ShapeVariation, generator: np.random.Generator
) -> LocalShape:
    """Draw a body's own shape.

    Girths of the two sides share a factor and differ by ``asymmetry_sd``; lengths differ by a fifth of that.
    """
    bones = len(model.bone_names)
    width, depth, length = np.ones(bones), np.ones(bones), np.ones(bones)
    for name, prefixes in LIMB_SEGMENTS.items():
        girth = generator.normal(0.0, variation.girth_sd)
        flatness = generator.normal(0.0, variation.girth_sd / 3)
        stretch = generator.normal(0.0, variation.length_sd) if name in LONG_SEGMENTS else 0.0
        difference = generator.normal(0.0, variation.asymmetry_sd)
        length_difference = generator.normal(0.0, variation.asymmetry_sd / 5)
        for side, half in zip(SIDES, (0.5, -0.5), strict=True):
            segment = bones_starting_with(model, *prefixes, side=side)
            width[segment] += girth + flatness + half * difference
            depth[segment] += girth - flatness + half * difference
            if name in LONG_SEGMENTS:
                length[segment] += stretch + half * length_difference
    for name in TRUNK_BONES:
        segment = bones_starting_with(model, name)
        amount = variation.trunk_sd * (0.4 if name in ("neck", "head") else 1.0)
        width[segment] += generator.normal(0.0, 0.6 * amount)
        depth[segment] += generator.normal(0.0, amount)
    coefficients = generator.normal(0.0, variation.basis_sd, size=model.rank)
    coefficients[: variation.basis_first] = 0.0
    return LocalShape(width, depth, length, coefficients)


def apply_local_shape(model: BodyModel, body: Body, local: LocalShape) -> Body:
    """Stretch bones, then scale the surface about them; skin weights blend neighbouring bones smoothly."""
    joints = _stretched_joints(model, body.joints_cm, local.length)
    scale = np.stack([local.width, local.depth, (local.width + local.depth) / 2], axis=1)
    outward = (body.vertices_cm - positions_on_axes(model, body)) * model.skin.average(scale)
    return Body(positions_on_axes(model, body, joints) + outward, joints)


def _stretched_joints(model: BodyModel, joints_cm: Array, length: Array) -> Array:
    """Joints after each bone's length is multiplied, from the root outwards."""
    moved = joints_cm.copy()
    for number, parent in enumerate(model.bone_parents):
        if parent >= 0:
            moved[number] = moved[parent] + length[parent] * (joints_cm[number] - joints_cm[parent])
    return moved
