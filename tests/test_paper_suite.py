"""The suite `paper` executed on a small cohort: its networks, sizes, arms and tasks, with few steps.

What comes out means nothing: neither network has ImageNet weights here (none come with an installation, and a
test fetches none), and no training is long enough to learn. What is tested is that the whole suite runs.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import timm
import torch
from safetensors.torch import save_file

from harness.suite import load_suite
from tests.test_end_to_end import harness

REDUCED = """
schema = 1
name = "paper_reduced"
title = "The published comparison, reduced to its mechanics"
extends = "paper"
[cohort]
kind = "simulated"
seed = 2206
pretraining = { train = 8, validation = 4, test = 4 }
paired = { train = 12, validation = 6, test = 6 }
[seeds]
pretraining = [0]
final = [0]
[budget]
draws = 1
pretraining_draws = 1
[resources]
cpus = 1
gpus = 0
threads = 1
[settings]
pretraining_steps = 3
pretraining_batch_size = 2
finetuning_epochs = 1
finetuning_batch_size = 4
alignment_steps = 2
generation_steps = 2
generation_batch_size = 2
"""
#: Lengths and batch sizes: what is reduced. Everything else must be as the suite declares it.
LENGTHS = {
    *("pretraining_steps", "pretraining_batch_size", "finetuning_epochs", "finetuning_batch_size"),
    *("alignment_steps", "generation_steps", "generation_batch_size"),
}


def write_random_weights(folder: Path) -> None:
    """Untrained networks under the names that ImageNet weights would have, in a folder that says so."""
    folder.mkdir()
    for name in ("densenet121", "vgg16"):
        torch.manual_seed(0)
        save_file(timm.create_model(name, pretrained=False).state_dict(), folder / f"{name}.safetensors")


@pytest.mark.slow
def test_the_paper_s_suite_runs_from_the_cohort_to_the_report(tmp_path: Path, record_property) -> None:
    write_random_weights(tmp_path / "random_weights")
    (tmp_path / "reduced.toml").write_text(REDUCED)
    arguments = ("--suite", "reduced.toml", "--cache", "cache", "--output", "run")
    weights = ("--weights-dir", "random_weights")
    planned = harness("plan", *arguments, cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert "price unknown for" in planned.stdout

    done = harness("run-all", *arguments, *weights, "--executor", "inline", cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    run = tmp_path / "run"
    record = json.loads((run / "run.json").read_text())
    assert record["status"]["state"] == "complete"

    suite = load_suite("paper")
    assert record["suite"]["strategies"] == list(suite.strategies)
    assert record["suite"]["tasks"] == list(suite.tasks)
    kept = {name: value for name, value in suite.settings.items() if name not in LENGTHS}
    assert kept.items() <= record["suite"]["settings"].items()

    trials = pl.read_parquet(run / "results" / "trials.parquet")
    assert set(trials["status"]) == {"done"}
    ran = set(trials.filter(stage="final").select("strategy", "task").drop_nulls().rows())
    applicable = {(cell["strategy"], cell["task"]) for cell in record["cells"] if cell["applicable"]}
    assert ran == applicable
    assert {task for _, task in ran} == set(suite.tasks)
    record_property("trial_seconds", trials["wall_seconds"].sum())
    record_property("peak_gib", trials["peak_memory_bytes"].max() / 2**30)

    scores = pl.read_parquet(run / "results" / "scores.parquet")
    assert scores["value"].is_finite().all()
    assert_sizes(tmp_path / "cache", trials)
    shutil.rmtree(tmp_path / "cache")  # 7 GB
    page = (run / "report.html").read_text()
    for expected in ("DXA-VAE, as released", "ImageNet has no generator", "SIMULATED"):
        assert expected in page


def assert_sizes(cache: Path, trials: pl.DataFrame) -> None:
    """Every arm but ImageNet's handed on networks as large as the paper's."""
    made = trials.filter(pl.col("strategy") != "imagenet", stage="pretrain")
    for arm, artifact in made.select("strategy", "artifact").unique().rows():
        manifest = json.loads((cache / "artifacts" / artifact / "manifest.json").read_text())
        architecture = manifest["metadata"]["architecture"]
        assert (architecture["backbone"], architecture["generator"]) == ("densenet121", "published")
        size = (architecture["height"], architecture["width"], architecture["latent_size"])
        assert size == (150, 109, 5 * 4 * 512)
        if arm != "random_init":
            assert "file vgg16.safetensors" in json.dumps(manifest["metadata"]["perceptual_network"])


@pytest.mark.slow
def test_without_weights_the_paper_s_suite_says_what_to_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # otherwise timm's hub is tried for two minutes
    (tmp_path / "reduced.toml").write_text(REDUCED)
    (tmp_path / "empty").mkdir()
    arguments = ("--suite", "reduced.toml", "--cache", "cache", "--output", "run", "--weights-dir", "empty")
    only = ("--strategies", "imagenet", "--tasks", "anthropometry", "--executor", "inline", "--no-report")
    done = harness("run-all", *arguments, *only, cwd=tmp_path)
    assert done.returncode == 1
    assert "harness weights fetch densenet121" in " ".join((done.stdout + done.stderr).split())
