"""Curves and scores of a finished trial, as the points that trackers are shown."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

Point = TypeVar("Point")

#: Curves are thinned to about so many points: every point passes through the driver.
POINTS = 200


def thinned(points: Sequence[Point], most: int = POINTS) -> list[Point]:
    """At most about `most` of `points`, the last among them."""
    stride = max(1, -(-len(points) // most))
    return [*points[:-1:stride], *points[-1:]]


def curve_points(folder: Path) -> list[dict[str, Any]]:
    """The curves of a finished trial as points: `step` and the numbers measured there."""
    import polars as pl  # noqa: PLC0415

    points: dict[int, dict[str, float]] = {}
    with contextlib.suppress(FileNotFoundError):
        for row in pl.read_parquet(folder / "curves.parquet").iter_rows(named=True):
            points.setdefault(row["step"], {})[row["name"]] = row["value"]
    return [{"step": step, "numbers": points[step]} for step in sorted(points)]


def final_numbers(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The scores and costs at the end of a trial."""
    row = outcome.get("row") or {}
    numbers = {f"validation/{name}": value for name, value in (row.get("validation") or {}).items()}
    costs = ("validation_score", "wall_seconds", "cpu_seconds", "peak_memory_bytes")
    return numbers | {name: row[name] for name in costs if row.get(name) is not None}
