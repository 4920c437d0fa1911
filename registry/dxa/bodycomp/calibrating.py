"""Fit calibrations: to the reserved simulated subjects, or to scans whose composition is known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from registry.dxa.bodycomp import subjects
from registry.dxa.bodycomp.analysis import MEASURES, analyse
from registry.dxa.bodycomp.calibration import (
    DATA_FILE,
    Calibration,
    committed_calibration,
    fit_calibration,
    write_calibration,
)
from registry.dxa.imaging.geometry import GRID, Grid

CALIBRATION_SUBJECTS = 200

Progress = Callable[[int, int], None]


def calibrate_on_simulated(
    count: int = CALIBRATION_SUBJECTS, progress: Progress | None = None
) -> Calibration:
    """Fit to simulated subjects under the default scanner, with their noise and automatic regions."""
    raw, known = [], []
    for number, subject in enumerate(subjects.simulate_subjects("calibration", count), 1):
        visit = subject.visits[0]
        raw.append(analyse([visit.scan.codes]).measures[0])
        known.append([visit.measures[name] for name in MEASURES])
        if progress is not None:
            progress(number, count)
    return fit_calibration(
        raw,
        known,
        source=f"{count} simulated subjects, default scanner, automatic regions",
        simulated=True,
        fingerprint=subjects.fingerprint("calibration", count),
    )


def calibrate_on_known(
    scans: npt.NDArray[np.generic],
    known: npt.ArrayLike,
    *,
    source: str,
    simulated: bool,
    grid: Grid = GRID,
    progress: Progress | None = None,
) -> Calibration:
    """Fit to scans whose 13 measures are known, in the order of ``MEASURES``.

    Raises
    ------
    InputError
        If a scan cannot be read as one, or if fewer than ten subjects have complete measures.
    """
    digest = hashlib.sha256(np.ascontiguousarray(scans).tobytes())
    digest.update(np.asarray(known, dtype=np.float64).tobytes())
    raw = []
    for number, scan in enumerate(scans, 1):  # one by one: maps of many scans would fill the memory
        raw.append(analyse([scan], grid=grid).measures[0])
        if progress is not None:
            progress(number, len(scans))
    return fit_calibration(raw, known, source=source, simulated=simulated, fingerprint=digest.hexdigest())


def write_committed(progress: Progress | None = None) -> Path:
    """Make the calibration that comes with the package anew, in place."""
    path = Path(__file__).parent / DATA_FILE
    path.parent.mkdir(exist_ok=True)
    write_calibration(calibrate_on_simulated(progress=progress), path)
    return path


def committed_is_current() -> bool:
    """Whether the package's calibration was fitted to today's simulated subjects by today's analyser."""
    committed = committed_calibration()
    return committed.fingerprint == subjects.fingerprint("calibration", committed.subjects)
