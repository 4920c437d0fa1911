"""From long records to arrays: what one table is computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from reports.errors import RecordsError
from reports.frame import Run
from reports.statistics.agreement import PatientSums, own_sums, shared_sums
from reports.statistics.arrays import Array
from reports.statistics.resampled import Kind, Replicates

#: Pretraining seed, label draw and final seed of a trial.
SeedKey = tuple[int | None, int | None, int | None]

#: Words of a baseline's name that are written in capitals.
ABBREVIATIONS = frozenset({"cnn", "gp", "knn", "ols", "pca", "pls", "rbf", "svm", "svr"})

#: Statistics without a unit.
PURE_NUMBERS = ("r2", "r2_pearson", "slope", "ccc")

#: Predictions are made in single precision: below this share of its scale a result is rounding.
ROUNDING_SHARE = 1e-6


@dataclass(frozen=True)
class Entry:
    """A column of a comparison: an arm or a baseline."""

    name: str
    title: str
    baseline: bool

    @property
    def key(self) -> str:
        """Unique among arms and baselines."""
        return f"{'baseline' if self.baseline else 'arm'}:{self.name}"


@dataclass(frozen=True)
class Sample:
    """The test results of one task under one protocol.

    Parameters
    ----------
    rows
        Names of the measures or scores.
    patients
        (scans,) index of each scan's patient.
    patient_count
        Number of patients.
    targets
        (scans, rows), or `None` for scores.
    values
        Entry key to (replicates, scans, rows): predictions or scores, NaN where missing.
    seeds
        Entry key to the (pretraining seed, label draw, final seed) of each replicate.
    valid
        (scans, rows): 1 where every entry that has the row at all has a finite value.
    fallbacks
        Entry key to (replicates, rows): what stands in for a prediction that could not be made (the mean of
        the training targets), NaN where none was recorded.
    """

    rows: tuple[str, ...]
    patients: NDArray[np.int64]
    patient_count: int
    targets: Array | None
    values: Mapping[str, Array]
    seeds: Mapping[str, tuple[SeedKey, ...]]
    valid: Array
    fallbacks: Mapping[str, Array]

    def counts(self, row: int) -> tuple[int, int]:
        """Patients and scans that count for a row."""
        used = self.valid[:, row] > 0
        return len(np.unique(self.patients[used])), int(used.sum())

    def left_out(self, row: int) -> int:
        """Scans that some entry lacks in a row and that therefore count for none."""
        return int((self.valid[:, row] == 0).sum())

    def rounding(self, statistic: str) -> Array:
        """(rows,) the size below which a difference in this statistic is rounding, not a result.

        A millionth of the scale: 1 for pure numbers, the largest target for `rmse`, `mae` and `bias`, the
        largest score for `mean`; each in absolute value.
        """
        if statistic in PURE_NUMBERS:
            return np.full(len(self.rows), ROUNDING_SHARE)
        shown = [self.targets] if self.targets is not None else list(self.values.values())
        largest = [
            np.where(np.isfinite(one), np.abs(one), 0.0).reshape(-1, len(self.rows)).max(0) for one in shown
        ]
        return np.asarray(ROUNDING_SHARE * np.max(largest, axis=0))

    def sums(self) -> dict[str, PatientSums]:
        """Sums per patient of every entry, the shared ones computed once."""
        shared = shared_sums(self.patients, self.patient_count, self.targets, self.valid)
        sums = {}
        for key, values in self.values.items():
            own = own_sums(self.patients, self.patient_count, values, self.targets, self.valid)
            absent = np.isnan(values).all((0, 1))
            for array in own.values():
                array[..., absent] = np.nan
            sums[key] = PatientSums(shared, own)
        return sums


def replicates(seeds: Sequence[SeedKey]) -> Replicates:
    """The units to resample: pretraining seeds where there are several, else label draws, else final seeds.

    What comes later in this list stays inside its unit: resampled as a whole, with one draw fewer than there
    are units, its variation is part of the variation between units and needs no second draw.

    Examples
    --------
    >>> replicates([(0, None, 1), (0, None, 2)])
    Replicates(kind='seed', units=(1, 2), unit_of=(0, 1))
    >>> replicates([(0, None, 1), (0, None, 2), (5, None, 1)])
    Replicates(kind='pretraining', units=(0, 5), unit_of=(0, 0, 1))
    """
    kinds: tuple[Kind, ...] = ("pretraining", "label", "seed")
    for position, kind in enumerate(kinds):
        labels = [-1 if key[position] is None else int(key[position] or 0) for key in seeds]
        units = tuple(sorted(set(labels)))
        if len(units) > 1:
            return Replicates(kind, units, tuple(units.index(label) for label in labels))
    return Replicates("none", (0,), (0,) * len(seeds))


def shared_seeds(first: Sequence[SeedKey], second: Sequence[SeedKey]) -> list[tuple[int, int]] | None:
    """Positions of the replicates that two entries have in common; `None` where they are not paired.

    An entry with one pretraining seed is compared by its label draws and final seeds. Entries are not paired
    if one of them has a single replicate, if one has several pretraining seeds and the other one, or if no
    seed is shared.
    """
    if len(first) == 1 or len(second) == 1:
        return None
    several = [len({key[0] for key in keys}) > 1 for keys in (first, second)]
    if several[0] != several[1]:
        return None
    names = [[key if several[0] else (None, *key[1:]) for key in keys] for keys in (first, second)]
    positions = {key: index for index, key in enumerate(names[1])}
    return [(index, positions[key]) for index, key in enumerate(names[0]) if key in positions] or None


def readable(name: str) -> str:
    """A declared name as a title: words apart, abbreviations and the first letter in capitals.

    Examples
    --------
    >>> readable("pca_ridge"), readable("mean")
    ('PCA ridge', 'Mean')
    """
    words = [word.upper() if word in ABBREVIATIONS else word for word in name.split("_") if word]
    title = " ".join(words) or name
    return title[:1].upper() + title[1:]


def entries_of(run: Run, task: Mapping[str, Any]) -> list[Entry]:
    """Baselines, then the arms that compete, as declared."""
    baselines = [Entry(name, readable(name), True) for name in task["baselines"]]
    return baselines + [Entry(name, arm["title"], False) for name, arm in run.main_arms.items()]


def final_trials(run: Run, task: str, protocol: str) -> pl.DataFrame:
    """Final trials of a task under a protocol on all labels and the cohort's own split, done or not."""
    return every_final_trial(run, task, protocol).filter(
        pl.col("label_fraction").is_null() & (pl.col("split").fill_null(0) == 0)
    )


