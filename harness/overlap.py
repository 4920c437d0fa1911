"""Patients that two splits of a cohort share: counted anew for the record, whatever the domain checked."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from registry.contracts import Domain, SplitSize


def split_overlap(
    domain: Domain, folder: Path, sizes: Mapping[str, Mapping[str, SplitSize]]
) -> list[dict[str, Any]]:
    """Patients in both of every two splits, across parts too; reads keys of patients and nothing else."""
    patients = {
        f"{part} {split}": set(domain.patients(domain.open_split(folder, part, split)))
        for part, splits in sizes.items()
        for split in splits
    }
    return [
        {"first": first, "second": second, "patients": len(patients[first] & patients[second])}
        for first, second in combinations(patients, 2)
    ]
