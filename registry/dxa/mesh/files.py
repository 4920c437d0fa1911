"""Meshes of any topology from files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.contracts import DataError, InputError

#: Formats that trimesh reads without further packages.
ENDINGS = (".ply", ".obj", ".off", ".stl")
#: A person's largest extent in cm; outside, the file is in another unit.
_EXTENT_CM = (50.0, 260.0)


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh in centimetres.

    Attributes
    ----------
    vertices
        (v, 3).
    faces
        (f, 3).
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int64]


def read_mesh(path: Path) -> Mesh:
    """Read a body surface.

    Raises
    ------
    InputError
        If the format is not read here, or if the extent is none of a person in centimetres.
    DataError
        If the file is missing, damaged, or has no faces; names it.
    """
    import trimesh  # noqa: PLC0415

    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path} is no mesh that can be read", mend=f"give one of {', '.join(ENDINGS)}")
    try:
        # unprocessed: merging vertices would change the topology that a template is recognised by
        loaded: Any = trimesh.load(path, force="mesh", process=False)
    except Exception as error:  # readers of many formats raise whatever they like
        raise DataError(f"{path} cannot be read as a mesh ({error})", mend="export it again") from error
    vertices, faces = np.asarray(loaded.vertices, np.float32), np.asarray(loaded.faces, np.int64)
    if not len(faces) or faces.shape[1] != 3 or not np.isfinite(vertices).all():
        raise DataError(f"{path} has no triangles, or corners that are no numbers", mend="export it again")
    extent = float(np.ptp(vertices, axis=0).max())
    low, high = _EXTENT_CM
    if not low <= extent <= high:
        raise InputError(
            f"{path} is {extent:.3g} units long, a person is {low:g} to {high:g} cm",
            mend="convert it to centimetres (many scanners write metres or millimetres)",
        )
    return Mesh(vertices, faces)


def require_upright(mesh: Mesh, path: Path) -> None:
    """Refuse a surface whose z axis does not point up: nobody is deeper than tall.

    Raises
    ------
    InputError
        If the surface is larger along y than along z.
    """
    width, depth, height = np.ptp(mesh.vertices, axis=0)
    if depth > height:
        raise InputError(
            f"{path} is {width:.0f} x {depth:.0f} x {height:.0f} cm: deeper (y) than tall (z)",
            mend="turn it: x across, y to the back, z up (many programs have y up)",
        )