def every_final_trial(run: Run, task: str, protocol: str) -> pl.DataFrame:
    """Final trials of a task under a protocol, label subsets and repeated splits too.

    Returns
    -------
    DataFrame
        The columns of `trials`, and `entry`: key of the arm or baseline.
    """
    units = ("split", "label_fraction", "pretraining_seed", "label_draw", "seed")
    return (
        run.trials.filter(
            (pl.col("stage") == "final")
            & (pl.col("task") == task)
            & pl.col("protocols").list.contains(protocol).fill_null(False)
        )
        .sort("strategy", "baseline", *units, "key", nulls_last=False)
        .with_columns(
            entry=pl.when(pl.col("strategy").is_null())
            .then(pl.format("baseline:{}", pl.col("baseline")))
            .otherwise(pl.format("arm:{}", pl.col("strategy")))
        )
    )


def build_sample(
    run: Run, trials: pl.DataFrame, source: str, rows: Sequence[str], entries: Sequence[str]
) -> Sample | None:
    """Arrays of the test results of some final trials of one task; `None` where none left any.

    Parameters
    ----------
    trials
        Final trials with their `entry`; only those that are done count.
    source, rows
        `predictions` or `scores`, and the measures or metrics to read.
    entries
        Which entries, in order.

    Raises
    ------
    RecordsError
        If a (trial, scan, measure) occurs twice, a scan has two patients, or trials disagree about a target.
    """
    done = trials.filter((pl.col("status") == "done") & pl.col("entry").is_in(list(entries)))
    name, value = ("measure", "prediction") if source == "predictions" else ("metric", "value")
    table = (run.predictions if source == "predictions" else run.scores).filter(
        pl.col("key").is_in(done["key"].to_list()) & pl.col(name).is_in(list(rows))
    )
    if table.is_empty():
        return None
    task = done["task"][0]
    scans = _scans(table, source, task)
    patients = scans["patient"].unique().sort()
    codes = {patient: index for index, patient in enumerate(patients)}
    trial_codes = {key: index for index, key in enumerate(done["key"])}
    placed = table.with_columns(
        trial=_position(pl.col("key"), trial_codes),
        column=_position(pl.col(name), {row: i for i, row in enumerate(rows)}),
        line=_position(pl.col("scan"), {scan: i for i, scan in enumerate(scans["scan"])}),
    )
    place = tuple(placed[one].to_numpy() for one in ("trial", "line", "column"))
    dense = np.full((len(trial_codes), len(scans), len(rows)), np.nan)
    _check_once(place, dense.shape, source, task)
    dense[place] = placed[value].fill_null(np.nan).to_numpy()
    targets = _targets(dense.shape, place, placed, task) if source == "predictions" else None
    fallback = np.full((len(trial_codes), len(rows)), np.nan)
    if source == "predictions":
        known = placed.filter(pl.col("fallback").is_finite())
        fallback[known["trial"].to_numpy(), known["column"].to_numpy()] = known["fallback"].to_numpy()
    values: dict[str, Array] = {}
    fallbacks: dict[str, Array] = {}
    seeds: dict[str, tuple[SeedKey, ...]] = {}
    recorded = done.filter(pl.col("key").is_in(table["key"].unique().to_list()))
    for entry in entries:
        own = recorded.filter(pl.col("entry") == entry)
        if len(own):
            index = [trial_codes[key] for key in own["key"]]
            values[entry], fallbacks[entry] = dense[index], fallback[index]
            seeds[entry] = tuple(zip(own["pretraining_seed"], own["label_draw"], own["seed"], strict=True))
    return Sample(
        tuple(rows),
        np.array([codes[patient] for patient in scans["patient"]], dtype=np.int64),
        len(patients),
        targets,
        values,
        seeds,
        valid_everywhere(values, targets),
        fallbacks,
    )


