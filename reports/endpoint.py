"""The primary endpoint of any set of final trials of a task, resampled together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from reports.crossed import Crossed
from reports.frame import Run
from reports.layouts import endpoint_margin, endpoint_rows, holds_endpoint
from reports.pairs import SEED_WORDS
from reports.sample import Sample, build_sample
from reports.statistics.arrays import Array
from reports.statistics.bootstrap import jackknife
from reports.statistics.resampled import Replicates, Resampled


@dataclass(frozen=True)
class Endpoint:
    """What `endpoint_of` found.

    Parameters
    ----------
    rows
        Positions of the endpoint's rows in the sample.
    direction
        Which way is better.
    margin
        The largest difference that does not matter, if anybody declared one.
    """

    crossed: Crossed
    rows: tuple[int, ...]
    statistic: str
    label: str
    direction: str
    margin: float | None

    @property
    def sample(self) -> Sample:
        """The arrays behind it."""
        return self.crossed.sample

    @property
    def rounding(self) -> float:
        """Size below which a difference is rounding."""
        return float(np.mean(self.sample.rounding(self.statistic)[list(self.rows)]))

    @property
    def patients(self) -> int:
        """Test patients that count for every row of the endpoint."""
        return min(self.sample.counts(row)[0] for row in self.rows)

    def of(self, entry: str) -> Resampled:
        """The endpoint of an entry: one row."""
        return self.crossed.of(entry, self.statistic).mean_over(self.rows)

    def difference(self, first: str, second: str) -> Resampled:
        """First minus second, one of the pairs that were asked for."""
        return self.crossed.difference(first, second, self.statistic).mean_over(self.rows)

    def combination(self, weights: Mapping[str, float]) -> Resampled:
        """A weighted sum of entries."""
        return self.crossed.combination(weights, self.statistic).mean_over(self.rows)

    def replicate_values(self, entry: str) -> Array:
        """(replicates,) the endpoint of every trial of an entry by itself."""
        values, _ = jackknife(self.statistic, self.crossed.sums(entry))
        return np.asarray(values[:, list(self.rows)].mean(1))

    def resampled(self, *entries: str) -> str:
        """In words, what the resamples of these entries draw."""
        return resampled_words([self.crossed.replicates(entry) for entry in entries], self.patients)


def endpoint_of(
    run: Run,
    task: Mapping[str, Any],
    trials: pl.DataFrame,
    entries: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    *,
    draws: int,
) -> Endpoint | None:
    """Resample the primary endpoint of `trials`; `None` where they left nothing to compute it from.

    Parameters
    ----------
    trials
        Final trials with their `entry`.
    pairs
        Entries to compare; those without results are left out.
    """
    primary = task["primary"]
    for layout in run.layouts.get(task["name"], []):
        if not holds_endpoint(layout, primary):
            continue
        keys = [row["key"] for row in layout["rows"]]
        rows = endpoint_rows(layout, primary)
        sample = build_sample(run, trials, layout["source"], [keys[row] for row in rows], entries)
        if sample is None:
            return None
        known = [pair for pair in pairs if pair[0] in sample.values and pair[1] in sample.values]
        crossed = Crossed(sample, known, [primary["statistic"]], draws)
        return Endpoint(
            crossed,
            tuple(range(len(rows))),
            primary["statistic"],
            primary["label"],
            primary["direction"],
            endpoint_margin(run, task, layout),
        )
    return None


def resampled_words(replicates: Sequence[Replicates], patients: int) -> str:
    """What is drawn, in words; several numbers of seeds are joined.

    Examples
    --------
    >>> resampled_words([Replicates("seed", (1, 2), (0, 1))], 60)
    '60 patients and 2 final seeds'
    >>> resampled_words([Replicates("none", (0,), (0,))], 60)
    '60 patients'
    """
    drawn = dict.fromkeys(f"{one.count} {SEED_WORDS[one.kind]}" for one in replicates if one.count > 1)
    return " and ".join([f"{patients} patients", " or ".join(drawn)] if drawn else [f"{patients} patients"])
