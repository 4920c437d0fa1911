"""Early stopping by asynchronous successive halving (Li et al. 2020), a bracket per cell.

The bracket is a folder: every trial that reaches a rung leaves its score there and looks at the others'. So
the decision is taken where the trial runs, in this process or on another node, and it survives any kill. Arms
never share a bracket: a good arm must not stop the trials of a weaker one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.files import write_atomically
from registry.contracts.tables import Direction


class TrialStopped(BaseException):
    """Raised through a trial that the bracket stops.

    Parameters
    ----------
    share
        Of the trial's steps that it was given.
    score
        Its last one.
    """

    def __init__(self, share: float, score: float) -> None:
        super().__init__(f"stopped early after {share:.0%} of its steps")
        self.share = share
        self.score = score


def goes_on(score: float, others: Sequence[float], *, reduction: float, direction: Direction) -> bool:
    """Whether a trial with `score` at a rung is among the best 1 / `reduction` of those seen there so far.

    As in Ray's `AsyncHyperBandScheduler` the limit is the quantile, by linear interpolation, of the scores
    that were there before it; the first one always goes on.

    Examples
    --------
    >>> goes_on(0.5, [0.1, 0.2, 0.9], reduction=3, direction="max")
    True
    >>> goes_on(0.15, [0.1, 0.2, 0.9], reduction=3, direction="max")
    False
    """
    if not others:
        return True
    sign = 1.0 if direction == "max" else -1.0
    ordered = sorted(sign * other for other in others)
    place = (1 - 1 / reduction) * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    limit = ordered[low] + (place - low) * (ordered[high] - ordered[low])
    return sign * score >= limit


class Bracket:
    """The bracket of one cell as one of its trials sees it.

    Parameters
    ----------
    folder
        Shared by the trials of the cell.
    key
        Of this trial.
    rungs
        Shares of a trial's steps at which it is decided, in order.
    reduction, direction
        See `goes_on`.
    """

    def __init__(
        self, folder: Path, key: str, *, rungs: Sequence[float], reduction: float, direction: Direction
    ) -> None:
        self._folder = folder
        self._key = key
        self._rungs = tuple(rungs)
        self._reduction = reduction
        self._direction = direction
        self._passed = 0

    @classmethod
    def from_payload(cls, told: Mapping[str, Any], key: str) -> Bracket:
        """The bracket that a payload describes."""
        return cls(
            Path(told["folder"]),
            key,
            rungs=told["rungs"],
            reduction=told["reduction"],
            direction=told["direction"],
        )

    def report(self, share: float, score: float) -> None:
        """Take in an interim score after `share` of the steps.

        Raises
        ------
        TrialStopped
            If the trial is not to go on.
        """
        if share >= 1:  # it has come to its end anyway
            return
        reached = sum(share >= rung - 1e-9 for rung in self._rungs)
        if reached <= self._passed:
            return
        self._passed = reached
        if not math.isfinite(score):
            return  # the trial itself says what that means
        place = self._folder / f"{reached - 1}"
        others = [value for key, value in self._scores(place).items() if key != self._key]
        write_atomically(place / self._key, json.dumps({"score": score, "share": share}).encode())
        if not goes_on(score, others, reduction=self._reduction, direction=self._direction):
            raise TrialStopped(share, score)

    @staticmethod
    def _scores(place: Path) -> dict[str, float]:
        if not place.is_dir():
            return {}
        files = [path for path in place.iterdir() if not path.name.startswith(".")]
        return {path.name: float(json.loads(path.read_bytes())["score"]) for path in files}
