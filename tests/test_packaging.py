"""The wheel holds the three packages and works without the source tree."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # a copy, so that building leaves no trace in the source tree
    source = folder / "source"
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], check=True, capture_output=True, text=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        if (ROOT / name).is_file():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            str(source),
            "--no-deps",
            "--no-build-isolation",
            "-w",
            str(folder),
        ],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def test_holds_the_packages_and_their_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {
        "harness",
        "registry",
        "reports",
    }
    assert "registry/suites/quick.toml" in names
    assert any(name.startswith("reports/page/templates/") for name in names)
    assert any(name.startswith("registry/dxa/cohort/data/") for name in names)


def test_works_when_installed_alone(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(installed), str(wheel)],
        check=True,
        capture_output=True,
    )
    environment = {**os.environ, "PYTHONPATH": str(installed), "HARNESS_CACHE": str(tmp_path / "cache")}
    where = subprocess.run(
        [sys.executable, "-c", "import harness, registry, reports; print(harness.__file__)"],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert Path(where.strip()).is_relative_to(installed)
    plan = subprocess.run(  # noqa: PLW1510 - the status is asserted with its message
        [sys.executable, "-m", "harness", "plan", "--suite", "quick"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert plan.returncode == 0, plan.stderr
    assert "anthropometry" in plan.stdout
