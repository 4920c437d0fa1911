"""Durations, scores and signs of life as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.door import read_sign_of_life
from harness.progress.tally import Snapshot


def latest_of(key: str, scratch: Path) -> str:
    """The latest sign of life of a trial that was handed out, in words."""
    sign = read_sign_of_life(scratch / f"{key}.json")
    if sign is not None:
        return sign_text(sign)
    return "starting" if (scratch / key).is_dir() else "queued"


def sign_text(sign: Mapping[str, Any]) -> str:
    """A sign of life as people read it."""
    values = "  ".join(f"{name} {value}" for name, value in sign["values"].items())
    return f"step {sign['step']}/{sign['steps']}  {values}"


def best_text(now: Snapshot) -> str:
    """The best validation scores so far, in a line."""
    return "   ".join(
        f"{task}: {best.metric} {best.score:.4g} ({best.arm})" for task, best in now.best.items()
    )


def duration(seconds: float | None) -> str:
    """Seconds as people read them.

    Examples
    --------
    >>> duration(4.2), duration(200), duration(7500), duration(None)
    ('4 s', '3 min 20 s', '2 h 05 min', '?')
    """
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
