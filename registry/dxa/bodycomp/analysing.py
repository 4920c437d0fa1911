"""Scans one after the other through the analyser: told, drawn and forgotten, whatever their number."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from registry.dxa.bodycomp import picture, wording
from registry.dxa.bodycomp.analyser import CompositionTable, built_in_table
from registry.dxa.bodycomp.analysis import Analysis, ScanAnalysis, analyse
from registry.dxa.bodycomp.calibration import Calibration, calibration_for, read_calibration
from registry.dxa.bodycomp.output import write_file
from registry.dxa.bodycomp.scan_files import read_scans
from registry.dxa.cohort.store import open_split
from registry.dxa.imaging.geometry import GRID, Grid


@dataclass(frozen=True)
class Batch:
    """Scans that are analysed alike.

    Parameters
    ----------
    scan_ids, scans
        Names, and codes of shape (rows, columns, 6).
    calibration
        Of their scanner.
    simulated
        Whether scans or calibration are.
    grid
        Pixels of the scans.
    """

    scan_ids: Sequence[str]
    scans: Sequence[npt.NDArray[np.generic]]
    calibration: Calibration
    simulated: bool
    grid: Grid = GRID


def of_files(files: Sequence[Path], *, simulated: bool, calibration: Calibration | None) -> Batch:
    """Scans of `.npy` files; raises as `scan_files.read_scans` and `calibration.calibration_for` do."""
    used = calibration_for(calibration, simulated=simulated)
    found = read_scans(files)
    codes = [scan.codes for scan in found]
    return Batch([scan.scan_id for scan in found], codes, used, simulated or used.simulated)


def of_cohort(folder: Path, part: str, split: str, *, calibration: Calibration | None) -> Batch:
    """Scans of a cohort's split, with the calibration that it carries unless another is given."""
    opened = open_split(folder, part, split)
    if calibration is None and opened.calibration is not None:
        calibration = read_calibration(opened.calibration)
    used = calibration_for(calibration, simulated=opened.simulated, grid=opened.grid)
    simulated = opened.simulated or used.simulated
    return Batch(opened.scan_ids, list(opened.scans), used, simulated, opened.grid)


def analyse_all(
    batch: Batch,
    *,
    say: Callable[[str], object],
    plot: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CompositionTable:
    """Analyse one scan after the other; maps are not kept.

    Parameters
    ----------
    batch
        The scans.
    say
        Called with lines about each scan.
    plot
        Folder for a picture of each.
    progress
        Called with scans done and in all.
    """
    kept: list[ScanAnalysis] = []
    for number, (scan_id, codes) in enumerate(zip(batch.scan_ids, batch.scans, strict=True), 1):
        (found,) = analyse([codes], calibration=batch.calibration, grid=batch.grid).scans
        for line in _lines(scan_id, codes, found):
            say(line)
        if plot is not None:
            drawn = picture.draw(scan_id, codes, found, simulated=batch.simulated, grid=batch.grid)
            told = f"{scan_id}. {wording.SIMULATED}" if batch.simulated else scan_id
            # A cohort's ids may be anything, a path out of the folder too.
            stem = scan_id if re.fullmatch(r"\w[\w.-]*", scan_id) else f"scan-{number:05d}"
            write_file(plot / f"{stem}.png", picture.png(drawn, told))
        kept.append(replace(found, bone=None, maps=None, regions=None, landmarks=None))
        progress(number, len(batch.scans))
    return built_in_table(batch.scan_ids, Analysis(tuple(kept), calibrated=True), simulated=batch.simulated)


def _lines(scan_id: str, codes: npt.NDArray[np.generic], found: ScanAnalysis) -> list[str]:
    flags = [f"  flags: {flag}" for flag in wording.explained(found.flags, found.shares)] or ["  flags: none"]
    measured = wording.table_lines(found.measures) if found.measures else [f"  {wording.unanalysed(codes)}"]
    return ["", scan_id, *flags, *measured]
