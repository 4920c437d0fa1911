"""One trial, in whatever process: from a small payload to a folder of results.

The payload holds names, paths and numbers, never data or weights, so that it travels anywhere. What comes
back is small too: the outcome. Everything else is in the trial's folder before the outcome is returned, so
a driver that dies in between finds the trial done.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import shutil
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from harness.artifacts import ArtifactStore, model_files, read_model
from harness.door import Door, ProgressLog
from harness.files import copy_folder, storage_error, storage_failure_in, utc_now, write_folder
from harness.labels import labelled_view
from harness.measure import Cost, measured, prepared_process, processor_name
from harness.openings import record_opening
from harness.outputs import curves_table, exhibit_files, prediction_tables
from harness.resources import TrialResources
from harness.results import RunFolder, read_result, result_files, result_text
from harness.search.halving import Bracket, TrialStopped
from harness.specs import TrialSpec
from harness.watchdog import TimeLimitReachedError, printed_to, time_limit
from registry.catalog import Catalogue
from registry.contracts import (
    Artifact,
    Domain,
    FittedModel,
    InputError,
    Predictions,
    Task,
    TrialContext,
)
from registry.contracts.context import OpenSplit, Report

Payload = Mapping[str, Any]
RESULT_SCHEMA = 1


@dataclass(frozen=True)
class Produced:
    """What the work of a trial left: scores, weights, tables and pictures."""

    validation: Mapping[str, float]
    validation_score: float | None = None
    artifact: str | None = None
    predictions: Predictions | None = None
    exhibits: tuple[Any, ...] = ()
    model: Artifact | None = None


def make_payload(
    spec: TrialSpec,
    *,
    arm: str,
    run: Path,
    cache: Path,
    cohort_folder: Path,
    test_folder: Path | None = None,
    plugins: tuple[str, ...],
    artifact: str | None,
    draw: int | None,
    protocols: list[str],
    resources: TrialResources,
    threads: int,
    bracket: Mapping[str, Any] | None = None,
    keep_model: bool = False,
    restore_from: Path | None = None,
) -> dict[str, Any]:
    """Everything a worker must be told to run `spec`.

    Parameters
    ----------
    cohort_folder, test_folder
        Where train and validation are, and for final trials alone where the test split is.
    bracket
        Of a tuning trial that may be stopped early: the folder where it meets the others of its cell, the
        rungs and the reduction.
    keep_model
        Whether a final model's weights stay in the trial's folder.
    restore_from
        Where a final model is taken from instead of being fitted; for the checks of what a task keeps.
    """
    return {
        "key": spec.key,
        "spec": spec.as_dict(),
        "arm": arm,
        "run": str(run),
        "cache": str(cache),
        "cohort_folder": str(cohort_folder),
        "test_folder": None if test_folder is None else str(test_folder),
        "plugins": list(plugins),
        "artifact": artifact,
        "draw": draw,
        "protocols": protocols,
        "resources": resources.as_dict(),
        "device": resources.device,
        "threads": threads,
        "bracket": None if bracket is None else dict(bracket),
        "keep_model": keep_model,
        "restore_from": None if restore_from is None else str(restore_from),
    }


def execute(payload: Payload, *, expendable: bool = False) -> dict[str, Any]:
    """Run one trial and write its folder.

    Parameters
    ----------
    expendable
        Whether this process is a worker's: what the trial prints goes to its log, and a trial that ignores
        its time limit takes the process with it.

    Returns
    -------
    dict
        `key`, `status` (`done`, `failed`, `out_of_memory`, or `storage` where the disk took no more), the
        trial's `row`, `test_openings`, and for failures `error` and `traceback`. An exception in a strategy
        or task is a failure of the trial, never of the worker.
    """
    attempt = Attempt(payload)
    if attempt.run.trial(payload["key"]).is_dir():  # a worker that outlived its driver was faster
        row = read_result(attempt.run.trial(payload["key"]))
        return {"key": payload["key"], "status": "done", "row": row, "test_openings": row["test_openings"]}
    log, last_words = attempt.run.log(payload["key"]), attempt.run.last_words(payload["key"])
    try:
        with (
            printed_to(log, attempt.spec.label) if expendable else contextlib.nullcontext(),
            time_limit(
                payload["resources"]["time_limit_seconds"], last_words=last_words if expendable else None
            ),
        ):
            attempt.work()
    except (Exception, SystemExit, TimeLimitReachedError) as error:
        return attempt.failure(error)
    return {
        "key": payload["key"],
        "status": "done",
        "row": attempt.row,
        "test_openings": attempt.test_openings,
    }


class TrialLog(Protocol):
    """Where a trial's reports go."""

    curves: list[tuple[int, str, float]]

    def __call__(self, step: int, steps: int, **values: float) -> None:
        """Take in `values` after `step` of `steps`."""

    def clear(self) -> None:
        """The trial is over."""


