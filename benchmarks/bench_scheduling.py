"""A mixed matrix of unequal trials on two slots of Ray: ours, one Tuner per cell, one trial after another.

Every side sleeps through the same durations; what differs is how well the slots are filled. `busy` is the
share of the slots' time that trials took, from the first start to the last end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from harness.executors.tune import TuneExecutor
from harness.progress import SilentDisplay
from harness.run import run_suite
from tests.harness.digits_run import ROOT, digits_request, journal, tables

SLOTS = 2
ARMS, TASKS, DRAWS = 4, 3, 2
#: Sleeps as long as its identity says: a pretraining 1.0 to 2.0 s, anything else 0.4 to 1.4 s.
SLEEPING = """
import time
from tests.domains import digits
from registry.contracts import strategy, task

def sleep(context, shortest):
    time.sleep(shortest + int(context.scratch.name[:4], 16) / 65536)

def arm(number):
    @strategy(f"arm{number}", provides={"encoder"}, domain="digits", factors={"number": number})
    class Arm(digits.RandomProjection):
        def pretrain(self, context):
            sleep(context, 1.0)
            return super().pretrain(context)
    return Arm

def job(number):
    @task(f"job{number}", needs={"encoder"}, domain="digits", part="labelled",
          primary=digits.Stroke.card.primary)
    class Job(digits.Stroke):
        def fit(self, context, artifact):
            sleep(context, 0.4)
            return super().fit(context, artifact)
    return Job

for number in range(9):
    globals()[f"Arm{number}"] = arm(number)
    globals()[f"Job{number}"] = job(number)
"""


class Watched(TuneExecutor):
    """Notes the driver's processor time from the first trial to the last event."""

    def start(self, trials: int, shapes: Any = ()) -> None:
        super().start(trials, shapes)
        self.cpu_seconds, self.events = -time.process_time(), 0

    def next_event(self, timeout_seconds: float) -> Any:
        event = super().next_event(timeout_seconds)
        self.events += event is not None
        return event

    def stop(self) -> None:
        self.cpu_seconds += time.process_time()
        super().stop()


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="hb-", dir="/tmp"))
    (place / "sleeping.py").write_text(SLEEPING)
    yield place
    shutil.rmtree(place, ignore_errors=True)


def run_ours(folder: Path) -> dict[str, float]:
    request = digits_request(
        folder,
        plugins=(folder / "sleeping.py",),
        strategies=[f"arm{number}" for number in range(ARMS)],
        tasks=[f"job{number}" for number in range(TASKS)],
        reference_arms=[],
        budget={"draws": DRAWS},
    )
    shutil.rmtree(request.output, ignore_errors=True)
    shutil.rmtree(request.cache / "pretraining", ignore_errors=True)
    executor = Watched(request.suite.resources, workers=SLOTS)
    assert run_suite(request, executor, SilentDisplay()).complete
    trials = tables(request.output)["trials"]
    return busy_share(trials) | {
        "driver_cpu_ms_per_trial": 1000 * executor.cpu_seconds / executor.events,
        "events": float(sum(event["event"] == "finished" for event in journal(request.output))),
    }


def busy_share(trials: pl.DataFrame) -> dict[str, float]:
    starts = [datetime.fromisoformat(text) for text in trials["started"]]
    ends = [datetime.fromisoformat(text) for text in trials["finished"]]
    span = (max(ends) - min(starts)).total_seconds()
    worked = sum((end - start).total_seconds() for start, end in zip(starts, ends, strict=True))
    return {"trials": float(trials.height), "span_seconds": span, "busy": worked / (SLOTS * span)}


