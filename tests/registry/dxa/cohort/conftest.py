"""A small cohort and a few patients that many tests read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from registry.dxa.cohort.build import build_cohort
from registry.dxa.cohort.individual import OrganTraits
from registry.dxa.cohort.specification import CohortSpecification
from registry.dxa.cohort.splits import PlannedPatient
from registry.dxa.cohort.subject import Patient, simulate_patient
from tests.registry.dxa.cohort.real_data import write_layout


@pytest.fixture(scope="session")
def specification() -> CohortSpecification:
    return CohortSpecification.read(
        {
            "seed": 11,
            "second_visit_share": 0.2,
            "pretraining": {"train": 10, "validation": 3, "test": 3},
            "paired": {"train": 5, "validation": 3, "test": 3},
        },
        "test",
    )


@pytest.fixture(scope="session")
def cohort(specification: CohortSpecification, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once; tests that damage it take ``own_cohort``."""
    folder = tmp_path_factory.mktemp("cohorts") / "cohort"
    build_cohort(specification, folder, workers=1)
    return folder


@pytest.fixture
def own_cohort(cohort: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(cohort, tmp_path / "cohort"))


@pytest.fixture(scope="session")
def pristine(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small cohort as real data; tests that change it take ``study``."""
    return write_layout(cohort, tmp_path_factory.mktemp("real") / "study")


@pytest.fixture
def study(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "study"))


@pytest.fixture(scope="session")
def patients() -> list[Patient]:
    """Six adults and children, the second of whom comes twice."""
    counts = {"train": 8, "validation": 1, "test": 1}
    specification = CohortSpecification.read({"seed": 5, "pretraining": counts, "paired": counts}, "test")
    people = [
        ("female", 34.0),
        ("male", 45.0),
        ("female", 71.0),
        ("male", 9.0),
        ("male", 66.0),
        ("female", 12.0),
    ]
    return [
        simulate_patient(specification, PlannedPatient(n, f"S{n:06d}", sex, age, 2 if n == 1 else 1))  # type: ignore[arg-type]
        for n, (sex, age) in enumerate(people)
    ]


def still_organs(lung: float = 1.0) -> OrganTraits:
    """The reference adult's lungs and heart, or none."""
    return OrganTraits((max(lung, 1e-6),) * 2, (max(lung, 1e-6),) * 2, 1.0, (0.0, 0.0))
