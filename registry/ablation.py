"""The graph of strategies: who derives from whom, and by which factors two of them differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.contracts import StrategyCard


def children(cards: Mapping[str, StrategyCard]) -> dict[str | None, list[StrategyCard]]:
    """Name of a parent to its children; `None` to those whose parent is not among `cards`."""
    graph: dict[str | None, list[StrategyCard]] = {}
    for card in cards.values():
        graph.setdefault(card.parent if card.parent in cards else None, []).append(card)
    return graph


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
