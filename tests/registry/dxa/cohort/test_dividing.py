"""Another division of a cohort: the same patients in other splits, and nothing simulated again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from registry.dxa.cohort.build import build_cohort
from registry.dxa.cohort.dividing import divide_cohort
from registry.dxa.cohort.inspection import verify
from registry.dxa.cohort.specification import PARTS, SPLITS, CohortSpecification
from registry.dxa.cohort.store import open_split
from registry.dxa.domain import DxaDomain


def test_dividing_equals_simulating_in_that_division(
    specification: CohortSpecification, cohort: Path, tmp_path: Path
) -> None:
    divided = specification.model_copy(update={"split": 3})
    build_cohort(divided, tmp_path / "slow", workers=1)
    manifest = divide_cohort(cohort, tmp_path / "fast", split=3, fingerprint=divided.fingerprint())
    assert verify(tmp_path / "fast").fingerprint == divided.fingerprint()
    assert manifest.specification == divided
    for part in PARTS:
        for split in SPLITS:
            slow, fast = (open_split(tmp_path / name, part, split) for name in ("slow", "fast"))
            assert np.array_equal(slow.scans, fast.scans)
            assert slow.subjects.equals(fast.subjects)


def test_another_division_of_a_simulated_cohort_is_not_simulated_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"train": 3, "validation": 1, "test": 1}
    table = {"seed": 4, "pretraining": counts, "paired": counts}
    domain = DxaDomain()

    def prepare(split: int) -> Path:
        declared = {**table, "split": split}
        domain.prepare(declared, tmp_path, workers=1, progress=lambda *_: None)
        reference = domain.cohort(declared, tmp_path)
        assert ("divided anew" in reference.description) == (split > 0)
        return reference.folder

    first = prepare(0)
    assert domain.cohort(table, tmp_path).folder == first
    monkeypatch.setattr("registry.dxa.cohort.build.simulate_patient", None)
    second = prepare(2)
    assert second != first
    everyone = [
        sorted(scan for split in SPLITS for scan in open_split(folder, "paired", split).scan_ids)
        for folder in (first, second)
    ]
    assert everyone[0] == everyone[1]
    assert prepare(2) == second
