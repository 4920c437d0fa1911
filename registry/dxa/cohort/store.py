"""Reading a cohort: one split at a time, memory-mapped, nothing unpickled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars

from registry.contracts import DataError
from registry.dxa.cohort.manifest import FileRecord, read_manifest
from registry.dxa.cohort.measures import MEASURES
from registry.dxa.imaging.channels import CHANNELS
from registry.dxa.imaging.geometry import Grid

_Scalar = TypeVar("_Scalar", bound=np.generic)

SCANS = "scans.npy"
SUBJECTS = "subjects.parquet"
VERTICES = "vertices.npy"
FACES = "faces.npy"
CALIBRATION = "calibration.json"
SUBJECT_COLUMNS = (
    "patient",
    "scan_id",
    "visit",
    "sex",
    "age_years",
    "stature_cm",
    "mass_kg",
    "bmi_kg_m2",
    "implants",
    *MEASURES,
)
_MEND = "delete the folder and build or import the cohort again"

__all__ = ["Split", "open_split", "read_manifest"]


@dataclass(frozen=True)
class Split:
    """One split of one part; row i of every member is scan i.

    Parameters
    ----------
    folder
        Where its files are.
    part, split
        Its name.
    simulated
        Whether the scans are simulated; whatever is derived from them says so too.
    grid
        Pixels of a scan.
    """

    folder: Path
    part: str
    split: str
    simulated: bool
    grid: Grid

    def __len__(self) -> int:
        """Return the number of scans."""
        return len(self.scans)

    @cached_property
    def scans(self) -> npt.NDArray[np.uint16]:
        """Codes, memory-mapped and read-only, shape (scans, rows, columns, 6)."""
        return _open_array(self.folder / SCANS, np.uint16, (*self.grid.shape, len(CHANNELS)))

    @cached_property
    def subjects(self) -> polars.DataFrame:
        """One row per scan: patient, scan id, visit, sex, age, size and all measures."""
        return _read_subjects(self.folder / SUBJECTS)

    @property
    def calibration(self) -> Path | None:
        """The body-composition calibration that comes with the cohort, if one does."""
        path = self.folder.parent.parent / CALIBRATION
        return path if path.exists() else None

    @property
    def patients(self) -> list[str]:
        """Patient key of each scan."""
        return [str(key) for key in self.subjects["patient"].to_list()]

    @property
    def scan_ids(self) -> list[str]:
        """Identifier of each scan."""
        return [str(key) for key in self.subjects["scan_id"].to_list()]

    def measures(self, names: Sequence[str]) -> npt.NDArray[np.float64]:
        """Values of named measures, shape (scans, len(names)).

        Raises
        ------
        DataError
            If a measure is not a column of this cohort.
        """
        unknown = [name for name in names if name not in self.subjects.columns]
        if unknown:
            raise DataError(
                f"{self.folder / SUBJECTS} has no column '{unknown[0]}'",
                mend=f"measures are {', '.join(name for name in MEASURES if name in self.subjects.columns)}",
            )
        columns = [self.subjects[name].to_numpy().astype(np.float64) for name in names]
        return np.stack(columns, axis=1) if columns else np.empty((len(self), 0))

    @cached_property
    def vertices(self) -> npt.NDArray[np.float32]:
        """Rest-pose surfaces in cm, memory-mapped, shape (scans, vertices, 3); of the paired part only.

        Raises
        ------
        DataError
            If this part has no surfaces.
        """
        path = self.folder / VERTICES
        if not path.exists():
            raise DataError(
                f"{path} does not exist: part '{self.part}' has no surfaces",
                mend="make or import the cohort with surfaces of the bodies; they belong to part 'paired'",
            )
        return _open_array(path, np.float32, (None, 3))


def split_faces(split: Split) -> npt.NDArray[np.int64]:
    """Triangles of a split's surfaces, shape (triangles, 3): the imported ones, or the body model's."""
    path = split.folder / FACES
    if path.exists():
        return _open_array(path, np.int32, (3,)).astype(np.int64)
    from registry.dxa.cohort.bodies import body_model  # noqa: PLC0415 - compiles

    return body_model().faces


def open_split(folder: Path, part: str, split: str) -> Split:
    """Open one split of a cohort; scans are read when they are used.

    Raises
    ------
    DataError
        If the folder is no cohort, or a file is missing or has another size than the manifest says.
    """
    manifest = read_manifest(folder)
    record = manifest.split(part, split)
    for name, expected in record.files.items():
        _check_size(_within(folder, name), expected)
    return Split(folder / part / split, part, split, manifest.simulated, manifest.grid)


def _within(folder: Path, name: str) -> Path:
    """Path of a manifest's file, which may not lead out of the folder, through links neither."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{path} leads out of the cohort's folder", mend=_MEND)
    return path


def _check_size(path: Path, expected: FileRecord) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing", mend=_MEND) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error})", mend=_MEND) from error
    if size != expected.bytes:
        raise DataError(f"{path} is truncated or altered: {size} bytes, not {expected.bytes}", mend=_MEND)


def _open_array(path: Path, dtype: type[_Scalar], shape: tuple[int | None, ...]) -> npt.NDArray[_Scalar]:
    try:
        array: npt.NDArray[_Scalar] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read ({error})", mend=_MEND) from error
    fits = array.ndim == len(shape) + 1 and all(
        want is None or have == want for have, want in zip(array.shape[1:], shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        expected = ("scans", *("any" if size is None else size for size in shape))
        raise DataError(
            f"{path} holds {array.dtype} of shape {array.shape}, not {np.dtype(dtype)} of shape {expected}",
            mend=_MEND,
        )
    return array


def _read_subjects(path: Path) -> polars.DataFrame:
    try:
        frame = polars.read_parquet(path)
    except (OSError, polars.exceptions.PolarsError) as error:
        raise DataError(f"{path} cannot be read ({error})", mend=_MEND) from error
    missing = [name for name in ("patient", "scan_id") if name not in frame.columns]
    if missing:
        raise DataError(f"{path} has no column '{missing[0]}'", mend=_MEND)
    return frame
