"""Ablations: the graph of strategies, designs that derive arms from one, and what a difference is due to.

A design names runs by their *changes*: factor to value, where it is not the base's. The base itself is the
run without changes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from registry.contracts import StrategyCard

DesignKind = Literal["leave_one_out", "ladder", "factorial", "dose"]
Changes = Mapping[str, Any]
#: Factor to the values that it is changed to.
Alternatives = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Design:
    """The runs of a design.

    Parameters
    ----------
    runs
        Each run's changes, in order; no run is there twice.
    ladders
        Of a ladder: per order, the numbers of its runs from the bottom to the base.
    words
        Of a fractional factorial: products of factors that are constant over all runs. Effects whose
        product is such a word cannot be told apart.
    """

    runs: tuple[Changes, ...]
    ladders: tuple[tuple[int, ...], ...] = ()
    words: tuple[frozenset[str], ...] = ()

    @property
    def resolution(self) -> int | None:
        """Length of the shortest word; `None` where every effect has its own estimate.

        At resolution 3 main effects are mixed with interactions of two factors, at 4 only these with each
        other (Box & Hunter 1961).
        """
        return min(map(len, self.words)) if self.words else None

    def aliases(self, effect: Iterable[str]) -> list[tuple[str, ...]]:
        """Effects of at most two factors that cannot be told apart from `effect`."""
        one = frozenset(effect)
        others = (one ^ word for word in self.words)
        return sorted(tuple(sorted(other)) for other in others if 1 <= len(other) <= 2)


def leave_one_out(alternatives: Alternatives) -> Design:
    """The base, and one run for every value of every factor, all others as in the base.

    Examples
    --------
    >>> leave_one_out({"a": [0], "b": [1, 2]}).runs
    ({}, {'a': 0}, {'b': 1}, {'b': 2})
    """
    return Design(({}, *({factor: value} for factor, values in alternatives.items() for value in values)))


def ladder(alternatives: Alternatives, orders: Sequence[Sequence[str]]) -> Design:
    """From every factor changed to none, putting one back after another, in several orders.

    What a step brings depends on what was there before it, so one order alone says little.

    Raises
    ------
    ValueError
        If a factor has several values, there are fewer than two orders, or one of them does not hold every
        factor once.

    Examples
    --------
    >>> found = ladder({"a": [0], "b": [0]}, [["a", "b"], ["b", "a"]])
    >>> found.runs
    ({'a': 0, 'b': 0}, {'b': 0}, {}, {'a': 0})
    >>> found.ladders
    ((0, 1, 2), (0, 3, 2))
    """
    several = [factor for factor, values in alternatives.items() if len(values) != 1]
    if several:
        raise ValueError(f"factor {several[0]!r} of a ladder has several values; give it one")
    if len(alternatives) < 2:
        raise ValueError("a ladder has one factor; declare two or more, or use design 'leave_one_out'")
    if len({tuple(order) for order in orders}) < 2:
        raise ValueError("a ladder has one order; give a second one, or leave orders out")
    runs: list[Changes] = []
    ladders = []
    for order in orders:
        if sorted(order) != sorted(alternatives):
            raise ValueError(
                f"order {list(order)} of a ladder is no order of its factors; "
                f"name each of {', '.join(alternatives)} once"
            )
        steps = []
        for step in range(len(order) + 1):
            still_changed = set(order[step:])
            changes = {name: values[0] for name, values in alternatives.items() if name in still_changed}
            if changes not in runs:
                runs.append(changes)
            steps.append(runs.index(changes))
        ladders.append(tuple(steps))
    return Design(tuple(runs), ladders=tuple(ladders))


def factorial(alternatives: Alternatives, generators: Mapping[str, Sequence[str]]) -> Design:
    """Every combination of values, or with generators the fraction of them that these keep.

    A generator says which factors' product decides another one: with the base's value as +1 and the other
    as -1, `d = a x b x c` keeps half of the runs. The base is always among them.

    Raises
    ------
    ValueError
        If a generator names unknown or many-valued factors, itself, or too few to tell main effects apart.

    Examples
    --------
    >>> len(factorial({"a": [0], "b": [0], "c": [0]}, {}).runs)
    8
    >>> half = factorial({"a": [0], "b": [0], "c": [0]}, {"c": ["a", "b"]})
    >>> half.runs
    ({}, {'b': 0, 'c': 0}, {'a': 0, 'c': 0}, {'a': 0, 'b': 0})
    >>> half.resolution, half.aliases(["a"])
    (3, [('b', 'c')])
    """
    for factor, product in generators.items():
        unknown = [name for name in (factor, *product) if name not in alternatives]
        if unknown:
            raise ValueError(f"generators name {unknown[0]!r}; use the factors {', '.join(alternatives)}")
        if factor in product or any(name in generators for name in product):
            raise ValueError(f"generator {factor!r} leads to a generated factor; use factors without one")
        many = [name for name in (factor, *product) if len(alternatives[name]) > 1]
        if many:
            raise ValueError(f"generated factor {many[0]!r} has several values; give it one")
    words = _words([frozenset({factor, *product}) for factor, product in generators.items()])
    if words and min(map(len, words)) < 3:
        raise ValueError("generators mix main effects with each other; let each multiply two factors or more")
    kept = object()  # the base's value
    runs = []
    for values in itertools.product(*((kept, *values) for values in alternatives.values())):
        changes = {name: value for name, value in zip(alternatives, values, strict=True) if value is not kept}
        if all(
            (factor in changes) == (sum(name in changes for name in product) % 2 == 1)
            for factor, product in generators.items()
        ):
            runs.append(changes)
    return Design(tuple(runs), words=tuple(sorted(words, key=lambda word: (len(word), sorted(word)))))


def dose(alternatives: Alternatives) -> Design:
    """Several values of one factor.

    Raises
    ------
    ValueError
        If there is not exactly one factor, or only one value.

    Examples
    --------
    >>> dose({"weight": [0.0, 0.3]}).runs
    ({}, {'weight': 0.0}, {'weight': 0.3})
    """
    if len(alternatives) != 1:
        raise ValueError(f"a dose-response has {len(alternatives)} factors; give it one")
    if len(next(iter(alternatives.values()))) < 2:
        raise ValueError("a dose-response has one value besides the base's; give it two or more")
    return leave_one_out(alternatives)


def design_of(
    kind: DesignKind,
    alternatives: Alternatives,
    *,
    orders: Sequence[Sequence[str]] = (),
    generators: Mapping[str, Sequence[str]] | None = None,
) -> Design:
    """The design of a kind; a ladder without orders goes as declared and reversed.

    Raises
    ------
    ValueError
        If what is given does not fit the kind; what is wrong and the mend, separated by a semicolon.
    """
    if kind == "ladder":
        return ladder(alternatives, orders or (tuple(alternatives), tuple(alternatives)[::-1]))
    if kind == "factorial":
        return factorial(alternatives, generators or {})
    return dose(alternatives) if kind == "dose" else leave_one_out(alternatives)


def _words(generators: Sequence[frozenset[str]]) -> list[frozenset[str]]:
    """The defining relation: every product of generators' words."""
    words = []
    for size in range(1, len(generators) + 1):
        for chosen in itertools.combinations(generators, size):
            product: frozenset[str] = frozenset()
            for word in chosen:
                product ^= word
            words.append(product)
    return words


