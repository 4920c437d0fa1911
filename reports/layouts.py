"""One table layout and its numbers: cells, paired differences, the primary endpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from reports.comparison import Column, Contrast, Line, StatisticTable, Table
from reports.crossed import Crossed
from reports.frame import Run
from reports.margins import margin_of
from reports.pairs import pairs_of
from reports.persons import arm_agreement
from reports.sample import Sample
from reports.statistics.arrays import Array
from reports.statistics.bca import bca
from reports.statistics.flips import flip_tests
from reports.statistics.intervals import Estimate, estimate
from reports.statistics.ranking import PairVariance, Rank, doubt, ranks, variance_parts
from reports.statistics.tests import Companions, Correction, Difference, judge


class LayoutResults:
    """A layout while it is computed: resampled results of every column and contrast.

    Parameters
    ----------
    sample
        `None` where no final trial left any results.
    reference
        Column key of the arm that the others are compared with.
    """

    def __init__(  # noqa: PLR0917  what a table is made of
        self,
        run: Run,
        task: Mapping[str, Any],
        layout: Mapping[str, Any],
        sample: Sample | None,
        columns: Sequence[Column],
        reference: str,
        draws: int,
    ) -> None:
        self.run, self.task, self.layout, self.sample, self.columns = run, task, layout, sample, columns
        self.statistics = {one["name"]: one for one in layout["statistics"]}
        self.present = [column for column in columns if sample is not None and column.key in sample.values]
        self.pairs = pairs_of(self.present, reference)
        pairs = [(first, second) for first, second, _ in self.pairs]
        self.crossed = Crossed(sample, pairs, list(self.statistics), draws) if sample is not None else None

    def table(self) -> Table:
        """Every statistic of the layout, and the agreement of the arms where it shows predictions."""
        layout, sample = self.layout, self.sample
        shows_people = sample is not None and sample.targets is not None
        changes = layout.get("least_significant_changes") or {}
        return Table(
            layout["key"],
            layout["title"],
            layout["source"],
            layout["convention"],
            layout["published_source"],
            tuple(layout["footnotes"]),
            tuple(self.statistic(name) for name in self.statistics),
            tuple(
                arm_agreement(sample, column.key, changes)
                for column in self.present
                if sample is not None and shows_people and not column.baseline
            ),
            changes,
            self._absent(),
        )

    def _absent(self) -> tuple[str, ...]:
        if not self.layout.get("measured_by"):
            return ()
        return tuple(one.key for one in self.columns if one.baseline and one not in self.present)

    def statistic(self, name: str) -> StatisticTable:
        """The lines and contrasts of one statistic."""
        declared, rows = self.statistics[name], self.layout["rows"]
        cells = self._cells(name)
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
                    *self._published(row["key"], name),
                )
            )
        contrasts = self._contrasts(name, directions)
        return StatisticTable(
            name, declared["label"], declared["direction"], declared["decimals"], tuple(lines), contrasts
        )

    def _cells(self, name: str) -> dict[str, list[Estimate]]:
        if self.crossed is None:
            return {}
        return {column.key: estimate(self.crossed.of(column.key, name)) for column in self.present}

    def _contrasts(self, name: str, directions: Sequence[str | None]) -> tuple[Contrast, ...]:
        if self.crossed is None:
            return ()
        return tuple(
            Contrast(
                first,
                second,
                kind,
                self.crossed.pairing[first, second],
                self._differences(self.crossed, first, second, name, directions),
            )
            for first, second, kind in self.pairs
        )

    def _differences(
        self, crossed: Crossed, first: str, second: str, name: str, directions: Sequence[str | None]
    ) -> tuple[Difference, ...]:
        """The rows of a contrast, judged together, with what else is known about them."""
        resampled = crossed.difference(first, second, name)
        losses = crossed.loss_difference(first, second, name)
        alone, together = flip_tests(losses) if losses is not None else (None, None)
        judged = judge(
            estimate(resampled),
            directions,
            crossed.sample.rounding(name),
            [self._margin(name, row["key"]) for row in self.layout["rows"]],
            self._correction(first, second),
        )
        return tuple(
            replace(one, companions=companions(interval, row, alone, together))
            for row, (one, interval) in enumerate(zip(judged, bca(resampled), strict=True))
        )

    def _margin(self, statistic: str, row: str) -> float | None:
        return margin_of(self.run, self.task["name"], self.layout, statistic, row)

    def _correction(self, first: str, second: str) -> Correction:
        """Rows of a plug-in are exploratory: nobody declared them with the task."""
        return "bh" if any(one.exploratory for one in self.columns if one.key in (first, second)) else "holm"

    def _published(self, row: str, statistic: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Published values by column key, and by arm where the arm has no column."""
        keys = {name: one.key for one in self.columns if not one.baseline for name in (one.name, one.title)}
        ours: dict[str, Any] = {}
        elsewhere: dict[str, Any] = {}
        for one in self.layout["published"]:
            if (one["row"], one["statistic"]) == (row, statistic):
                kept, name = (ours, keys[one["arm"]]) if one["arm"] in keys else (elsewhere, one["arm"])
                kept[name] = {"value": one["value"], "note": one["note"]}
        return ours, elsewhere

    def endpoint(self) -> StatisticTable:
        """The mean of a statistic over rows, resampled as a whole; all contrasts of a kind are one family."""
        primary, crossed = self.task["primary"], self.crossed
        statistic, direction = primary["statistic"], primary["direction"]
        if crossed is None:
            return StatisticTable(statistic, primary["label"], direction, 3, (), ())
        rows = endpoint_rows(self.layout, primary)
        counts = [crossed.sample.counts(row) for row in rows]
        cells = {
            column.key: estimate(crossed.of(column.key, statistic).mean_over(rows))[0]
            for column in self.present
        }
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
            max(crossed.sample.left_out(row) for row in rows),
            {column.key: cells.get(column.key) for column in self.columns},
            {},
            {},
        )
        contrasts = self._endpoint_contrasts(crossed, rows)
        return StatisticTable(statistic, primary["label"], direction, decimals, (line,), contrasts)

    def _endpoint_contrasts(self, crossed: Crossed, rows: Sequence[int]) -> tuple[Contrast, ...]:
        primary = self.task["primary"]
        statistic, direction = primary["statistic"], primary["direction"]
        floor = float(np.mean(crossed.sample.rounding(statistic)[list(rows)]))
        margin = endpoint_margin(self.run, self.task, self.layout)
        contrasts = []
        for family in (("reference", "arms"), ("baseline",)):
            pairs = [pair for pair in self.pairs if pair[2] in family]
            differences = [
                crossed.difference(first, second, statistic).mean_over(rows) for first, second, _ in pairs
            ]
            count = len(pairs)
            estimates = [estimate(one)[0] for one in differences]
            judged = judge(estimates, [direction] * count, [floor] * count, [margin] * count)
            contrasts += [
                Contrast(
                    first,
                    second,
                    kind,
                    crossed.pairing[first, second],
                    (replace(one, companions=self._endpoint_companions(crossed, first, second, rows)),),
                )
                for (first, second, kind), one in zip(pairs, judged, strict=True)
            ]
        return tuple(contrasts)

    def _endpoint_companions(
        self, crossed: Crossed, first: str, second: str, rows: Sequence[int]
    ) -> Companions:
        """Over the rows as a whole: losses per patient are added up as the endpoint adds its rows."""
        statistic = self.task["primary"]["statistic"]
        interval = bca(crossed.difference(first, second, statistic).mean_over(rows))[0]
        losses = crossed.loss_difference(first, second, statistic)
        if losses is None or (statistic == "rmse" and len(rows) > 1):
            return companions(interval, 0, None, None)
        scale = crossed.spread() if statistic == "r2" else np.ones(losses.shape[1])
        parts = (losses / scale)[:, list(rows)]
        whole = np.where(np.isfinite(parts).any(1), np.nansum(parts, axis=1), np.nan)
        return companions(interval, 0, flip_tests(whole[:, None])[0], None)

    def ranks(self) -> tuple[Rank, ...]:
        """Ranks of the arms at the primary endpoint."""
        if self.crossed is None:
            return ()
        primary = self.task["primary"]
        rows = endpoint_rows(self.layout, primary)
        arms = [column.key for column in self.present if not column.baseline]
        found = {key: self.crossed.of(key, primary["statistic"]).mean_over(rows) for key in arms}
        return ranks(found, primary["direction"])

    def doubt(self) -> float | None:
        """Share of the resamples in which the arm with the best value is not the best."""
        line = next(iter(self.endpoint().lines), None)
        arms = {column.key for column in self.present if not column.baseline}
        values = {
            key: cell.value
            for key, cell in (line.cells if line else {}).items()
            if key in arms and cell is not None and cell.value is not None
        }
        if not values:
            return None
        choose = max if self.task["primary"]["direction"] == "max" else min
        return doubt(self.ranks(), choose(values, key=lambda key: values[key]))

    def variances(self) -> tuple[PairVariance, ...]:
        """What makes the differences between arms at the primary endpoint uncertain."""
        if self.crossed is None:
            return ()
        rows = endpoint_rows(self.layout, self.task["primary"])
        found = []
        for first, second, kind in self.pairs:
            if kind != "baseline":
                difference = self.crossed.difference(first, second, self.task["primary"]["statistic"])
                one = difference.mean_over(rows)
                found.append(PairVariance(first, second, one.replicates.kind, variance_parts(one)))
        return tuple(found)


