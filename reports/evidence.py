"""What a run proves about itself, and checklists of reporting guidelines filled with no more than that."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from reports.comparison import Comparison
from reports.frame import Run


@dataclass(frozen=True)
class Item:
    """One thing a guideline asks for; `answer` is empty where the run does not record it."""

    number: str
    words: str
    answer: str
    anchor: str


@dataclass(frozen=True)
class Checklist:
    """A guideline's items with what the run says about them."""

    key: str
    title: str
    source: str
    items: tuple[Item, ...]

    @property
    def recorded(self) -> int:
        """How many items the run has something to say about."""
        return sum(bool(item.answer) for item in self.items)


@dataclass(frozen=True)
class Overlap:
    """How many patients two splits share."""

    first: str
    second: str
    patients: int


def checklists(
    run: Run, comparisons: Sequence[Comparison], warnings: Sequence[str], exhibits: int
) -> list[Checklist]:
    """Every checklist of `data/checklists.toml`.

    Parameters
    ----------
    exhibits
        How many example scans the page shows.
    """
    text = (importlib.resources.files("reports") / "data" / "checklists.toml").read_text(encoding="utf-8")
    record = _Record(run, comparisons, warnings, exhibits)
    return [
        Checklist(
            one["key"],
            one["title"],
            one["source"],
            tuple(
                Item(item["number"], item["words"], *record.answer(item.get("evidence", "")))
                for item in one["items"]
            ),
        )
        for one in tomllib.loads(text)["list"]
    ]


def overlaps(run: Run) -> list[Overlap] | None:
    """Patients that two splits share, as the run records it; `None` where it does not."""
    recorded = run.meta["cohort"].get("overlap")
    if recorded is None:
        return None
    return [Overlap(str(one["first"]), str(one["second"]), int(one["patients"])) for one in recorded]


class _Record:
    """Answers from the records alone; an empty answer means "not recorded"."""

    def __init__(
        self, run: Run, comparisons: Sequence[Comparison], warnings: Sequence[str], exhibits: int
    ) -> None:
        self.run, self.meta, self.comparisons = run, run.meta, comparisons
        self.warnings, self.exhibits = warnings, exhibits

    def answer(self, key: str) -> tuple[str, str]:
        """Words and the place on the page where more stands."""
        return (ANSWERS[key](self), PLACES[key]) if key else ("", "")

    def _provenance(self, name: str) -> str:
        value = self.meta["provenance"].get(name)
        return "" if value is None else str(value)

    def cohort(self) -> str:
        kind = "Simulated" if self.run.simulated else "Real"
        return (
            f"{kind} cohort {self.meta['cohort']['fingerprint'][:10]}: {self.meta['cohort']['description']}"
        )

    def sizes(self) -> str:
        parts = [
            f"{part} {split}: {size['patients']} patients, {size['scans']} scans"
            for part, splits in self.meta["cohort"].get("sizes", {}).items()
            for split, size in splits.items()
        ]
        return "; ".join(parts)

    def exclusions(self) -> str:
        found = self.meta["cohort"].get("exclusions")
        if found is None:
            return ""
        return "; ".join(f"{reason}: {count} scans" for reason, count in found.items()) or "none"

    def overlap(self) -> str:
        found = overlaps(self.run)
        if found is None:
            return ""
        shared = [one for one in found if one.patients]
        if shared:
            return "; ".join(f"{one.first} and {one.second} share {one.patients} patients" for one in shared)
        return f"No patient in two splits ({len(found)} pairs of splits checked)"

    def missing(self) -> str:
        lines = [line for one in self.comparisons for t in one.tables for line in t.statistics[0].lines]
        if not lines:
            return ""
        worst = max(line.left_out for line in lines)
        return (
            f"Complete cases; up to {worst} test scans of a row are left out"
            if worst
            else "No value is missing in any table"
        )

    def settings(self) -> str:
        found = self.meta["suite"].get("settings") or {}
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in found.items())

    def arms(self) -> str:
        return "; ".join(f"{arm['title']}: {arm['summary']}" for arm in self.run.main_arms.values())

    def baselines(self) -> str:
        return "; ".join(
            f"{task['title']}: {', '.join(task['baselines']) or 'none'}" for task in self.run.tasks.values()
        )

    def endpoint(self) -> str:
        return "; ".join(f"{task['title']}: {task['primary']['label']}" for task in self.run.tasks.values())

    def claims(self) -> str:
        kind = "procedures" if self.meta["claims"] == "procedure" else "artifacts (weights)"
        return f"Claims about {kind}; {self.endpoint()}"

    def selection(self) -> str:
        if self.run.selections.is_empty():
            return ""
        draws = self.meta["suite"]["budget"]["draws"]
        return f"By validation score, matched and tuned, {draws} draws per arm and task"

    def metrics(self) -> str:
        tables = {table.title for one in self.comparisons for table in one.tables}
        return "; ".join(sorted(tables))

    def uncertainty(self) -> str:
        return "Crossed bootstrap over seeds and patients; corrected tests" if self.comparisons else ""

    def robustness(self) -> str:
        splits = self.run.trials["split"].fill_null(0).n_unique()
        controls = [arm["title"] for arm in self.run.arms.values() if arm.get("control")]
        seeds = len(self.meta["suite"]["seeds"]["final"])
        words = [f"{seeds} final seeds", f"{splits} splits"]
        return "; ".join([*words, f"controls: {', '.join(controls)}" if controls else "no controls"])

    def test(self) -> str:
        openings = self._provenance("test_openings")
        if not openings:
            return ""
        afterwards = self.meta["provenance"].get("test_openings_afterwards") or 0
        return f"The test split was opened {openings} times, {opened_by(afterwards)}"

    def limits(self) -> str:
        return f"{len(self.warnings)} warnings stand with the answer" if self.warnings else ""

    def licence(self) -> str:
        return "; ".join(
            f"{arm['title']}: {arm['licence']}" for arm in self.run.main_arms.values() if arm.get("licence")
        )

    def software(self) -> str:
        versions = self.meta["provenance"].get("versions") or {}
        named = [f"{name} {versions[name]}" for name in SHOWN_VERSIONS if name in versions]
        return ", ".join(named) or f"{len(versions)} packages" if versions else ""

    def hardware(self) -> str:
        return ", ".join(
            filter(None, (self._provenance(name) for name in ("processor", "device", "platform")))
        )

    def command(self) -> str:
        return self._provenance("command")

    def determinism(self) -> str:
        return self._provenance("determinism")

    def artifacts(self) -> str:
        count = self.run.trials.filter(pl.col("stage") == "pretrain")["artifact"].drop_nulls().n_unique()
        return f"{count} sets of weights, named by the digest of their content" if count else ""

    def examples(self) -> str:
        return f"{self.exhibits} example scans chosen by rule" if self.exhibits else ""


