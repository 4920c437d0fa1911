"""Runs of different people over the same cohort in one report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reports.build import write_report
from reports.contents import contents_of
from reports.errors import RecordsError
from reports.frame import Run, read_run
from reports.joined import joined, labels_of, refuse_unlike
from reports.statistics.bootstrap import DRAWS

#: What should be the same for arms of different runs to be compared fairly.
CONDITIONS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "tuning budgets (draws per arm and task)": lambda meta: meta["suite"]["budget"]["draws"],
    "search methods": lambda meta: (meta["suite"].get("search") or {}).get("method", "random"),
    "settings of the domain": lambda meta: meta["suite"].get("settings"),
    "final seeds": lambda meta: meta["suite"]["seeds"]["final"],
    "pretraining seeds": lambda meta: meta["suite"]["seeds"]["pretraining"],
    "devices": lambda meta: meta["provenance"]["device"],
    "versions of this package": lambda meta: meta["provenance"]["versions"].get("pretraining-harness"),
}


def join_runs(folders: Sequence[Path]) -> tuple[Run, list[str]]:
    """Read runs and join them; with them, what a reader has to know before comparing their arms.

    Raises
    ------
    RecordsError
        If there are fewer than two, one is no run folder, or their cohorts, domains or tasks differ.
    """
    if len({folder.resolve() for folder in folders}) < 2:
        raise RecordsError("there is one run to compare", mend="give two or more different run folders")
    runs = {label: read_run(folder) for label, folder in zip(labels_of(folders), folders, strict=True)}
    refuse_unlike(runs)
    return joined(runs), list(cautions(runs))


def compare_runs(folders: Sequence[Path], output: Path, draws: int = DRAWS) -> Path:
    """Write the report of several runs into `output`; return the page."""
    run, found = join_runs(folders)
    return write_report(contents_of(run, draws, found), output)


def cautions(runs: Mapping[str, Run]) -> Iterator[str]:
    """Where the runs did not have the same conditions."""
    yield (
        "These are several runs joined afterwards. Each chose its matched setting by its own reference arms:"
        " compare arms of different runs under the tuned protocol."
    )
    for words, read in CONDITIONS.items():
        values = {label: read(run.meta) for label, run in runs.items()}
        if len({repr(value) for value in values.values()}) > 1:
            listed = "; ".join(f"{label}: {_short(value)}" for label, value in values.items())
            yield f"The runs have different {words} ({listed}): what separates their arms may be that."


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 120 else text[:117] + "..."