def holds_endpoint(layout: Mapping[str, Any], primary: Mapping[str, Any]) -> bool:
    """Whether a layout has the rows and the statistic of the primary endpoint."""
    rows = {row["key"] for row in layout["rows"]}
    statistics = {one["name"] for one in layout["statistics"]}
    return primary["statistic"] in statistics and rows.issuperset(primary["rows"])


def endpoint_rows(layout: Mapping[str, Any], primary: Mapping[str, Any]) -> list[int]:
    """Positions of the endpoint's rows in the layout: all of them where it names none."""
    names = [row["key"] for row in layout["rows"]]
    return [names.index(name) for name in primary["rows"]] or list(range(len(names)))


def endpoint_margin(run: Run, task: Mapping[str, Any], layout: Mapping[str, Any]) -> float | None:
    """The margin of the primary endpoint: its metric's, its statistic's, or that of its only row."""
    primary = task["primary"]
    if len(primary["rows"]) == 1:
        name = f"{primary['statistic']}.{primary['metric']}"
        declared = (run.meta["suite"].get("margins") or {}).get(task["name"]) or {}
        if name not in declared:
            return margin_of(run, task["name"], layout, primary["statistic"], primary["rows"][0])
    return margin_of(run, task["name"], layout, primary["statistic"], primary["metric"])


def companions(
    interval: tuple[float, float] | None, row: int, alone: Array | None, together: Array | None
) -> Companions:
    """The companions of one row, from the tests of all of them."""
    low, high = interval or (None, None)
    p_flip, p_max_t = (
        float(p[row]) if p is not None and np.isfinite(p[row]) else None for p in (alone, together)
    )
    return Companions(low, high, p_flip, p_max_t)


def _decimals(statistic: Mapping[str, Any], cells: Sequence[Estimate]) -> int:
    """Digits after the point: as declared; for scores, whose rows differ in scale, enough for the error."""
    errors = [cell.standard_error for cell in cells if cell.standard_error]
    if statistic["name"] != "mean" or not errors:
        return int(statistic["decimals"])
    return min(6, max(int(statistic["decimals"]), math.ceil(-math.log10(min(errors)))))
