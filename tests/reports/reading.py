"""Reading what a report left, and a run in which an arm failed, for tests of pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl


def body_of(page: str) -> str:
    """The page without the inlined library."""
    return re.sub(r"<script>.*?</script>", "", page, flags=re.S)


def comparison(twin: dict[str, Any], task: str, protocol: str) -> dict[str, Any]:
    """The comparison of a task under a protocol."""
    return next(c for c in twin["comparisons"] if c["task"] == task and protocol in c["protocols"])


def fail_finals(folder: Path, arm: str) -> None:
    """Let every final trial of an arm have failed."""
    path = folder / "results" / "trials.parquet"
    lost = (pl.col("strategy") == arm) & (pl.col("stage") == "final")
    pl.read_parquet(path).with_columns(
        status=pl.when(lost).then(pl.lit("failed")).otherwise("status"),
        error=pl.when(lost).then(pl.lit("OSError: no space left")).otherwise("error"),
    ).write_parquet(path)
