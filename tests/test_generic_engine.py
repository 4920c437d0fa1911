"""The engine, the command line and the report know no domain: digits run with the DXA domain out of reach."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.harness.digits_run import PLUGIN, SUITE, environment

#: Python reads this file at start-up wherever it lies on the path: in every worker too.
BLOCK = '''
"""Nothing may import the DXA domain."""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name == "registry.dxa" or name.startswith("registry.dxa."):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
'''


def run_blocked(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "sitecustomize.py").write_text(BLOCK)
    variables = dict(environment())
    variables["PYTHONPATH"] = f"{folder}:{variables['PYTHONPATH']}"
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=variables, check=False, timeout=300
    )


def test_the_block_blocks(tmp_path: Path) -> None:
    done = run_blocked(tmp_path, "-c", "import registry.dxa.domain")
    assert "registry.dxa is blocked" in done.stderr


@pytest.mark.parametrize("executor", ["inline", pytest.param("tune", marks=pytest.mark.ray)])
def test_digits_run_and_are_reported_without_dxa(tmp_path: Path, executor: str) -> None:
    cohort = tmp_path / "cohort.toml"
    cohort.write_text("patients = 60\nnoise = 0.05\n")
    done = run_blocked(
        tmp_path,
        *("-m", "harness", "run-all", "--suite", str(SUITE), "--plugin", str(PLUGIN), "--workers", "2"),
        *("--cohort", str(cohort), "--output", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")),
        *("--executor", executor),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    described = json.loads((tmp_path / "run" / "run.json").read_text())
    assert described["status"]["state"] == "complete"
    assert described["domain"] == {"name": "digits", "title": "Handwritten digits"}
    trials = pl.read_parquet(tmp_path / "run" / "results" / "trials.parquet")
    assert set(trials["status"]) == {"done"}
    assert "SIMULATED DATA" in done.stdout
    page = tmp_path / "run" / "report.html"
    assert f"report: {page}" in done.stdout
    text = page.read_text()
    assert "Measuring a stroke" in text
    assert "simulated" in text.lower()
    assert (tmp_path / "run" / "report.json").exists()


def test_the_engines_sources_name_no_domain() -> None:
    for path in (Path(__file__).parents[1] / "harness").rglob("*.py"):
        text = path.read_text().lower()
        for word in ("dxa", "xray", "scanner", "anthropo"):
            assert word not in text, f"{path} says {word!r}"