def durations(folder: Path) -> dict[str, Any]:
    """How long every trial of the run took: pretraining by arm, and cells with their tuning and finals."""
    trials = tables(folder / "run")["trials"]
    seconds: dict[str, Any] = {"pretrain": {}, "cells": {}}
    for row in trials.iter_rows(named=True):
        if row["stage"] == "pretrain":
            seconds["pretrain"][row["strategy"]] = row["wall_seconds"]
        else:
            cell = seconds["cells"].setdefault(f"{row['strategy']}/{row['task']}", {"tune": [], "final": []})
            cell[row["stage"]].append(row["wall_seconds"])
    return seconds


#: What one writes first: a Tuner for the pretrainings, then two per cell, one after another.
ONE_TUNER_PER_CELL = """
import json, os, sys, time
import ray
from ray import tune
from ray.tune import RunConfig

def sleep(config):
    started = time.time()
    time.sleep(config["seconds"])
    tune.report({"started": started, "ended": time.time()})

def fit(seconds):
    space = {"seconds": tune.grid_search(seconds)}
    results = tune.Tuner(sleep, param_space=space,
                         run_config=RunConfig(storage_path=sys.argv[2], verbose=0)).fit()
    return [(r.metrics["started"], r.metrics["ended"]) for r in results]

told = json.loads(sys.argv[1])
ray.init(num_cpus=int(sys.argv[3]), include_dashboard=False, log_to_driver=False, address="local")
spans = fit(list(told["pretrain"].values()))
for cell in told["cells"].values():
    spans += fit(cell["tune"])
    spans += fit(cell["final"])
print("RESULT", json.dumps(spans))
"""


def run_one_tuner_per_cell(folder: Path, seconds: Mapping[str, Any]) -> dict[str, float]:
    import json  # noqa: PLC0415

    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RAY_TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        "RAY_AIR_NEW_OUTPUT": "0",
    }
    (folder / "token").write_text("0" * 64)
    arguments = [json.dumps(seconds), str(folder / "tune"), str(SLOTS)]
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", ONE_TUNER_PER_CELL, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    spans = json.loads(line.removeprefix("RESULT "))
    span = max(end for _, end in spans) - min(start for start, _ in spans)
    worked = sum(end - start for start, end in spans)
    return {"trials": float(len(spans)), "span_seconds": span, "busy": worked / (SLOTS * span)}


def run_sequentially(seconds: Mapping[str, Any]) -> dict[str, float]:
    started = time.perf_counter()
    trials = [*seconds["pretrain"].values()]
    trials += [one for cell in seconds["cells"].values() for one in (*cell["tune"], *cell["final"])]
    for one in trials:
        time.sleep(one)
    span = time.perf_counter() - started
    return {"trials": float(len(trials)), "span_seconds": span, "busy": sum(trials) / (SLOTS * span)}


Note = Callable[[Mapping[str, float]], None]


@pytest.fixture
def note(benchmark: Any, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]) -> Note:
    """Say what the columns of pytest-benchmark have no room for, and keep it with the measurement."""

    def say(values: Mapping[str, float]) -> None:
        benchmark.extra_info.update(values)
        words = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
        with capfd.disabled():
            sys.stdout.write(f"\n{request.node.name}: {words}\n")

    return say


@pytest.mark.benchmark(group="a mixed matrix on two slots")
def test_matrix(benchmark: Any, folder: Path, note: Note) -> None:
    """The engine, from journal to tables; busy at least 95 %, below 50 ms of the driver per trial."""
    note(benchmark.pedantic(run_ours, args=(folder,), rounds=1))


@pytest.mark.benchmark(group="a mixed matrix on two slots")
def test_matrix_reference_one_tuner_per_cell(benchmark: Any, folder: Path, note: Note) -> None:
    """Ray Tune as one would first use it, on the same durations."""
    note(benchmark.pedantic(run_one_tuner_per_cell, args=(folder, durations(folder)), rounds=1))


@pytest.mark.benchmark(group="a mixed matrix on two slots")
def test_matrix_reference_one_after_another(benchmark: Any, folder: Path, note: Note) -> None:
    """A loop."""
    note(benchmark.pedantic(run_sequentially, args=(durations(folder),), rounds=1))
