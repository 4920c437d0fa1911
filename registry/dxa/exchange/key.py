"""What was handed over of a run, and who is who among it; both stay in the run's folder.

::

    RUN/measured/<export>/key.csv       a row per scan: blinded id, role, trial, patient, scan
    RUN/measured/<export>/export.json   the fields of :class:`Export`
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from registry.contracts import DataError, InputError
from registry.dxa.bodycomp.spreadsheet import csv_bytes, read_sheet
from registry.dxa.cohort.manifest import write_atomically

SCHEMA = 1
FOLDER = "measured"
KEY_FILE, EXPORT_FILE = "key.csv", "export.json"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
COLUMNS = ("blinded_id", "role", "trial", "patient", "scan")
#: ``real``: a test scan, the target; ``generated``: a trial's version of it; ``training``: a real scan of the
#: train split, for what fills gaps.
Role = Literal["real", "generated", "training"]
_MEND = "restore it, or delete its folder and export anew"


@dataclass(frozen=True)
class Entry:
    """One scan that was handed over; `trial` is empty for real ones."""

    blinded_id: str
    role: Role
    trial: str
    patient: str
    scan: str


@dataclass(frozen=True)
class Export:
    """What was handed over.

    Parameters
    ----------
    task, part
        Whose scans, and of which part of the cohort.
    simulated
        Whether the real scans are.
    exported
        When, in UTC.
    trials
        Keys of the final trials whose models generated.
    training_truth
        Mean over the train split of the measures that the cohort knows, by name; empty where it knows none.
    """

    task: str
    part: str
    simulated: bool
    exported: str
    trials: tuple[str, ...]
    training_truth: dict[str, float]


def folder_of(run: Path, name: str) -> Path:
    """Where an export of this name is remembered.

    Raises
    ------
    InputError
        If the name cannot be that of a folder.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"an export cannot be called {name!r}", mend="use up to 40 small letters, digits, '-' and '_'"
        )
    return run / FOLDER / name


def write_key(folder: Path, export: Export, entries: Sequence[Entry]) -> None:
    """Write both files; the description last: a folder without it is no export."""
    rows = sorted([entry.blinded_id, entry.role, entry.trial, entry.patient, entry.scan] for entry in entries)
    folder.mkdir(parents=True)
    write_atomically(folder / KEY_FILE, csv_bytes([list(COLUMNS), *rows]))
    text = json.dumps({"schema": SCHEMA, **asdict(export)}, indent=1, sort_keys=True)
    write_atomically(folder / EXPORT_FILE, text.encode())


def exports_of(run: Path) -> list[str]:
    """Names of what was exported of a run."""
    return sorted(path.parent.name for path in (run / FOLDER).glob(f"*/{EXPORT_FILE}"))


def read_key(folder: Path) -> tuple[Export, list[Entry]]:
    """Read both files.

    Raises
    ------
    DataError
        If one of them is missing or damaged.
    """
    try:
        told: dict[str, Any] = json.loads((folder / EXPORT_FILE).read_bytes())
        if (schema := told.pop("schema")) != SCHEMA:
            raise ValueError(f"schema {schema!r} is not {SCHEMA}")
        export = Export(**{**told, "trials": tuple(told["trials"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / EXPORT_FILE} cannot be read ({error!r})", mend=_MEND) from error
    sheet = read_sheet(folder / KEY_FILE)
    if sheet.columns != COLUMNS or any(row.cells["role"] not in get_args(Role) for row in sheet.rows):
        raise DataError(f"{folder / KEY_FILE} is no key of a run's scans", mend=_MEND)
    return export, [Entry(**row.cells) for row in sheet.rows]  # type: ignore[arg-type]  # columns just checked
