"""The comparison tables: every number that the page shows, computed once, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from reports.agreement import PatientSums
from reports.bca import bca
from reports.comparison import Column, Comparison, Contrast, Line, StatisticTable, Table
from reports.flips import flip_tests, patient_losses
from reports.frame import Run
from reports.intervals import CrossedBootstrap, Estimate, Replicates, Resampled, estimate
from reports.pairs import pairing_words, pairs_of
from reports.persons import arm_agreement
from reports.ranking import PairVariance, Rank, ranks, variance_parts
from reports.sample import (
    Array,
    Entry,
    Sample,
    build_sample,
    entries_of,
    final_trials,
    replicates,
    shared_seeds,
)
from reports.tests_ import Companions, Difference, judge

PROTOCOLS = ("matched", "tuned")


def compare(run: Run, draws: int) -> list[Comparison]:
    """Compare all arms and baselines of a run, task by task and protocol by protocol."""
    return [
        _comparison(run, task, protocols, draws)
        for task in run.tasks.values()
        for protocols in _protocols(run, task)
    ]


def _protocols(run: Run, task: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The protocols of a task; both as one where the same trials serve both."""
    keys = [set(final_trials(run, task["name"], protocol)["key"]) for protocol in PROTOCOLS]
    if keys[0] == keys[1]:
        return [PROTOCOLS]
    return [(protocol,) for protocol, found in zip(PROTOCOLS, keys, strict=True) if found]


def _comparison(run: Run, task: Mapping[str, Any], protocols: tuple[str, ...], draws: int) -> Comparison:
    entries = entries_of(run, task)
    columns = tuple(_column(run, task, protocols[0], entry) for entry in entries)
    reference = _reference(run, task["name"], columns)
    results = []
    for layout in run.layouts.get(task["name"], []):
        sample = build_sample(
            run, task["name"], protocols[0], layout["source"], [row["key"] for row in layout["rows"]]
        )
        results.append(_Layout(layout, sample, columns, reference, draws))
    judged = _judged_by(task["primary"], results)
    return Comparison(
        task["name"],
        task["title"],
        protocols,
        reference,
        columns,
        judged.endpoint(task["primary"]) if judged else _no_endpoint(task["primary"]),
        judged.ranks(task["primary"]) if judged else (),
        judged.variances(task["primary"]) if judged else (),
        tuple(one.table(run.arms) for one in results),
    )


def _column(run: Run, task: Mapping[str, Any], protocol: str, entry: Entry) -> Column:
    field = "baseline" if entry.baseline else "strategy"
    planned = final_trials(run, task["name"], protocol).filter(pl.col(field) == entry.name)
    done = planned.filter(pl.col("status") == "done")
    seeds = replicates(list(zip(done["pretraining_seed"], done["seed"], strict=True))) if len(done) else None
    return Column(
        entry.key,
        entry.name,
        entry.title,
        entry.baseline,
        len(done),
        len(planned),
        seeds.kind if seeds else "none",
        seeds.count if seeds else 0,
        "" if len(done) else _why_missing(run, task["name"], entry, planned),
    )


def _why_missing(run: Run, task: str, entry: Entry, planned: pl.DataFrame) -> str:
    for cell in run.meta["cells"]:
        if (
            not entry.baseline
            and (cell["strategy"], cell["task"]) == (entry.name, task)
            and not cell["applicable"]
        ):
            return f"N/A: {cell['reason']}"
    field = "baseline" if entry.baseline else "strategy"
    others = run.trials.filter((pl.col(field) == entry.name) & (pl.col("status") != "done"))
    others = others.filter((pl.col("task") == task) | pl.col("task").is_null())
    for trials in (planned, others):
        for status in ("failed", "blocked"):
            found = trials.filter(pl.col("status") == status)
            if len(found):
                stage, error = found["stage"][0], found["error"][0] or "no reason recorded"
                return f"{status} ({stage}): {error}"
    return "missing: no final trial was recorded"


