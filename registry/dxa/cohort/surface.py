"""Volume, area and plane sections of triangle surfaces, and their vertices' places along bones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[np.float64]
Faces = npt.NDArray[np.int64]


def enclosed_volume_cm3(vertices_cm: Array, faces: Faces) -> float:
    """Volume inside a closed, outward surface, by the divergence theorem.

    Of an open one: the volume of the cone from the origin to it.
    """
    return float(_volume(np.ascontiguousarray(vertices_cm, dtype=np.float64), faces))


def area_cm2(vertices_cm: Array, faces: Faces) -> float:
    """Area of a surface."""
    return float(_area(np.ascontiguousarray(vertices_cm, dtype=np.float64), faces))


def plane_section(vertices_cm: Array, faces: Faces, origin: Array, normal: Array) -> Array:
    """Points where the edges of faces cross a plane, shape (points, 3); inner edges give theirs twice."""
    vertices = np.ascontiguousarray(vertices_cm, dtype=np.float64)
    return np.asarray(
        _section(vertices, faces, np.asarray(origin, np.float64), np.asarray(normal, np.float64))
    )


def feet_on_axes(
    vertices_cm: Array, axes: tuple[Array, Array], onto: tuple[Array, Array], bones: Faces, weights: Array
) -> Array:
    """Weighted mean over each vertex's bones of its foot on the bone's axis, carried onto other axes.

    Parameters
    ----------
    vertices_cm
        Shape (vertices, 3).
    axes, onto
        Both ends of each bone; a foot at some share of the first axis is taken at that share of the second.
    bones, weights
        Of each vertex, shape (vertices, slots).
    """
    return np.asarray(_feet(np.ascontiguousarray(vertices_cm), *axes, *onto, bones, weights))


@njit(cache=True)
def _feet(vertices, starts, ends, onto_starts, onto_ends, bones, weights):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    feet = np.zeros_like(vertices)
    for vertex in range(len(vertices)):
        for slot in range(bones.shape[1]):
            bone, weight = bones[vertex, slot], weights[vertex, slot]
            if weight == 0.0:
                continue
            along, length2 = 0.0, 0.0
            for axis in range(3):
                step = ends[bone, axis] - starts[bone, axis]
                along += (vertices[vertex, axis] - starts[bone, axis]) * step
                length2 += step * step
            share = min(1.0, max(0.0, along / max(length2, 1e-6)))
            for axis in range(3):
                start = onto_starts[bone, axis]
                feet[vertex, axis] += weight * (start + share * (onto_ends[bone, axis] - start))
    return feet


@njit(cache=True)
def _volume(vertices, faces):  # type: ignore[no-untyped-def]
    total = 0.0
    for face in range(len(faces)):
        a, b, c = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        total += a[0] * (b[1] * c[2] - b[2] * c[1])
        total += a[1] * (b[2] * c[0] - b[0] * c[2])
        total += a[2] * (b[0] * c[1] - b[1] * c[0])
    return total / 6.0


@njit(cache=True)
def _area(vertices, faces):  # type: ignore[no-untyped-def]
    total = 0.0
    for face in range(len(faces)):
        a, b, c = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
        total += np.sqrt((uy * vz - uz * vy) ** 2 + (uz * vx - ux * vz) ** 2 + (ux * vy - uy * vx) ** 2)
    return total / 2.0


@njit(cache=True)
def _section(vertices, faces, origin, normal):  # type: ignore[no-untyped-def]
    points = np.empty((2 * len(faces), 3))
    count = 0
    for face in range(len(faces)):
        for corner in range(3):
            first, second = vertices[faces[face, corner]], vertices[faces[face, (corner + 1) % 3]]
            before, after = 0.0, 0.0
            for axis in range(3):
                before += (first[axis] - origin[axis]) * normal[axis]
                after += (second[axis] - origin[axis]) * normal[axis]
            if (before < 0.0) != (after < 0.0):
                share = before / (before - after)
                for axis in range(3):
                    points[count, axis] = first[axis] * (1.0 - share) + second[axis] * share
                count += 1
    return points[:count].copy()