def opened_by(afterwards: int) -> str:
    """Who opened the test split, in words that follow its number of openings.

    Examples
    --------
    >>> opened_by(0)
    'by final trials alone'
    >>> opened_by(1)
    'once of them after the run, to have scans measured by other software; the rest by final trials'
    """
    if not afterwards:
        return "by final trials alone"
    often = "once" if afterwards == 1 else f"{afterwards} times"
    return (
        f"{often} of them after the run, to have scans measured by other software; the rest by final trials"
    )


#: Packages whose versions decide numbers; the others stand in provenance.
SHOWN_VERSIONS = ("pretraining-harness", "torch", "ray", "numpy", "polars")

ANSWERS: Mapping[str, Callable[[_Record], str]] = {
    "cohort": _Record.cohort,
    "sizes": _Record.sizes,
    "exclusions": _Record.exclusions,
    "overlap": _Record.overlap,
    "missing": _Record.missing,
    "settings": _Record.settings,
    "arms": _Record.arms,
    "baselines": _Record.baselines,
    "endpoint": _Record.endpoint,
    "claims": _Record.claims,
    "selection": _Record.selection,
    "metrics": _Record.metrics,
    "uncertainty": _Record.uncertainty,
    "robustness": _Record.robustness,
    "test": _Record.test,
    "limits": _Record.limits,
    "licence": _Record.licence,
    "software": _Record.software,
    "hardware": _Record.hardware,
    "command": _Record.command,
    "determinism": _Record.determinism,
    "artifacts": _Record.artifacts,
    "exhibits": _Record.examples,
}

#: Where on the page more stands.
PLACES: Mapping[str, str] = {
    **dict.fromkeys(ANSWERS, "provenance"),
    **dict.fromkeys(("sizes", "settings", "arms", "baselines", "endpoint", "licence"), "what-ran"),
    **dict.fromkeys(("metrics", "exhibits", "limits", "claims"), "answer"),
    **dict.fromkeys(("uncertainty",), "methods"),
    "missing": "fillings",
    "selection": "tuning",
    "robustness": "robustness",
    "artifacts": "trials",
}


@dataclass(frozen=True)
class Flow:
    """What became of the test scans of a task: left out of some row, and in every row of its tables."""

    task: str
    title: str
    protocols: tuple[str, ...]
    patients: int
    scans: int
    left_out: int


def flow(comparisons: Sequence[Comparison]) -> Iterator[Flow]:
    """The way of the test scans into the tables, task by task."""
    for one in comparisons:
        lines = [line for table in one.tables for line in table.statistics[0].lines]
        if lines:
            least = min(lines, key=lambda line: line.scans)
            yield Flow(one.task, one.title, one.protocols, least.patients, least.scans, least.left_out)


def readers(run: Run) -> dict[str, int]:
    """Final trials that read the test split, by task."""
    done = run.trials.filter((pl.col("stage") == "final") & (pl.col("status") == "done"))
    return {name: done.filter(pl.col("task") == name).height for name in run.tasks}


def weights(run: Run) -> list[dict[str, Any]]:
    """The pretraining trials that made or fetched weights, by arm and seed."""
    made = run.trials.filter((pl.col("stage") == "pretrain") & (pl.col("status") == "done"))
    return made.sort("strategy", "pretraining_seed", "key").to_dicts()
