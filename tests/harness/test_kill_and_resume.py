"""SIGKILL at random moments: no finished trial runs twice, and the tables equal those of a quiet run."""

from __future__ import annotations

import json
import random
import subprocess
import time
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from tests.harness.digits_run import command, environment, journal, numbers

#: Every execution of a strategy or task leaves its trial's key here before it does anything.
COUNTING = """
import os
import time
from pathlib import Path
from tests.domains import digits
from registry.contracts import strategy, task

LOG = Path(LOG_PATH)

def log(context):
    with LOG.open("a") as file:
        file.write(context.scratch.name + "\\n")
    time.sleep(float(os.environ.get("COUNTED_SECONDS", "0.05")))

@strategy("counted", provides={"encoder", "generator"}, domain="digits",
          trained_jointly=frozenset({"encoder", "generator"}), factors={"whiten": False})
class Counted(digits.PrincipalComponents):
    def pretrain(self, context):
        log(context)
        return super().pretrain(context)

@strategy("counted_projection", provides={"encoder"}, domain="digits")
class CountedProjection(digits.RandomProjection):
    def pretrain(self, context):
        log(context)
        return super().pretrain(context)

@task("counted_stroke", needs={"encoder"}, domain="digits", part="labelled",
      primary=digits.Stroke.card.primary, baselines=("mean",))
class CountedStroke(digits.Stroke):
    def fit(self, context, artifact):
        log(context)
        return super().fit(context, artifact)
    def predict(self, context, model, split):
        time.sleep(0.05)
        return super().predict(context, model, split)

@task("counted_redrawing", needs={"encoder", "generator"}, domain="digits", part="labelled",
      primary=digits.Redrawing.card.primary, trains=False)
class CountedRedrawing(digits.Redrawing):
    def fit(self, context, artifact):
        log(context)
        return super().fit(context, artifact)
"""


class Killable:
    """A run that is started and killed again and again, and what it left each time."""

    def __init__(self, folder: Path, executor: str) -> None:
        self.folder = folder
        self.log = folder / "executions.log"
        folder.mkdir(parents=True, exist_ok=True)
        plugin = folder / "counting.py"
        # the same text everywhere, so that trials have the same identity in every run of a test
        plugin.write_text(COUNTING.replace("LOG_PATH", "__import__('os').environ['EXECUTION_LOG']"))
        self.command = command(
            folder,
            *("--plugin", str(plugin), "--strategies", "counted,counted_projection"),
            *("--tasks", "counted_stroke,counted_redrawing", "--workers", "2"),
            executor=executor,
        )
        self.environment = environment(EXECUTION_LOG=str(self.log))

    def executions(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def finished(self) -> set[str]:
        trials = self.folder / "run" / "trials"
        return {path.name for path in trials.glob("[0-9a-f]*")} if trials.is_dir() else set()

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment
        )

    def kill_after(self, seconds: float, *, executions: int) -> tuple[int, set[str]]:
        """Start, wait for so many new executions and so many seconds, kill; what there was by then."""
        wanted = len(self.executions()) + executions
        process = self.start()
        deadline = time.monotonic() + 60
        while process.poll() is None and len(self.executions()) < wanted and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(seconds)
        process.kill()
        process.communicate()
        return len(self.executions()), self.finished()

    def run(self) -> None:
        process = self.start()
        output, errors = process.communicate(timeout=240)
        assert process.returncode == 0, output + errors


def check_kills(tmp_path: Path, executor: str, kills: int, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    run = Killable(tmp_path / "killed", executor)
    states = [run.kill_after(chance.uniform(0, 0.15), executions=chance.randint(0, 4)) for _ in range(kills)]
    run.run()
    executed = run.executions()
    for count, finished in states:
        assert not finished & set(executed[count:]), "a finished trial ran again"
    assert set(executed) <= run.finished()
    slots = 3 if executor == "tune" else 1
    assert len(executed) - len(set(executed)) <= kills * slots  # only what was in flight
    events = [event for event in journal(tmp_path / "killed" / "run") if event["event"] == "finished"]
    assert len({event["key"] for event in events}) == len(events) == len(run.finished())
    quiet = Killable(tmp_path / "quiet", "inline")
    quiet.run()
    undisturbed = numbers(tmp_path / "quiet" / "run")
    for name, frame in numbers(tmp_path / "killed" / "run").items():
        assert_frame_equal(frame, undisturbed[name], check_exact=True)


def test_killed_at_random_moments(tmp_path: Path) -> None:
    check_kills(tmp_path, "inline", kills=4, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_killed_at_fifty_random_moments(tmp_path: Path, seed: int) -> None:
    check_kills(tmp_path, "inline", kills=10, seed=100 + seed)


@pytest.mark.slow
@pytest.mark.ray
def test_killed_at_random_moments_on_ray(tmp_path: Path) -> None:
    check_kills(tmp_path, "tune", kills=3, seed=2)


def test_a_run_killed_before_its_first_trial_starts_over(tmp_path: Path) -> None:
    run = Killable(tmp_path, "inline")
    process = run.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "journal.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    process.communicate()
    run.run()
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"]["state"] == "complete"
