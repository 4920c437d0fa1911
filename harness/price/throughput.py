"""What somebody states about machines that are not here: throughput, with its source, for an estimate.

Never mixed with a price: that is made of timings of this machine. An estimate says whose figures it rests on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from harness.price.price import Price, Work, price_of
from harness.price.timings import Timing
from harness.specs import Stage
from harness.suite import read_toml
from harness.table import SuiteTable
from registry.contracts import InputError

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=False)]
_MEND = (
    'write source = "..." and tables [[kind]] with match = "pretrain *" and either seconds, or steps and '
    "steps_per_second"
)


class StatedKind(SuiteTable):
    """What one trial of some kinds takes.

    Attributes
    ----------
    match
        Kinds in the words of the plan, with wildcards: `pretrain *vae*`, `tune * / reconstruction`.
    seconds
        Of one trial; or instead
    steps, steps_per_second
        its length and the machine's throughput.
    """

    match: str
    seconds: Positive | None = None
    steps: Positive | None = None
    steps_per_second: Positive | None = None

    @model_validator(mode="after")
    def _one_way_of_saying_it(self) -> Self:
        by_steps = (self.steps is not None, self.steps_per_second is not None)
        if (self.seconds is None) != all(by_steps) or any(by_steps) != all(by_steps):
            raise ValueError("say either seconds, or steps and steps_per_second")
        return self

    @property
    def trial_seconds(self) -> float:
        """Seconds of one trial."""
        if self.seconds is not None:
            return self.seconds
        assert self.steps is not None  # noqa: S101 - the validator has seen to it
        assert self.steps_per_second is not None  # noqa: S101
        return self.steps / self.steps_per_second


class Throughput(SuiteTable):
    """A file of stated throughput.

    Attributes
    ----------
    source
        Who measured it, on what, and where that can be read.
    kind
        What trials take; the first that matches counts.
    """

    source: Annotated[str, Field(min_length=1)]
    kind: Annotated[tuple[StatedKind, ...], Field(min_length=1, strict=False)]

    def timing(self, what: str) -> Timing | None:
        """What a trial of this kind takes, if somebody stated it."""
        found = next((one for one in self.kind if fnmatchcase(what, one.match)), None)
        return None if found is None else Timing(found.trial_seconds, found.trial_seconds, 0)


@dataclass(frozen=True)
class Estimate:
    """What trials that were never timed here would take by stated figures.

    Parameters
    ----------
    source
        Of these figures.
    price
        Of these trials alone; `unknown` are kinds that nobody stated either.
    """

    source: str
    price: Price


def read_throughput(path: Path) -> Throughput:
    """Read a file of stated throughput.

    Raises
    ------
    InputError
        If it cannot be read, names no source, or a key or value in it is wrong.
    """
    try:
        return Throughput.model_validate(read_toml(path, kind="throughput"))
    except ValidationError as error:
        complaint = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in complaint["loc"])
        message = complaint["msg"].removeprefix("Value error, ")
        raise InputError(f"throughput file {path}: {place}: {message}", mend=_MEND) from error


def estimate(
    stated: Throughput, work: Sequence[Work], unknown: Sequence[str], *, slots: Mapping[Stage, int] | int
) -> Estimate:
    """Add up what the trials would take whose kinds are in `unknown`.

    Parameters
    ----------
    work, unknown
        Everything that is to run, and the kinds in words that have no price.
    slots
        Trials at once, as for `price_of`.

    Raises
    ------
    InputError
        If nothing of what is stated matches anything in the plan.
    """
    unpriced = [one for one in work if one.what in unknown]
    timings = {one.kind: found for one in unpriced if (found := stated.timing(one.what)) is not None}
    if unpriced and not timings:
        raise InputError(
            f"no stated kind matches a trial of the plan: {', '.join(one.match for one in stated.kind)}",
            mend=f"name kinds as the plan does: {', '.join(dict.fromkeys(one.what for one in unpriced))}",
        )
    return Estimate(stated.source, price_of(unpriced, timings, slots=slots))
