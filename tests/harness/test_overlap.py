"""Patients that two splits share are counted, and counted once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.overlap import split_overlap
from registry.contracts import SplitSize

KEYS = {
    ("a", "train"): ["p1", "p1", "p2"],
    ("a", "test"): ["p3"],
    ("b", "train"): ["p3", "p1"],
}


class Shared:
    """A domain whose splits share a patient."""

    def open_split(self, folder: Path, part: str, split: str) -> Any:
        return SimpleNamespace(patients=KEYS[part, split])

    def patients(self, view: Any) -> list[str]:
        keys: list[str] = view.patients
        return keys


def test_patients_in_two_splits_are_counted_once_across_parts() -> None:
    size = SplitSize(1, 1)
    sizes = {"a": {"train": size, "test": size}, "b": {"train": size}}
    found = split_overlap(Shared(), Path(), sizes)  # type: ignore[arg-type]
    assert found == [
        {"first": "a train", "second": "a test", "patients": 0},
        {"first": "a train", "second": "b train", "patients": 1},
        {"first": "a test", "second": "b train", "patients": 1},
    ]
