"""What a diff of two runs finds, as its page and its twin read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reports.statistics.intervals import Estimate
from reports.statistics.tests import Difference

Outcome = Literal[
    "regression", "lost", "improvement", "equivalent", "within noise", "unchanged", "not judged", "new"
]

#: In the order in which they are shown.
OUTCOMES: tuple[Outcome, ...] = (
    "regression",
    "lost",
    "improvement",
    "new",
    "within noise",
    "equivalent",
    "not judged",
    "unchanged",
)


@dataclass(frozen=True)
class Change:
    """A field whose value differs; `None` where one side lacks it."""

    field: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class MetricChange:
    """A result in both runs.

    Parameters
    ----------
    row
        Key of the row; empty for the primary endpoint.
    before, after
        The value in each run; `None` where it has none.
    difference
        Second run minus first, paired; `None` where one side is missing.
    pairing
        What the two share in every resample.
    """

    task: str
    title: str
    protocols: tuple[str, ...]
    column: str
    arm: str
    statistic: str
    row: str
    label: str
    unit: str
    direction: str | None
    before: Estimate | None
    after: Estimate | None
    difference: Difference | None
    outcome: Outcome
    pairing: str
    patients: int


@dataclass(frozen=True)
class CostChange:
    """Mean seconds per trial and largest memory of an arm's stage; `ratio` after / before. Never judged."""

    arm: str
    stage: str
    trials_before: int
    trials_after: int
    seconds_before: float | None
    seconds_after: float | None
    ratio: float | None
    memory_before: int
    memory_after: int


@dataclass(frozen=True)
class Failure:
    """A trial of the second run that has no result."""

    stage: str
    arm: str
    task: str | None
    status: str
    error: str


@dataclass(frozen=True)
class RunDiff:
    """What `diff` found.

    Parameters
    ----------
    comparable
        Empty, or why results cannot be compared.
    endpoints, rows
        Primary endpoints (which decide) and the rows of every table.
    regressions
        Endpoints that regressed or were lost.
    """

    first: str
    second: str
    simulated: bool
    comparable: str
    environment: tuple[Change, ...]
    configuration: tuple[Change, ...]
    endpoints: tuple[MetricChange, ...]
    rows: tuple[MetricChange, ...]
    costs: tuple[CostChange, ...]
    failures: tuple[Failure, ...]
    regressions: int
