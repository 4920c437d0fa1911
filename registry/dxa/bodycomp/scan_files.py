"""Scans in `.npy` files: read, named and checked before any of them is analysed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from registry.contracts import InputError
from registry.dxa.imaging.channels import CHANNELS
from registry.dxa.imaging.geometry import GRID, Grid


@dataclass(frozen=True)
class NamedScan:
    """One scan, shape (rows, columns, 6), and its name: the file's stem, numbered in a file of many."""

    scan_id: str
    codes: npt.NDArray[np.generic]


def read_scans(files: Sequence[Path], grid: Grid = GRID) -> list[NamedScan]:
    """Read files of one scan, shape (rows, columns, 6), or of several, shape (scans, rows, columns, 6).

    Scans are mapped into memory, not loaded.

    Raises
    ------
    InputError
        Naming the file: it cannot be read, holds no scans, has another shape or type, or values that are not
        finite; or two files give their scans the same name.
    """
    scans: list[NamedScan] = []
    file_of: dict[str, Path] = {}
    for path in files:
        array = _open(path, grid)
        many = array.ndim == 4
        for number, codes in enumerate(array if many else array[None]):
            scan_id = f"{path.stem}-{number:04d}" if many else path.stem
            if not np.isfinite(codes).all():
                where = f"{path}, scan {number}," if many else f"{path}"
                raise InputError(
                    f"{where} holds values that are not finite", mend="replace them, or leave the scan out"
                )
            if scan_id in file_of:
                raise InputError(
                    f"{path} and {file_of[scan_id]} both hold a scan {scan_id!r}",
                    mend="rename one of the files",
                )
            file_of[scan_id] = path
            scans.append(NamedScan(scan_id, codes))
    return scans


def _open(path: Path, grid: Grid) -> npt.NDArray[np.generic]:
    expected = (*grid.shape, len(CHANNELS))
    mend = f"give .npy files of shape {expected}, or with the scans as a first axis"
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})", mend=mend) from error
    except (ValueError, EOFError) as error:
        raise InputError(f"{path} is no .npy file of numbers, or damaged", mend=mend) from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path} is an archive of arrays", mend=mend)
    if array.ndim not in (3, 4) or array.shape[-3:] != expected:
        raise InputError(
            f"{path} has the shape {array.shape}",
            mend=f"{mend}: rows from head to feet, columns from the subject's right to left, channels "
            f"{', '.join(CHANNELS)}",
        )
    if array.dtype.kind not in "uif" or array.dtype.itemsize < 2:
        raise InputError(
            f"{path} holds {array.dtype}",
            mend="give codes of 14 bits, as integers of 16 bits or as floating values",
        )
    if array.shape[0] == 0:
        raise InputError(f"{path} holds no scans", mend="leave it out")
    return np.asarray(array)
