"""Scans with fewer patients, or with other scans' labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from registry.dxa.cohort.selection import with_labels_of, with_patients
from registry.dxa.cohort.store import SCANS, SUBJECTS, VERTICES, Split
from registry.dxa.imaging.channels import CHANNELS
from registry.dxa.imaging.geometry import GRID


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Four scans of three patients; scan i holds i everywhere, and so do its labels."""
    scans = (
        np.zeros((4, *GRID.shape, len(CHANNELS)), np.uint16)
        + np.arange(4, dtype=np.uint16)[:, None, None, None]
    )
    np.save(tmp_path / SCANS, scans)
    np.save(
        tmp_path / VERTICES, np.zeros((4, 5, 3), np.float32) + np.arange(4, dtype=np.float32)[:, None, None]
    )
    pl.DataFrame(
        {
            "patient": ["a", "b", "a", "c"],
            "scan_id": ["s0", "s1", "s2", "s3"],
            "stature_cm": [0.0, 1.0, 2.0, 3.0],
            "total_fat_kg": [0.0, 1.0, 2.0, 3.0],
        }
    ).write_parquet(tmp_path / SUBJECTS)
    return Split(tmp_path, "paired", "train", True, GRID)


def test_patients_keep_scans_and_labels_together(split: Split) -> None:
    fewer = with_patients(split, {"a", "c"})
    assert fewer.patients == ["a", "a", "c"]
    assert fewer.scans[:, 0, 0, 0].tolist() == [0, 2, 3]
    assert fewer.vertices[:, 0, 0].tolist() == [0, 2, 3]
    assert fewer.measures(["total_fat_kg"])[:, 0].tolist() == [0, 2, 3]
    assert (len(fewer), fewer.simulated, fewer.part) == (3, True, "paired")


def test_other_labels_leave_scans_and_keys_in_place(split: Split) -> None:
    shuffled = with_labels_of(split, [1, 3, 0, 2])
    assert shuffled.scan_ids == split.scan_ids
    assert shuffled.patients == split.patients
    assert shuffled.scans is split.scans
    assert shuffled.measures(["stature_cm"])[:, 0].tolist() == [1, 3, 0, 2]
    assert shuffled.vertices[:, 0, 0].tolist() == [1, 3, 0, 2]


def test_one_after_the_other(split: Split) -> None:
    both = with_labels_of(with_patients(split, {"a", "c"}), [2, 0, 1])
    assert both.scan_ids == ["s0", "s2", "s3"]
    assert both.measures(["total_fat_kg"])[:, 0].tolist() == [3, 0, 2]