class Attempt:
    """One execution of a trial: what it was told, what it may use, what it has become so far."""

    def __init__(self, payload: Payload) -> None:
        self.payload = payload
        self.spec = TrialSpec.from_dict(payload["spec"])
        self.run = RunFolder(Path(payload["run"]))
        self.cache = Path(payload["cache"])
        self.store = ArtifactStore(self.cache)
        self.scratch = self.run.scratch / payload["key"]
        self.log: TrialLog = ProgressLog(self.run.scratch / f"{payload['key']}.json")
        self.row = _new_row(payload)
        self.test_openings = 0

    def work(self) -> None:
        """Do everything from the first seed to the last file."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        catalogue = _catalogue(tuple(self.payload["plugins"]))
        _check_same_code(self.spec, catalogue)
        domain = catalogue.domain(self.spec.domain)
        process = prepared_process(
            seed=self.spec.random_seed, threads=self.payload["threads"], libraries=domain.libraries
        )
        cost = Cost()
        try:
            with process, measured(cost):
                produced = (
                    self._pretrain(catalogue, domain) if self._pretrains else self._learn(catalogue, domain)
                )
        except TrialStopped as stopped:
            produced = Produced({})
            self.row |= {"pruned_at": stopped.share, "interim_score": stopped.score}
        finally:
            self.row |= vars(cost)
        self.row |= {
            "status": "done",
            "finished": utc_now(),
            "validation": dict(produced.validation),
            "validation_score": produced.validation_score,
            "artifact": produced.artifact or self.payload["artifact"],
        }
        self._write(produced)

    def failure(self, error: BaseException) -> dict[str, Any]:
        """The outcome of an attempt that ended with `error`."""
        storage = storage_failure_in(error)
        memory_of = None if storage else _exhausted_memory(error)
        status = "storage" if storage else "out_of_memory" if memory_of else "failed"
        self.row |= {"status": "failed", "finished": utc_now(), "error": _last_line(error)}
        return {
            "key": self.payload["key"],
            "status": status,
            "row": self.row,
            "error": self.row["error"] if storage is None else str(storage_error(storage)),
            "memory_of": memory_of,
            "traceback": "".join(traceback.format_exception(error)),
            "test_openings": self.test_openings,
        }

    @property
    def _pretrains(self) -> bool:
        return self.spec.stage == "pretrain"

    def _context(self, open_split: OpenSplit) -> TrialContext:
        spec = self.spec
        drawn = spec.pretraining_hyperparameters if self._pretrains else spec.hyperparameters
        return TrialContext(
            hyperparameters=dict(drawn or {}),
            factors=dict(spec.factors),
            settings=dict(spec.settings),
            seed=spec.random_seed,
            device=self.payload["device"],
            precision="float32",
            threads=self.payload["threads"],
            open_split=open_split,
            report=self.log,
            scratch=self.scratch,
        )

    def _door(self, domain: Domain) -> Door:
        test = self.payload["test_folder"]
        return Door(domain, Path(self.payload["cohort_folder"]), test=None if test is None else Path(test))

    def _pretrain(self, catalogue: Catalogue, domain: Domain) -> Produced:
        strategy = catalogue.strategy(str(self.spec.strategy))
        context = self._context(self._door(domain).learning_view)
        artifact = strategy.pretrain(context)
        if not isinstance(artifact, Artifact):
            raise TypeError(
                f"strategy {self.spec.strategy!r} returned {type(artifact).__name__}, not an Artifact"
            )
        if set(artifact.parts) != strategy.card.provides:
            raise ValueError(
                f"strategy {self.spec.strategy!r} declares parts {sorted(strategy.card.provides)} "
                f"and returned {sorted(artifact.parts)}"
            )
        _check_finite(artifact, str(self.spec.strategy))
        validation, score = dict(artifact.validation), None
        if (probe := self.spec.probe) is not None:
            score = validation[probe] = _finite(domain.probe(probe, context, artifact), f"probe {probe!r}")
        return Produced(validation, score, artifact=self.store.save(artifact))

    def _learn(self, catalogue: Catalogue, domain: Domain) -> Produced:
        """Fit on train, score on validation; in the final stage open the test split, once, and predict."""
        task, baseline = catalogue.task(str(self.spec.task)), self.spec.baseline
        door = self._door(domain)
        context = self._context(labelled_view(door.learning_view, domain, task.card.part, self.spec))
        if (folder := self.payload.get("restore_from")) is not None:
            return self._predict_again(task, context, door, Path(folder))
        if baseline is None:
            context = replace(context, report=self._watched(task))
            model = task.fit(context, self.store.load(self.payload["artifact"]))
        else:
            model = task.fit_baseline(baseline, context)
        score = _primary_score(task, model)
        validation = {name: float(value) for name, value in model.validation.items()}
        if self.spec.stage == "tune":
            return Produced(validation, score)
        split = self._open_test(door, task.card.part)
        if baseline is not None:
            predictions = task.predict_baseline(baseline, context, model, split)
            return Produced(validation, score, predictions=predictions)
        predictions = task.predict(context, model, split)
        exhibits = tuple(task.exhibits(context, model, split))
        kept = task.keep(context, model) if self.payload.get("keep_model") else None
        return Produced(validation, score, predictions=predictions, exhibits=exhibits, model=kept)

    def _predict_again(self, task: Task, context: TrialContext, door: Door, folder: Path) -> Produced:
        """Predict with a model that an earlier trial kept; nothing is fitted or scored."""
        kept = read_model(folder)
        if kept is None:
            raise FileNotFoundError(f"{folder} keeps no model")
        split = self._open_test(door, task.card.part)
        return Produced({}, predictions=task.predict(context, task.restore(context, kept), split))

    def _open_test(self, door: Door, part: str) -> Any:
        """Open the test split; that is on the ledger before it happens."""
        self.test_openings += 1
        record_opening(self.cache, cohort=self.spec.cohort, part=part, key=self.spec.key, run=self.run.root)
        return door.open_test(part)

    def _watched(self, task: Task) -> Report:
        """Reports go to the log and, where trials may be stopped early, scores to their bracket."""
        if (told := self.payload.get("bracket")) is None:
            return self.log
        primary = task.card.primary
        bracket = Bracket.from_payload({**told, "direction": primary.direction}, self.payload["key"])

        def report(step: int, steps: int, **values: float) -> None:
            self.log(step, steps, **values)
            for name in (primary.metric, f"validation_{primary.metric}"):
                if name in values:
                    bracket.report(step / steps, float(values[name]))

        return report

    def _write(self, produced: Produced) -> None:
        """Put the trial's folder into place; a pretraining goes to the cache too, for every later run."""
        key = self.payload["key"]
        result = {
            "schema": RESULT_SCHEMA,
            **self.row,
            "spec": self.payload["spec"],
            "test_openings": self.test_openings,
        }
        tables = {"curves": curves_table(key, self.log.curves)}
        if produced.predictions is not None:
            tables |= prediction_tables(key, produced.predictions)
        others = exhibit_files(produced.exhibits)
        if produced.model is not None:
            others |= model_files(produced.model)
        files = result_files(result, tables, others)
        if self._pretrains:
            write_folder(self.cache / "pretraining" / key, files)
        write_folder(self.run.trial(key), files)
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.log.clear()


