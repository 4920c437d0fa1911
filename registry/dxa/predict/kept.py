"""The weights that a run kept of its final models."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.contracts import Artifact, DataError, InputError
from registry.dxa.imaging import GRID, Grid

if TYPE_CHECKING:
    import polars

#: What a run is asked for so that its models stay.
_KEEP = "run the suite with --keep-models into a new folder (finished trials are not repeated)"


@dataclass(frozen=True)
class KeptModel:
    """A trained model as files have it.

    Attributes
    ----------
    key
        Of its trial.
    validation_score, metric
        Of its task's primary metric, and what that is called.
    simulated
        Whether it learned from simulated scans.
    artifact
        Its weights, and what is needed to build it again.
    task_version
        Of the task that it was trained for.
    settings, hyperparameters, seed
        With which it was trained.
    """

    key: str
    validation_score: float
    metric: str
    simulated: bool
    artifact: Artifact
    task_version: str
    settings: Mapping[str, Any]
    hyperparameters: Mapping[str, Any]
    seed: int

    @property
    def grid(self) -> Grid:
        """Pixels of the scans that it learned from; the simulated scanner's where the task does not say."""
        declared = self.artifact.metadata.get("grid")
        return GRID if declared is None else Grid(**declared)


@dataclass(frozen=True)
class KeptTrial:
    """A final trial of an arm that kept its model.

    Attributes
    ----------
    run, task
        Where it is, and what was learned.
    record, row
        What the run says of itself, and of this trial.
    """

    run: Path
    task: str
    record: Mapping[str, Any]
    row: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Of the trial."""
        return str(self.row["key"])

    @property
    def part(self) -> str:
        """Of the cohort, that the task learns from."""
        return str(_described(self.record, self.task)["part"])

    def read(self) -> KeptModel:
        """Its model; raises as `find_model` does."""
        return _kept(self.run, self.record, self.task, self.row)


def find_model(run: Path, *, arm: str, task: str, protocol: str, seed: int | None = None) -> KeptModel:
    """The final model of an arm on a task with the best validation score, or that of a seed.

    Models of label fractions and of other splits are left out.

    Raises
    ------
    InputError
        If the run is of another domain, has no such final trial, or kept no models.
    DataError
        If a file of the run is missing or damaged.
    """
    import polars as pl  # noqa: PLC0415 - seconds, and only where a run is read

    record, found = _final_trials(run, task)
    _check_arms(run, task, found, (arm,))
    found = found.filter(pl.col("strategy") == arm, pl.col("protocols").list.contains(protocol))
    if seed is not None:
        found = found.filter(pl.col("seed") == seed)
    if not found.height:
        raise InputError(
            f"{run} has no final trial of {arm} on {task}, protocol {protocol}, seed {seed}",
            mend="give another --protocol or --seed",
        )
    best_first = _described(record, task)["primary"]["direction"] == "max"
    row = found.sort("validation_score", descending=best_first, nulls_last=True).row(0, named=True)
    return _kept(run, record, task, row)


def kept_trials(
    run: Path,
    *,
    task: str,
    arms: Sequence[str] = (),
    protocols: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> list[KeptTrial]:
    """All final trials of a task with a kept model, or those of some arms, protocols and final seeds.

    Raises
    ------
    InputError
        If the run has none, or if one of them kept no model.
    DataError
        If a file of the run is missing or damaged.
    """
    record, found = _final_trials(run, task)
    _check_arms(run, task, found, arms)
    trials = [
        KeptTrial(run, task, record, row)
        for row in found.sort("strategy", "seed", "key").iter_rows(named=True)
        if (not arms or row["strategy"] in arms)
        and (not protocols or set(protocols) & set(row["protocols"]))
        and (not seeds or row["seed"] in seeds)
    ]
    if not trials:
        asked = f"protocol {list(protocols) or 'any'}, final seed {list(seeds) or 'any'}"
        raise InputError(
            f"{run} has no final trial of an arm on {task}, {asked}",
            mend="give another --task, --arm, --protocol or --seed",
        )
    for trial in trials:
        _check_kept(run / "trials" / trial.key)
    return trials


def _final_trials(run: Path, task: str) -> tuple[dict[str, Any], polars.DataFrame]:
    """`run.json`, and the arms' final trials of a task on all labels and the cohort's own split."""
    import polars as pl  # noqa: PLC0415

    record = _read_json(run / "run.json")
    try:
        trials = pl.read_parquet(run / "results" / "trials.parquet")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{run}/results/trials.parquet cannot be read ({error})", mend="finish the run"
        ) from error
    if record["domain"]["name"] != "dxa":
        raise InputError(
            f"{run} is a run of the domain {record['domain']['name']!r}", mend="give a run of the domain dxa"
        )
    _require_known(task, [one["name"] for one in record["tasks"]], f"{run} has no task")
    found = trials.filter(
        pl.col("stage") == "final",
        pl.col("status") == "done",
        pl.col("task") == task,
        pl.col("strategy").is_not_null(),
    )
    for column in ("label_fraction", "split"):
        if column in found.columns:
            found = found.filter(pl.col(column).fill_null(0) == 0)
    return record, found


def _check_arms(run: Path, task: str, found: polars.DataFrame, arms: Sequence[str]) -> None:
    known = sorted(set(found["strategy"].to_list()))
    for arm in arms:
        _require_known(arm, known, f"{run} has, on task {task!r}, no final trial of arm")


def _described(record: Mapping[str, Any], task: str) -> Mapping[str, Any]:
    described: Mapping[str, Any] = next(one for one in record["tasks"] if one["name"] == task)
    return described


def _kept(run: Path, record: Mapping[str, Any], task: str, row: Mapping[str, Any]) -> KeptModel:
    return KeptModel(
        key=row["key"],
        validation_score=row["validation_score"],
        metric=_described(record, task)["primary"]["label"],
        simulated=record["cohort"]["simulated"],
        artifact=_read_model(run / "trials" / row["key"]),
        task_version=_described(record, task)["version"],
        settings=record["suite"]["settings"],
        hyperparameters=json.loads(row["hyperparameters"]),
        seed=row["seed"] or 0,
    )


def _require_known(name: str, known: Sequence[str], problem: str) -> None:
    """Refuse a name that is not there, with those that are, the closest first."""
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise InputError(f"{problem} {name!r}", mend=f"{hint}There is: {', '.join(known) or 'none'}")


def _check_kept(folder: Path) -> None:
    if not (folder / "model.json").is_file():
        raise InputError(
            f"{folder} keeps no model",
            mend=f"{_KEEP}; a task of your own also has to implement keep(context, model)",
        )


def _read_model(folder: Path) -> Artifact:
    from safetensors.numpy import load  # noqa: PLC0415

    _check_kept(folder)
    digests = _read_json(folder / "result.json").get("files", {})
    contents = {}
    for name in sorted(name for name in digests if name.startswith("model.")):
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise DataError(f"{folder / name} cannot be read ({error})", mend=_KEEP) from error
        if hashlib.sha256(contents[name]).hexdigest() != digests[name]:
            raise DataError(f"{folder / name} is corrupt: its SHA-256 is not the recorded one", mend=_KEEP)
    metadata: dict[str, Any] = json.loads(contents.pop("model.json"))
    parts = {name.split(".")[1]: load(content) for name, content in contents.items()}
    return Artifact(parts, metadata)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing", mend="give the folder of a finished run") from error
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error})", mend="restore it or run the suite again"
        ) from error
    return record
