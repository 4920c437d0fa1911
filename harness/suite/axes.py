"""The tables of a suite that add arms, axes and judgements to the plain matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from harness.table import Name, Names, SuiteTable, distinct
from registry.ablation import DesignKind
from registry.catalog import unknown_name
from registry.contracts.tables import Direction

#: What a report can compute from the per-scan records.
STATISTICS = ("r2", "r2_pearson", "rmse", "mae", "bias", "slope", "ccc", "mean")
Hyperparameters = Literal["retuned", "frozen"]
Fraction = Annotated[float, Field(gt=0, le=1)]


class LabelEfficiency(SuiteTable):
    """`[label_efficiency]`: every strategy learns from a share of the labelled patients, too.

    Shares are nested by patient and the same for every strategy; train and validation patients are cut to
    the same share, the test split stays whole.

    Attributes
    ----------
    fractions
        Shares of the labelled patients; all of them (1.0) are there in any case.
    draws
        How many nested sequences of patients are drawn.
    hyperparameters
        `frozen`: as chosen with all labels. `retuned`: the whole budget is spent on every share and draw.
    tasks
        Where; every task that learns from labels where none is named.
    """

    fractions: Annotated[tuple[Fraction, ...], Field(min_length=1, strict=False)] = (0.05, 0.1, 0.25, 0.5)
    draws: Annotated[int, Field(ge=1, le=1000)] = 3
    hyperparameters: Hyperparameters = "frozen"
    tasks: Names = ()

    @field_validator("fractions", "tasks")
    @classmethod
    def _no_repeats(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return distinct(values)


class Controls(SuiteTable):
    """`[controls]`: arms whose result is known beforehand; they show whether the comparison can be trusted.

    Attributes
    ----------
    aa
        Strategies that run a second time with other random numbers, as arms `<strategy>.aa`.
    shuffled_labels
        Strategies that run a second time with the train labels dealt out to the wrong scans, as arms
        `<strategy>.shuffled_labels`.
    broken_physics
        Strategies in which the physics is wrong on purpose; they take part like any other.
    """

    aa: Names = ()
    shuffled_labels: Names = ()
    broken_physics: Names = ()

    @field_validator("aa", "shuffled_labels", "broken_physics")
    @classmethod
    def _no_repeats(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return distinct(names)


class Ablation(SuiteTable):
    """`[[ablation]]`: arms derived from one strategy by changing factors that it declares.

    Attributes
    ----------
    base
        The strategy; one of the suite's.
    design
        `leave_one_out`: one factor changed at a time. `ladder`: from all factors changed to none, one after
        another. `factorial`: every combination, or a fraction of them. `dose`: several values of one factor.
    factors
        Factor to the value that it is changed to, or to a list of values.
    orders
        Of a ladder: orders in which factors are put back; as declared and reversed where none are given.
    generators
        Of a fractional factorial of two-valued factors: a factor to the factors whose product decides it.
    hyperparameters
        `retuned`: derived arms have draws of their own. `frozen`: they take their base's setting.
    """

    base: Name
    design: DesignKind
    factors: Annotated[dict[str, Any], Field(min_length=1)]
    orders: Annotated[tuple[Names, ...], Field(strict=False)] = ()
    generators: dict[str, Names] = Field(default_factory=dict)
    hyperparameters: Hyperparameters = "retuned"

    @property
    def alternatives(self) -> dict[str, tuple[Any, ...]]:
        """Factor to the values that it is changed to."""
        return {
            factor: tuple(value) if isinstance(value, list | tuple) else (value,)
            for factor, value in self.factors.items()
        }

    @model_validator(mode="after")
    def _fits_its_design(self) -> Ablation:
        if self.orders and self.design != "ladder":
            raise ValueError(f"orders are for design 'ladder', not {self.design!r}; take them out")
        if self.generators and self.design != "factorial":
            raise ValueError(f"generators are for design 'factorial', not {self.design!r}; take them out")
        for factor, values in self.alternatives.items():
            if not values:
                raise ValueError(f"factor {factor!r} has no value; give it at least one")
            distinct(values)
        return self


class Endpoint(SuiteTable):
    """`[endpoints.<task>]`: which number of the report a task's arms are judged by.

    Attributes
    ----------
    statistic
        Of the task's tables: `r2`, `r2_pearson`, `rmse`, `mae`, `bias`, `slope`, `ccc` or `mean` of a score.
    rows
        Rows over which it is averaged; all rows where none is named.
    label, direction
        How it reads, and which way is better.
    """

    statistic: str
    rows: Names = ()
    label: Annotated[str, Field(min_length=1)]
    direction: Direction

    @field_validator("statistic")
    @classmethod
    def _known(cls, statistic: str) -> str:
        return known_statistic(statistic)


def known_statistic(name: str) -> str:
    """The same name.

    Raises
    ------
    ValueError
        If no report computes it; with the nearest that is.
    """
    if name not in STATISTICS:
        raise ValueError(str(unknown_name("statistic", name, STATISTICS)))
    return name


def _flat(table: Any) -> Any:
    """`rmse.total_mass_kg = 1` without quotes is a table in TOML; it means the same."""
    if not isinstance(table, Mapping):
        return table
    flat: dict[str, Any] = {}
    for key, value in table.items():
        inner = _flat(value)
        if isinstance(inner, Mapping):
            flat |= {f"{key}.{row}": number for row, number in inner.items()}
        else:
            flat[key] = inner
    return flat


def _margin_key(key: str) -> str:
    known_statistic(key.partition(".")[0])
    return key


MarginKey = Annotated[str, BeforeValidator(_margin_key)]
Margins = Annotated[dict[MarginKey, Annotated[float, Field(gt=0)]], BeforeValidator(_flat)]
