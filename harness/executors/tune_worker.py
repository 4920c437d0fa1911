"""What Ray Tune sees: a trainable that runs one trial, a searcher that asks the feed. Imports Ray."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import OutOfMemoryError
from ray.experimental import internal_kv
from ray.tune import Callback, CheckpointConfig, FailureConfig, RunConfig
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from harness.executors.feed import Feed
from harness.executors.points import curve_points, final_numbers, thinned
from harness.remote import execute_remotely
from harness.trial import execute

#: The Tuner never runs out of trials by itself: the searcher ends it.
ENDLESS = 10**9
WARM_UP_SECONDS = 60.0
#: Ray's words where its memory monitor ended a worker. ("OOM" alone is in its words for any dead worker.)
MEMORY_PRESSURE = re.compile(r"memory usage threshold|memory pressure|running low on memory")
WORKER_EXIT = re.compile(r"(?:node|actor|worker|task)[^.]*\bdied\b[^.]*", re.IGNORECASE)


class TrialTrainable(tune.Trainable):
    """One trial per configuration, in a process that is used again."""

    def setup(self, config: dict[str, Any]) -> None:
        """Keep the configuration."""
        self._take(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next configuration in the same process."""
        self._take(new_config)
        return True

    def _take(self, config: dict[str, Any]) -> None:
        self._told = config
        self._points: list[Mapping[str, Any]] | None = None
        self._end: dict[str, Any] = {}

    def step(self) -> dict[str, Any]:
        """Run the trial; an exception in it is in the outcome, so only a lost worker is Ray's failure."""
        if "payload" not in self._told:
            _wait_for_all(self._told["group"], self._told["name"], self._told["warm_up"])
            return {"done": True, "outcome": "{}"}
        if self._points is None:
            self._run()
        if self._points:
            return {"done": False, **self._points.pop(0)}
        return {"done": True, **self._end}

    def _run(self) -> None:
        """Run the trial to its end; for trackers, its curves follow as results of their own."""
        payload = json.loads(self._told["payload"])
        run = execute_remotely if "storage" in payload else execute
        outcome = run(payload, expendable=True)
        self._points = []
        self._end = {"outcome": json.dumps(outcome, default=str)}
        if self._told["tracked"]:
            self._points = [*thinned(curve_points(Path(payload["run"]) / "trials" / payload["key"]))]
            failed = outcome["status"] != "done"
            self._end |= {"numbers": final_numbers(outcome), "failed": failed}
            self._end |= {"step": self._points[-1]["step"] + 1} if self._points else {}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: strategies keep their own checkpoints in the trial's scratch folder."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing."""


class FeedSearcher(Searcher):
    """Hands on what the driver submitted; pickled by Tune, so it holds a number and nothing else."""

    def __init__(self, feed: int) -> None:
        super().__init__(metric="done", mode="max")
        self._feed = feed

    def set_search_properties(self, *_: Any, **__: Any) -> bool:
        """Nothing to set."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """The next configuration, `None`, or the end."""
        try:
            return Feed.numbered(self._feed).take(trial_id)
        except (StopIteration, KeyError):
            return Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: a trial reports once, at its end."""

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Hand the outcome back; of a trial that was lost, `LossCallback` knows more."""
        if result is not None and not error and "outcome" in result:
            Feed.numbered(self._feed).give_back(trial_id, json.loads(result["outcome"]))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing."""


class LossCallback(Callback):
    """Hands back what is known of a trial whose worker was lost; pickled by Tune, like the searcher."""

    def __init__(self, feed: int) -> None:
        self._feed = feed

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Say whether it was memory; Ray kills the largest worker of a node that runs out."""
        error = trial.get_pickled_error() or trial.get_error()
        text = " ".join(str(error).split())
        memory = isinstance(error, OutOfMemoryError) or bool(MEMORY_PRESSURE.search(text))
        outcome = {
            "status": "out_of_memory" if memory else "lost",
            "error": "Ray ended it because its node ran out of memory" if memory else _reason(text),
        }
        Feed.numbered(self._feed).give_back(trial.trial_id, outcome)


def _reason(text: str) -> str:
    """What is specific in Ray's long message about a dead worker."""
    found = WORKER_EXIT.search(text)
    return found[0] if found else text[:200]


def run_tuner(feed: Feed, *, folder: Path, trackers: Sequence[Callback] = ()) -> None:
    """Run one Tuner until the feed is closed; the driver decides what is tried again."""
    tuner = tune.Tuner(
        tune.with_resources(TrialTrainable, lambda config: tune.PlacementGroupFactory([config["resources"]])),
        tune_config=tune.TuneConfig(
            num_samples=ENDLESS,
            search_alg=FeedSearcher(feed.number),
            reuse_actors=True,
            trial_name_creator=lambda trial: f"trial-{trial.trial_id}",
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=RunConfig(
            name="tune",
            storage_path=str(folder),
            verbose=0,
            failure_config=FailureConfig(max_failures=0),
            callbacks=[LossCallback(feed.number), *trackers],
            checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    tuner.fit()


def _wait_for_all(group: str, name: str, count: int) -> None:
    """Sign in at the head of the cluster and wait until `count` processes have."""
    internal_kv._internal_kv_put(f"{group}/{name}", b"here")
    deadline = time.monotonic() + WARM_UP_SECONDS
    while len(internal_kv._internal_kv_list(f"{group}/")) < count and time.monotonic() < deadline:
        time.sleep(0.1)
