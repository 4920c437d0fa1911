"""Killed in each stage and in the middle of each kind of write; workers killed; real training killed.

After every series: no finished trial ran twice, and the tables equal those of an undisturbed run.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from harness.suite import load_suite
from harness.suite.toml import to_toml
from tests.harness.digits_run import command, environment, journal, numbers
from tests.harness.killed_writer import KINDS, MOMENTS
from tests.harness.test_kill_and_resume import Killable
from tests.harness.test_tune import descendants

KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    quiet = Killable(tmp_path_factory.mktemp("undisturbed"), "inline")
    quiet.run()
    return quiet.folder / "run"


def same_tables(ours: Path, theirs: Path) -> None:
    left = numbers(ours)
    for name, frame in numbers(theirs).items():
        assert_frame_equal(left[name], frame, check_exact=True)


def nothing_twice(run: Path, executed: list[str], kills: int) -> None:
    """Only what was in flight at a kill may have been executed again; every end is told once."""
    assert len(executed) - len(set(executed)) <= kills
    finished = [event["key"] for event in journal(run) if event["event"] == "finished"]
    assert len(finished) == len(set(finished))


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_killed_in_the_middle_of_each_kind_of_write(
    tmp_path: Path, undisturbed: Path, kind: str, moment: str
) -> None:
    """At the first such write, and then, in what is left of the run, at a later one."""
    run = Killable(tmp_path, "inline")
    kills = 0
    for count in (1, 3):
        finished = run.finished()
        executed = len(run.executions())
        arguments = [sys.executable, "-m", "tests.harness.killed_writer", kind, moment, str(count)]
        done = subprocess.run(
            [*arguments, *run.command[3:]], env=run.environment, capture_output=True, check=False
        )
        assert done.returncode in (KILLED, 0), done.stderr
        kills += done.returncode == KILLED
        assert not finished & set(run.executions()[executed:]), "a finished trial ran again"
    assert kills >= 1, f"no write of {kind} was met"
    run.run()
    nothing_twice(tmp_path / "run", run.executions(), kills)
    same_tables(tmp_path / "run", undisturbed)
    left = [path for root in ("run", "cache") for path in (tmp_path / root).rglob(".*.partial")]
    assert all("cache" in str(path) for path in left)  # the cache is swept when they are a day old


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["pretrain", "tune", "final"])
def test_killed_while_a_trial_of_each_stage_runs(tmp_path: Path, undisturbed: Path, stage: str) -> None:
    chance = random.Random(stage)  # noqa: S311
    run = Killable(tmp_path, "inline")
    kills = 0
    for _ in range(2):
        process = run.start()
        events = tmp_path / "run" / "journal.jsonl"
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            last = events.read_text().splitlines()[-1:] if events.exists() else []
            if last and '"event":"started"' in last[0] and f'"label":"{stage}' in last[0]:
                break
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.04))
        kills += process.poll() is None
        process.kill()
        process.communicate()
    assert kills
    run.run()
    nothing_twice(tmp_path / "run", run.executions(), kills)
    same_tables(tmp_path / "run", undisturbed)


@pytest.mark.slow
@pytest.mark.ray
def test_workers_killed_at_random_on_ray(tmp_path: Path, undisturbed: Path) -> None:
    """The driver lives on and hands their trials out again."""
    run = Killable(tmp_path, "tune")
    run.environment = {**run.environment, "COUNTED_SECONDS": "1"}
    process = run.start()
    chance = random.Random(7)  # noqa: S311
    killed: list[int] = []
    over = threading.Event()

    def kill_now_and_then() -> None:
        while not over.wait(chance.uniform(0.8, 1.6)):
            workers = busy_workers(process.pid)
            if run.executions() and workers and len(killed) < 4:
                victim = chance.choice(workers)
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    try:
        output, errors = process.communicate(timeout=240)
    finally:
        over.set()
        killer.join()
    assert process.returncode == 0, output + errors
    assert len(killed) >= 2
    retried = [event for event in journal(tmp_path / "run") if event["event"] == "retried"]
    assert {event["reason"] for event in retried} <= {"lost"}
    nothing_twice(tmp_path / "run", run.executions(), len(killed))
    same_tables(tmp_path / "run", undisturbed)


def busy_workers(driver: int) -> list[int]:
    """Processes of this driver's Ray in which a trial runs."""
    return [pid for pid in descendants(driver) if name_of(pid).startswith("ray::ResourceTrainable.train")]


