"""The rig's anatomy: bone axes, groups of bones and the regions of the surface."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from registry.dxa.cohort.bodies import Array, Body, BodyModel, body_model
from registry.dxa.cohort.surface import feet_on_axes

SIDES = ("L", "R")  # the subject's left has positive x

REGIONS = ("head", "trunk", "arm_left", "arm_right", "leg_left", "leg_right")
# Of the body's length above the head joint's chin level; see ``regions_of_vertices``.
_CHIN_BONES = ("head", "neck03")


@cache
def next_bone() -> dict[str, str]:
    """The bone at whose head each bone of a chain ends."""
    chains = [["spine05", "spine04", "spine03", "spine02", "spine01", "neck01", "neck02", "neck03", "head"]]
    for side in SIDES:
        arm = [
            "clavicle",
            "shoulder01",
            "upperarm01",
            "upperarm02",
            "lowerarm01",
            "lowerarm02",
            "wrist",
            "finger3-1",
        ]
        leg = ["pelvis", "upperleg01", "upperleg02", "lowerleg01", "lowerleg02", "foot", "toe2-1"]
        chains += [[f"{name}.{side}" for name in chain] for chain in (arm, leg)]
        for ray in range(1, 6):
            metacarpal = [f"metacarpal{ray - 1}"] if ray > 1 else []
            chains.append([f"{n}.{side}" for n in (*metacarpal, *(f"finger{ray}-{k}" for k in (1, 2, 3)))])
            phalanges = (1, 2) if ray == 1 else (1, 2, 3)
            chains.append([f"toe{ray}-{k}.{side}" for k in phalanges])
    return {start: end for chain in chains for start, end in pairwise(chain)}


def bone_axes(model: BodyModel, joints_cm: Array) -> tuple[Array, Array]:
    """Both ends of each bone, shape (bones, 3) each; chains end along their parent."""
    ends = joints_cm.copy()
    follows = next_bone()
    for name, number in model.bone_index.items():
        if name in follows:
            ends[number] = joints_cm[model.bone_index[follows[name]]]
        elif name == "head":
            ends[number] = joints_cm[number] + [0.0, 0.0, 9.0]
        else:
            parent = model.bone_parents[number]
            if parent >= 0:
                ends[number] = joints_cm[number] + 0.5 * (joints_cm[number] - joints_cm[parent])
    return joints_cm, ends


def positions_on_axes(model: BodyModel, body: Body, joints_cm: Array | None = None) -> Array:
    """The point inside the body that each vertex belongs to: its foot on its bones' axes, averaged.

    Vertices move between their point and the skin to make limbs thicker and to lay out the fat.

    Parameters
    ----------
    model, body
        The surface and the joints that its feet are found with.
    joints_cm
        Joints that carry the feet along, when they have moved.
    """
    axes = bone_axes(model, body.joints_cm)
    onto = axes if joints_cm is None else bone_axes(model, joints_cm)
    return feet_on_axes(body.vertices_cm, axes, onto, model.skin.bones, model.skin.weights)


def bones_starting_with(model: BodyModel, *prefixes: str, side: str | None = None) -> list[int]:
    """Numbers of the bones whose names begin so, on one side if given."""
    return [
        number
        for name, number in model.bone_index.items()
        if name.startswith(prefixes) and (side is None or name.endswith(f".{side}"))
    ]


ARM_BONES = ("upperarm", "lowerarm", "wrist", "metacarpal", "finger")
HAND_BONES = ("wrist", "metacarpal", "finger")
LEG_BONES = ("upperleg", "lowerleg", "foot", "toe")
FOOT_BONES = ("foot", "toe")


@dataclass(frozen=True)
class SurfaceRegions:
    """The parts of the surface, the same triangles in every body.

    Parameters
    ----------
    of_face
        Index into ``REGIONS`` of each triangle.
    """

    of_face: npt.NDArray[np.int64]


@cache
def region_faces(*names: str) -> npt.NDArray[np.int64]:
    """Triangles of the named regions."""
    wanted = [REGIONS.index(name) for name in names]
    return np.ascontiguousarray(body_model().faces[np.isin(surface_regions().of_face, wanted)])


@cache
def surface_regions() -> SurfaceRegions:
    """Divide the mean body as a whole-body DXA analysis does.

    An arm begins at the sagittal plane through the shoulder joint. A leg begins at the oblique plane through
    the crotch and a point above the hip joint, which cuts the femoral neck. The head ends at the chin. The
    division is made once, on the mean body in its rest pose, and follows the surface from there.
    """
    model = body_model()
    body = model.mean_body
    x, z = np.abs(body.vertices_cm[:, 0]), body.vertices_cm[:, 2]
    region = np.full(model.vertices, REGIONS.index("trunk"))

    head = bones_starting_with(model, "head", "eye", "neck03")
    chin_z = _joint(model, body, "neck03")[2]
    region[(model.skin.share(head) > 0.5) & (z > chin_z)] = REGIONS.index("head")

    shoulder = _joint(model, body, "upperarm01.L")
    hip = _joint(model, body, "upperleg01.L")
    crotch_z = _crotch_height(model, body)
    # From the crotch in the midline up and out, through the middle of the femoral neck.
    oblique_z = crotch_z + (hip[2] - crotch_z) * x / hip[0]
    for side, name in zip(SIDES, ("left", "right"), strict=True):
        arm_weight = model.skin.share(bones_starting_with(model, *ARM_BONES, side=side))
        region[(arm_weight > 0.3) & (x > shoulder[0])] = REGIONS.index(f"arm_{name}")
        same_side = body.vertices_cm[:, 0] * (1 if side == "L" else -1) > 0
        not_arm = ~np.isin(region, [REGIONS.index("arm_left"), REGIONS.index("arm_right")])
        region[same_side & not_arm & (z < oblique_z) & (z < hip[2] + 6.0)] = REGIONS.index(f"leg_{name}")
    corners = region[model.faces]
    # Two corners of three decide; with three different ones, the first.
    of_face = np.where(corners[:, 1] == corners[:, 2], corners[:, 1], corners[:, 0])
    return SurfaceRegions(of_face.astype(np.int64))


def _joint(model: BodyModel, body: Body, name: str) -> Array:
    return np.asarray(body.joints_cm[model.bone_index[name]])


def _crotch_height(model: BodyModel, body: Body) -> float:
    """Lowest point of the midline below the hips."""
    hip_z = _joint(model, body, "upperleg01.L")[2]
    midline = (np.abs(body.vertices_cm[:, 0]) < 0.5) & (body.vertices_cm[:, 2] < hip_z)
    return float(body.vertices_cm[midline, 2].min())
