"""The main job as a user runs it: one command, a report, and what happens when something is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars
import pytest

ROOT = Path(__file__).parent.parent


def harness(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would, in a folder of its own."""
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


class Smoke:
    """A finished `smoke` run with its cache."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache"
        self.run = folder / "run"
        self.arguments = (
            "run-all",
            "--suite",
            "smoke",
            "--cache",
            str(self.cache),
            "--output",
            str(self.run),
        )
        self.first = harness(*self.arguments, cwd=folder)

    @property
    def record(self) -> dict[str, object]:
        return json.loads((self.run / "run.json").read_text())

    def started(self) -> list[str]:
        events = [json.loads(line) for line in (self.run / "journal.jsonl").read_text().splitlines()]
        return [event["key"] for event in events if event["event"] == "started"]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Smoke:
    return Smoke(tmp_path_factory.mktemp("smoke"))


@pytest.mark.ray
def test_one_command_runs_every_cell_and_leaves_a_report(smoke: Smoke) -> None:
    assert smoke.first.returncode == 0, smoke.first.stderr + smoke.first.stdout
    assert smoke.record["status"]["status"] == "complete"
    trials = polars.read_parquet(smoke.run / "results" / "trials.parquet")
    assert set(trials["status"]) == {"done"}
    assert set(trials["stage"]) == {"pretrain", "tune", "final"}
    page = (smoke.run / "report.html").read_text()
    for expected in ("DXA-VAE", "ImageNet has no generator", "Waist"):
        assert expected in page
    assert str(smoke.run / "report.html") in smoke.first.stdout.replace("\n", "")


@pytest.mark.ray
def test_every_result_says_that_it_is_simulated(smoke: Smoke) -> None:
    assert "SIMULATED" in smoke.first.stdout.upper()
    assert "SIMULATED" in (smoke.run / "report.html").read_text().upper()
    assert json.loads((smoke.run / "report.json").read_text())["simulated"] is True
    assert smoke.record["cohort"]["simulated"] is True


@pytest.mark.ray
def test_the_same_command_again_repeats_no_trial(smoke: Smoke) -> None:
    before = smoke.started()
    again = harness(*smoke.arguments, "--executor", "inline", cwd=smoke.run.parent)
    assert again.returncode == 0, again.stderr
    assert smoke.started() == before
    assert len(set(before)) == len(before)


@pytest.mark.ray
def test_the_same_seeds_give_the_same_numbers(smoke: Smoke, tmp_path: Path) -> None:
    # another run folder and no cached weights: everything but the cohort is computed again, without Ray
    cache = tmp_path / "cache"
    shutil.copytree(smoke.cache / "cohorts", cache / "cohorts")
    arguments = ("--suite", "smoke", "--strategies", "dxa_vae", "--executor", "inline", "--no-report")
    again = harness(
        "run-all", *arguments, "--cache", str(cache), "--output", str(tmp_path / "run"), cwd=tmp_path
    )
    assert again.returncode == 0, again.stderr
    for table in ("predictions", "scores"):
        first = polars.read_parquet(smoke.run / "results" / f"{table}.parquet")
        second = polars.read_parquet(tmp_path / "run" / "results" / f"{table}.parquet")
        shared = first.filter(polars.col("key").is_in(second["key"].unique().to_list()))
        order = ["key", "scan", *(["measure"] if table == "predictions" else ["metric"])]
        assert shared.sort(order).equals(second.sort(order))
        assert len(second) > 0


def _rewrite(cohort: Path, part: str, split: str, change: dict[str, str]) -> None:
    """Change patient keys in one split and make the manifest agree, as a careless import would."""
    relative = f"{part}/{split}/subjects.parquet"
    subjects = polars.read_parquet(cohort / relative)
    subjects = subjects.with_columns(polars.col("patient").replace(change))
    subjects.write_parquet(cohort / relative)
    manifest = json.loads((cohort / "cohort.json").read_text())
    content = (cohort / relative).read_bytes()
    manifest["parts"][part][split]["files"][relative] = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }
    (cohort / "cohort.json").write_text(json.dumps(manifest))


@pytest.mark.ray
@pytest.mark.parametrize("damage", ["missing", "corrupt", "truncated", "leak"])
def test_a_damaged_cohort_is_one_clear_message(smoke: Smoke, tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "cache"
    shutil.copytree(smoke.cache / "cohorts", cache / "cohorts")
    cohort = next(path for path in (cache / "cohorts").iterdir() if path.is_dir())
    scans = cohort / "paired" / "train" / "scans.npy"
    named = "scans.npy"
    if damage == "missing":
        scans.unlink()
    elif damage == "corrupt":
        content = bytearray(scans.read_bytes())
        content[len(content) // 2] ^= 0xFF
        scans.write_bytes(content)
    elif damage == "truncated":
        scans.write_bytes(scans.read_bytes()[:-1000])
    else:
        train = polars.read_parquet(cohort / "paired" / "train" / "subjects.parquet")["patient"][0]
        test = polars.read_parquet(cohort / "paired" / "test" / "subjects.parquet")["patient"][0]
        _rewrite(cohort, "paired", "test", {test: train})
        named = train
    run = tmp_path / "run"
    result = harness("run-all", "--suite", "smoke", "--cache", str(cache), "--output", str(run), cwd=tmp_path)
    assert result.returncode == 2, result.stdout
    assert named in result.stderr.replace("\n", "")
    assert "Traceback" not in result.stderr
    assert not (run / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "named", "mend"),
    [
        (("--suite", "quik"), "quik", "quick"),
        (("--suite", "smoke", "--strategies", "dxa_vea"), "dxa_vea", "dxa_vae"),
        (("--suite", "smoke", "--tasks", "antropometry"), "antropometry", "anthropometry"),
        (("--suite", "smoke", "--plugin", "absent.py"), "absent.py", "--plugin"),
    ],
)
def test_a_wrong_name_is_one_clear_message(
    tmp_path: Path, arguments: tuple[str, ...], named: str, mend: str
) -> None:
    result = harness("run-all", *arguments, "--output", "run", "--cache", "cache", cwd=tmp_path)
    assert result.returncode == 2
    assert named in result.stderr
    assert mend in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('title = "Smoke', 'titel = "Smoke', "titel"),
        ("finetuning_epochs = 1", "finetuning_epoch = 1", "finetuning_epoch"),
        ("tuning = 100", "tuning = 1", "tuning"),
        ("paired = { train = 16", "paird = { train = 16", "paird"),
        ('backbone = "tf_efficientnet_lite0"', 'backbone = "tf_efficientnet_lite9"', "tf_efficientnet_lite9"),
    ],
)
def test_a_wrong_suite_file_is_one_clear_message(tmp_path: Path, old: str, new: str, named: str) -> None:
    text = (ROOT / "registry" / "suites" / "smoke.toml").read_text()
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new))
    result = harness("run-all", "--suite", "mine.toml", "--output", "run", "--cache", "cache", cwd=tmp_path)
    assert result.returncode == 2
    assert named in result.stderr
    assert "Traceback" not in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"mine.toml"}
