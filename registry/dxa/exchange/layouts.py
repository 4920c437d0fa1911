"""A task's tables of body composition, about what another software measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.contracts import DataError
from registry.dxa.tasks.generated import BUILT_IN_ANALYSER_FOOTNOTE

#: Tables of a task that are shown again.
TABLES = ("composition", "true_composition", "closure")


@dataclass(frozen=True)
class Counts:
    """How many scans were handed over, and how many of each role could not be measured."""

    real: int
    real_not_measured: int
    generated: int
    generated_not_measured: int
    training: int
    training_not_measured: int


def measured_layouts(
    run: Path, task: str, prefix: str, software: str, counts: Counts
) -> list[dict[str, Any]]:
    """The run's own layouts of a task, in the order of then, with `prefix` before the names of their rows.

    Raises
    ------
    DataError
        If the run's layouts cannot be read.
    """
    path = run / "layouts.json"
    try:
        own = [one for one in json.loads(path.read_bytes())[task] if one["key"] in TABLES]
        return [_layout(one, prefix, software, counts) for one in own]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error!r})", mend="run the suite again") from error


def _layout(own: Mapping[str, Any], prefix: str, software: str, counts: Counts) -> dict[str, Any]:
    rows = {row["key"] for row in own["rows"]}
    footnotes = [note for note in own["footnotes"] if note != BUILT_IN_ANALYSER_FOOTNOTE]
    changes = own.get("least_significant_changes") or {}
    if changes:
        footnotes.append(
            "Margins of errors in a unit, and least significant changes, are those of the built-in "
            f"analyser's repeat scans; {software} may repeat itself better or worse."
        )
    return {
        **own,
        "key": prefix + own["key"],
        "title": f"{own['title']}, measured by {software}",
        "rows": [{**row, "key": prefix + row["key"]} for row in own["rows"]],
        "published": [{**one, "row": prefix + one["row"]} for one in own["published"]],
        "convention": f"Measured by {software}: generated and real scans in one blinded pool. "
        + own["convention"],
        "margins": {_of_row(key, prefix, rows): value for key, value in (own.get("margins") or {}).items()},
        "least_significant_changes": {prefix + key: value for key, value in changes.items()},
        "footnotes": [_provenance(software, counts), *footnotes],
        "measured_by": software,
    }


def _of_row(key: str, prefix: str, rows: set[str]) -> str:
    """A margin's key, `<statistic>.<row>`, for the prefixed row; a statistic by itself stays as it is."""
    statistic, _, row = key.partition(".")
    return f"{statistic}.{prefix}{row}" if row in rows else key


def _provenance(software: str, counts: Counts) -> str:
    return (
        f"Handed to {software}: {counts.real} real test scans, {counts.generated} generated ones, and "
        f"{counts.training} real scans of the train split, whose mean fills gaps. It could not measure "
        f"{counts.real_not_measured}, {counts.generated_not_measured} and {counts.training_not_measured} of "
        "them. Baselines keep no models, so they have no scans to hand over."
    )
