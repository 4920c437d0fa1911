"""Ray Tune behind the seam: one Tuner for the whole matrix, fed by the driver's policy.

Tune's loop runs in a thread; its searcher hands on what the driver submitted and reports what came back.
Nothing is restored from Tune's own state: the journal and the trial folders are the truth.

Ray reads its environment when it is imported, so this module imports it late.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import logging
import math
import os
import pwd
import queue
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness.executors.base import Event, WorkersUnavailableError
from harness.executors.feed import Feed
from harness.executors.nodes import Requirements, check_nodes
from harness.resources import Resources, TrialResources
from harness.retries import Room

#: Set before Ray is imported, everywhere.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean what they mean to the driver
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # an interrupted Tuner must not start a second Ray behind our back
    "RAY_ENABLE_AUTO_CONNECT": "0",
}
#: Local mode only: a real cluster needs Ray to listen on the network.
LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
#: Variables of the driver that a cluster's workers get too.
PASSED_ON = ("HARNESS_WEIGHTS_DIR", "HARNESS_IMPORT_SECONDS")
TEMPORARY = Path("/tmp")  # noqa: S108
OBJECT_STORE_BYTES = 100 * 2**20


@dataclasses.dataclass(frozen=True)
class Tracking:
    """Experiment trackers.

    Parameters
    ----------
    names
        `tensorboard`, `mlflow`, `wandb`.
    folder
        Where they write.
    experiment
        What they call the run.
    """

    names: tuple[str, ...] = ()
    folder: Path = Path()
    experiment: str = ""

    def check(self) -> None:
        """Raise `WorkersUnavailableError` if the package of one is not installed."""
        if self.names:
            trackers = importlib.import_module("harness.executors.trackers")
            for name in self.names:
                trackers.check_installed(name)

    def made(self) -> list[Any]:
        """Ray's callbacks."""
        trackers = importlib.import_module("harness.executors.trackers")
        return list(trackers.make_trackers(self.names, self.folder, experiment=self.experiment))


class TuneExecutor:
    """Runs trials on Ray.

    Parameters
    ----------
    resources
        What trials need.
    workers
        Processors to use in local mode.
    address
        `local` starts a Ray of its own on loopback; `auto` or `host:port` joins a cluster.
    required
        What every node of a cluster must have.
    tracking
        Experiment trackers to hand curves and scores to.
    """

    def __init__(
        self,
        resources: Resources,
        *,
        workers: int,
        address: str = "local",
        required: Requirements | None = None,
        tracking: Tracking | None = None,
    ) -> None:
        self.capacity = 1
        self.slots = 1
        self.room = Room()
        self._resources = resources
        self._shapes: Sequence[TrialResources] = resources.shapes
        self._workers = workers
        self._address = address
        self._required = required or Requirements()
        self._tracking = tracking or Tracking()
        self._nodes: Sequence[Mapping[str, float]] = ()
        self._feed: Feed | None = None
        self._thread: threading.Thread | None = None
        self._folder: Path | None = None

    def start(self, trials: int, shapes: Sequence[TrialResources] = ()) -> None:
        """Start or join Ray, and the loop of its Tuner.

        Parameters
        ----------
        shapes
            What trials are given, where it is more than the suite says.

        Raises
        ------
        WorkersUnavailableError
            If Ray does not start, or has not what one trial needs.
        """
        self._shapes = shapes or self._shapes
        if self._address == "local":
            _refuse_exposed_ray()
        self._folder = session_folder()
        try:
            self._start_ray()
            self._tracking.check()
        except BaseException:
            self.stop()
            raise
        self.capacity = self.slots + 1  # one in waiting, so that no slot waits for the driver
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(self.slots + 2)
        self._feed = Feed(
            slots=partial(slots_on, self._nodes),
            trials=trials,
            group=self._folder.name,
            tracked=bool(self._tracking.names),
        )
        self._thread = threading.Thread(target=self._tune, args=(self._feed,), daemon=True, name="tune")
        self._thread.start()

    def submit(self, payload: Mapping[str, Any]) -> None:
        """Hand a trial to the Tuner."""
        if self._feed is None:
            raise RuntimeError("start the executor first")
        given = TrialResources(**payload["resources"])
        self._feed.submit(payload["key"], json.dumps(payload), ray_resources(given))

    def next_event(self, timeout_seconds: float) -> Event | None:
        """Wait for the next trial to end.

        Raises
        ------
        WorkersUnavailableError
            If Ray is gone.
        """
        if self._feed is None:
            raise RuntimeError("start the executor first")
        try:
            ended = self._feed.ended.get(timeout=timeout_seconds)
        except queue.Empty:
            return None
        if isinstance(ended, BaseException):
            raise WorkersUnavailableError(
                f"Ray stopped: {type(ended).__name__}: {ended}",
                mend="give the same command again to go on, or use --executor inline",
            ) from ended
        return Event(*ended)

    def stop(self) -> None:
        """End the Tuner and Ray; trials that still run are abandoned."""
        idle = self._feed is None or self._feed.close()
        if self._thread is not None and idle:
            self._thread.join(timeout=10)
        if "ray" in sys.modules:
            with _quiet():
                importlib.import_module("ray").shutdown()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _start_ray(self) -> None:
        local = self._address == "local"
        _set_environment(str(self._folder), threads=self._resources.threads, local=local)
        ray = importlib.import_module("ray")
        with _quiet():
            try:
                if local:
                    ray.init(
                        address="local",
                        num_cpus=self._workers,
                        include_dashboard=False,
                        log_to_driver=False,
                        logging_level=logging.CRITICAL,
                        configure_logging=True,
                        object_store_memory=OBJECT_STORE_BYTES,
                        _temp_dir=str(self._folder),
                    )
                else:
                    variables = {name: str(self._resources.threads) for name in THREAD_VARIABLES}
                    variables |= {name: os.environ[name] for name in PASSED_ON if name in os.environ}
                    ray.init(
                        address=self._address,
                        log_to_driver=False,
                        logging_level=logging.CRITICAL,
                        runtime_env={"env_vars": variables},
                    )
            except Exception as error:
                raise WorkersUnavailableError(
                    f"Ray does not start at {self._address!r}: {type(error).__name__}: {error}",
                    mend="see `harness doctor`, or use --executor inline",
                ) from error
        if not local:
            check_nodes(self._required)
        self._take_stock([node["Resources"] for node in ray.nodes() if node["Alive"]])

    def _take_stock(self, nodes: Sequence[Mapping[str, float]]) -> None:
        """See what the nodes have: how many trials fit at once, and the most that one may ask for."""
        self._nodes = nodes
        shapes = [ray_resources(shape) for shape in self._shapes]
        for shape, needed in zip(shapes, self._shapes, strict=True):
            if not slots_on(nodes, shape):
                there = " or ".join(sorted({_stock(node) for node in nodes})) or "nothing"
                raise WorkersUnavailableError(
                    f"one trial needs {needed.described}, a node has {there}",
                    mend="lower [resources] in the suite or --resources, or raise --workers",
                )
        self.slots = max(slots_on(nodes, shape) for shape in shapes)
        self.room = Room(
            memory_bytes=int(max(node.get("memory", 0) for node in nodes)),
            gpus=max(node.get("GPU", 0) for node in nodes),
        )

    def _tune(self, feed: Feed) -> None:
        """The Tuner's whole life, in its own thread."""
        try:
            worker = importlib.import_module("harness.executors.tune_worker")
            with _quiet_loggers():
                trackers = self._tracking.made() if self._tracking.names else ()
                worker.run_tuner(feed, folder=self._folder, trackers=trackers)
        except BaseException as error:  # whatever ends this thread must reach the driver's
            feed.ended.put(error)


