"""Experiment trackers through Ray's own callbacks: TensorBoard, MLflow, Weights & Biases. Imports Ray.

Off by default. They show curves and scores while a run goes on; the report never reads them.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from harness.executors.base import WorkersUnavailableError

#: What each tracker needs to be installed.
NEEDS = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
INSTALL = "pip install 'pretraining-harness[trackers]'"


class SeenTrial:
    """A trial as trackers see it: its label, what it tries, and a folder that stays."""

    def __init__(self, trial: Trial, folder: Path) -> None:
        self._trial = trial
        payload = json.loads(trial.config["payload"])
        spec = payload["spec"]
        pretrains = spec["stage"] == "pretrain"
        drawn = spec["pretraining_hyperparameters"] if pretrains else spec["hyperparameters"]
        named = {"arm": payload["arm"], "draw": payload["draw"]}
        named |= {name: spec[name] for name in ("stage", "task", "baseline", "seed", "pretraining_seed")}
        self.config = {key: value for key, value in named.items() if value is not None} | dict(drawn or {})
        self.evaluated_params = self.config
        self.trial_id = payload["key"][:16]
        self.label = " ".join(
            [spec["stage"], payload["arm"] or str(spec["baseline"]), spec["task"] or "", self.trial_id[:8]]
        )
        self.local_path = str(folder / self.label.replace(" ", "-").replace("/", "-"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trial, name)

    def __str__(self) -> str:
        return self.label

    def __hash__(self) -> int:
        return hash(self.trial_id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SeenTrial) and other.trial_id == self.trial_id

    def init_local_path(self) -> None:
        """Make the folder."""
        Path(self.local_path).mkdir(parents=True, exist_ok=True)


class Tracker(Callback):
    """Hands trials of the run, and only their numbers, to one of Ray's logging callbacks.

    A tracker that fails says so once and is left out: what it shows is no part of the run.
    """

    def __init__(self, name: str, inner: Any, folder: Path) -> None:
        self._name = name
        self._inner = inner
        self._folder = folder
        self._broken = False

    def setup(
        self, stop: Any = None, num_samples: Any = None, total_num_samples: Any = None, **info: Any
    ) -> None:
        """Connect."""
        self._hand_on("setup")

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial begins."""
        if seen := self._seen(trial):
            seen.init_local_path()
            self._hand_on("log_trial_start", seen)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A point of its curves, or its scores."""
        if seen := self._seen(trial):
            self._hand_on("log_trial_result", iteration, seen, numbers_of(result))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial is over; one with an exception is over too, and its result says so."""
        if seen := self._seen(trial):
            self._hand_on("log_trial_end", seen, failed=bool((trial.last_result or {}).get("failed")))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A worker was lost."""
        if seen := self._seen(trial):
            self._hand_on("log_trial_end", seen, failed=True)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Wait until everything is handed over."""
        if hasattr(self._inner, "on_experiment_end"):
            self._hand_on("on_experiment_end", trials)

    def _seen(self, trial: Trial) -> SeenTrial | None:
        return SeenTrial(trial, self._folder) if "payload" in trial.config else None

    def _hand_on(self, method: str, *arguments: Any, **named: Any) -> None:
        if self._broken:
            return
        try:
            getattr(self._inner, method)(*arguments, **named)
        except Exception as error:
            self._broken = True
            logging.getLogger("harness").error(
                "tracker %s is left out from now on: %s: %s", self._name, type(error).__name__, error
            )


def numbers_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a tracker logs of a result: its numbers, at the step where they were measured."""
    kept = {"training_iteration": result["training_iteration"]}
    if "step" in result:
        kept["timesteps_total"] = result["step"]
    return kept | {key: value for key, value in (result.get("numbers") or {}).items() if value is not None}


def make_trackers(names: Sequence[str], folder: Path, *, experiment: str) -> list[Tracker]:
    """The callbacks of the named trackers.

    Parameters
    ----------
    folder
        Where they write, unless `MLFLOW_TRACKING_URI` or a login of Weights & Biases leads elsewhere.
    experiment
        What they call the run.

    Raises
    ------
    WorkersUnavailableError
        If the package of one is not installed.
    """
    made = []
    for name in names:
        check_installed(name)
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        made.append(Tracker(name, _callback(name, place, experiment), place))
    return made


def check_installed(name: str) -> None:
    """Raise `WorkersUnavailableError` if the package of a tracker is missing."""
    try:
        importlib.import_module(NEEDS[name])
    except ImportError as error:
        raise WorkersUnavailableError(f"--track {name} needs {NEEDS[name]}", mend=INSTALL) from error


def _callback(name: str, folder: Path, experiment: str) -> Any:
    if name == "tensorboard":
        return importlib.import_module("ray.tune.logger").TBXLoggerCallback()
    if name == "mlflow":
        kind = importlib.import_module("ray.air.integrations.mlflow").MLflowLoggerCallback
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder}/mlflow.db"
        return kind(tracking_uri=uri, experiment_name=experiment)
    kind = importlib.import_module("ray.air.integrations.wandb").WandbLoggerCallback
    if not os.environ.get("WANDB_API_KEY"):
        os.environ.setdefault("WANDB_MODE", "offline")  # nothing leaves the machine unasked
    return kind(project=experiment, group=experiment, dir=str(folder))
