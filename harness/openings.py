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
        Each time that it was opened: by final trials, repeated and killed ones too, and after runs.
    trials, runs
        By how many different trials, in how many run folders.
    """

    openings: int
    trials: int
    runs: int


def record_opening(
    cache: Path, *, cohort: str | None, part: str, key: str | None, run: Path, purpose: str | None = None
) -> None:
    """Write down that the test split of `part` is about to be opened; on disk before it is.

    Parameters
    ----------
    key
        Of the trial that opens it; `None` where it is opened after the run, for a `purpose`.
    """
    entry = {"time": utc_now(), "cohort": cohort, "part": part, "key": key, "run": str(run)}
    if purpose is not None:
        entry["purpose"] = purpose
    append_line(cache / FILE, entry, sync=True)


def openings_of(cache: Path, cohort: str) -> Openings:
    """What the ledger of a cache says about a cohort."""
    entries = [entry for entry in _entries(cache / FILE) if entry.get("cohort") == cohort]
    return Openings(
        len(entries),
        len({entry["key"] for entry in entries} - {None}),
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
