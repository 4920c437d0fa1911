"""How long trials took: a line per finished trial in the cache, from which later runs are priced.

A price is never a guess: it comes from trials of the very same kind (same code, data and settings, whatever
the seed and the hyperparameters) on the same processor, or it is unknown.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from harness.files import append_line, digest_of
from harness.specs import TrialSpec

FILE = "timings.jsonl"
#: What may differ between trials of one kind: they take the same time as far as anybody knows beforehand.
_NOT_OF_THE_KIND = frozenset(
    {
        *("seed", "pretraining_seed", "upstream", "hyperparameters", "pretraining_hyperparameters"),
        *("label_draw", "shuffled_labels", "stream"),
    }
)


@dataclass(frozen=True)
class Timing:
    """What trials of one kind took on one machine, on average.

    Parameters
    ----------
    wall_seconds, cpu_seconds
        Of one trial.
    trials
        How many were measured; 0 where it was extrapolated from the beginning of one.
    """

    wall_seconds: float
    cpu_seconds: float
    trials: int


def kind_of(spec: TrialSpec, *, device: str, threads: int) -> str:
    """Digest of what decides how long a trial takes on a given machine."""
    decisive = {name: value for name, value in spec.as_dict().items() if name not in _NOT_OF_THE_KIND}
    return digest_of([decisive, device, threads])


def record_timing(
    cache: Path, spec: TrialSpec, row: Mapping[str, Any], *, extrapolated: bool = False
) -> None:
    """Append what a trial took; a line is written at once, so that several runs may share a cache."""
    entry = {
        "kind": kind_of(spec, device=row["device"], threads=row["threads"]),
        "machine": row["processor"],
        "wall_seconds": row["wall_seconds"],
        "cpu_seconds": row["cpu_seconds"],
        "extrapolated": extrapolated,
    }
    append_line(cache / FILE, entry)


def read_timings(cache: Path, *, machine: str) -> dict[str, Timing]:
    """Timings by kind, of trials on processors of this name.

    Lines that cannot be read are left out: a price without them is less well founded, not wrong.
    """
    try:
        lines = (cache / FILE).read_bytes().splitlines()
    except OSError:
        return {}
    entries = []
    for line in lines:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if entry["machine"] == machine:
                entries.append(entry)
    return averaged(entries)


def averaged(entries: Iterable[Mapping[str, Any]]) -> dict[str, Timing]:
    """Mean per kind; extrapolations count only where nothing was measured to its end."""
    measured: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    guessed: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in entries:
        (guessed if entry["extrapolated"] else measured)[entry["kind"]].append(entry)
    return {
        kind: Timing(
            fmean(entry["wall_seconds"] for entry in used),
            fmean(entry["cpu_seconds"] for entry in used),
            len(measured.get(kind, ())),
        )
        for kind, used in {**guessed, **measured}.items()
    }
