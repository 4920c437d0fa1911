"""Files of new people as a split of a cohort: what a task's `predict` reads where nobody knows the truth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from registry.contracts import InputError
from registry.dxa.imaging import CHANNELS, GRID, Grid
from registry.dxa.mesh.files import ENDINGS, read_mesh, require_upright

Scan = NDArray[np.float32]


class FileSplit:
    """Scans (.npy) or surfaces, in the order given; every measure of them is unknown.

    Parameters
    ----------
    paths
        Files of one kind.
    simulated
        Whether the model that reads them learned from simulated scans.
    grid
        Pixels of the scans that it learned from.
    """

    calibration = None
    #: Measures are NaN, and that is no mistake.
    unlabelled = True

    def __init__(self, paths: Sequence[Path], *, simulated: bool, grid: Grid = GRID) -> None:
        self.paths = list(paths)
        self.grid = grid
        self.simulated = simulated
        self.scan_ids = names_of(self.paths)
        self.patients = self.scan_ids

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.paths)

    @cached_property
    def scans(self) -> Scan:
        """(n, rows, columns, 6) counts.

        Raises
        ------
        InputError
            If a file is no scan.
        """
        return np.stack([read_scan(path, self.grid) for path in self.paths])

    @cached_property
    def vertices(self) -> NDArray[np.float32]:
        """(n, v, 3) surfaces of one topology in cm.

        Raises
        ------
        InputError
            If a file is no surface that stands upright, or they have different numbers of vertices.
        """
        meshes = [read_mesh(path) for path in self.paths]
        for mesh, path in zip(meshes, self.paths, strict=True):
            require_upright(mesh, path)
        counts = {len(mesh.vertices) for mesh in meshes}
        if len(counts) > 1:
            raise InputError(
                f"the surfaces have different numbers of vertices: {', '.join(map(str, sorted(counts)))}",
                mend="give surfaces of one topology",
            )
        return np.stack([mesh.vertices for mesh in meshes])

    def measures(self, names: Sequence[str]) -> NDArray[np.float64]:
        """(n, k) of NaN: what is to be predicted."""
        return np.full((len(self), len(names)), np.nan)


def names_of(paths: Sequence[Path]) -> list[str]:
    """What outputs are called, one name per file.

    Raises
    ------
    InputError
        If two files have the same name.
    """
    names = [path.stem for path in paths]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(
            f"several files are called {repeated[0]!r}", mend="rename one: outputs take their names"
        )
    return names


def read_scan(path: Path, grid: Grid = GRID) -> Scan:
    """A scan of (rows, columns, 6) counts.

    Raises
    ------
    InputError
        If the file is no such scan.
    """
    wanted = f"give a .npy file of shape {(*grid.shape, len(CHANNELS))}, channels {', '.join(CHANNELS)}"
    if path.suffix.lower() in ENDINGS:
        raise InputError(
            f"{path} is a surface, and this task reads scans", mend=f"{wanted}; surfaces are for pseudo_dxa"
        )
    try:
        scan = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist", mend=wanted) from error
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} cannot be read as a scan ({error})", mend=wanted) from error
    if not isinstance(scan, np.ndarray) or scan.shape != (*grid.shape, len(CHANNELS)):
        found = f"the shape {scan.shape}" if isinstance(scan, np.ndarray) else "several arrays"
        raise InputError(f"{path} has {found}", mend=wanted)
    if scan.dtype.kind not in "uif":
        raise InputError(f"{path} holds {scan.dtype}", mend=wanted)
    if not np.isfinite(scan).all():
        raise InputError(f"{path} holds values that are not finite", mend="replace or drop this scan")
    return scan.astype(np.float32)
