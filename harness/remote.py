"""A run whose driver and nodes share no folder: everything passes through an object store.

| object | written by |
|---|---|
| `cohorts/<fingerprint>/` | the driver, once; each node where final trials run keeps a copy |
| `cohorts/<fingerprint>-learning/` | the same without test records, for all other trials |
| `artifacts/<digest>` | the worker that pretrained; each node that starts from it keeps a copy |
| `pretraining/<key>` | the worker that pretrained: every later run adopts it |
| `runs/<run>/trials/<key>`, `.../logs/<key>` | the worker; the driver copies it into the run folder |

The journal, its lock and the tables stay on the driver's disk. Scratch folders stay on the node, so a trial
that goes on elsewhere starts from its beginning.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.files import default_cache, write_folder
from harness.results import RunFolder
from harness.storage import ObjectStore
from harness.trial import execute
from harness.watchdog import killed_by_time_limit
from registry.contracts import DataError

LOG_NAME = "log"


@dataclass(frozen=True)
class RemoteRun:
    """One run's part of an object store.

    Parameters
    ----------
    name
        Of the run: the name of its folder.
    offered
        Fingerprints of the cohorts that are known to be there.
    """

    store: ObjectStore
    name: str
    offered: set[str] = field(default_factory=set)

    def trial(self, key: str) -> str:
        """The object of a finished trial."""
        return f"runs/{self.name}/trials/{key}"

    def log(self, key: str) -> str:
        """The object of what a trial printed."""
        return f"runs/{self.name}/logs/{key}"

    # What the driver does ------------------------------------------------------------------------------

    def offer_cohort(self, fingerprint: str, folder: Path) -> None:
        """Write the cohort, unless it is there."""
        if fingerprint in self.offered:
            return
        self.offered.add(fingerprint)
        self.store.put_folder(f"cohorts/{fingerprint}", folder)

    def collect(self, run: RunFolder, cache: Path, pretraining: Iterable[str]) -> list[str]:
        """Bring what earlier executions and other runs finished; returns what was damaged and is deleted.

        Parameters
        ----------
        pretraining
            Keys of the pretrainings of the plan.
        """
        damaged = []
        here = run.finished_keys()
        wanted = [
            (self.trial(key), run.trial(key))
            for key in self.store.names(f"runs/{self.name}/trials")
            if key not in here
        ]
        wanted += [
            (f"pretraining/{key}", folder)
            for key in pretraining
            if not (folder := cache / "pretraining" / key).is_dir()
        ]
        for name, folder in wanted:
            try:
                files = self.store.get(name)
            except DataError:
                damaged.append(name)
                self.store.remove(name)
                continue
            if files is not None:
                write_folder(folder, files)
        return damaged

    def as_dict(self, cohort: str) -> dict[str, str]:
        """What a payload says of it; `cohort` is the fingerprint of the trial's data."""
        return {"storage": self.store.uri, "run_name": self.name, "cohort": cohort}

    def receive_log(self, key: str, run: RunFolder) -> None:
        """Move what a trial printed into the run folder; a log that does not come is no reason to stop."""
        with contextlib.suppress(Exception):
            if (log := self.store.get(self.log(key))) is not None:
                run.logs.mkdir(parents=True, exist_ok=True)
                with run.log(key).open("ab") as file:
                    file.write(log[LOG_NAME])
                self.store.remove(self.log(key))

    def receive_result(self, key: str, run: RunFolder) -> str | None:
        """Copy the result of a trial into the run folder; the error in one line where that fails."""
        try:
            files = self.store.get(self.trial(key))
        except Exception as error:  # each store has its own
            return f"its result did not come back: {error}"
        if files is None:
            return f"its result is not at {self.store.uri}/{self.trial(key)}"
        write_folder(run.trial(key), files)
        return None

    def has_weights(self, digest: str) -> bool:
        """Whether the weights are there; their bytes are checked by whoever reads them."""
        return self.store.has(f"artifacts/{digest}")


# What a worker does ------------------------------------------------------------------------------------


def execute_remotely(payload: Mapping[str, Any], *, expendable: bool = False) -> dict[str, Any]:
    """Run one trial on a node that shares no folder with the driver; takes and returns what `execute` does.

    What goes wrong between the node and the store is no failure of the trial: it counts as a lost worker.
    """
    key = payload["key"]
    remote = RemoteRun(ObjectStore(payload["storage"]), payload["run_name"])
    here = on_this_node(payload)
    run = RunFolder(Path(here["run"]))
    if (stacks := killed_by_time_limit(run.last_words(key))) is not None:  # the attempt before, on this node
        run.last_words(key).unlink()
        limit = f"time limit of {payload['resources']['time_limit_seconds']:g} s reached; it did not react"
        return {"key": key, "status": "failed", "error": f"{limit} and was ended", "traceback": stacks}
    try:
        bring(payload, here, remote.store)
        outcome = execute(here, expendable=expendable)
        if outcome["status"] == "done":
            send(outcome, run, Path(here["cache"]), remote, pretrained=payload["spec"]["stage"] == "pretrain")
    except Exception as error:
        outcome = {"key": key, "status": "lost", "error": f"object store: {type(error).__name__}: {error}"}
    with contextlib.suppress(Exception):
        if run.log(key).is_file():
            remote.store.put(remote.log(key), {LOG_NAME: run.log(key).read_bytes()})
            run.log(key).unlink()
    shutil.rmtree(run.trial(key), ignore_errors=True)
    return outcome


def on_this_node(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The payload with this node's own folders."""
    cache = default_cache()
    return {
        **payload,
        "cache": str(cache),
        "run": str(cache / "runs" / payload["run_name"]),
        "cohort_folder": str(cache / "cohorts" / payload["cohort"]),
        "test_folder": payload["test_folder"] and str(cache / "cohorts" / payload["cohort"]),
    }


def bring(payload: Mapping[str, Any], here: Mapping[str, Any], store: ObjectStore) -> None:
    """Fetch cohort and weights, unless this node has them."""
    cohort = Path(here["cohort_folder"])
    with _alone(cohort):
        if not cohort.is_dir():
            store.get_folder(f"cohorts/{payload['cohort']}", cohort)
    digest = payload["artifact"]
    if digest is None or payload["spec"]["stage"] == "pretrain":
        return
    weights = Path(here["cache"]) / "artifacts" / digest
    with _alone(weights):
        if weights.is_dir():
            return
        try:
            files = store.get(f"artifacts/{digest}")
        except DataError:
            store.remove(f"artifacts/{digest}")  # the next start pretrains anew
            raise
        if files is not None:
            write_folder(weights, files)


def send(
    outcome: Mapping[str, Any], run: RunFolder, cache: Path, remote: RemoteRun, *, pretrained: bool
) -> None:
    """Write what a trial made: weights first, so that a result never names weights that are not there."""
    files = read_files(run.trial(outcome["key"]))
    if pretrained:
        digest = outcome["row"]["artifact"]
        if not remote.has_weights(digest):
            remote.store.put(f"artifacts/{digest}", read_files(cache / "artifacts" / digest))
        remote.store.put(f"pretraining/{outcome['key']}", files)
    remote.store.put(remote.trial(outcome["key"]), files)


def read_files(folder: Path) -> dict[str, bytes]:
    """The files of a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process of this node at a time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
