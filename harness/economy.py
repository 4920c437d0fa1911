"""What sharing saves: the trials of a run beside those of a grid whose cells know nothing of each other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class Economy:
    """Trials and seconds of computing.

    Parameters
    ----------
    trials, seconds
        Of all trials that are done; `seconds` without those that came from the cache.
    grid_trials, grid_seconds
        Of the same cells, had each pretrained for itself and run its finals once per protocol.
    """

    trials: int
    seconds: float
    grid_trials: int
    grid_seconds: float


def economy(trials: polars.DataFrame) -> Economy:
    """Count what was run and what a grid without sharing would have run.

    Parameters
    ----------
    trials
        `trials.parquet`.

    Notes
    -----
    Each cell of the grid (an arm on a task, under one condition of labels and splits) pretrains once per
    pretraining seed that its trials start from. What it would tune is the same. A final trial that serves
    two protocols runs twice.
    """
    done = trials.filter(trials["status"] == "done")
    pretraining = {
        (row["strategy"], row["pretraining_seed"]): row["wall_seconds"] or 0.0
        for row in done.filter(done["stage"] == "pretrain").iter_rows(named=True)
    }
    conditions = [name for name in ("label_fraction", "label_draw", "split") if name in done.columns]
    starts: dict[tuple[object, ...], set[int]] = defaultdict(set)
    count, seconds = 0, 0.0
    for row in done.filter(done["stage"] != "pretrain").iter_rows(named=True):
        times = max(len(row["protocols"] or ()), 1) if row["stage"] == "final" and row["strategy"] else 1
        count += times
        seconds += times * (row["wall_seconds"] or 0.0)
        if (row["strategy"], row["pretraining_seed"]) in pretraining:
            cell = (row["strategy"], row["task"], *(row[name] for name in conditions))
            starts[cell].add(row["pretraining_seed"])
    for cell, seeds in starts.items():
        count += len(seeds)
        seconds += sum(pretraining[str(cell[0]), seed] for seed in seeds)
    run = done.filter(~done["cached"])
    return Economy(done.height, float(run["wall_seconds"].fill_null(0.0).sum()), count, seconds)
