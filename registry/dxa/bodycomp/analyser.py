"""The seam: whatever can measure body composition, and what it hands back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from registry.contracts import InputError
from registry.dxa.bodycomp.analysis import MEASURES, Analysis, analyse
from registry.dxa.bodycomp.calibration import Calibration, calibration_for
from registry.dxa.imaging.attenuation import BeamMode

if TYPE_CHECKING:
    import polars

#: What results call the open analyser.
BUILT_IN = "built-in"


@dataclass(frozen=True)
class CompositionTable:
    """Thirteen measures of each scan, whoever measured them.

    Parameters
    ----------
    scan_ids
        In order.
    values
        In the order of ``MEASURES`` and their units, NaN in every column of a scan that could not be
        analysed, shape (scans, 13).
    flags
        Quality flags of each scan; other software gives none.
    analyser
        Who measured.
    simulated
        Whether the scans, or what the analyser was calibrated on, are simulated.
    remarks
        What is odd about the values, but may be right.
    """

    scan_ids: tuple[str, ...]
    values: npt.NDArray[np.float64]
    flags: tuple[frozenset[str], ...]
    analyser: str
    simulated: bool
    remarks: tuple[str, ...] = ()

    @property
    def analysable(self) -> npt.NDArray[np.bool_]:
        """Which scans have measures; the others are counted, never dropped."""
        return np.asarray(np.isfinite(self.values).all(axis=1))

    def frame(self) -> polars.DataFrame:
        """One row per scan: id, analyser, marks, flags and the 13 measures (null where there are none)."""
        import polars  # noqa: PLC0415 - seconds, and only where a table is wanted

        columns: dict[str, object] = {
            "scan_id": list(self.scan_ids),
            "analyser": [self.analyser] * len(self.scan_ids),
            "simulated": [self.simulated] * len(self.scan_ids),
            "analysable": self.analysable,
            "flags": [" ".join(sorted(flags)) for flags in self.flags],
        }
        columns |= {name: self.values[:, column] for column, name in enumerate(MEASURES)}
        return polars.DataFrame(columns).with_columns(polars.col(MEASURES).fill_nan(None))


class BodyCompositionAnalyser(Protocol):
    """Measures scans; implemented by :class:`BuiltInAnalyser` and ``external.ExternalAnalyser``."""

    @property
    def name(self) -> str:
        """What results call it."""
        ...

    def measure(self, scan_ids: Sequence[str], scans: npt.ArrayLike, *, simulated: bool) -> CompositionTable:
        """Measure scans.

        Parameters
        ----------
        scan_ids
            One per scan, without repetition.
        scans
            Codes, shape (scans, rows, columns, 6).
        simulated
            Whether the scans come from a simulation.
        """
        ...


@dataclass(frozen=True)
class BuiltInAnalyser:
    """The open analyser.

    Parameters
    ----------
    calibration
        None takes the package's for simulated scans, and refuses others: absolute values of a real scanner
        cannot follow from a calibration on simulated bodies.
    mode
        Beam of the scanner.
    """

    calibration: Calibration | None = None
    mode: BeamMode = "polychromatic"

    @property
    def name(self) -> str:
        """What results call it."""
        return BUILT_IN

    def measure(self, scan_ids: Sequence[str], scans: npt.ArrayLike, *, simulated: bool) -> CompositionTable:
        """Measure scans.

        Raises
        ------
        InputError
            If the scans are not simulated and no calibration on known ones is given, if an id repeats, or if
            scans are not of the expected shape.
        """
        check_ids(scan_ids)
        calibration = calibration_for(self.calibration, simulated=simulated)
        analysis = analyse(scans, calibration=calibration, mode=self.mode)
        if len(analysis.scans) != len(scan_ids):
            raise InputError(
                f"{len(scan_ids)} scan ids were given for {len(analysis.scans)} scans",
                mend="give one id per scan",
            )
        return built_in_table(scan_ids, analysis, simulated=simulated or calibration.simulated)


def built_in_table(scan_ids: Sequence[str], analysis: Analysis, *, simulated: bool) -> CompositionTable:
    """What the built-in analyser measured, as a table."""
    flags = tuple(frozenset(str(flag) for flag in scan.flags) for scan in analysis.scans)
    return CompositionTable(tuple(scan_ids), analysis.measures, flags, BUILT_IN, simulated)


def check_ids(scan_ids: Sequence[str]) -> None:
    """Refuse repeated scan ids.

    Raises
    ------
    InputError
        Naming the repeated ones.
    """
    counts = Counter(scan_ids)
    repeated = sorted(key for key, count in counts.items() if count > 1)
    if repeated:
        raise InputError(
            f"scan ids repeat: {', '.join(repeated[:5])}{' ...' if len(repeated) > 5 else ''}",
            mend="give each scan an id of its own",
        )