def name_of(pid: int) -> str:
    """What a process calls itself."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def training_command(folder: Path, suites: Path, *, executor: str = "inline") -> list[str]:
    """`harness run-all` on the suite `smoke` with a trained strategy and one that is not."""
    table = load_suite("smoke").model_dump(by_alias=True, mode="json", exclude_none=True)
    suite = suites / "training.toml"
    suite.write_text(to_toml({**table, "name": "training", "strategies": ["random_init", "dxa_vae"]}))
    whole = command(folder, suite=str(suite), executor=executor)
    plugin = whole.index("--plugin")
    return whole[:plugin] + whole[plugin + 2 :]


def train_undisturbed(folder: Path) -> float:
    """Run it in `quiet`, and leave its cohort but none of its weights to `killed`; how long it took."""
    started = time.monotonic()
    whole = training_command(folder / "quiet", folder)
    quiet = subprocess.run(whole, env=environment(), capture_output=True, check=False)
    assert quiet.returncode == 0, quiet.stderr
    seconds = time.monotonic() - started
    shutil.copytree(folder / "quiet" / "cache", folder / "killed" / "cache")
    for kept in ("artifacts", "pretraining"):
        shutil.rmtree(folder / "killed" / "cache" / kept, ignore_errors=True)
    return seconds


@pytest.mark.slow
def test_real_training_killed_at_random(tmp_path: Path) -> None:
    """The suite `smoke`, with two tasks, killed six times anywhere between its first and last second."""
    arguments = partial(training_command, suites=tmp_path)
    seconds = train_undisturbed(tmp_path)
    chance = random.Random(11)  # noqa: S311
    finished: set[str] = set()
    for _ in range(6):
        process = subprocess.Popen(
            arguments(tmp_path / "killed"),
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(chance.uniform(0.1, 0.5) * seconds)
        process.kill()
        process.wait()
        trials = tmp_path / "killed" / "run" / "trials"
        there = {path.name for path in trials.glob("[0-9a-f]*")} if trials.is_dir() else set()
        assert finished <= there
        finished = there
    last = subprocess.run(arguments(tmp_path / "killed"), env=environment(), capture_output=True, check=False)
    assert last.returncode == 0, last.stderr
    run = tmp_path / "killed" / "run"
    told = [event["key"] for event in journal(run) if event["event"] == "finished"]
    assert len(told) == len(set(told))
    same_tables(run, tmp_path / "quiet" / "run")


@pytest.mark.slow
@pytest.mark.ray
def test_real_training_on_ray_loses_workers_and_its_driver(tmp_path: Path) -> None:
    """Three workers killed in the middle of training in the first execution, then its driver, then none."""
    train_undisturbed(tmp_path)
    whole = training_command(tmp_path / "killed", tmp_path, executor="tune")
    chance = random.Random(13)  # noqa: S311
    killed: list[int] = []
    process = subprocess.Popen(whole, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline and len(killed) < 3:
        time.sleep(chance.uniform(1.0, 4.0))
        workers = busy_workers(process.pid)
        if workers and process.poll() is None:
            os.kill(victim := chance.choice(workers), signal.SIGKILL)
            killed.append(victim)
    assert len(killed) == 3, "training ended before three workers were killed"
    time.sleep(chance.uniform(1.0, 4.0))
    process.kill()
    process.wait()
    run = tmp_path / "killed" / "run"
    finished = {path.name for path in (run / "trials").glob("[0-9a-f]*")}
    last = subprocess.run(whole, env=environment(), capture_output=True, check=False)
    assert last.returncode == 0, last.stderr
    events = journal(run)
    told = [event["key"] for event in events if event["event"] == "finished"]
    assert len(told) == len(set(told))
    assert {event["reason"] for event in events if event["event"] == "retried"} == {"lost"}
    assert finished <= {path.name for path in (run / "trials").glob("[0-9a-f]*")}
    same_tables(run, tmp_path / "quiet" / "run")
