"""Where two tables differ, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: Stands for a key that one of the tables does not have.
ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    """A key, with dots between tables, and its value on both sides."""

    key: str
    one: Any
    other: Any


def differences(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> Iterator[Difference]:
    """Every key whose values differ, tables within the tables key by key.

    Examples
    --------
    >>> [found.key for found in differences({"a": 1, "t": {"b": 2}}, {"a": 1, "t": {"b": 3}, "c": 4})]
    ['t.b', 'c']
    """
    for key in dict.fromkeys([*one, *other]):
        before, after = one.get(key, ABSENT), other.get(key, ABSENT)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, f"{prefix}{key}.")
        elif before != after:
            yield Difference(f"{prefix}{key}", before, after)
