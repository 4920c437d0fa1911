"""The script that makes the file of bodies: a file that is not exact never takes the place of one that is."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import numpy as np
import pytest

ROOT = Path(__file__).parents[4]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script without the body model, which is an extra and takes minutes to make."""
    for name in ("anny", "anny.face_segmentation", "anny.models.phenotype", "anny.shape_distribution"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    specification = importlib.util.spec_from_file_location(
        "distil_bodies", ROOT / "scripts" / "distil_bodies.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def write(path: Path) -> None:
    np.savez_compressed(path, new=np.ones(1))


@pytest.mark.parametrize("error_mm", [1.2, float("nan"), float("inf")])
def test_bodies_that_are_not_exact_leave_the_file_as_it_was(
    script: ModuleType, tmp_path: Path, error_mm: float
) -> None:
    output = tmp_path / "bodies.npz"
    output.write_bytes(b"exact")
    with pytest.raises(SystemExit, match="raise --rank"):
        script.replace_if_exact(output, write, lambda _: error_mm)
    assert output.read_bytes() == b"exact"
    assert list(tmp_path.iterdir()) == [output]


def test_what_is_measured_is_what_takes_its_place(script: ModuleType, tmp_path: Path) -> None:
    output = tmp_path / "bodies.npz"
    measured = []
    script.replace_if_exact(output, write, lambda path: measured.append(path.read_bytes()) or 0.3)
    assert measured == [output.read_bytes()]
    assert list(tmp_path.iterdir()) == [output]


def test_a_distillation_that_fails_leaves_nothing_behind(script: ModuleType, tmp_path: Path) -> None:
    def torn(path: Path) -> None:
        path.write_bytes(b"half")
        raise MemoryError

    with pytest.raises(MemoryError):
        script.replace_if_exact(tmp_path / "bodies.npz", torn, lambda _: 0.0)
    assert not list(tmp_path.iterdir())
