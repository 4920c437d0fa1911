"""What every table of a suite file has in common: no unknown key, no silent conversion, plain names."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Names = Annotated[tuple[Name, ...], Field(strict=False)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
SeedList = Annotated[tuple[Seed, ...], Field(min_length=1, strict=False)]


class SuiteTable(BaseModel):
    """A table of a suite file: no unknown key, no silent conversion, no change afterwards."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same values.

    Raises
    ------
    ValueError
        If one of them is listed twice.
    """
    repeated = [value for value in values if values.count(value) > 1]
    if repeated:
        raise ValueError(f"{repeated[0]!r} is listed twice; list it once")
    return values


def tables_within(annotation: Any) -> list[type[BaseModel]]:
    """The tables that a field with this annotation may hold: itself, one that may be absent, or several."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [table for inner in get_args(annotation) for table in tables_within(inner)]
