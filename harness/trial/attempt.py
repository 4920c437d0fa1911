"""One attempt at a trial: learning, judging, and what is kept of it."""

from __future__ import annotations

import functools
import shutil
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from harness.artifacts import ArtifactStore, read_model
from harness.door import Door, ProgressLog
from harness.files import storage_error, storage_failure_in, utc_now, write_folder
from harness.labels import labelled_view
from harness.measure import Cost, measured, prepared_process
from harness.openings import record_opening
from harness.results import RunFolder
from harness.search.halving import Bracket, TrialStopped
from harness.specs import TrialSpec
from harness.trial.checks import check_artifact, check_same_code, finite_score, primary_score
from harness.trial.failures import exhausted_memory, last_line
from harness.trial.payload import Payload
from harness.trial.produced import Produced, trial_files
from harness.trial.row import new_row
from registry.catalog import Catalogue
from registry.contracts import Domain, Task, TrialContext
from registry.contracts.context import OpenSplit, Report


class TrialLog(Protocol):
    """Where a trial's reports go."""

    curves: list[tuple[int, str, float]]

    def __call__(self, step: int, steps: int, **values: float) -> None:
        """Take in `values` after `step` of `steps`."""

    def clear(self) -> None:
        """The trial is over."""


class Attempt:
    """One execution of a trial: what it was told, what it may use, what it has become so far.

    Parameters
    ----------
    payload
        What `make_payload` made.
    log
        Makes the log that the trial reports to, from the path of its sign of life.

    Notes
    -----
    What an attempt opens and keeps is in `open_test` and `keep`, for those who watch a trial without them.
    """

    def __init__(self, payload: Payload, log: Callable[[Path], TrialLog] = ProgressLog) -> None:
        self.payload = payload
        self.spec = TrialSpec.from_dict(payload["spec"])
        self.run = RunFolder(Path(payload["run"]))
        self.cache = Path(payload["cache"])
        self.store = ArtifactStore(self.cache)
        self.scratch = self.run.scratch / payload["key"]
        self.log = log(self.run.scratch / f"{payload['key']}.json")
        self.row = new_row(payload)
        self.test_openings = 0

    def work(self) -> None:
        """Do everything from the first seed to the last file."""
        self.scratch.mkdir(parents=True, exist_ok=True)
        catalogue = _catalogue(tuple(self.payload["plugins"]))
        check_same_code(self.spec, catalogue)
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
        self.keep(produced)

    def failure(self, error: BaseException) -> dict[str, Any]:
        """The outcome of an attempt that ended with `error`."""
        storage = storage_failure_in(error)
        memory_of = None if storage else exhausted_memory(error)
        status = "storage" if storage else "out_of_memory" if memory_of else "failed"
        self.row |= {"status": "failed", "finished": utc_now(), "error": last_line(error)}
        return {
            "key": self.payload["key"],
            "status": status,
            "row": self.row,
            "error": self.row["error"] if storage is None else str(storage_error(storage)),
            "memory_of": memory_of,
            "traceback": "".join(traceback.format_exception(error)),
            "test_openings": self.test_openings,
        }

    def open_test(self, door: Door, part: str) -> Any:
        """Open the test split; that is on the ledger before it happens."""
        self.test_openings += 1
        record_opening(self.cache, cohort=self.spec.cohort, part=part, key=self.spec.key, run=self.run.root)
        return door.open_test(part)

    def keep(self, produced: Produced) -> None:
        """Put the trial's folder into place; a pretraining goes to the cache too, for every later run."""
        key = self.payload["key"]
        files = trial_files(
            produced,
            self.row,
            spec=self.payload["spec"],
            test_openings=self.test_openings,
            curves=self.log.curves,
        )
        if self._pretrains:
            write_folder(self.cache / "pretraining" / key, files)
        write_folder(self.run.trial(key), files)
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.log.clear()

    @property
    def _pretrains(self) -> bool:
        return self.spec.stage == "pretrain"

    def _context(self, open_split: OpenSplit) -> TrialContext:
        spec = self.spec
        drawn = spec.pretraining_hyperparameters if self._pretrains else spec.hyperparameters
        return TrialContext(
            hyperparameters=dict(drawn or {}),
            factors=dict(spec.factors),
            settings={**spec.settings, **self.payload["execution"]},
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
        artifact = check_artifact(strategy.pretrain(context), strategy)
        validation, score = dict(artifact.validation), None
        if (probe := self.spec.probe) is not None:
            score = validation[probe] = finite_score(
                domain.probe(probe, context, artifact), f"probe {probe!r}"
            )
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
        score = primary_score(task, model)
        validation = {name: float(value) for name, value in model.validation.items()}
        if self.spec.stage == "tune":
            return Produced(validation, score)
        split = self.open_test(door, task.card.part)
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
        split = self.open_test(door, task.card.part)
        return Produced({}, predictions=task.predict(context, task.restore(context, kept), split))

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


@functools.lru_cache(maxsize=4)
def _catalogue(plugins: tuple[str, ...]) -> Catalogue:
    """The catalogue of this process; loading a plug-in twice would declare it twice."""
    return Catalogue.load(plugins).frozen()
