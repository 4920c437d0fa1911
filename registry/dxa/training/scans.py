"""Scans as networks read them: checked, reduced by area averaging, channels first, in counts."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from registry.contracts import DataError
from registry.dxa.imaging import CHANNELS, Grid

#: Reduced scans beyond this size are kept in a temporary file: about 5,000 of 75 x 55 pixels.
LARGEST_IN_MEMORY_BYTES = 512 * 2**20


class ScanSplit(Protocol):
    """What learning reads of one split of a cohort.

    Attributes
    ----------
    scans
        (n, rows, columns, 6) counts.
    scan_ids, patients
        (n,) names of scans and of the patients they belong to.
    simulated
        Whether the scans are simulated.
    grid
        Pixels of a scan.
    calibration
        File of a body-composition calibration that comes with the cohort, if one does.
    """

    @property
    def scans(self) -> NDArray[Any]: ...  # noqa: D102
    @property
    def scan_ids(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def patients(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def simulated(self) -> bool: ...  # noqa: D102
    @property
    def grid(self) -> Grid: ...  # noqa: D102
    @property
    def calibration(self) -> Path | None: ...  # noqa: D102

    def measures(self, names: Sequence[str]) -> NDArray[np.float64]:
        """(n, k) true values of the named measures."""


def load_scans(split: ScanSplit, reduction: int) -> NDArray[np.float32]:
    """Read every scan of `split`; many scans go to a file that is mapped, so that memory does not grow.

    Parameters
    ----------
    split
        One split of a cohort.
    reduction
        Pixels averaged per side; an incomplete last block averages the pixels that it has.

    Returns
    -------
    NDArray[np.float32]
        (n, 6, ceil(rows / reduction), ceil(columns / reduction)) counts.

    Raises
    ------
    DataError
        If the scans have another shape or type, or hold a value that is no number; names the first such scan.
    """
    scans = split.scans
    stored = (*split.grid.shape, len(CHANNELS))
    if scans.ndim != 4 or scans.shape[1:] != stored:
        raise DataError(
            f"scans have the shape {scans.shape}, expected (n, {', '.join(map(str, stored))})",
            mend="make or import the cohort again",
        )
    if not len(scans):
        raise DataError("the split has no scans", mend="declare a cohort with scans in every split")
    if scans.dtype.kind not in "uif":
        raise DataError(
            f"scans are of type {scans.dtype}, expected counts", mend="make or import the cohort again"
        )
    reduced = room_for((len(scans), len(CHANNELS), *(-(-length // reduction) for length in split.grid.shape)))
    for index, scan in enumerate(scans):
        reduced[index] = reduce_scan(np.asarray(scan, np.float32), reduction).transpose(2, 0, 1)
        if not np.isfinite(reduced[index]).all():
            raise DataError(
                f"scan {split.scan_ids[index]!r} holds values that are not numbers",
                mend="make or import the cohort again, or leave this scan out",
            )
    return reduced


def load_measures(split: ScanSplit, names: Sequence[str]) -> NDArray[np.float64]:
    """Read the true values of the named measures; NaN for files of new people, whose truth nobody knows.

    Raises
    ------
    DataError
        If a value is missing; names the scan and the measure.
    """
    values = np.asarray(split.measures(names), np.float64)
    if values.shape != (len(split.scan_ids), len(names)):
        raise DataError(
            f"measures have the shape {values.shape}, expected {(len(split.scan_ids), len(names))}",
            mend="make or import the cohort again",
        )
    missing = np.argwhere(~np.isfinite(values))
    if len(missing) and not getattr(split, "unlabelled", False):
        scan, measure = missing[0]
        raise DataError(
            f"measure {names[measure]!r} of scan {split.scan_ids[scan]!r} is missing",
            mend="complete it, or leave this scan out of the cohort",
        )
    return values


def reduce_scan(scan: NDArray[np.float32], reduction: int) -> NDArray[np.float32]:
    """Average blocks of `reduction` x `reduction` pixels of a (height, width, channels) scan.

    Examples
    --------
    >>> reduce_scan(np.arange(6, dtype=np.float32).reshape(2, 3, 1), 2)[..., 0]
    array([[2. , 3.5]], dtype=float32)
    """
    if reduction == 1:
        return scan
    for axis in (0, 1):
        starts = np.arange(0, scan.shape[axis], reduction)
        sizes = np.diff([*starts, scan.shape[axis]]).astype(np.float32)
        totals = np.add.reduceat(scan, starts, axis=axis)
        scan = np.divide(totals, sizes.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1)), dtype=np.float32)
    return scan


def room_for(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An array to fill: in memory, or of a nameless temporary file where it would take much of it.

    The file's pages are the system's to keep or to drop; it is gone when the array is.
    """
    if 4 * math.prod(shape) <= LARGEST_IN_MEMORY_BYTES:
        return np.empty(shape, np.float32)
    with tempfile.TemporaryFile(prefix="scans-") as file:
        return np.memmap(file, np.float32, mode="w+", shape=shape)