def _reference(run: Run, task: str, columns: Sequence[Column]) -> str:
    """Column key of the reference arm: the first declared one that has results here, else the first arm."""
    present = {column.name: column.key for column in columns if not column.baseline and not column.missing}
    for name in [*run.meta["suite"].get("reference_arms", ()), *present]:
        if name in present:
            return present[name]
    return ""


class _Layout:
    """A layout while it is computed: resampled results of every column and contrast."""

    def __init__(
        self,
        layout: Mapping[str, Any],
        sample: Sample | None,
        columns: Sequence[Column],
        reference: str,
        draws: int,
    ) -> None:
        self.layout, self.sample, self.columns = layout, sample, columns
        self.statistics = {one["name"]: one for one in layout["statistics"]}
        present = [column for column in columns if sample is not None and column.key in sample.values]
        self.pairs = pairs_of(present, reference)
        self.arms: dict[str, tuple[PatientSums, Replicates]] = {}
        self.results: dict[str, dict[str, Resampled]] = {}
        self.pairing: dict[tuple[str, str], tuple[str, str, str]] = {}
        if sample is not None:
            self.arms = self._arms(sample)
            bootstrap = CrossedBootstrap(sample.patient_count, draws)
            self.results = bootstrap.resample(self.arms, list(self.statistics))

    def _arms(self, sample: Sample) -> dict[str, tuple[PatientSums, Replicates]]:
        """Every column, and the parts of columns that a contrast pairs by seed."""
        sums = sample.sums()
        arms = {key: (sums[key], replicates(sample.seeds[key])) for key in sample.values}
        for first, second, _ in self.pairs:
            common = shared_seeds(sample.seeds[first], sample.seeds[second])
            names = [first, second]
            if common:
                for side, key in enumerate((first, second)):
                    kept = [pair[side] for pair in common]
                    if kept != list(range(len(sample.seeds[key]))):
                        names[side] = f"{key}@{','.join(map(str, kept))}"
                        own = {name: array[:, kept] for name, array in sums[key].own.items()}
                        seeds = replicates([sample.seeds[key][index] for index in kept])
                        arms[names[side]] = (PatientSums(sums[key].shared, own), seeds)
            self.pairing[first, second] = (
                names[0],
                names[1],
                pairing_words(arms[names[0]][1], arms[names[1]][1], bool(common), names != [first, second]),
            )
        return arms

    def _difference(self, first: str, second: str, statistic: str) -> Resampled:
        names = self.pairing[first, second]
        return self.results[names[0]][statistic].minus(self.results[names[1]][statistic])

    def _rounding(self, statistic: str) -> Array:
        return self.sample.rounding(statistic) if self.sample else np.zeros(len(self.layout["rows"]))

    def table(self, arms: Mapping[str, Mapping[str, Any]]) -> Table:
        layout = self.layout
        known = set(arms) | {arm["title"] for arm in arms.values()}
        elsewhere = {one["arm"] for one in layout["published"] if one["arm"] not in known}
        return Table(
            layout["key"],
            layout["title"],
            layout["source"],
            layout["convention"],
            layout["published_source"],
            tuple(sorted(elsewhere)),
            tuple(layout["footnotes"]),
            tuple(self._statistic(name) for name in self.statistics),
            tuple(
                arm_agreement(self.sample, column.key)
                for column in self.columns
                if self.sample is not None and self.sample.targets is not None
                if not column.baseline and column.key in self.sample.values
            ),
        )

    def _statistic(self, name: str) -> StatisticTable:
        declared, rows = self.statistics[name], self.layout["rows"]
        cells = {key: estimate(self.results[key][name]) for key in self._present()}
        directions = [row.get("direction") or declared["direction"] for row in rows]
        lines = []
        for index, row in enumerate(rows):
            patients, scans = self.sample.counts(index) if self.sample else (0, 0)
            lines.append(
                Line(
                    row["key"],
                    row["label"],
                    row["group"],
                    row["unit"],
                    directions[index],
                    _decimals(declared, [cell[index] for cell in cells.values()]),
                    patients,
                    scans,
                    self.sample.left_out(index) if self.sample else 0,
                    {
                        column.key: cells[column.key][index] if column.key in cells else None
                        for column in self.columns
                    },
                    self._published(row["key"], name),
                )
            )
        contrasts = [
            Contrast(
                first,
                second,
                kind,
                self.pairing[first, second][2],
                self._differences(first, second, name, directions),
            )
            for first, second, kind in self.pairs
        ]
        return StatisticTable(
            name,
            declared["label"],
            declared["direction"],
            declared["decimals"],
            tuple(lines),
            tuple(contrasts),
        )

    def _differences(
        self, first: str, second: str, name: str, directions: Sequence[str | None]
    ) -> tuple[Difference, ...]:
        """The rows of a contrast, judged together, with what else is known about them."""
        resampled = self._difference(first, second, name)
        losses = self._loss_difference(first, second, name)
        alone, together = flip_tests(losses) if losses is not None else (None, None)
        return tuple(
            replace(one, companions=companions(interval, row, alone, together))
            for row, (one, interval) in enumerate(
                zip(judge(estimate(resampled), directions, self._rounding(name)), bca(resampled), strict=True)
            )
        )

    def _loss_difference(self, first: str, second: str, name: str) -> Array | None:
        """(patients, rows) difference in loss; NaN where it is rounding; `None` if there is no loss."""
        sides = [patient_losses(name, *self.arms[key]) for key in self.pairing[first, second][:2]]
        if sides[0] is None or sides[1] is None or self.sample is None:
            return None
        difference = sides[0] - sides[1]
        floor = self._rounding("rmse" if name == "r2" else name)
        rounding = floor**2 if name in ("r2", "rmse") else floor
        return np.where(np.nanmax(np.abs(difference), axis=0, initial=0.0) > rounding, difference, np.nan)

    def _present(self) -> list[str]:
        return [column.key for column in self.columns if column.key in self.results]

    def _published(self, row: str, statistic: str) -> dict[str, Mapping[str, Any]]:
        found: dict[str, Mapping[str, Any]] = {}
        for column in self.columns:
            for one in self.layout["published"]:
                same = (one["row"], one["statistic"]) == (row, statistic)
                if same and not column.baseline and one["arm"] in (column.name, column.title):
                    found[column.key] = {"value": one["value"], "note": one["note"]}
        return found

    def endpoint(self, primary: Mapping[str, Any]) -> StatisticTable:
        """The mean of a statistic over rows, resampled as a whole; all contrasts of a kind are one family."""
        rows = self._endpoint_rows(primary)
        statistic, direction = primary["statistic"], primary["direction"]
        counts = [self.sample.counts(row) for row in rows] if self.sample else [(0, 0)]
        cells = {key: estimate(self.results[key][statistic].mean_over(rows))[0] for key in self._present()}
        decimals = max(3, _decimals(self.statistics[statistic], list(cells.values())))
        line = Line(
            primary["metric"],
            primary["label"],
            "",
            self.layout["rows"][rows[0]]["unit"] if len(rows) == 1 else "",
            direction,
            decimals,
            min(count[0] for count in counts),
            min(count[1] for count in counts),
            max(self.sample.left_out(row) for row in rows) if self.sample else 0,
            {column.key: cells.get(column.key) for column in self.columns},
            {},
        )
        contrasts = []
        for family in (("reference", "arms"), ("baseline",)):
            pairs = [pair for pair in self.pairs if pair[2] in family]
            estimates = [
                estimate(self._difference(first, second, statistic).mean_over(rows))[0]
                for first, second, _ in pairs
            ]
            floor = float(np.mean(self._rounding(statistic)[rows])) if self.sample else 0.0
            judged = [
                replace(one, companions=self._endpoint_companions(first, second, statistic, rows))
                for one, (first, second, _) in zip(
                    judge(estimates, [direction] * len(pairs), [floor] * len(pairs)), pairs, strict=True
                )
            ]
            contrasts += [
                Contrast(first, second, kind, self.pairing[first, second][2], (difference,))
                for (first, second, kind), difference in zip(pairs, judged, strict=True)
            ]
        return StatisticTable(statistic, primary["label"], direction, decimals, (line,), tuple(contrasts))

    def _endpoint_rows(self, primary: Mapping[str, Any]) -> list[int]:
        names = [row["key"] for row in self.layout["rows"]]
        return [names.index(name) for name in primary["rows"]] or list(range(len(names)))

    def ranks(self, primary: Mapping[str, Any]) -> tuple[Rank, ...]:
        """Ranks of the arms at the primary endpoint."""
        rows = self._endpoint_rows(primary)
        arms = [column.key for column in self.columns if not column.baseline and column.key in self.results]
        found = {key: self.results[key][primary["statistic"]].mean_over(rows) for key in arms}
        return ranks(found, primary["direction"])

    def variances(self, primary: Mapping[str, Any]) -> tuple[PairVariance, ...]:
        """What makes the differences between arms at the primary endpoint uncertain."""
        rows = self._endpoint_rows(primary)
        found = []
        for first, second, kind in self.pairs:
            if kind != "baseline":
                difference = self._difference(first, second, primary["statistic"]).mean_over(rows)
                found.append(
                    PairVariance(first, second, difference.replicates.kind, variance_parts(difference))
                )
        return tuple(found)

    def _endpoint_companions(
        self, first: str, second: str, statistic: str, rows: Sequence[int]
    ) -> Companions:
        """Over the rows as a whole: losses per patient are added up as the endpoint adds its rows."""
        interval = bca(self._difference(first, second, statistic).mean_over(rows))[0]
        losses = self._loss_difference(first, second, statistic)
        if losses is None or (statistic == "rmse" and len(rows) > 1):
            return companions(interval, 0, None, None)
        scale = self._spread() if statistic == "r2" else np.ones(losses.shape[1])
        parts = (losses / scale)[:, list(rows)]
        whole = np.where(np.isfinite(parts).any(1), np.nansum(parts, axis=1), np.nan)
        return companions(interval, 0, flip_tests(whole[:, None])[0], None)

    def _spread(self) -> Array:
        """(rows,) variance of the targets: r2 is the squared error in units of it."""
        shared = next(iter(self.arms.values()))[0].shared
        n = np.maximum(shared["n"].sum(0), 1)
        spread = shared["yy"].sum(0) / n - (shared["y"].sum(0) / n) ** 2
        return np.where(spread > 0, spread, np.nan)


