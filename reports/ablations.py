r"""Ablations: what each factor of an arm contributes, in the views that its design allows.

Every effect is a linear combination of arms' endpoints, so that it has the same crossed, paired interval as a
difference of two arms. An effect is attributed to a factor only where nothing else differs.

Removals, steps of ladders and factorial effects all read the same way: what the base's level of a factor
brings, so that a positive effect on a result that should be large speaks for it. In a two-level factorial
with levels coded +1 (as in the base) and -1 (changed), effects are twice the least squares coefficients: a
main effect is the mean change that the factor makes, over the levels of the others; an interaction is half
the difference of one factor's effect between the other's levels. What a fractional design cannot tell apart
is named, not estimated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from reports.comparison import Comparison
from reports.designs import (
    Changes,
    effect_weights,
    factorial_design,
    factors_of,
    paths,
    single_steps,
    trend_weights,
)
from reports.endpoint import Endpoint, endpoint_of
from reports.frame import Run
from reports.intervals import Estimate, estimate
from reports.sample import final_trials
from reports.tests_ import Difference, judge

#: More orders than this are averaged over, but not shown one by one.
LADDERS_SHOWN = 6

#: Weights by arm, factors, label and note of an effect.
Row = tuple[Mapping[str, float], tuple[str, ...], str, str]
#: An arm, and which run of which design it is.
ArmRun = tuple[Mapping[str, Any], Mapping[str, Any]]


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


def ablations(run: Run, comparison: Comparison, draws: int) -> list[Ablations]:
    """A study per base arm that has results, per way of tuning its derived arms and per design of a kind."""
    task = run.tasks[comparison.task]
    arms = [arm for arm in run.arms.values() if not arm.get("control")]
    children = [
        arm for arm in run.main_arms.values() if arm.get("parent") in run.main_arms and arm.get("changes")
    ]
    runs = _numbered(arms)
    groups = dict.fromkeys([*runs, *((arm["parent"], True, 0) for arm in children)])
    trials = final_trials(run, comparison.task, comparison.protocols[0])
    found = []
    for base, retuned, number in groups:
        own = runs.get((base, retuned, number), [])
        near = [arm for arm in children if retuned and not number and arm["parent"] == base]
        names = [base, *(arm["name"] for arm, _ in own), *(arm["name"] for arm in near)]
        keys = list(dict.fromkeys(f"arm:{name}" for name in names))
        pairs = [(first, second) for first in keys for second in keys if first != second]
        endpoint = endpoint_of(run, task, trials, keys, pairs, draws=draws)
        if endpoint is None or keys[0] not in endpoint.sample.values:
            continue
        present = set(endpoint.sample.values)
        study = _Study(
            endpoint,
            run.arms[base],
            [(arm, one) for arm, one in own if f"arm:{arm['name']}" in present],
            [arm for arm in near if f"arm:{arm['name']}" in present],
        )
        if study.runs or study.children:
            words = "retuned" if retuned else "frozen"
            found.append(study.result(comparison, words, number))
    return found


def _runs(arm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The designs that an arm is a run of; a strategy of the suite may be one, too."""
    return list(arm.get("ablations") or filter(None, [arm.get("ablation")]))


def _numbered(arms: Sequence[Mapping[str, Any]]) -> dict[tuple[str, bool, int], list[ArmRun]]:
    """Runs by base, way of tuning, and how many designs of their kind there are before theirs."""
    designs: dict[tuple[str, bool, str], set[int]] = {}
    for arm in arms:
        for one in _runs(arm):
            kind = (one["base"], bool(arm.get("retuned")), one["design"])
            designs.setdefault(kind, set()).add(one.get("number", 0))
    found: dict[tuple[str, bool, int], list[ArmRun]] = {}
    for arm in arms:
        for one in _runs(arm):
            base, retuned = one["base"], bool(arm.get("retuned"))
            rank = sorted(designs[base, retuned, one["design"]]).index(one.get("number", 0))
            found.setdefault((base, retuned, rank), []).append((arm, one))
    return dict(sorted(found.items(), key=lambda item: item[0][2]))


