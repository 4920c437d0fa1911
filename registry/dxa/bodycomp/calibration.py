"""One straight line per measure, fitted on subjects of known composition.

A clinical scanner is calibrated on phantoms; this analyser is calibrated on simulated subjects that no
cohort's split holds. Each measure has a slope and an intercept of its own. There is no multivariate
correction: it would borrow what measures have in common in a population, and would make a generated image
look right that is not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import numpy.typing as npt

from registry.contracts import InputError
from registry.dxa.cohort.manifest import write_atomically
from registry.dxa.cohort.measures import COMPOSITION
from registry.dxa.imaging.geometry import GRID, Grid

SCHEMA_VERSION = 1
DATA_FILE = "data/calibration.json"
FEWEST_SUBJECTS = 10


@dataclass(frozen=True)
class Calibration:
    """What turns raw measures into calibrated ones: ``slope * raw + intercept``.

    Parameters
    ----------
    slopes, intercepts
        By measure; intercepts in the measure's unit.
    subjects
        How many they were fitted to.
    source
        What was measured, in words.
    simulated
        Whether the subjects were simulated.
    fingerprint
        Of the data they were fitted to and the analyser that measured them.
    """

    slopes: Mapping[str, float]
    intercepts: Mapping[str, float]
    subjects: int
    source: str
    simulated: bool
    fingerprint: str

    def apply(self, measures: Mapping[str, float]) -> dict[str, float]:
        """Calibrate the measures of one scan.

        Examples
        --------
        >>> line = Calibration({"total_fat_kg": 2.0}, {"total_fat_kg": -1.0}, 10, "example", True, "")
        >>> line.apply({"total_fat_kg": 10.0})
        {'total_fat_kg': 19.0}
        """
        return {name: self.slopes[name] * value + self.intercepts[name] for name, value in measures.items()}


def fit_calibration(
    raw: npt.ArrayLike, known: npt.ArrayLike, *, source: str, simulated: bool, fingerprint: str
) -> Calibration:
    """Fit a straight line for each measure by least squares.

    Parameters
    ----------
    raw, known
        Measures in the order of the cohort's table of composition, shape (subjects, 13). Subjects with a
        value that is not finite are left out.
    source, simulated, fingerprint
        Recorded with the calibration.

    Raises
    ------
    InputError
        If too few subjects are left, or if a measure is the same for all of them.
    """
    raw, known = np.asarray(raw, dtype=np.float64), np.asarray(known, dtype=np.float64)
    complete = np.isfinite(raw).all(axis=1) & np.isfinite(known).all(axis=1)
    if complete.sum() < FEWEST_SUBJECTS:
        raise InputError(
            f"{int(complete.sum())} subjects with complete measures are too few to calibrate with",
            mend=f"give at least {FEWEST_SUBJECTS} subjects of known composition",
        )
    slopes, intercepts = {}, {}
    for column, measure in enumerate(COMPOSITION):
        x, y = raw[complete, column], known[complete, column]
        spread = float(((x - x.mean()) ** 2).sum())
        if spread <= 0:
            raise InputError(
                f"measure '{measure.name}' is the same for every subject",
                mend="calibrate with subjects that differ",
            )
        slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
        slopes[measure.name] = slope
        intercepts[measure.name] = float(y.mean() - slope * x.mean())
    return Calibration(slopes, intercepts, int(complete.sum()), source, simulated, fingerprint)


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration as JSON, in one step."""
    record = {"schema_version": SCHEMA_VERSION, **asdict(calibration)}
    write_atomically(path, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())


def read_calibration(path: Path) -> Calibration:
    """Read a calibration.

    Raises
    ------
    InputError
        If the file is missing, is no calibration or lacks a measure.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"calibration {path} cannot be read ({error})", mend=_MEND) from error
    return _parse(text, str(path))


@cache
def committed_calibration() -> Calibration:
    """The calibration that comes with the package, for simulated scans of the default scanner."""
    file = resources.files("registry.dxa.bodycomp").joinpath(DATA_FILE)
    return _parse(file.read_text(encoding="utf-8"), DATA_FILE)


def calibration_for(calibration: Calibration | None, *, simulated: bool, grid: Grid = GRID) -> Calibration:
    """The calibration that may be applied to scans of a grid.

    Raises
    ------
    InputError
        If the scans are not simulated and the calibration is missing or was fitted to simulated subjects; if
        they are simulated on another grid than the package's calibration was fitted on.
    """
    if simulated and calibration is None and grid != GRID:
        raise InputError(
            f"the package's calibration is for {GRID}, these scans have {grid}",
            mend="fit one with `harness bodycomp calibrate --cohort FOLDER` and attach it with "
            "`harness data calibrate`",
        )
    if simulated:
        return calibration or committed_calibration()
    if calibration is None or calibration.simulated:
        raise InputError(
            "these scans are not simulated, and the analyser is not calibrated for the scanner that made "
            "them: absolute masses and densities would be wrong",
            mend="fit a calibration to scans of known composition with `harness bodycomp calibrate --cohort "
            "FOLDER`, or let clinical software measure them (`harness bodycomp export`)",
        )
    return calibration


_MEND = "make one with `harness bodycomp calibrate`"


def _parse(text: str, name: str) -> Calibration:
    try:
        record = json.loads(text)
    except ValueError as error:
        raise InputError(f"calibration {name} is not JSON ({error})", mend=_MEND) from error
    if not isinstance(record, dict) or record.get("schema_version") != SCHEMA_VERSION:
        raise InputError(f"calibration {name} does not have schema_version {SCHEMA_VERSION}", mend=_MEND)
    lines = {}
    for field in ("slopes", "intercepts"):
        values = record.get(field)
        if not isinstance(values, dict):
            raise InputError(f"calibration {name} has no '{field}'", mend=_MEND)
        for measure in COMPOSITION:
            value = values.get(measure.name)
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise InputError(
                    f"calibration {name}: '{field}.{measure.name}' is {value!r}, not a number", mend=_MEND
                )
        lines[field] = {measure.name: float(values[measure.name]) for measure in COMPOSITION}
    try:
        return Calibration(
            lines["slopes"], lines["intercepts"], int(record["subjects"]), str(record["source"]),
            bool(record["simulated"]), str(record["fingerprint"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"calibration {name} lacks {error}", mend=_MEND) from error
