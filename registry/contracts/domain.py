"""The contract of a domain: where its cohorts come from and how a split is opened."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CohortProgress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class CohortReference:
    """A cohort that is declared, whether it has been made yet or not.

    Parameters
    ----------
    fingerprint
        Hex digest of everything that decides the data.
    folder
        Where it is or will be.
    simulated
        Whether the data are simulated; every page and record says so.
    description
        One sentence for the report.
    """

    fingerprint: str
    folder: Path
    simulated: bool
    description: str


@dataclass(frozen=True)
class SplitSize:
    """How many patients and scans a split has."""

    patients: int
    scans: int


@dataclass(frozen=True)
class Check:
    """One line of `harness doctor`: what was looked at, whether it works, and the mend where it does not."""

    name: str
    ok: bool
    detail: str
    mend: str = ""


class Domain(abc.ABC):
    """Everything the engine needs to know about a kind of data."""

    name: str
    title: str
    #: Tasks' `part` names and their meaning, in order.
    parts: Mapping[str, str]
    #: Modules whose random state and threads the engine sets before each trial (`torch`).
    libraries: tuple[str, ...] = ()

    @abc.abstractmethod
    def check_settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Validate a suite's settings and fill in defaults; an unknown key is an `InputError`."""

    @abc.abstractmethod
    def cohort(self, declaration: Mapping[str, Any], cache: Path) -> CohortReference:
        """Understand a suite's `[cohort]` table; cheap, makes nothing."""

    @abc.abstractmethod
    def prepare(
        self, declaration: Mapping[str, Any], cache: Path, *, workers: int, progress: CohortProgress
    ) -> dict[str, dict[str, SplitSize]]:
        """Make the cohort if need be, verify it, and return part -> split -> size.

        Raises
        ------
        DataError
            If a file is corrupt or missing, or a patient is in two splits.
        """

    @abc.abstractmethod
    def open_split(self, folder: Path, part: str, split: str) -> Any:
        """Open one split of a verified cohort."""

    def doctor(self) -> Sequence[Check]:
        """What this domain needs of the machine; cheap, changes nothing."""
        return ()
