"""A matched setting of pretraining: what reference arms share of it, and what is an arm's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from registry.contracts import Space


def shared_names(spaces: Mapping[str, Space], references: Iterable[str]) -> frozenset[str]:
    """Hyperparameters that at least two reference arms have: what a matched setting can be about.

    Only reference arms count, so that one arm more changes no earlier result.

    Examples
    --------
    >>> from registry.contracts import uniform
    >>> one = uniform(0, 1, default=0)
    >>> spaces = {"a": Space(rate=one), "b": Space(rate=one, own=one), "c": Space(own=one)}
    >>> sorted(shared_names(spaces, ["a", "b"]))
    ['rate']
    """
    counts = Counter(name for arm in references if arm in spaces for name in spaces[arm])
    return frozenset(name for name, count in counts.items() if count > 1)


def matched_setting(space: Space, drawn: Mapping[str, Any], shared: frozenset[str]) -> dict[str, Any]:
    """A draw's values of what is shared, and the declared values of what is an arm's own."""
    return {name: drawn[name] if name in shared else one.default for name, one in space.items()}