def ray_resources(given: TrialResources) -> dict[str, float]:
    """The names and numbers by which Ray knows what a trial is given."""
    wanted = {"CPU": given.cpus, "GPU": given.gpus, "memory": float(given.memory_bytes or 0)}
    return {name: amount for name, amount in wanted.items() if amount}


def slots_on(nodes: Sequence[Mapping[str, float]], needed: Mapping[str, float]) -> int:
    """How many trials that need so much run at once, each on one node.

    Examples
    --------
    >>> slots_on([{"CPU": 8, "GPU": 1}, {"CPU": 8}], {"CPU": 1, "GPU": 0.25})
    4
    """
    return sum(
        math.floor(min(node.get(name, 0) / amount for name, amount in needed.items()) + 1e-9)
        for node in nodes
    )


def _stock(node: Mapping[str, float]) -> str:
    memory = int(node.get("memory", 0)) or None
    return TrialResources(node.get("CPU", 0), node.get("GPU", 0), memory).described


def local_ray_answers() -> float:
    """Start a local Ray, call a function in a worker, stop; returns the seconds that took."""
    started = time.perf_counter()
    executor = TuneExecutor(Resources(), workers=1)
    executor._folder = session_folder()
    try:
        executor._start_ray()
        ray = importlib.import_module("ray")
        ray.get(ray.remote(lambda: os.getpid()).remote(), timeout=60)  # noqa: PLW0108 - Ray takes no builtin
    finally:
        executor.stop()
    return time.perf_counter() - started


def session_folder() -> Path:
    """Make a short temporary folder for Ray, and remove those of processes that were killed.

    The path of Ray's sockets must stay below 108 bytes, whatever TMPDIR says.
    """
    for folder in TEMPORARY.glob("harness-*-*"):
        process = folder.name.split("-")[1]
        if process.isdecimal() and not Path(f"/proc/{process}").exists() and folder.owner() == _user():
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"harness-{os.getpid()}-", dir=TEMPORARY))


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _refuse_exposed_ray() -> None:
    """Ray reads once, when it is imported, on which addresses it may listen: afterwards it is too late."""
    name, value = next(iter(LOOPBACK_ONLY.items()))
    if "ray" in sys.modules and os.environ.get(name) != value:
        raise WorkersUnavailableError(
            f"Ray was imported before this run and without {name}={value}: it would listen on the network",
            mend=f"set {name}={value} before Ray is imported, or start the run in a process of its own",
        )


def _set_environment(folder: str, *, threads: int, local: bool) -> None:
    os.environ.update(ENVIRONMENT)
    os.environ["RAY_TMPDIR"] = folder
    if local:
        os.environ.update(LOOPBACK_ONLY)
        token = Path(folder) / "auth_token"  # of this session alone; Ray would put one in the home folder
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)
    # workers find the code where the driver found it, also from a checkout that is not installed
    checkout = str(Path(__file__).parents[2])
    paths = [str(Path(part).resolve()) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([*paths, checkout]))


@contextlib.contextmanager
def _quiet_loggers() -> Iterator[None]:
    """Ray's loggers say nothing; what matters reaches the journal."""
    for name in ("ray", "ray.tune", "ray.train", "ray.air", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Ray's start and end write to the terminal past Python's streams: both descriptors go to nowhere."""
    with _quiet_loggers(), Path(os.devnull).open("wb") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
