"""How a task wants its results shown: tables, published values and exhibits, as plain data.

The report draws them from the run's records and knows nothing else of the domain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

Direction = Literal["max", "min"]


@dataclass(frozen=True)
class Statistic:
    """A column of a table: how a number comes from the per-scan records.

    Parameters
    ----------
    name
        Of target and prediction, per measure: `r2`, `r2_pearson`, `rmse`, `mae`, `bias`, `slope` (of
        predictions over targets), `ccc` (Lin's concordance); or `mean` (of a score per scan).
    label
        Column heading.
    direction
        Which way is better; `None` where neither is (a bias is best at zero, a slope at one).
    decimals
        Digits after the point.
    """

    name: Literal["r2", "r2_pearson", "rmse", "mae", "bias", "slope", "ccc", "mean"]
    label: str
    direction: Direction | None
    decimals: int = 2


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Parameters
    ----------
    key
        The measure (of predictions) or the score that it shows.
    label, group
        How it reads; rows of one group stand together, in declared order.
    unit
        Unit of the measure, empty where it has none.
    direction
        For scores: which way is better; measures take the statistic's direction.
    """

    key: str
    label: str
    group: str = ""
    unit: str = ""
    direction: Direction | None = None


@dataclass(frozen=True)
class PublishedValue:
    """A number somebody printed, beside which ours are shown."""

    row: str
    statistic: str
    arm: str
    value: float
    note: str = ""


@dataclass(frozen=True)
class TableLayout:
    """One comparison table.

    Parameters
    ----------
    source
        Which records it reads: `predictions` (target and prediction per measure) or `scores` (per scan).
    convention
        How a number was computed where several ways exist, e.g. the data range of a PSNR.
    published, published_source
        Values to show beside ours, and where they were printed.
    footnotes
        What a reader must know to compare.
    margins
        The largest difference between two arms that does not matter, declared before any run, in the
        statistic's unit: `"<statistic>"` for all rows, `"<statistic>.<row key>"` for one. A suite's
        `[margins.<task>]` has precedence. Without a margin nothing is ever called equivalent.
    least_significant_changes
        Row key to the smallest difference between two measurements of one person that is a change and no
        error of measurement (95 %), in the row's unit, from repeat measurements: a line for single people's
        errors.
    """

    key: str
    title: str
    source: Literal["predictions", "scores"]
    rows: tuple[Row, ...]
    statistics: tuple[Statistic, ...]
    convention: str = ""
    published: tuple[PublishedValue, ...] = ()
    published_source: str = ""
    footnotes: tuple[str, ...] = ()
    margins: Mapping[str, float] = field(default_factory=dict)
    least_significant_changes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PrimaryEndpoint:
    """The one number that a task is judged by, declared before anything runs.

    Parameters
    ----------
    metric
        Its name; a fitted model reports it for the validation split under this name.
    label
        How it reads.
    direction
        Which way is better.
    statistic
        What is averaged over `rows` (all rows of the first table if empty).
    """

    metric: str
    label: str
    direction: Direction
    statistic: str
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Panel:
    """One picture of an exhibit.

    Parameters
    ----------
    label
        Caption under the picture.
    image
        Array (height, width), physical values.
    kind
        `gray` (shared window), `map` (sequential colours) or `difference` (diverging around zero).
    unit
        Unit of the values.
    limits
        Window of the colours; equal limits make panels comparable.
    """

    label: str
    image: NDArray[Any]
    kind: Literal["gray", "map", "difference"]
    unit: str
    limits: tuple[float, float]


@dataclass(frozen=True)
class Exhibit:
    """Pictures of one test scan under one arm, chosen by a declared rule that favours no arm.

    Parameters
    ----------
    key
        The same for the same scan under every arm: arms are shown side by side.
    rule
        How the scan was chosen, in words.
    pixel_aspect
        Height of a pixel divided by its width.
    """

    key: str
    title: str
    rule: str
    panels: tuple[Panel, ...]
    pixel_aspect: float = 1.0
    facts: Mapping[str, str] = field(default_factory=dict)
