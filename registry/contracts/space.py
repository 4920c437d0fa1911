"""Hyperparameter spaces whose draws do not move each other.

The i-th value of a hyperparameter is a pure function of (suite seed, name, i): adding a hyperparameter or
buying a larger budget moves no earlier draw, and arms that share a name share its values.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Distribution(Protocol):
    """One dimension of a space: maps a uniform number to a value."""

    @property
    def default(self) -> object:
        """The declared value where nothing is drawn."""

    def at(self, quantile: float) -> object:
        """The value at `quantile` in [0, 1)."""

    def position(self, value: object) -> float | None:
        """Where in the range `value` lies, from 0 to 1; `None` where a range has no ends."""

    def describe(self) -> str:
        """The range in words, for plans and reports."""


@dataclass(frozen=True)
class LogUniform:
    """Numbers whose logarithm is uniform between `low` and `high`."""

    low: float
    high: float
    default: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high:
            raise ValueError(f"loguniform needs 0 < low < high, got low={self.low}, high={self.high}")

    def at(self, quantile: float) -> float:
        """The value at `quantile` in [0, 1)."""
        return math.exp(math.log(self.low) + quantile * math.log(self.high / self.low))

    def position(self, value: object) -> float | None:
        """Where between the ends the logarithm of `value` lies, from 0 to 1."""
        return math.log(float(value) / self.low) / math.log(self.high / self.low)  # type: ignore[arg-type]

    def describe(self) -> str:
        """The range in words."""
        return f"log-uniform {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Uniform:
    """Numbers uniform between `low` and `high`."""

    low: float
    high: float
    default: float

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"uniform needs low < high, got low={self.low}, high={self.high}")

    def at(self, quantile: float) -> float:
        """The value at `quantile` in [0, 1)."""
        return self.low + quantile * (self.high - self.low)

    def position(self, value: object) -> float | None:
        """Where between the ends `value` lies, from 0 to 1."""
        return (float(value) - self.low) / (self.high - self.low)  # type: ignore[arg-type]

    def describe(self) -> str:
        """The range in words."""
        return f"uniform {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Choice:
    """One of a few named values."""

    options: tuple[object, ...]
    default: object

    def __post_init__(self) -> None:
        if self.default not in self.options:
            raise ValueError(f"the default {self.default!r} is not one of {self.options}")

    def at(self, quantile: float) -> object:
        """The value at `quantile` in [0, 1)."""
        return self.options[min(int(quantile * len(self.options)), len(self.options) - 1)]

    def position(self, value: object) -> float | None:
        """Nothing: options have no order and no ends."""
        return None

    def describe(self) -> str:
        """The options in words."""
        return "one of " + ", ".join(str(option) for option in self.options)


def loguniform(low: float, high: float, *, default: float) -> LogUniform:
    """Numbers whose logarithm is uniform between `low` and `high`."""
    return LogUniform(low, high, default)


def uniform(low: float, high: float, *, default: float) -> Uniform:
    """Numbers uniform between `low` and `high`."""
    return Uniform(low, high, default)


def choice(options: Sequence[object], *, default: object) -> Choice:
    """One of a few named values."""
    return Choice(tuple(options), default)


class Space(Mapping[str, Distribution]):
    """Named hyperparameters with their distributions.

    Examples
    --------
    >>> space = Space(learning_rate=loguniform(1e-4, 1e-2, default=1e-3))
    >>> space.defaults()
    {'learning_rate': 0.001}
    >>> larger = Space(dropout=uniform(0.0, 0.5, default=0.1), **space)
    >>> larger.draw(seed=7, index=3)["learning_rate"] == space.draw(seed=7, index=3)["learning_rate"]
    True
    """

    def __init__(self, **distributions: Distribution) -> None:
        self._distributions = distributions

    def __getitem__(self, name: str) -> Distribution:
        return self._distributions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._distributions)

    def __len__(self) -> int:
        return len(self._distributions)

    def defaults(self) -> dict[str, object]:
        """The declared value of every hyperparameter."""
        return {name: distribution.default for name, distribution in self.items()}

    def draw(self, *, seed: int, index: int) -> dict[str, object]:
        """The `index`-th setting of the suite with `seed`."""
        return {name: distribution.at(_quantile(seed, name, index)) for name, distribution in self.items()}


def _quantile(seed: int, name: str, index: int) -> float:
    """A number in [0, 1) that depends on the three arguments alone, on every platform."""
    digest = hashlib.sha256(f"{seed}/{name}/{index}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56
