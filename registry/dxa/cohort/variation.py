"""Local shape: what makes a body its own beyond sex, age and the phenotypes, left and right apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from registry.dxa.cohort.bodies import Array, Body, BodyModel, body_model
from registry.dxa.cohort.rig import SIDES, bones_starting_with, positions_on_axes
from registry.dxa.cohort.sources import ShapeVariation
from registry.dxa.cohort.specification import Sex

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
# Girths and lengths of limb segments over those of the body model. Its forearms are thinner than those of
# people of the same stature and body mass index (soldiers' largest girth: 0.18 of stature in men, 0.16 in
# women; the model's: 0.13) and shorter (de Leva 1996: 0.154 and 0.152 of stature; the model's: 0.145 and
# 0.130), its thighs hold more than people's; all recalled, unverified. The shares of fat and lean tissue in
# the limbs follow from them (docs/cohort.md sets these beside published ones).
MEAN_GIRTH: dict[Sex, dict[str, float]] = {
    "female": {"upper_arm": 1.05, "forearm": 1.14, "hand": 1.05, "thigh": 0.94},
    "male": {"upper_arm": 1.03, "forearm": 1.15, "hand": 1.05, "thigh": 0.96, "calf": 0.97},
}
MEAN_LENGTH: dict[Sex, dict[str, float]] = {"female": {"forearm": 1.12}, "male": {"forearm": 1.05}}
# How strongly parts give way when they lie, relative to the trunk.
FLATTENED = {"root": 1.0, "pelvis": 1.0, "spine": 1.0, "upperleg": 0.8, "upperarm": 0.6}
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
    breast_cm
        How much farther the chest stands out on both sides, at the mean body's size.
    flattening
        How much shallower and wider soft parts are lying than standing, as a share of one.
    """

    width: Array
    depth: Array
    length: Array
    coefficients: Array
    breast_cm: float
    flattening: float


def sample_local_shape(
    model: BodyModel, variation: ShapeVariation, sex: Sex, generator: np.random.Generator
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
        mean, mean_length = MEAN_GIRTH[sex].get(name, 1.0), MEAN_LENGTH[sex].get(name, 1.0)
        for side, half in zip(SIDES, (0.5, -0.5), strict=True):
            segment = bones_starting_with(model, *prefixes, side=side)
            width[segment] = mean * (1.0 + girth + flatness + half * difference)
            depth[segment] = mean * (1.0 + girth - flatness + half * difference)
            if name in LONG_SEGMENTS:
                length[segment] = mean_length * (1.0 + stretch + half * length_difference)
    for name in TRUNK_BONES:
        segment = bones_starting_with(model, name)
        amount = variation.trunk_sd * (0.4 if name in ("neck", "head") else 1.0)
        width[segment] += generator.normal(0.0, 0.6 * amount)
        depth[segment] += generator.normal(0.0, amount)
    breast = generator.normal(0.0, variation.breast_sd_cm) * (1.0 if sex == "female" else 0.3)
    flattening = max(0.0, generator.normal(variation.flattening_mean, variation.flattening_sd))
    coefficients = np.zeros(model.rank)
    # Symmetric components alone: the draws above are what sets the two sides apart.
    coefficients[: model.symmetric_rank] = generator.normal(
        0.0, variation.basis_sd, size=model.symmetric_rank
    )
    coefficients[: variation.basis_first] = 0.0
    return LocalShape(width, depth, length, coefficients, float(breast), float(flattening))


def apply_local_shape(model: BodyModel, body: Body, local: LocalShape) -> Body:
    """Stretch bones, then scale the surface about them; skin weights blend neighbouring bones smoothly."""
    joints = _stretched_joints(model, body.joints_cm, local.length)
    scaled = _scaled_about_bones(model, body, local.width, local.depth, joints)
    forward = local.breast_cm * body.stature_cm / model.mean_body.stature_cm * _breasts()
    return Body(scaled.vertices_cm - forward[:, None] * [0.0, 1.0, 0.0], joints)


@cache
def _breasts() -> Array:
    """How much each vertex takes part in two round hills on the front of the chest, from 0 to 1."""
    model = body_model()
    vertices = model.mean_body.vertices_cm
    stature, low = np.ptp(vertices[:, 2]), vertices[:, 2].min()
    across = (np.abs(vertices[:, 0]) - 0.055 * stature) / (0.030 * stature)
    along = (vertices[:, 2] - low - 0.725 * stature) / (0.030 * stature)
    middle = model.mean_body.joints_cm[model.bone_index["spine01"], 1]
    front = np.clip((middle - vertices[:, 1]) / 6.0, 0.0, 1.0)
    trunk = body_model().skin.share(
        bones_starting_with(body_model(), "spine", "neck", "clavicle", "shoulder")
    )
    return np.asarray(np.exp(-(across**2) - along**2) * front * trunk)


def lying(model: BodyModel, standing: Body, local: LocalShape) -> Body:
    """The body's rest pose as it lies on its back: trunk, buttocks and thighs are shallower and wider."""
    softness = np.zeros(len(model.bone_names))
    for prefix, share in FLATTENED.items():
        softness[bones_starting_with(model, prefix)] = share
    width, depth = np.exp(softness * local.flattening), np.exp(-softness * local.flattening)
    flat = _scaled_about_bones(model, standing, width, depth, standing.joints_cm)
    # Where bones meet, some volume is lost; what gave way takes it back.
    swelling = np.sqrt(standing.volume_cm3(model.faces) / flat.volume_cm3(model.faces)) - 1.0
    width, depth = (side * (1.0 + softness * swelling) for side in (width, depth))
    return _scaled_about_bones(model, standing, width, depth, standing.joints_cm)


def _scaled_about_bones(model: BodyModel, body: Body, width: Array, depth: Array, joints: Array) -> Body:
    scale = np.stack([width, depth, (width + depth) / 2], axis=1)
    outward = (body.vertices_cm - positions_on_axes(model, body)) * model.skin.average(scale)
    return Body(positions_on_axes(model, body, joints) + outward, joints)


def _stretched_joints(model: BodyModel, joints_cm: Array, length: Array) -> Array:
    """Joints after each bone's length is multiplied, from the root outwards."""
    moved = joints_cm.copy()
    for number, parent in enumerate(model.bone_parents):
        if parent >= 0:
            moved[number] = moved[parent] + length[parent] * (joints_cm[number] - joints_cm[parent])
    return moved
