"""`harness status`, `logs` and `retry`: what can be asked of a run folder afterwards, or meanwhile."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.harness.digits_run import PLUGIN, command, environment, harness, journal

FRAGILE = """
import os, time
from pathlib import Path
from tests.domains.digits import RandomProjection
from registry.contracts import strategy

@strategy("fragile", provides={"encoder"}, domain="digits", needs_data=False)
class Fragile(RandomProjection):
    def pretrain(self, context):
        context.report(1, 2, loss=0.5)
        if Path("MARK").exists():
            raise RuntimeError("not today")
        if Path("MARK-sleep").exists():
            time.sleep(60)
        return super().pretrain(context)
"""


class Fragile:
    """A run whose strategy `fragile` fails or sleeps while a mark exists."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run, self.mark = folder, folder / "run", folder / "mark"
        self.plugin = folder / "fragile.py"
        self.plugin.write_text(FRAGILE.replace("MARK", str(self.mark)))
        self.arguments = (
            *("--plugin", str(self.plugin), "--strategies", "random_projection,fragile", "--tasks", "stroke"),
        )

    def run_all(self) -> int:
        return harness(*command(self.folder, *self.arguments)[3:]).returncode

    def started(self) -> list[str]:
        return [event["label"] for event in journal(self.run) if event["event"] == "started"]


@pytest.fixture
def failed(tmp_path: Path) -> Fragile:
    fragile = Fragile(tmp_path)
    fragile.mark.touch()
    assert fragile.run_all() == 1
    return fragile


def test_retry_runs_what_failed_and_what_that_kept_from_running(failed: Fragile) -> None:
    before = len(failed.started())
    failed.mark.unlink()
    done = harness("retry", str(failed.run), "--no-report")
    assert done.returncode == 0, done.stderr
    again = failed.started()[before:]
    assert again[0] == "pretrain fragile seed 0"
    assert all("fragile" in label for label in again)
    assert len(again) > 2
    nothing = harness("retry", str(failed.run), "--no-report")
    assert nothing.returncode == 0
    assert "nothing failed in" in nothing.stdout


def test_retry_leaves_what_was_never_started_alone(failed: Fragile) -> None:
    """An interruption left trials of another arm: they are for run-all."""
    lines = (failed.run / "journal.jsonl").read_text().splitlines(keepends=True)
    gone = next(
        json.loads(line)["key"] for line in lines if '"started"' in line and "tune random_projection" in line
    )
    (failed.run / "journal.jsonl").write_text("".join(line for line in lines if gone not in line))
    for path in (failed.run / "trials" / gone).iterdir():
        path.unlink()
    (failed.run / "trials" / gone).rmdir()
    failed.mark.unlink()
    before = len(failed.started())
    assert harness("retry", str(failed.run), "--no-report").returncode == 1
    assert not any("tune random_projection" in label for label in failed.started()[before:])
    assert failed.run_all() == 0
    assert sum("tune random_projection" in label for label in failed.started()[before:]) == 1


def test_retry_takes_other_resources(failed: Fragile) -> None:
    failed.mark.unlink()
    wrong = harness("retry", str(failed.run), "--resources", "memery=1GiB")
    assert wrong.returncode == 2
    assert "did you mean 'memory'" in wrong.stderr
    assert harness("retry", str(failed.run), "--no-report", "--resources", "memory=1GiB").returncode == 0
    kept = json.loads((failed.run / "request.json").read_text())
    assert kept["suite"]["resources"]["memory"] == "1GiB"


def test_status_of_a_run_with_failures_says_what_to_do(failed: Fragile) -> None:
    done = harness("status", str(failed.run))
    assert done.returncode == 1
    assert "is over" in done.stdout
    assert "failed   pretrain fragile seed 0: RuntimeError: not today" in done.stdout
    assert f"harness retry {failed.run}" in done.stdout
    found = json.loads(harness("status", str(failed.run), "--json").stdout)
    assert (found["activity"], found["complete"], found["running"]) == ("finished", False, [])
    assert found["outlook"]["counts"]["done"] > 0
    assert [failure["error"] for failure in found["failed"]] == ["RuntimeError: not today"]


def test_status_of_a_complete_run(tmp_path: Path) -> None:
    fragile = Fragile(tmp_path)
    assert fragile.run_all() == 0
    done = harness("status", str(fragile.run))
    assert done.returncode == 0
    assert "is over" in done.stdout
    assert "failed " not in done.stdout


def test_status_while_it_runs_and_after_it_was_killed(tmp_path: Path) -> None:
    fragile = Fragile(tmp_path)
    Path(f"{fragile.mark}-sleep").touch()
    process = subprocess.Popen(
        command(tmp_path, *fragile.arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("run/scratch/*.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        during = harness("status", str(fragile.run))
    finally:
        process.kill()
        process.wait()
    assert during.returncode == 0
    assert f"runs, process {process.pid} on" in during.stdout
    assert "running  pretrain fragile seed 0  step 1/2  loss 0.5" in during.stdout
    after = harness("status", str(fragile.run))
    assert after.returncode == 1
    assert "killed, or the machine went down" in after.stdout
    assert f"to go on: {json.loads((fragile.run / 'request.json').read_text())['command']}" in after.stdout


def test_logs_lists_trials_and_shows_why_one_failed(failed: Fragile) -> None:
    listed = harness("logs", str(failed.run)).stdout
    assert "failed    pretrain fragile seed 0: RuntimeError: not today" in listed
    assert "done      pretrain random_projection seed 0" in listed
    key = next(line.split()[0] for line in listed.splitlines() if "pretrain fragile" in line)
    for name in (key, "pretrain fragile", "pretrain fragile seed 0"):
        shown = harness("logs", str(failed.run), name)
        assert shown.returncode == 0, shown.stderr
        assert 'raise RuntimeError("not today")' in shown.stdout


@pytest.mark.parametrize(
    ("trial", "message"),
    [("tune", "trials match 'tune' in "), ("nobody", "no trial matches 'nobody' in ")],
)
def test_logs_of_nobody_or_of_several_lists_candidates(failed: Fragile, trial: str, message: str) -> None:
    done = harness("logs", str(failed.run), trial)
    assert done.returncode == 2
    assert message in done.stderr
    assert "give the beginning of a key or more of a label:\n  " in done.stderr


@pytest.mark.parametrize("name", ["status", "logs", "retry"])
def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, name: str) -> None:
    done = harness(name, str(tmp_path))
    assert done.returncode == 2
    assert "is no run folder" in done.stderr
    (tmp_path / "request.json").write_text("{")
    assert harness(name, str(tmp_path)).returncode == 2


def test_the_request_comes_back_as_it_was_given(failed: Fragile) -> None:
    kept = json.loads((failed.run / "request.json").read_text())
    assert kept["plugins"] == [str(PLUGIN), str(failed.plugin)]
    assert kept["executor"] == "inline"
    assert kept["suite"]["strategies"] == ["random_projection", "fragile"]