def companions(
    interval: tuple[float, float] | None, row: int, alone: Array | None, together: Array | None
) -> Companions:
    """The companions of one row, from the tests of all of them."""
    low, high = interval or (None, None)
    p_flip, p_max_t = (
        float(p[row]) if p is not None and np.isfinite(p[row]) else None for p in (alone, together)
    )
    return Companions(low, high, p_flip, p_max_t)


def _judged_by(primary: Mapping[str, Any], results: Sequence[_Layout]) -> _Layout | None:
    """The first layout that has the endpoint's rows and its statistic."""
    for one in results:
        names = {row["key"] for row in one.layout["rows"]}
        if primary["statistic"] in one.statistics and names.issuperset(primary["rows"]):
            return one
    return None


def _no_endpoint(primary: Mapping[str, Any]) -> StatisticTable:
    return StatisticTable(primary["statistic"], primary["label"], primary["direction"], 3, (), ())


def _decimals(statistic: Mapping[str, Any], cells: Sequence[Estimate]) -> int:
    """Digits after the point: as declared; for scores, whose rows differ in scale, enough for the error."""
    errors = [cell.standard_error for cell in cells if cell.standard_error]
    if statistic["name"] != "mean" or not errors:
        return int(statistic["decimals"])
    return min(6, max(int(statistic["decimals"]), math.ceil(-math.log10(min(errors)))))
