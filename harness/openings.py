"""The ledger of a cache: every opening of a test split, by whichever run, before it happens."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.files import append_line, utc_now

FILE = "openings.jsonl"


@dataclass(frozen=True)
class Openings:
    """How often the test split of a cohort has been opened.

    Parameters
    ----------
    openings
        Each time that a final trial opened it, repeated trials and killed ones too.
    trials, runs
        By how many different trials, in how many run folders.
    """

    openings: int
    trials: int
    runs: int


def record_opening(cache: Path, *, cohort: str | None, part: str, key: str, run: Path) -> None:
    """Write down that a trial is about to open the test split of `part`; on disk before it does."""
    entry = {"time": utc_now(), "cohort": cohort, "part": part, "key": key, "run": str(run)}
    append_line(cache / FILE, entry, sync=True)


def openings_of(cache: Path, cohort: str) -> Openings:
    """What the ledger of a cache says about a cohort."""
    entries = [entry for entry in _entries(cache / FILE) if entry.get("cohort") == cohort]
    return Openings(
        len(entries),
        len({entry["key"] for entry in entries}),
        len({entry["run"] for entry in entries}),
    )


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """Lines that can be read; a torn one is passed over."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                yield entry
