"""A folder of scans to hand over: blinded names, and nothing beside the pixels that tells which is which."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from registry.contracts import DataError, InputError
from registry.dxa.bodycomp.worksheet import empty_worksheet, readme, scan_file
from registry.dxa.cohort.manifest import write_atomically
from registry.dxa.imaging.channels import CHANNELS, MAXIMUM_CODE
from registry.dxa.imaging.geometry import GRID, Grid

# Of every exported file, in seconds since 1970: when a scan was written may tell which it is.
_ONE_TIME = 946_684_800


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Name the mend where the disk takes no more."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"scans could not be exported to {folder} ({error})",
            mend="free space or choose a folder that can be written, then export again",
        ) from error


class BlindedFolder:
    """A folder of scans to hand over, written one by one and whole at the end, or not at all.

    A context manager. Neither names, nor the order of files, nor their times tell which scan is which.

    Parameters
    ----------
    folder
        New.
    grid
        Pixels of a scan.
    generator
        Draws blinded ids; the system's randomness unless given.

    Raises
    ------
    InputError
        If the folder exists.
    DataError
        If it cannot be written.
    """

    def __init__(self, folder: Path, grid: Grid = GRID, generator: np.random.Generator | None = None) -> None:
        if folder.exists():
            raise InputError(f"{folder} exists", mend="choose another folder or delete it")
        self.folder = folder
        self._grid = grid
        self._generator = generator
        self._partial = folder.with_name(folder.name + ".partial")
        self._names: set[str] = set()
        with writing(folder):
            shutil.rmtree(self._partial, ignore_errors=True)
            (self._partial / "unordered").mkdir(parents=True)

    def add(self, scan: npt.ArrayLike) -> str:
        """Write a scan of shape (rows, columns, 6); values are rounded and limited to 14 bits.

        Returns
        -------
        str
            Its blinded id.

        Raises
        ------
        InputError
            If it has another shape, or holds a value that is no number.
        """
        codes, name = _fourteen_bits(scan, self._grid), self._draw()
        with writing(self.folder), (self._partial / "unordered" / name).open("wb") as stream:
            np.save(stream, codes, allow_pickle=False)
        return name

    def finish(self, *, simulated: bool) -> None:
        """Write the worksheet and what the scans are, and put the folder into place."""
        names = sorted(self._names)
        with writing(self.folder):
            (self._partial / "scans").mkdir()
            for name in names:
                # Copied in this order, not renamed: a file system numbers its files as they were made.
                made, scan = self._partial / "unordered" / name, self._partial / scan_file(name)
                scan.write_bytes(made.read_bytes())
                os.utime(scan, (_ONE_TIME, _ONE_TIME))
            shutil.rmtree(self._partial / "unordered")
            write_atomically(self._partial / "worksheet.csv", empty_worksheet(names))
            write_atomically(self._partial / "README.txt", readme(self._grid, simulated=simulated).encode())
            for path in (self._partial / "worksheet.csv", self._partial / "README.txt"):
                os.utime(path, (_ONE_TIME, _ONE_TIME))
            os.replace(self._partial, self.folder)  # noqa: PTH105 - atomic for folders as well

    def __enter__(self) -> BlindedFolder:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)

    def _draw(self) -> str:
        while True:
            token = secrets.token_hex(4) if self._generator is None else self._generator.bytes(4).hex()
            if (name := f"B{token}") not in self._names:
                self._names.add(name)
                return name


def _fourteen_bits(scan: npt.ArrayLike, grid: Grid) -> npt.NDArray[np.uint16]:
    codes = np.asarray(scan)
    expected = (*grid.shape, len(CHANNELS))
    if codes.shape != expected:
        raise InputError(f"a scan has the shape {codes.shape}", mend=f"give scans of shape {expected}")
    if not np.isfinite(codes.astype(np.float64)).all():
        raise InputError("a scan holds values that are not finite", mend="replace or drop this scan")
    # Contiguous: how an array lay in memory stands in the file's header.
    return np.ascontiguousarray(np.clip(np.rint(codes), 0, MAXIMUM_CODE), dtype=np.uint16)
