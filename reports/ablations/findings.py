"""What a study of ablations finds, as the page and its twins read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reports.statistics.intervals import Estimate
from reports.statistics.tests import Difference


@dataclass(frozen=True)
class Effect:
    """A difference and the factors that it may be put down to.

    Parameters
    ----------
    kind
        `removal` (base minus the arm without it), `step` of a ladder (with the base's level minus without),
        `order mean` (mean step over all orders), `main`, `interaction`, `dose` (arm minus base), `trend`,
        `child` (an arm minus the parent that it declares).
    factors
        What changes.
    label
        The change in words.
    first, second
        Keys of the arms, empty where more than two take part.
    attributable
        Whether one factor alone differs; `note` says what else does.
    resampled
        What the interval speaks about.
    """

    kind: str
    factors: tuple[str, ...]
    label: str
    first: str
    second: str
    difference: Difference
    attributable: bool
    note: str
    resampled: str


@dataclass(frozen=True)
class Ladder:
    """Factors put in place one after the other, in this order; another order may tell another story."""

    order: tuple[str, ...]
    steps: tuple[Effect, ...]


@dataclass(frozen=True)
class OrderMeans:
    """The mean step of each factor over so many orders; `complete`: over all, which is its Shapley value."""

    factors: tuple[str, ...]
    orders: int
    complete: bool
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class DosePoint:
    """One level of a factor; `difference` to the base, `None` for the base itself."""

    value: float
    column: str
    estimate: Estimate
    difference: Difference | None


@dataclass(frozen=True)
class Dose:
    """The response to a numeric factor; `trend`: fitted change over the steps from lowest to highest."""

    factor: str
    points: tuple[DosePoint, ...]
    trend: Effect


@dataclass(frozen=True)
class FactorialCell:
    """One combination of levels: which factors are changed."""

    changed: tuple[str, ...]
    column: str
    estimate: Estimate


@dataclass(frozen=True)
class Factorial:
    """A two-level factorial.

    Parameters
    ----------
    factors
        Factor to its two levels in words: changed, base.
    cells, of
        Combinations that ran, out of how many there are.
    effects
        Main effects and two-way interactions, largest first.
    not_estimable
        Effects that these combinations cannot tell apart from others.
    """

    factors: Mapping[str, tuple[str, str]]
    cells: tuple[FactorialCell, ...]
    of: int
    effects: tuple[Effect, ...]
    not_estimable: tuple[str, ...]


@dataclass(frozen=True)
class Ablations:
    """Everything that was changed about one base arm, judged by one task under one protocol.

    Parameters
    ----------
    order_means
        Of every set of factors that can be reached in two or more orders.
    hyperparameters
        Of the derived arms: `retuned`, or `frozen` (the base's were kept); each has a study of its own.
    retuned
        Arm to the same.
    number
        The second design of a kind that a suite has for this base is part of study 1, the third of 2: designs
        of one kind ask different questions and are not taken together.
    """

    task: str
    title: str
    protocols: tuple[str, ...]
    label: str
    direction: str
    base: str
    base_title: str
    value: Estimate
    removals: tuple[Effect, ...]
    ladders: tuple[Ladder, ...]
    order_means: tuple[OrderMeans, ...]
    factorial: Factorial | None
    doses: tuple[Dose, ...]
    children: tuple[Effect, ...]
    hyperparameters: str
    retuned: Mapping[str, bool]
    number: int = 0
