"""The file of distilled bodies: refused when it is damaged, and near the model it was distilled from."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from registry.contracts import DataError
from registry.dxa.cohort import bodies

SCRIPT = Path(__file__).parents[4] / "scripts" / "distil_bodies.py"


def _installed() -> Path:
    return Path(str(resources.files("registry.dxa.cohort").joinpath(bodies.DATA_FILE)))


def _cut_off(path: Path) -> None:
    path.write_bytes(_installed().read_bytes()[:100_000])


def _no_archive(path: Path) -> None:
    path.write_bytes(b"bodies")


def _of_an_older_kind(path: Path) -> None:
    with np.load(_installed(), allow_pickle=False) as file:
        np.savez(path, **{name: file[name] for name in file.files if name != "asymmetric_basis_cm"})


@pytest.mark.parametrize("damage", [_cut_off, _no_archive, _of_an_older_kind, lambda path: None])
def test_a_damaged_or_missing_file_is_named_with_its_mend(damage, tmp_path, monkeypatch):
    path = tmp_path / "bodies.npz"
    damage(path)
    monkeypatch.setattr(bodies, "DATA_FILE", str(path))
    with pytest.raises(DataError, match=r"bodies\.npz cannot be read") as raised:
        bodies.body_model.__wrapped__()
    assert "reinstall" in str(raised.value.mend)


@pytest.mark.slow
def test_the_installed_file_is_within_a_millimetre_of_the_body_model():
    """The script's own check, on bodies that the basis has not seen, against the parametric model itself."""
    pytest.importorskip("anny")
    arguments = [SCRIPT, _installed(), "--check", "--held-out", "40"]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("0 above 1 mm") == 4


@pytest.mark.slow
def test_the_check_fails_without_the_differences_between_the_sides(tmp_path):
    pytest.importorskip("anny")
    path = tmp_path / "bodies.npz"
    with np.load(_installed(), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["asymmetric_basis_cm"] = np.zeros_like(arrays["asymmetric_basis_cm"])
    np.savez(path, **arrays)
    arguments = [SCRIPT, path, "--check", "--held-out", "40"]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "an error above 1 mm" in done.stderr
