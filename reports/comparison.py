"""What a comparison consists of, as plain data: the page, the exports and `report.json` show these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports.statistics.intervals import Estimate
from reports.statistics.limits import Agreement
from reports.statistics.ranking import PairVariance, Rank
from reports.statistics.tests import Difference

#: Statistics in the unit of their rows; the others are pure numbers.
WITH_UNIT = frozenset({"rmse", "mae", "bias", "mean"})


@dataclass(frozen=True)
class Column:
    """An arm or a baseline of a comparison, with what ran of it.

    Parameters
    ----------
    done, planned
        Final trials that have results, and all that were recorded.
    unit, units
        What is resampled beside patients (`pretraining`, `seed`, `none`) and how many of these there are.
    missing
        Why there are no results; empty where there are some.
    exploratory
        The arm is a plug-in: its rows were not declared with the task, and are corrected for the false
        discovery rate.
    """

    key: str
    name: str
    title: str
    baseline: bool
    done: int
    planned: int
    unit: str
    units: int
    missing: str
    exploratory: bool = False


@dataclass(frozen=True)
class Line:
    """A row of a table under one statistic; `cells` by column key, `None` where there is no number.

    `decimals` are the statistic's, or more where a score is so small that its error would not show.
    Published values stand by column key in `published`, in `published_elsewhere` by the arm they were printed
    for, which has no column here.
    """

    key: str
    label: str
    group: str
    unit: str
    direction: str | None
    decimals: int
    patients: int
    scans: int
    left_out: int
    cells: Mapping[str, Estimate | None]
    published: Mapping[str, Mapping[str, Any]]
    published_elsewhere: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Contrast:
    """Paired differences first - second, one per line, tested as one family.

    Parameters
    ----------
    kind
        `reference` (an arm against the reference arm), `arms` (any other two arms), `baseline`.
    pairing
        In words: what the two have in common in every resample.
    """

    first: str
    second: str
    kind: str
    pairing: str
    differences: tuple[Difference | None, ...]


@dataclass(frozen=True)
class StatisticTable:
    """One statistic of a layout: lines and the contrasts over them."""

    name: str
    label: str
    direction: str | None
    decimals: int
    lines: tuple[Line, ...]
    contrasts: tuple[Contrast, ...]

    @property
    def published_only(self) -> tuple[str, ...]:
        """Arms that have published values in some line, but no column."""
        return tuple(dict.fromkeys(arm for line in self.lines for arm in line.published_elsewhere))


@dataclass(frozen=True)
class ArmAgreement:
    """How one trained model of an arm agrees with the truth, person by person.

    Parameters
    ----------
    column
        Key of the arm.
    seeds
        Pretraining seed and final seed of the model: the lowest ones, not chosen by any result.
    rows
        One per row of the table; `None` where there is nothing to compute from.
    pairs
        Target and prediction of at most `PAIRS_SHOWN` people per row, for drawing; not exported.
    within
        Per row: share of people whose error is at most the row's least significant change; `None` where the
        layout declares none.
    """

    column: str
    seeds: tuple[int | None, int | None]
    rows: tuple[Agreement | None, ...]
    pairs: tuple[tuple[tuple[float, float], ...], ...]
    within: tuple[float | None, ...]


@dataclass(frozen=True)
class Table:
    """A layout with its numbers; `agreement` of arms, where the table shows predictions.

    `least_significant_changes` by row key, as the layout declares them. `absent` are baselines of which other
    software, which measured the rows, was given nothing: they have no column.
    """

    key: str
    title: str
    source: str
    convention: str
    published_source: str
    footnotes: tuple[str, ...]
    statistics: tuple[StatisticTable, ...]
    agreement: tuple[ArmAgreement, ...]
    least_significant_changes: Mapping[str, float]
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """A task under one protocol (or both, where the same trials serve both).

    Parameters
    ----------
    endpoint
        The primary endpoint as a table of one line; its contrasts are tested together, not one by one.
    ranks, variances
        How firm the order of the arms is at the primary endpoint, and what makes it uncertain.
    doubt
        Share of the resamples in which the arm with the best value is not the best; `None` with fewer than
        two arms.
    """

    task: str
    title: str
    protocols: tuple[str, ...]
    reference: str
    columns: tuple[Column, ...]
    endpoint: StatisticTable
    ranks: tuple[Rank, ...]
    variances: tuple[PairVariance, ...]
    tables: tuple[Table, ...]
    doubt: float | None = None

    def shown_in(self, table: Table) -> tuple[Column, ...]:
        """The columns of one of its tables."""
        return tuple(column for column in self.columns if column.key not in table.absent)