class _Study:
    """The arms around one base; a set of changes stands for an arm, the empty one for the base."""

    def __init__(
        self,
        endpoint: Endpoint,
        base: Mapping[str, Any],
        runs: Sequence[ArmRun],
        children: Sequence[Mapping[str, Any]],
    ) -> None:
        self.endpoint, self.base, self.runs, self.children = endpoint, base, runs, children
        self.key = f"arm:{base['name']}"

    def result(self, comparison: Comparison, hyperparameters: str, number: int) -> Ablations:
        return Ablations(
            comparison.task,
            comparison.title,
            comparison.protocols,
            self.endpoint.label,
            self.endpoint.direction,
            self.key,
            self.base["title"],
            estimate(self.endpoint.of(self.key))[0],
            self._removals(),
            self._ladders(),
            self._order_means(),
            self._factorial(),
            self._doses(),
            self._children(),
            hyperparameters,
            {f"arm:{arm['name']}": bool(arm.get("retuned")) for arm, _ in self.runs},
            number,
        )

    def _of(self, *designs: str) -> dict[Changes, Mapping[str, Any]]:
        return {_changes(one["changes"]): arm for arm, one in self.runs if one["design"] in designs}

    def _family(self, kind: str, rows: Sequence[Row]) -> tuple[Effect, ...]:
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

    def _removals(self) -> tuple[Effect, ...]:
        found = self._of("leave_one_out").items()
        return self._family(
            "removal", [self._row(changes, self.key, f"arm:{arm['name']}") for changes, arm in found]
        )

    def _children(self) -> tuple[Effect, ...]:
        rows = []
        for arm in self.children:
            changes = _changes(arm["changes"])
            weights, factors, _, note = self._row(changes, f"arm:{arm['name']}", self.key)
            rows.append((weights, factors, self._words(changes, back=False), note))
        return self._family("child", rows)

    def _row(self, changes: Changes, first: str, second: str) -> Row:
        """What the base's levels of these factors bring: first has them, second does not."""
        factors = factors_of(changes)
        together = f"{len(factors)} factors change together: {', '.join(factors)}"
        note = "" if len(factors) == 1 else together
        return {first: 1.0, second: -1.0}, factors, self._words(changes), note

    def _ladders(self) -> tuple[Ladder, ...]:
        nodes = self._nodes("ladder")
        ladders = []
        for path in paths(set(nodes))[:LADDERS_SHOWN]:
            rows = [
                self._row(before - after, nodes[after], nodes[before])
                for before, after in pairwise(reversed(path))
            ]
            steps = self._family("step", rows)
            ladders.append(Ladder(tuple(" + ".join(step.factors) for step in steps), steps))
        return tuple(ladders)

    def _nodes(self, *designs: str) -> dict[Changes, str]:
        """Keys of arms by their changes, the base's among them."""
        arms = {changes: f"arm:{arm['name']}" for changes, arm in self._of(*designs).items()}
        return {frozenset(): self.key, **arms}

    def _order_means(self) -> tuple[OrderMeans, ...]:
        nodes = self._nodes("ladder", "factorial")
        tops = {path[-1] for path in paths(set(nodes))}
        found = []
        for top in sorted(tops, key=sorted):
            below = paths({one for one in nodes if one <= top})
            orders = [path for path in below if path[-1] == top and single_steps(path)]
            if len(orders) < 2:
                continue
            weights: dict[str, dict[str, float]] = {}
            for path in orders:
                for before, after in pairwise(reversed(path)):
                    own = weights.setdefault(factors_of(before - after)[0], {})
                    own[nodes[after]] = own.get(nodes[after], 0.0) + 1 / len(orders)
                    own[nodes[before]] = own.get(nodes[before], 0.0) - 1 / len(orders)
            words = f"mean over {len(orders)} orders"
            rows: list[Row] = [(own, (name,), f"{name}, {words}", "") for name, own in weights.items()]
            complete = len(orders) == math.factorial(len(top))
            found.append(OrderMeans(factors_of(top), len(orders), complete, self._family("order mean", rows)))
        return tuple(found)

    def _factorial(self) -> Factorial | None:
        cells = {changes: f"arm:{arm['name']}" for changes, arm in self._of("factorial").items()}
        if not cells:
            return None
        cells = {frozenset(): self.key, **cells}
        levels: dict[str, set[str]] = {}
        for changes in cells:
            for name, value in changes:
                levels.setdefault(name, set()).add(value)
        names = [name for name, values in levels.items() if len(values) == 1]
        design, terms = factorial_design([set(factors_of(changes)) for changes in cells], names)
        weights, estimable = effect_weights(design)
        rows: list[Row] = []
        lost = [f"{name}: more than two levels" for name in levels if name not in names]
        for place, term in enumerate(terms, start=1):
            if not estimable[place]:
                lost.append(" x ".join(term))
                continue
            own = dict(zip(cells.values(), weights[place].tolist(), strict=True))
            rows.append((own, term, " x ".join(term), ""))
        mains = self._family("main", rows)
        effects = [_renamed(effect, "interaction" if len(effect.factors) > 1 else "main") for effect in mains]
        effects.sort(key=lambda effect: -abs(effect.difference.estimate.value or 0.0))
        return Factorial(
            {name: (next(iter(levels[name])), self._before(name)) for name in names},
            tuple(
                FactorialCell(factors_of(changes), key, estimate(self.endpoint.of(key))[0])
                for changes, key in cells.items()
            ),
            2 ** len(names),
            tuple(effects),
            tuple(lost),
        )

    def _doses(self) -> tuple[Dose, ...]:
        by_factor: dict[str, dict[float, str]] = {}
        for changes, arm in self._of("dose").items():
            if len(changes) == 1:
                ((factor, value),) = changes
                number = _number(value)
                if number is not None:
                    by_factor.setdefault(factor, {})[number] = f"arm:{arm['name']}"
        found = []
        for factor, levels in by_factor.items():
            base = _number(self._before(factor))
            if base is not None:
                levels[base] = self.key
            places = sorted(levels)
            others = [place for place in places if levels[place] != self.key]
            effects = self._family(
                "dose",
                [
                    ({levels[place]: 1.0, self.key: -1.0}, (factor,), f"{factor} = {place:g}", "")
                    for place in others
                ],
            )
            differences = dict(zip(others, effects, strict=True))
            weights = dict(zip((levels[place] for place in places), trend_weights(len(places)), strict=True))
            label = f"{factor} from {places[0]:g} to {places[-1]:g}, linear over the steps"
            (trend,) = self._family("trend", [(weights, (factor,), label, "")])
            found.append(
                Dose(
                    factor,
                    tuple(
                        DosePoint(
                            place,
                            levels[place],
                            estimate(self.endpoint.of(levels[place]))[0],
                            differences[place].difference if place in differences else None,
                        )
                        for place in places
                    ),
                    trend,
                )
            )
        return tuple(found)

    def _before(self, factor: str) -> str:
        factors = self.base.get("factors") or {}
        return _text(factors[factor]) if factor in factors else "as in the base"

    def _words(self, changes: Iterable[tuple[str, str]], *, back: bool = True) -> str:
        """From the changed levels to the base's, or the other way."""
        words = []
        for name, value in sorted(changes):
            ends = (value, self._before(name)) if back else (self._before(name), value)
            words.append(f"{name}: {ends[0]} \N{RIGHTWARDS ARROW} {ends[1]}")
        return ", ".join(words)


def _pair(weights: Mapping[str, float]) -> tuple[str, str] | None:
    """The two arms of a plain difference."""
    if sorted(weights.values()) != [-1.0, 1.0]:
        return None
    return (
        next(key for key, weight in weights.items() if weight == 1.0),
        next(key for key, weight in weights.items() if weight == -1.0),
    )


def _renamed(effect: Effect, kind: str) -> Effect:
    return Effect(**{**effect.__dict__, "kind": kind})


def _changes(changes: Mapping[str, Any]) -> Changes:
    return frozenset((name, _text(value)) for name, value in changes.items())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
