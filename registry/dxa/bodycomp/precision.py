"""Precision from repeat scans, as the ISCD defines it: RMS-SD, RMS-CV and least significant change."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from registry.contracts import InputError
from registry.dxa.bodycomp.calibration import Calibration, committed_calibration
from registry.dxa.cohort.manifest import write_atomically

# Subjects and analyser are imported where they are used: tasks read the committed precision while planning.
if TYPE_CHECKING:
    from registry.dxa.bodycomp.subjects import StudySubject

# 1.96 * sqrt(2): the change between two scans of one person that is real with 95 % confidence.
LSC_FACTOR = 2.77
_DATA_FILE = "data/precision.json"


@dataclass(frozen=True)
class Precision:
    """Precision of one measure.

    Parameters
    ----------
    measure
        Its name, which carries the unit of ``rms_sd`` and ``lsc``.
    rms_sd
        Root of the mean variance within subjects, each weighted by its degrees of freedom.
    rms_cv_percent
        Root mean square of the subjects' coefficients of variation.
    lsc
        Least significant change of one person, 2.77 RMS-SD.
    subjects, degrees_of_freedom
        What it rests on; the ISCD asks for 30.
    """

    measure: str
    rms_sd: float
    rms_cv_percent: float
    lsc: float
    subjects: int
    degrees_of_freedom: int


def precision(values: npt.ArrayLike, subject_of_scan: npt.ArrayLike, measure: str = "") -> Precision:
    """Precision of a measure from repeat scans.

    Parameters
    ----------
    values
        One per scan; values that are not finite are left out.
    subject_of_scan
        Who was scanned.
    measure
        Recorded with the result.

    Raises
    ------
    InputError
        If nobody was scanned twice.

    Examples
    --------
    >>> found = precision([10.0, 12.0, 20.0, 20.0], ["a", "a", "b", "b"])
    >>> round(found.rms_sd, 6), found.degrees_of_freedom
    (1.0, 2)
    """
    values, keys = np.asarray(values, dtype=np.float64), np.asarray(subject_of_scan)
    squares, cvs, degrees = 0.0, [], 0
    for key in dict.fromkeys(keys.tolist()):
        own = values[(keys == key) & np.isfinite(values)]
        if len(own) < 2:
            continue
        variance = float(own.var(ddof=1))
        squares += variance * (len(own) - 1)
        degrees += len(own) - 1
        cvs.append(variance / float(own.mean()) ** 2 if own.mean() != 0 else np.nan)
    if not degrees:
        raise InputError(
            f"no subject has two scans with {measure or 'a measure'}", mend="scan each subject at least twice"
        )
    rms_sd = float(np.sqrt(squares / degrees))
    return Precision(
        measure, rms_sd, 100.0 * float(np.sqrt(np.mean(cvs))), LSC_FACTOR * rms_sd, len(cvs), degrees
    )


def precision_study(
    count: int = 30, repeats: int = 2, calibration: Calibration | None = None
) -> list[Precision]:
    """Precision of every measure on simulated adults and children who are laid on the table anew each time.

    The default, 30 subjects scanned twice, is the design the ISCD recommends. Between scans change pose,
    placement, noise, bowel gas and the fine texture of soft tissue.
    """
    from registry.dxa.bodycomp.analysis import MEASURES, analyse  # noqa: PLC0415

    calibration = calibration or committed_calibration()
    values, keys = [], []
    for subject in simulated_repeats(count, repeats):
        scans = [visit.scan.codes for visit in subject.visits]
        values.append(analyse(scans, calibration=calibration).measures)
        keys += [subject.planned.key] * repeats
    table = np.concatenate(values)
    return [precision(table[:, column], keys, name) for column, name in enumerate(MEASURES)]


def committed_precision() -> dict[str, float]:
    """RMS-SD of every measure as the package's own study found it, in the measures' units."""
    text = resources.files("registry.dxa.bodycomp").joinpath(_DATA_FILE).read_text(encoding="utf-8")
    return {name: float(value) for name, value in json.loads(text)["rms_sd"].items()}


def committed_precision_is_current() -> bool:
    """Whether the package's precision was found on today's simulated subjects by today's analyser."""
    from registry.dxa.bodycomp import subjects  # noqa: PLC0415

    text = resources.files("registry.dxa.bodycomp").joinpath(_DATA_FILE).read_text(encoding="utf-8")
    record = json.loads(text)
    return bool(record["fingerprint"] == subjects.fingerprint("precision", record["subjects"]))


def write_committed_precision(found: Sequence[Precision]) -> Path:
    """Keep the RMS-SD of a study as the package's own: equivalence margins of the tasks follow it."""
    from registry.dxa.bodycomp import subjects  # noqa: PLC0415

    path = Path(__file__).parent / _DATA_FILE
    record = {
        "schema_version": 1,
        "subjects": found[0].subjects,
        "fingerprint": subjects.fingerprint("precision", found[0].subjects),
        "rms_sd": {one.measure: one.rms_sd for one in found},
    }
    write_atomically(path, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())
    return path


def simulated_repeats(count: int, repeats: int) -> list[StudySubject]:
    """Subjects reserved for studies of precision."""
    from registry.dxa.bodycomp import subjects  # noqa: PLC0415

    return list(subjects.simulate_subjects("precision", count, repeats=repeats))