def _scans(table: pl.DataFrame, source: str, task: str) -> pl.DataFrame:
    """Every scan with its patient, in order."""
    scans = table.select("scan", "patient").unique().sort("patient", "scan")
    if scans["scan"].n_unique() != len(scans):
        raise RecordsError(
            f"{source}.parquet: a scan of task {task!r} belongs to two patients",
            mend="scan identifiers must be unique; without that no interval over patients is possible",
        )
    return scans


def _position(column: pl.Expr, positions: Mapping[str, int]) -> pl.Expr:
    return column.replace_strict(positions, return_dtype=pl.Int64)


def _check_once(place: tuple[Any, ...], shape: tuple[int, ...], source: str, task: str) -> None:
    """No (trial, scan, row) may stand in a table twice."""
    filled = np.zeros(shape, dtype=bool)
    filled[place] = True
    if int(filled.sum()) < len(place[0]):
        raise RecordsError(
            f"{source}.parquet: task {task!r} has a scan twice in one trial", mend="run the suite again"
        )


def _targets(shape: tuple[int, ...], place: tuple[Any, ...], placed: pl.DataFrame, task: str) -> Array:
    """The targets (scans, rows), which every trial must agree about."""
    every = np.full(shape, np.nan)
    every[place] = placed["target"].fill_null(np.nan).to_numpy()
    known = ~np.isnan(every)
    low = np.where(known, every, np.inf).min(0)
    high = np.where(known, every, -np.inf).max(0)
    if (known.any(0) & (high - low > 1e-6 * np.maximum(1.0, np.abs(high)))).any():
        raise RecordsError(
            f"predictions.parquet: the trials of task {task!r} disagree about a target",
            mend="they were not judged on the same data; run the suite again into a new folder",
        )
    return np.where(known.any(0), high, np.nan)


def valid_everywhere(values: Mapping[str, Array], targets: Array | None) -> Array:
    """1 where every entry has a finite value; an entry that lacks a whole row does not count for that row."""
    first = next(iter(values.values()))
    valid = np.ones(first.shape[1:]) if targets is None else np.isfinite(targets).astype(float)
    for array in values.values():
        absent = np.isnan(array).all((0, 1))
        valid *= np.isfinite(array).all(0) | absent
    return valid
