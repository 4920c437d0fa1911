"""The 15 measures of a body surface in its rest pose, as a 3D body scanner takes them.

Girths are the convex hull of a plane section, as a tape lies. Limb volumes are closed at the cut through the
shoulder joint and at the oblique cut through the crotch and the hip joint (``rig.surface_regions``); the
torso is what is left without the head.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.spatial import ConvexHull

from registry.dxa.cohort.bodies import Array, Body, BodyModel
from registry.dxa.cohort.rig import SIDES, region_faces
from registry.dxa.cohort.surface import Faces, area_cm2, enclosed_volume_cm3, plane_section

VERTICAL = np.array([0.0, 0.0, 1.0])
_NAMES = dict(zip(SIDES, ("left", "right"), strict=True))


def anthropometry(model: BodyModel, rest: Body) -> dict[str, float]:
    """Measure a rest-pose body.

    Returns
    -------
    dict
        Values by the names of ``measures.ANTHROPOMETRY``; girths in cm, area in m2, volumes in litres.
    """
    vertices = rest.vertices_cm
    joint = {name: rest.joints_cm[number] for name, number in model.bone_index.items()}
    result: dict[str, float] = {}
    for side, name in _NAMES.items():
        arm = region_faces(f"arm_{name}")
        shoulder, elbow = joint[f"upperarm01.{side}"], joint[f"lowerarm01.{side}"]
        result[f"circumference_bicep_{name}_cm"] = girth_cm(
            vertices, arm, shoulder + 0.55 * (elbow - shoulder), elbow - shoulder
        )
        leg = region_faces(f"leg_{name}")
        hip, knee, ankle = joint[f"upperleg01.{side}"], joint[f"lowerleg01.{side}"], joint[f"foot.{side}"]
        result[f"circumference_thigh_{name}_cm"] = girth_cm(
            vertices, leg, hip + 0.40 * (knee - hip), knee - hip
        )
        result[f"circumference_calf_{name}_cm"] = max(
            girth_cm(vertices, leg, knee + share * (ankle - knee), ankle - knee)
            for share in (0.20, 0.27, 0.34)
        )
    hip_z = joint["upperleg01.L"][2]
    size = rest.stature_cm / 170.0
    lower_body = region_faces("trunk", "leg_left", "leg_right")
    result["circumference_hip_cm"] = max(
        girth_cm(vertices, lower_body, np.array([0.0, 0.0, z]), VERTICAL)
        for z in np.linspace(hip_z - 3.0 * size, hip_z + 8.0 * size, 6)
    )
    trunk = region_faces("trunk")
    low, high = joint["spine05"][2] + 2.0 * size, joint["spine03"][2] + 4.0 * size
    result["circumference_waist_cm"] = min(
        girth_cm(vertices, trunk, np.array([0.0, 0.0, z]), VERTICAL) for z in np.linspace(low, high, 6)
    )
    result["surface_area_m2"] = area_cm2(vertices, model.faces) / 1e4
    for name in ("arm_left", "arm_right", "leg_left", "leg_right"):
        result[f"volume_{name}_l"] = _closed_volume_l(vertices, name)
    total = rest.volume_cm3(model.faces) / 1000.0
    limbs = sum(result[f"volume_{name}_l"] for name in ("arm_left", "arm_right", "leg_left", "leg_right"))
    result["volume_torso_l"] = total - limbs - _closed_volume_l(vertices, "head")
    result["volume_total_l"] = total
    return result


def girth_cm(vertices_cm: Array, faces: Faces, origin: Array, normal: Array) -> float:
    """Length of a tape around the section of a plane with some faces; NaN where they do not meet.

    Parameters
    ----------
    vertices_cm, faces
        The surface, or the part of it that the tape goes around.
    origin, normal
        The plane; the normal need not have unit length.
    """
    points = plane_section(vertices_cm, faces, origin, normal)
    if len(points) < 3:
        return float("nan")
    unit = normal / np.linalg.norm(normal)
    across = np.cross(unit, [0.0, 1.0, 0.0])
    across /= np.linalg.norm(across)
    # In two dimensions the hull's "area" is its perimeter.
    return float(ConvexHull(points @ np.stack([across, np.cross(unit, across)], axis=1)).area)


@cache
def _region_boundary(name: str) -> tuple[Faces, Faces]:
    """Triangles of a region and the vertices on its rim."""
    faces = region_faces(name)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    code, reverse = edges[:, 0] * 1_000_003 + edges[:, 1], edges[:, 1] * 1_000_003 + edges[:, 0]
    return faces, np.unique(edges[~np.isin(code, reverse)])


def _closed_volume_l(vertices_cm: Array, region: str) -> float:
    """Volume of a region closed by a fan from the centre of its rim; seen from there, the fan has none."""
    faces, rim = _region_boundary(region)
    return enclosed_volume_cm3(vertices_cm - vertices_cm[rim].mean(axis=0), faces) / 1000.0