def _primary_score(task: Task, model: FittedModel) -> float:
    metric = task.card.primary.metric
    if metric not in model.validation:
        raise ValueError(
            f"task {task.card.name!r} is judged by {metric!r}, its validation scores are "
            f"{sorted(model.validation)}"
        )
    return _finite(model.validation[metric], f"validation score {metric!r}")


def _finite(value: float, name: str) -> float:
    score = float(value)
    if not math.isfinite(score):
        raise ValueError(f"{name} is {score}: training diverged")
    return score


def _check_finite(artifact: Artifact, strategy: str) -> None:
    """Weights or scores that are no numbers are a failure, here and not in everything that builds on them."""
    for part, weights in artifact.parts.items():
        for name, array in weights.items():
            if not np.isfinite(array).all():
                raise ValueError(
                    f"strategy {strategy!r}: weights {part}.{name} are not finite: training diverged"
                )
    for name, value in artifact.validation.items():
        if not math.isfinite(value):
            raise ValueError(
                f"strategy {strategy!r}: validation score {name!r} is {value}: training diverged"
            )


def _exhausted_memory(error: BaseException) -> Literal["host", "gpu"] | None:
    """Which memory ran out, if that is what `error` says; torch has its own ways to say it."""
    text = str(error)
    if type(error).__name__ == "OutOfMemoryError" or "CUDA out of memory" in text:
        return "gpu"
    if isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate memory" in text:
        return "host"
    return None


