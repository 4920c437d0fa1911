"""What differs in environment and configuration, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from reports.diff.findings import Change
from reports.frame import Run

#: Parts of run.json that a person configures; the rest is their outcome.
CONFIGURATION = ("suite", "domain", "arms", "tasks", "cells", "cohort")
#: Facts of the provenance that are no environment.
EVENTS = frozenset({"started", "finished", "wall_seconds", "test_openings", "command"})


def environment_of(run: Run) -> dict[str, str]:
    """Where and with what a run was computed."""
    return flattened({key: value for key, value in run.meta["provenance"].items() if key not in EVENTS})


def configuration_of(run: Run) -> dict[str, str]:
    """Everything configured; arms, tasks and cells by name, so that their order does not matter."""
    meta = {name: run.meta[name] for name in CONFIGURATION}
    meta["arms"], meta["tasks"] = run.arms, run.tasks
    meta["cells"] = {f"{cell['strategy']} on {cell['task']}": cell for cell in run.meta["cells"]}
    return flattened(meta) | flattened(run.layouts, "layouts")


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    """Fields whose values differ, by name.

    Examples
    --------
    >>> list(changes({"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}))
    [Change(field='b', before='2', after='3'), Change(field='c', before=None, after='4')]
    """
    for field in sorted({*before, *after}):
        if before.get(field) != after.get(field):
            yield Change(field, before.get(field), after.get(field))


def flattened(value: Any, path: str = "") -> dict[str, str]:
    """Nested records as dotted names with their values as text; lists of plain values stay whole.

    Examples
    --------
    >>> flattened({"a": {"b": 1}, "c": ["x", "y"]})
    {'a.b': '1', 'c': 'x, y'}
    """
    if isinstance(value, Mapping):
        items = list(value.items())
    elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
        items = [(one.get("key") or one.get("name") or place, one) for place, one in enumerate(value)]
    elif isinstance(value, list | tuple):
        return {path: ", ".join(one if isinstance(one, str) else json.dumps(one) for one in value)}
    else:
        return {path: value if isinstance(value, str) else json.dumps(value)}
    found: dict[str, str] = {}
    for key, inner in items:
        found |= flattened(inner, f"{path}.{key}" if path else str(key))
    return found
