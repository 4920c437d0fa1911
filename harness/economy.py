"""What sharing saves: the trials of a run beside those of a grid whose cells know nothing of each other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import polars

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Economy:
    """Trials and seconds of computing.

    Parameters
    ----------
    trials, seconds
        Of all trials that are done; `seconds` without those that came from the cache.
    grid_trials, grid_seconds
        Of the same results, had each cell made everything for itself, once per protocol.
    """

    trials: int
    seconds: float
    grid_trials: int
    grid_seconds: float


class _Cell(NamedTuple):
    """An arm on a task, under one condition of labels and splits."""

    arm: str
    task: str
    label_fraction: float | None
    label_draw: int | None
    split: int


def economy(trials: polars.DataFrame) -> Economy:
    """Count what was run and what a grid without sharing would have run.

    Parameters
    ----------
    trials
        `trials.parquet`.

    Notes
    -----
    Each cell of the grid (an arm on a task, under one condition, for one protocol) pretrains whatever its
    tuning and its finals start from, searches that pretraining where it is searched, tunes, and runs its
    finals. So a trial of the run counts once for every cell that needs its result: a pretraining for all
    tasks, conditions, protocols and derived arms that start from it; a draw of tuning for every protocol
    whose finals have weights of the same setting. Baselines belong to no protocol.
    """
    done = trials.filter(trials["status"] == "done")
    rows = list(done.iter_rows(named=True))
    seconds = {row["key"]: row["wall_seconds"] or 0.0 for row in rows}
    grid = Counter(_needed(rows))
    ran = sum(seconds[row["key"]] for row in rows if not row["cached"])
    return Economy(done.height, ran, grid.total(), sum(times * seconds[key] for key, times in grid.items()))


def _needed(rows: Iterable[Row]) -> Iterator[str]:
    """The keys of the trials of every cell of the grid, one cell after the other."""
    weights: dict[tuple[str | None, int | None], dict[str, Row]] = defaultdict(dict)
    searches: dict[tuple[str, int], set[str]] = defaultdict(set)
    learning: dict[_Cell, list[Row]] = defaultdict(list)
    for row in rows:
        if row["stage"] == "pretrain":
            weights[row["artifact"], row["pretraining_seed"]][row["strategy"]] = row
            if row["validation_score"] is not None:  # only the draws of a search are probed
                searches[row["strategy"], row["split"] or 0].add(row["key"])
        elif row["strategy"] is None:
            yield row["key"]
        else:
            condition = (row["label_fraction"], row["label_draw"], row["split"] or 0)
            learning[_Cell(row["strategy"], row["task"], *condition)].append(row)

    def pretraining(row: Row) -> Row | None:
        """What `row` starts from, or `None`; weights that two arms came to alike are its own arm's."""
        alike = weights.get((row["artifact"], row["pretraining_seed"]), {})
        return alike.get(row["strategy"]) or next(iter(alike.values()), None)

    for cell, of_cell in learning.items():
        serving = _serving([(row, pretraining(row)) for row in of_cell])
        for pairs in serving.values():
            keys = {row["key"] for row, _ in pairs}
            for start in (start for _, start in pairs if start is not None):
                keys |= {start["key"], *searches[start["strategy"], cell.split]}
            yield from keys


def _serving(pairs: Iterable[tuple[Row, Row | None]]) -> Mapping[str, list[tuple[Row, Row | None]]]:
    """Protocol to the trials of a cell that serve it, each with its pretraining; "" for any other."""
    serving: dict[str, list[tuple[Row, Row | None]]] = defaultdict(list)
    settings: dict[str | None, set[str]] = defaultdict(set)
    tuning = []
    for row, start in pairs:
        if row["stage"] == "tune":
            tuning.append((row, start))
            continue
        for protocol in row["protocols"] or [""]:
            serving[protocol].append((row, start))
            settings[_setting(start)].add(protocol)
    for row, start in tuning:
        for protocol in settings.get(_setting(start), {""}):
            serving[protocol].append((row, start))
    return serving


def _setting(start: Row | None) -> str | None:
    return None if start is None else start["hyperparameters"]
