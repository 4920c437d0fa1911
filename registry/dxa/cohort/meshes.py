"""Body surfaces as files: reading those of an imported cohort, writing any cohort's as PLY."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from registry.contracts import DataError
from registry.dxa.cohort.store import Split, split_faces

MESH_FORMATS = (".ply", ".obj", ".stl")


def read_mesh(path: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Vertices and triangles of a mesh file, in the file's unit and order.

    Raises
    ------
    DataError
        If it cannot be read, has no triangles or holds numbers that are not finite.
    """
    import trimesh  # noqa: PLC0415 - takes a second

    try:
        mesh = trimesh.load_mesh(path, file_type=path.suffix.lower().lstrip("."), process=False)
        vertices = np.asarray(mesh.vertices, np.float64)
        faces = np.asarray(mesh.faces, np.int64)
    # Readers of damaged files raise whatever they stumble over.
    except Exception as error:
        raise DataError(
            f"{path} cannot be read as a mesh ({type(error).__name__}: {error})", mend="write it again as PLY"
        ) from error
    if not len(faces) or vertices.ndim != 2:
        raise DataError(f"{path} has no triangles", mend="write it again with its faces")
    if not np.isfinite(vertices).all():
        raise DataError(f"{path} holds coordinates that are not finite", mend="write it again")
    return vertices, faces


def write_ply(path: Path, vertices: npt.ArrayLike, faces: npt.ArrayLike) -> None:
    """Write a binary PLY file, single precision.

    Parameters
    ----------
    path
        File to write.
    vertices, faces
        Shapes (vertices, 3) and (triangles, 3).
    """
    points = np.ascontiguousarray(vertices, dtype="<f4")
    corners = np.asarray(faces)
    triangles = np.empty(len(corners), dtype=[("count", "u1"), ("corners", "<i4", (3,))])
    triangles["count"], triangles["corners"] = 3, corners
    header = (
        "ply\nformat binary_little_endian 1.0\ncomment lengths in centimetres\n"
        f"element vertex {len(points)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(triangles)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    path.write_bytes(header.encode("ascii") + points.tobytes() + triangles.tobytes())


def write_meshes(split: Split, folder: Path) -> Iterator[Path]:
    """Write the surface of every scan of a split as ``<scan id>.ply``, one at a time.

    Raises
    ------
    DataError
        If the split has no surfaces, or a scan id is no file name.
    """
    faces = split_faces(split)
    folder.mkdir(parents=True, exist_ok=True)
    for scan_id, vertices in zip(split.scan_ids, split.vertices, strict=True):
        path = folder / f"{scan_id}.ply"
        if path.parent != folder or not path.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"scan id '{scan_id}' is no file name", mend="rename the scan")
        write_ply(path, vertices, faces)
        yield path