# The graph of strategies ----------------------------------------------------------------------------


def children(cards: Mapping[str, StrategyCard]) -> dict[str | None, list[StrategyCard]]:
    """Name of a parent to its children; `None` to those whose parent is not among `cards`."""
    graph: dict[str | None, list[StrategyCard]] = {}
    for card in cards.values():
        graph.setdefault(card.parent if card.parent in cards else None, []).append(card)
    return graph


def root_of(card: StrategyCard, cards: Mapping[str, StrategyCard]) -> str:
    """Name of the strategy from which `card` derives in the end, as far as `cards` know."""
    name, seen = card.name, {card.name}
    while card.parent is not None and card.parent not in seen:
        name = card.parent
        seen.add(name)
        if name not in cards:
            break
        card = cards[name]
    return name


def changed_factors(one: StrategyCard, other: StrategyCard) -> dict[str, tuple[Any, Any]]:
    """Factor to its values in `one` and in `other`, where they differ; `None` stands for a missing one.

    Examples
    --------
    >>> def card(**factors):
    ...     return StrategyCard("s", "s", frozenset(), "d", factors=factors)
    >>> changed_factors(card(rate=1, depth=2), card(rate=1, depth=3))
    {'depth': (2, 3)}
    """
    names = dict.fromkeys([*one.factors, *other.factors])
    pairs = {name: (one.factors.get(name), other.factors.get(name)) for name in names}
    return {name: (before, after) for name, (before, after) in pairs.items() if before != after}


@dataclass(frozen=True)
class Attribution:
    """What a difference between two arms can be due to.

    Parameters
    ----------
    one, other
        Names of the arms.
    factors
        Factor to its values in `one` and in `other`; empty where they are of different descent.
    same_descent
        Whether both derive from one strategy by changing factors.
    """

    one: str
    other: str
    factors: Mapping[str, tuple[Any, Any]]
    same_descent: bool

    @property
    def one_factor(self) -> bool:
        """Whether a difference is that factor's effect: they differ in it and in nothing else."""
        return self.same_descent and len(self.factors) == 1

    def __str__(self) -> str:
        """In words, for the report."""
        if not self.same_descent:
            return "not one-factor: different strategies"
        if not self.factors:
            return "no factor differs"
        if self.one_factor:
            ((name, (before, after)),) = self.factors.items()
            return f"{name}: {before} → {after}"
        return f"not one-factor: {', '.join(self.factors)}"


def attribute(one: StrategyCard, other: StrategyCard, cards: Mapping[str, StrategyCard]) -> Attribution:
    """What a difference between two arms can be due to; `cards` hold their parents."""
    same = root_of(one, cards) == root_of(other, cards)
    return Attribution(one.name, other.name, changed_factors(one, other) if same else {}, same)


def attributions(arms: Mapping[str, StrategyCard], cards: Mapping[str, StrategyCard]) -> list[Attribution]:
    """Every pair of arms, in order.

    Parameters
    ----------
    arms
        The cards of arms.
    cards
        Those of all strategies: a parent need not take part.
    """
    known = {**cards, **arms}
    return [attribute(arms[one], arms[other], known) for one, other in itertools.combinations(arms, 2)]
