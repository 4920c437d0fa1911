"""The arms around one base, and effects between them: weights, words, and tests that belong together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reports.ablations.designs import Changes, factors_of
from reports.ablations.findings import Effect
from reports.endpoint import Endpoint
from reports.statistics.intervals import estimate
from reports.statistics.tests import judge

#: Weights by arm, factors, label and note of an effect.
Row = tuple[Mapping[str, float], tuple[str, ...], str, str]
#: An arm, and which run of which design it is.
ArmRun = tuple[Mapping[str, Any], Mapping[str, Any]]


class Study:
    """The arms around one base; a set of changes stands for an arm, the empty one for the base.

    Parameters
    ----------
    endpoint
        What the arms are judged by, resampled.
    base
        Record of the arm about which things were changed.
    runs
        Arms, and which run of which design each is.
    children
        Arms that declare the base as their parent.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        base: Mapping[str, Any],
        runs: Sequence[ArmRun],
        children: Sequence[Mapping[str, Any]],
    ) -> None:
        self.endpoint, self.base, self.runs, self.children = endpoint, base, runs, children
        self.key = f"arm:{base['name']}"

    def of(self, *designs: str) -> dict[Changes, Mapping[str, Any]]:
        """Arms of runs of these designs, by their changes."""
        return {changes_of(one["changes"]): arm for arm, one in self.runs if one["design"] in designs}

    def nodes(self, *designs: str) -> dict[Changes, str]:
        """Keys of arms by their changes, the base's among them."""
        arms = {changes: f"arm:{arm['name']}" for changes, arm in self.of(*designs).items()}
        return {frozenset(): self.key, **arms}

    def family(self, kind: str, rows: Sequence[Row]) -> tuple[Effect, ...]:
        """Effects that are tested together."""
        pairs = [_pair(weights) for weights, *_ in rows]
        found = [
            self.endpoint.difference(*pair) if pair else self.endpoint.combination(weights)
            for pair, (weights, *_) in zip(pairs, rows, strict=True)
        ]
        count = len(rows)
        judged = judge(
            [estimate(one)[0] for one in found],
            [self.endpoint.direction] * count,
            [self.endpoint.rounding] * count,
            [self.endpoint.margin] * count,
        )
        return tuple(
            Effect(
                kind,
                factors,
                label,
                *(pair or ("", "")),
                difference,
                not note,
                note,
                self.endpoint.resampled(*weights),
            )
            for (weights, factors, label, note), pair, difference in zip(rows, pairs, judged, strict=True)
        )

    def row(self, changes: Changes, first: str, second: str) -> Row:
        """What the base's levels of these factors bring: first has them, second does not."""
        factors = factors_of(changes)
        together = f"{len(factors)} factors change together: {', '.join(factors)}"
        note = "" if len(factors) == 1 else together
        return {first: 1.0, second: -1.0}, factors, self.words(changes), note

    def words(self, changes: Iterable[tuple[str, str]], *, back: bool = True) -> str:
        """From the changed levels to the base's, or the other way."""
        words = []
        for name, value in sorted(changes):
            ends = (value, self.before(name)) if back else (self.before(name), value)
            words.append(f"{name}: {ends[0]} \N{RIGHTWARDS ARROW} {ends[1]}")
        return ", ".join(words)

    def before(self, factor: str) -> str:
        """The base's level of a factor, in words."""
        factors = self.base.get("factors") or {}
        return _text(factors[factor]) if factor in factors else "as in the base"


def _pair(weights: Mapping[str, float]) -> tuple[str, str] | None:
    """The two arms of a plain difference."""
    if sorted(weights.values()) != [-1.0, 1.0]:
        return None
    return (
        next(key for key, weight in weights.items() if weight == 1.0),
        next(key for key, weight in weights.items() if weight == -1.0),
    )


def changes_of(changes: Mapping[str, Any]) -> Changes:
    """Changes as they are recorded, in a form that can be a key."""
    return frozenset((name, _text(value)) for name, value in changes.items())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
