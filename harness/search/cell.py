"""The search of one cell: which settings are tried, within which budget, and what came of them.

A cell here is an arm on a task with given weights, or the pretraining of an arm. Its search is told what
became of every draw and proposes the next ones; it knows no trial, no executor and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Setting = Mapping[str, Any]

#: A search by resource ends after so many times as many draws as full trials, whatever they cost.
MOST_DRAWS_PER_FULL_TRIAL = 20
#: Rounding of a sum of shares.
SLACK = 1e-9


class Sampler(Protocol):
    """Proposes settings of its own, one arm on one task at a time."""

    def propose(self, draw: int) -> Setting:
        """The setting of number `draw`."""

    def adopt(self, draw: int, setting: Setting) -> None:
        """Take in a setting from elsewhere: a shared draw, or one that an earlier execution proposed."""

    def learn(self, draw: int, result: Tried) -> None:
        """What became of it."""


@dataclass(frozen=True)
class Tried:
    """What became of a draw.

    Parameters
    ----------
    status
        `done`, `failed`, `pruned` (stopped early) or `blocked`.
    score
        On validation, of a trial that came to its end.
    seconds
        How long it took.
    share
        Of a full trial's steps that it was given.
    interim
        The last score of a pruned trial.
    """

    status: str
    score: float | None = None
    seconds: float = 0.0
    share: float = 1.0
    interim: float | None = None


@dataclass(frozen=True)
class Limits:
    """What a search may spend.

    Parameters
    ----------
    draws
        Settings; with `by_share`, full trials.
    shared
        So many draws come from the shared ones, the rest from the sampler.
    seconds
        No draw starts after so many.
    by_share
        Whether a trial that was stopped early costs only the share that it ran.
    parallel
        How many of the sampler's proposals may be under way at a time.
    """

    draws: int
    shared: int
    seconds: float | None = None
    by_share: bool = False
    parallel: int = 1


@dataclass
class CellSearch:
    """The draws of one cell, in order.

    Parameters
    ----------
    limits
        See there.
    shared
        The setting of a shared draw.
    sampler
        Where draws beyond the shared ones come from.
    recorded
        Settings that an earlier execution proposed, by draw: they are kept, whatever a sampler would say now.
    """

    limits: Limits
    shared: Callable[[int], Setting]
    sampler: Sampler | None = None
    recorded: Mapping[int, Setting] = field(default_factory=dict)
    settings: list[Setting] = field(default_factory=list)
    tried: dict[int, Tried] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether every draw has come back and none will follow."""
        return len(self.tried) == len(self.settings) and not self._may_propose()

    @property
    def seconds(self) -> float:
        """Time spent so far."""
        return sum(one.seconds for one in self.tried.values())

    @property
    def share(self) -> float:
        """Spent so far, in full trials."""
        return sum(one.share for one in self.tried.values())

    def propose(self) -> Iterator[tuple[int, Setting]]:
        """The draws that may start now; each is handed out once."""
        while self._may_propose():
            draw = len(self.settings)
            setting = self._setting(draw)
            self.settings.append(setting)
            yield draw, setting

    def settle(self, draw: int, result: Tried) -> None:
        """Take in what became of a draw."""
        self.tried[draw] = result
        if self.sampler is not None:
            self.sampler.learn(draw, result)

    def scores(self, draws: int | None = None) -> dict[int, float | None]:
        """Validation score by draw, of the first `draws` where given; `None` for draws without one."""
        count = len(self.settings) if draws is None else draws
        return {draw: one.score if (one := self.tried.get(draw)) else None for draw in range(count)}

    def count(self, status: str) -> int:
        """How many draws ended as `status`."""
        return sum(one.status == status for one in self.tried.values())

    def _setting(self, draw: int) -> Setting:
        if draw in self.recorded:
            setting = self.recorded[draw]
        elif draw < self.limits.shared or self.sampler is None:
            setting = self.shared(draw)
        else:
            return self.sampler.propose(draw)
        if self.sampler is not None:
            self.sampler.adopt(draw, setting)
        return setting

    def _may_propose(self) -> bool:
        limits, made, under_way = self.limits, len(self.settings), len(self.settings) - len(self.tried)
        most = limits.draws * (MOST_DRAWS_PER_FULL_TRIAL if limits.by_share else 1)
        if made >= most:
            return False
        if limits.by_share and self.share + under_way > limits.draws - 1 + SLACK:
            return False
        if limits.seconds is not None and (under_way or self.seconds >= limits.seconds):
            return False  # one at a time: which draws the time allows must not depend on the slots
        proposes = self.sampler is not None and made >= limits.shared
        return not (proposes and under_way >= limits.parallel)
