"""Defects of a cohort's files: where, what and how to mend it, collected rather than raised one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong.

    Parameters
    ----------
    file
        Relative to the folder.
    problem
        What is wrong.
    mend
        What to do about it.
    row
        Line in the file, counted from 1 with the header, or a scan's place in a packed file, counted from 1;
        None where the defect is the file's.
    column
        Of the table; empty where it does not apply.
    value
        As it stands in the file.
    """

    file: str
    problem: str
    mend: str
    row: int | None = None
    column: str = ""
    value: str = ""

    @property
    def statement(self) -> str:
        """File, row and column, then the value and the problem."""
        place = self.file
        if self.row is not None:
            place += f", row {self.row}"
        if self.column:
            place += f", column '{self.column}'"
        shown = f" {self.value!r}:" if self.value else ""
        return f"{place}:{shown} {self.problem}"

    def __str__(self) -> str:
        """The statement and the mend."""
        return f"{self.statement} -> {self.mend}"


@dataclass
class Findings:
    """What a pass over a folder finds: defects, and remarks that are none."""

    defects: list[Defect] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(
        self,
        file: str,
        problem: str,
        mend: str,
        *,
        row: int | None = None,
        column: str = "",
        value: object = "",
    ) -> None:
        """Note a defect; a long value is cut."""
        text = str(value)
        self.defects.append(
            Defect(file, problem, mend, row, column, text if len(text) <= 60 else text[:57] + "...")
        )


def overview(defects: Sequence[Defect]) -> str:
    """How many defects there are, by problem.

    Examples
    --------
    >>> overview([Defect("a", "missing", "add it"), Defect("b", "missing", "add it")])
    '2 defects: 2 x missing'
    """
    counts: dict[str, int] = {}
    for defect in defects:
        counts[defect.problem] = counts.get(defect.problem, 0) + 1
    parts = ", ".join(f"{count} x {problem}" for problem, count in counts.items())
    return f"{len(defects)} defect{'s' if len(defects) != 1 else ''}" + (f": {parts}" if parts else "")
