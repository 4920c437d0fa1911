"""Experiment trackers see arms, hyperparameters, curves and scores; a broken one costs the run nothing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.executors.points import thinned
from tests.harness.digits_run import command, environment, harness, numbers, tables


@given(st.integers(0, 3000), st.integers(1, 300))
def test_thinning_keeps_order_and_the_last_point(count: int, most: int) -> None:
    kept = thinned(list(range(count)), most)
    assert kept == sorted(set(kept))
    assert len(kept) <= most + 1
    assert kept[-1:] == list(range(count))[-1:]


def test_trackers_and_inline_do_not_go_together(tmp_path: Path) -> None:
    done = harness(*command(tmp_path, "--track", "tensorboard")[3:])
    assert done.returncode == 2
    assert "--track tensorboard works through Ray, not with --executor inline" in done.stderr


def test_an_unknown_tracker_is_refused(tmp_path: Path) -> None:
    done = harness(*command(tmp_path, "--track", "paper")[3:])
    assert done.returncode == 2
    assert "'paper' is not one of" in done.stderr


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every tracker that is installed."""
    folder = tmp_path_factory.mktemp("tracked")
    names = ["tensorboard", *(name for name in ("mlflow", "wandb") if importlib.util.find_spec(name))]
    arguments = [word for name in names for word in ("--track", name)]
    paths = os.pathsep.join(filter(None, [environment()["PYTHONPATH"], os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        command(
            folder,
            *arguments,
            *("--strategies", "random_projection", "--tasks", "stroke", "--workers", "2"),
            executor="tune",
        ),
        env=environment(PYTHONPATH=paths, WANDB_MODE="offline"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.ray
def test_tensorboard_has_every_trial_with_its_scores(tracked: Path) -> None:
    trials = tables(tracked / "run")["trials"]
    folders = {path.parent.name for path in (tracked / "run").glob("tracking/tensorboard/*/events.*")}
    assert len(folders) == trials.height
    from tensorboardX.proto.event_pb2 import Event  # noqa: PLC0415

    tuned = trials.filter(pl.col("stage") == "tune").row(0, named=True)
    (file,) = (tracked / "run").glob(f"tracking/tensorboard/*{tuned['key'][:8]}/events.*")
    values = {}
    content = file.read_bytes()
    while content:  # TFRecord: length, its checksum, the event, its checksum
        length = int.from_bytes(content[:8], "little")
        event = Event.FromString(content[12 : 12 + length])
        values |= {value.tag: value.simple_value for value in event.summary.value}
        content = content[16 + length :]
    assert values["ray/tune/validation_score"] == pytest.approx(tuned["validation_score"])
    assert "ray/tune/train_error" in values


@pytest.mark.slow
@pytest.mark.ray
def test_mlflow_has_hyperparameters_and_curves(tracked: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{tracked}/run/tracking/mlflow/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name == "harness-digits"]
    trials = tables(tracked / "run")["trials"]
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == trials.height
    tuned = [run for run in runs if run.data.params["stage"] == "tune"]
    scores = sorted(run.data.metrics["validation_score"] for run in tuned)
    theirs = trials.filter(pl.col("stage") == "tune")["validation_score"].sort().to_list()
    assert scores == pytest.approx(theirs)
    assert all("penalty" in run.data.params for run in tuned)
    assert {run.info.status for run in runs} == {"FINISHED"}


@pytest.mark.slow
@pytest.mark.ray
def test_wandb_has_a_run_per_trial_on_this_machine(tracked: Path) -> None:
    pytest.importorskip("wandb")
    trials = tables(tracked / "run")["trials"]
    assert len(list((tracked / "run" / "tracking" / "wandb").rglob("run-*.wandb"))) == trials.height


@pytest.mark.slow
@pytest.mark.ray
def test_trackers_change_no_number(tracked: Path, tmp_path: Path) -> None:
    plain = harness(
        *command(tmp_path, "--strategies", "random_projection", "--tasks", "stroke")[3:],
    )
    assert plain.returncode == 0
    ours, theirs = numbers(tracked / "run"), numbers(tmp_path / "run")
    assert all(ours[name].equals(theirs[name]) for name in theirs)