def adopt_pretraining(key: str, *, run: RunFolder, cache: Path) -> bool:
    """Take the result of a pretraining that an earlier run left in the cache; whether there was one."""
    source = cache / "pretraining" / key
    if not (source / "result.json").is_file():
        return False
    result = json.loads((source / "result.json").read_bytes()) | {"cached": True}
    copy_folder(source, run.trial(key), result=result_text(result))
    return True


@functools.lru_cache(maxsize=4)
def _catalogue(plugins: tuple[str, ...]) -> Catalogue:
    """The catalogue of this process; loading a plug-in twice would declare it twice."""
    return Catalogue.load(plugins).frozen()


def _check_same_code(spec: TrialSpec, catalogue: Catalogue) -> None:
    """A plug-in that was edited since the run was planned would give results under a wrong identity."""
    planned = [(catalogue.tasks, spec.task, spec.task_plugin)]
    if spec.stage == "pretrain":
        planned = [(catalogue.strategies, spec.strategy, spec.strategy_plugin)]
    for entries, name, digest in planned:
        if name is not None and name in entries and entries[name].digest != digest:
            raise InputError(
                f"plug-in {entries[name].origin} has changed since this run began",
                mend="give the same command again: changed strategies and tasks are run anew",
            )


def _new_row(payload: Payload) -> dict[str, Any]:
    """The trial's row of `trials.parquet`, as far as it is known before the work."""
    spec = payload["spec"]
    hyperparameters = "pretraining_hyperparameters" if spec["stage"] == "pretrain" else "hyperparameters"
    return {
        "key": payload["key"],
        "strategy": payload["arm"] or None,
        **{name: spec[name] for name in ("stage", "baseline", "task", "seed", "pretraining_seed")},
        "protocols": payload["protocols"],
        "draw": payload["draw"],
        "status": "failed",
        "error": None,
        "hyperparameters": spec[hyperparameters],
        "validation_score": None,
        "validation": {},
        "pruned_at": None,
        "interim_score": None,
        "started": utc_now(),
        "finished": None,
        "device": payload["device"],
        "threads": payload["threads"],
        "processor": processor_name(),
        "cached": False,
        "artifact": payload["artifact"],
        "label_fraction": spec.get("label_fraction"),
        "label_draw": spec.get("label_draw"),
    }


def _last_line(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
