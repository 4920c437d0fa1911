"""The body model: rest-pose surface and joints from a short vector of shape coefficients.

``data/bodies.npz`` is distilled from a parametric model by ``scripts/distil_bodies.py``. Lengths are in
centimetres; x points to the subject's left, y to the back, z to the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import IO
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from registry.contracts import DataError
from registry.dxa.cohort.surface import enclosed_volume_cm3

Array = npt.NDArray[np.float64]
DATA_FILE = "data/bodies.npz"


@dataclass(frozen=True)
class Skin:
    """How strongly each vertex follows which bones.

    Parameters
    ----------
    bones, weights
        Strongest first, shape (vertices, 6); weights sum to one.
    """

    bones: npt.NDArray[np.int64]
    weights: Array

    @cached_property
    def dominant_bone(self) -> npt.NDArray[np.int64]:
        """The bone each vertex follows most."""
        return np.asarray(self.bones[:, 0])

    def share(self, bones: npt.ArrayLike) -> Array:
        """Total weight of a set of bones at each vertex."""
        return np.asarray((self.weights * np.isin(self.bones, bones)).sum(axis=1))

    def average(self, value_of_bone: npt.ArrayLike) -> Array:
        """Mean over each vertex's bones of a value given per bone, shape (bones, ...)."""
        values = np.asarray(value_of_bone, dtype=np.float64)
        averaged = self._matrix @ values.reshape(len(values), -1)
        return np.asarray(averaged).reshape(len(self.bones), *values.shape[1:])

    @cached_property
    def _matrix(self) -> csr_array:
        """Weights as a sparse matrix, vertices by bones."""
        vertices, slots = self.bones.shape
        starts = np.arange(0, vertices * slots + 1, slots)
        return csr_array(
            (self.weights.ravel(), self.bones.ravel(), starts), shape=(vertices, self.bones.max() + 1)
        )


@dataclass(frozen=True)
class Body:
    """A surface and its joints.

    Parameters
    ----------
    vertices_cm
        Shape (vertices, 3).
    joints_cm
        Head of each bone, shape (bones, 3).
    """

    vertices_cm: Array
    joints_cm: Array

    def volume_cm3(self, faces: npt.NDArray[np.int64]) -> float:
        """Enclosed volume."""
        return enclosed_volume_cm3(self.vertices_cm, faces)

    @property
    def stature_cm(self) -> float:
        """Extent along the body's axis."""
        return float(np.ptp(self.vertices_cm[:, 2]))


@dataclass(frozen=True)
class BodyModel:
    """Mean, principal basis, rig and surface of the distilled model.

    Parameters
    ----------
    mean_cm, basis_cm
        Points are the vertices, then the joints: shapes (points, 3) and (rank, points * 3). The mean is its
        own mirror image.
    symmetric_rank
        The first components keep the two sides mirror images; the others move them apart by as much as the
        parametric model's own sides differ.
    shape_from_blend, shape_offset
        Shape coefficients are ``blend_weights @ shape_from_blend + shape_offset``.
    blend_mask
        Which phenotype variations each blend weight is the product of, shape (blends, variations).
    distributions
        Beta distributions of the phenotypes by age and sex, and the model's age scale.
    faces
        Closed, outward, shape (triangles, 3).
    bone_names, bone_parents
        The rig; the root's parent is -1 and parents come before their children.
    mirror_points
        Index of each point's mirror image.
    """

    mean_cm: Array
    basis_cm: npt.NDArray[np.float32]
    symmetric_rank: int
    shape_from_blend: Array
    shape_offset: Array
    blend_mask: npt.NDArray[np.bool_]
    distributions: dict[str, Array]
    faces: npt.NDArray[np.int64]
    bone_names: tuple[str, ...]
    bone_parents: npt.NDArray[np.int64]
    skin: Skin
    mirror_points: npt.NDArray[np.int64]

    @property
    def vertices(self) -> int:
        """Number of vertices."""
        return len(self.skin.bones)

    @property
    def rank(self) -> int:
        """Number of shape coefficients."""
        return len(self.basis_cm)

    @property
    def mirror(self) -> npt.NDArray[np.int64]:
        """Index of each vertex's mirror image."""
        return self.mirror_points[: self.vertices]

    @cached_property
    def bone_index(self) -> dict[str, int]:
        """Number of each bone by its name."""
        return {name: number for number, name in enumerate(self.bone_names)}

    def rest(self, coefficients: npt.ArrayLike) -> Body:
        """Rest-pose body of shape coefficients; a coefficient of one is one standard deviation."""
        offset = np.asarray(coefficients, dtype=np.float32) @ self.basis_cm
        points = self.mean_cm + offset.reshape(-1, 3)
        return Body(points[: self.vertices], points[self.vertices :])

    @cached_property
    def mean_body(self) -> Body:
        """The body of all-zero coefficients, its own mirror image."""
        return Body(self.mean_cm[: self.vertices], self.mean_cm[self.vertices :])


@cache
def body_model() -> BodyModel:
    """Load the distilled model; once per process.

    Raises
    ------
    DataError
        If the installed file cannot be read.
    """
    path = resources.files("registry.dxa.cohort").joinpath(DATA_FILE)
    try:
        with path.open("rb") as stream:
            return read_body_model(stream)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise DataError(f"{path} cannot be read ({error})", mend="reinstall the package") from error


def read_body_model(stream: IO[bytes]) -> BodyModel:
    """Read a file of ``scripts/distil_bodies.py``.

    Raises
    ------
    ValueError, KeyError, zipfile.BadZipFile
        If it is none.
    """
    with np.load(stream, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    stored = arrays["stored_points"].astype(np.int64)
    mirror = arrays["mirror_points"].astype(np.int64)

    def unfold(half: npt.NDArray[np.floating], image: float = 1.0) -> npt.NDArray[np.float64]:
        """Both sides of one: the mirror image, or for differences between the sides its negative."""
        whole = np.empty((*half.shape[:-2], len(mirror), 3))
        whole[..., mirror[stored], :] = half * np.array([-image, image, image])
        whole[..., stored, :] = half
        return whole

    symmetric = unfold(arrays["basis_cm"].astype(np.float32))
    asymmetric = unfold(arrays["asymmetric_basis_cm"].astype(np.float32), image=-1.0)
    basis = np.concatenate([symmetric, asymmetric]).astype(np.float32)
    weights = arrays["skin_weights"].astype(np.float64)
    return BodyModel(
        mean_cm=unfold(arrays["mean_cm"]),
        basis_cm=basis.reshape(len(basis), -1),
        symmetric_rank=len(symmetric),
        shape_from_blend=arrays["shape_from_blend"].astype(np.float64),
        shape_offset=arrays["shape_offset"].astype(np.float64),
        blend_mask=arrays["blend_mask"].astype(bool),
        distributions={
            name: table.astype(np.float64)
            for name, table in arrays.items()
            if name.startswith(("beta_", "age_anchor_"))
        },
        faces=arrays["faces"].astype(np.int64),
        bone_names=tuple(str(name) for name in arrays["bone_names"]),
        bone_parents=arrays["bone_parents"].astype(np.int64),
        skin=Skin(arrays["skin_bones"].astype(np.int64), weights / weights.sum(axis=1, keepdims=True)),
        mirror_points=mirror,
    )
