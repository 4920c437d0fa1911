"""The contract of a domain: where its cohorts come from and how a split is opened."""

from __future__ import annotations

import abc
import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from registry.contracts.artifact import Artifact
from registry.contracts.tables import Direction

if TYPE_CHECKING:
    from registry.contracts.context import TrialContext

CohortProgress = Callable[[int, int, str], None]
#: A line of `harness doctor`: name, whether it is well, what was found, and the mend where it is not.
Check = tuple[str, bool, str, str]


_TEST_NAME = re.compile(r"(^|[^a-z])test([^a-z]|$)")


def is_test_file(path: PurePath) -> bool:
    """Whether a file of a cohort belongs to the test split, by the names on its path inside the cohort.

    Examples
    --------
    >>> [is_test_file(Path(name)) for name in ("paired/test/scans.npy", "labelled-test.npz", "latest.npz")]
    [True, True, False]
    """
    return any(_TEST_NAME.search(part.lower()) for part in path.parts)


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
class Probe:
    """A cheap score of pretrained weights on the validation split, the same for every arm.

    It chooses hyperparameters of pretraining, so it must mean the same whoever made the weights: losses of
    pretraining differ from strategy to strategy and cannot do that.

    Parameters
    ----------
    label
        How tables call it.
    direction
        Whether it should be large (`max`) or small (`min`).
    needs
        Parts that an artifact must have.
    summary
        What it measures, in one sentence.
    """

    label: str
    direction: Direction
    needs: frozenset[str]
    summary: str = ""


class Domain(abc.ABC):
    """Everything the engine needs to know about a kind of data."""

    name: str
    title: str
    #: Tasks' `part` names and their meaning, in order.
    parts: Mapping[str, str]
    #: Modules whose random state and threads the engine sets before each trial (`torch`).
    libraries: tuple[str, ...] = ()
    #: Settings that say how a trial is executed and change no bit of its result (threads that load data),
    #: each with the value that stands for it in the identity of a trial, whatever a suite says: its default.
    execution_settings: Mapping[str, Any] = {}
    #: Folder of what `harness new` fills in, `strategy.py.txt` and `task.py.txt`, if there is one.
    templates: Path | None = None
    #: What may choose hyperparameters of pretraining, by name; the first one unless a suite says otherwise.
    probes: Mapping[str, Probe] = {}

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

    def learning_files(self, folder: Path) -> Mapping[str, Path | bytes]:
        """What of a verified cohort learning needs: no file of a test split, no index of its records.

        Workers that pretrain, tune or fit get a folder with these files and nothing else; `open_split` must
        find train and validation in it. By default all files are in it but those on whose path `test` is a
        word; an index that names test records is to be given as other bytes.

        Returns
        -------
        Mapping
            Names within the folder to the files that they stand for, or to their content.
        """
        return {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not is_test_file(path.relative_to(folder))
        }

    @abc.abstractmethod
    def open_split(self, folder: Path, part: str, split: str) -> Any:
        """Open one split of a verified cohort."""

    def probe(self, name: str, context: TrialContext, artifact: Artifact) -> float:
        """Score `artifact` with one of `probes`: learn on the train split, judge on the validation split."""
        raise ValueError(f"domain {self.name!r} has no probe {name!r}")

    # What the axes and controls of a suite need ------------------------------------------------------

    def patients(self, view: Any) -> Sequence[str]:
        """Patient key of every scan in a view that `open_split` returned, in order."""
        keys: Sequence[str] = view.patients
        return keys

    def with_patients(self, view: Any, patients: Set[str]) -> Any:
        """The view with the scans of these patients alone, in order; for label efficiency."""
        raise NotImplementedError

    def with_labels_of(self, view: Any, order: Sequence[int]) -> Any:
        """The view with other labels: scan i keeps its image and gets everything else of scan order[i].

        For the control with shuffled labels; keys of patients and scans stay with the images.
        """
        raise NotImplementedError

    def tiny_suite(self) -> Mapping[str, Any]:
        """A suite's tables with data and settings so small that a run takes seconds, for `harness check`.

        Its strategies and tasks are the partners of what is checked; empty where the domain offers none.
        """
        return {}

    def doctor(self) -> Sequence[Check]:
        """What this domain needs of the machine; cheap, changes nothing."""
        return ()
