"""Which hyperparameters go on to the test split: two rules, both from validation scores alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.conditions import Condition, Place
from harness.specs import Protocol
from registry.contracts import Space
from registry.contracts.tables import Direction

#: Share of a range, at either end, that counts as its boundary.
EDGE = 0.05

#: Draw to validation score; `None` for a draw that failed.
Scores = Mapping[int, float | None]


@dataclass(frozen=True)
class Choice:
    """The draw a rule chose, and in words why; no draw where there was nothing to choose from."""

    draw: int | None
    reason: str
    mean_rank: float | None = None


@dataclass(frozen=True)
class Selection:
    """A row of `selections.parquet`; of pretraining where the task is `None`."""

    task: str | None
    protocol: Protocol
    strategy: str
    draw: int | None
    validation_score: float | None
    mean_rank: float | None
    hyperparameters: Mapping[str, Any] | None
    reason: str
    label_fraction: float | None = None
    label_draw: int | None = None
    split: int = 0
    boundary: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        """Where it holds."""
        return Place(
            self.strategy, self.task or "", Condition(self.label_fraction, self.label_draw, self.split)
        )


def boundaries(space: Space, setting: Mapping[str, Any]) -> tuple[str, ...]:
    """Hyperparameters whose value lies in the outermost twentieth of its range: the best may lie beyond.

    Examples
    --------
    >>> from registry.contracts import uniform
    >>> boundaries(Space(rate=uniform(0, 1, default=0.5), drop=uniform(0, 1, default=0.5)), {"rate": 0.97})
    ('rate at its high end',)
    """
    found = []
    for name, one in space.items():
        position = one.position(setting[name]) if name in setting else None
        if position is not None and not EDGE < position < 1 - EDGE:
            found.append(f"{name} at its {'low' if position <= EDGE else 'high'} end")
    return tuple(found)


@dataclass(frozen=True)
class BestValidationScore:
    """`tuned`: an arm's own best draw; ties go to the lowest.

    Examples
    --------
    >>> BestValidationScore("max").choose({0: 0.5, 1: 0.9, 2: 0.9, 3: None}).draw
    1
    """

    direction: Direction

    def choose(self, scores: Scores) -> Choice:
        """The draw with the best score."""
        sign = 1 if self.direction == "max" else -1
        finished = {draw: sign * score for draw, score in scores.items() if score is not None}
        if not finished:
            return Choice(None, f"none of {len(scores)} draws has a result")
        best = min(finished, key=lambda draw: (-finished[draw], draw))
        failed = len(scores) - len(finished)
        note = f", {failed} failed" if failed else ""
        return Choice(best, f"best validation score of {len(scores)} draws{note}")


@dataclass(frozen=True)
class BestMeanRank:
    """`matched`: one draw for all arms, the one that ranks best on average over the reference arms.

    Ties share their mean rank; a draw that failed for an arm ranks last there; an arm without any result
    is left out and named. Equal mean ranks go to the lowest draw.

    Examples
    --------
    >>> scores = {"a": {0: 0.1, 1: 0.3, 2: 0.2}, "b": {0: 0.9, 1: 0.8, 2: None}}
    >>> BestMeanRank("max").choose(scores)
    Choice(draw=1, reason='best mean rank over a, b', mean_rank=1.5)
    """

    direction: Direction

    def choose(self, scores: Mapping[str, Scores]) -> Choice:
        """The draw with the best mean rank over the arms of `scores`."""
        usable = {arm: of for arm, of in scores.items() if any(score is not None for score in of.values())}
        left_out = [arm for arm in scores if arm not in usable]
        if not usable:
            return Choice(None, f"no reference arm has a result ({', '.join(scores) or 'none applies'})")
        ranks = [self._ranks(of) for of in usable.values()]
        mean = {draw: sum(of[draw] for of in ranks) / len(ranks) for draw in ranks[0]}
        best = min(mean, key=lambda draw: (mean[draw], draw))
        note = f"; left out for want of a result: {', '.join(left_out)}" if left_out else ""
        return Choice(best, f"best mean rank over {', '.join(usable)}{note}", mean[best])

    def _ranks(self, scores: Scores) -> dict[int, float]:
        """Rank of every draw for one arm, 1 the best, ties at the mean of their places."""
        worst = float("-inf")
        sign = 1 if self.direction == "max" else -1
        signed = {draw: worst if score is None else sign * score for draw, score in scores.items()}
        values = list(signed.values())
        return {
            draw: 1 + sum(other > value for other in values) + (values.count(value) - 1) / 2
            for draw, value in signed.items()
        }
