"""A split with fewer patients, or with labels that belong to other scans."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars

from registry.dxa.cohort.store import Split

#: What stays with a scan, whosever labels it carries.
IDENTITY = ("patient", "scan_id", "visit")


@dataclass(frozen=True, eq=False)
class SelectedSplit(Split):
    """Some scans of a split, each with the labels of one of its scans.

    Parameters
    ----------
    whole
        The split that is selected from.
    rows
        Scans that are kept, by their place in `whole`.
    label_rows
        For each of these, the scan of `whole` whose measures and surface it carries.
    """

    whole: Split
    rows: tuple[int, ...]
    label_rows: tuple[int, ...]

    @cached_property
    def scans(self) -> npt.NDArray[np.uint16]:
        """Codes of the kept scans; memory-mapped where all are kept."""
        kept_all = self.rows == tuple(range(len(self.whole.scans)))
        return self.whole.scans if kept_all else self.whole.scans[list(self.rows)]

    @cached_property
    def subjects(self) -> polars.DataFrame:
        """One row per scan: its own keys, and the labels that it carries."""
        whole = self.whole.subjects
        own = [name for name in IDENTITY if name in whole.columns]
        labels = [name for name in whole.columns if name not in own]
        kept = whole[list(self.rows)].select(own)
        return kept.hstack(whole[list(self.label_rows)].select(labels)).select(whole.columns)

    @cached_property
    def vertices(self) -> npt.NDArray[np.float32]:
        """Rest-pose surfaces, with the labels."""
        return self.whole.vertices[list(self.label_rows)]


def select(whole: Split, rows: Sequence[int], label_rows: Sequence[int]) -> SelectedSplit:
    """Some scans of a split, each with the labels of one of its scans."""
    return SelectedSplit(
        whole.folder,
        whole.part,
        whole.split,
        whole.simulated,
        whole.grid,
        whole,
        tuple(rows),
        tuple(label_rows),
    )


def with_patients(view: Split, patients: Set[str]) -> SelectedSplit:
    """The scans of these patients alone, in order."""
    rows = [row for row, patient in enumerate(view.patients) if patient in patients]
    return select(view, rows, rows)


def with_labels_of(view: Split, order: Sequence[int]) -> SelectedSplit:
    """Every scan with the measures and surface of scan order[i]."""
    return select(view, range(len(order)), order)
