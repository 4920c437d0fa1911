"""Simulated subjects for calibration and for studies of the analyser; no cohort's split holds them.

A cohort numbers its patients from zero; these have a seed and numbers of their own. Two purposes never
share one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from registry.dxa.bodycomp.baseline import BaselineSettings
from registry.dxa.bodycomp.region_network import weights_digest
from registry.dxa.cohort.sources import without
from registry.dxa.cohort.specification import CohortSpecification, PartSpecification, canonical_json
from registry.dxa.cohort.splits import PlannedPatient
from registry.dxa.cohort.subject import Visit, simulate_patient, simulate_repeats

Purpose = Literal["calibration", "accuracy", "precision", "regions", "regions_check"]

RESERVED_SEED = 2206_06663
# First number of each purpose, beyond any cohort; 11 and 12 million were used up in development.
FIRST_NUMBER: dict[Purpose, int] = {
    "calibration": 10_000_000,
    "accuracy": 13_000_000,
    "precision": 14_000_000,
    "regions": 15_000_000,
    "regions_check": 16_000_000,
}
# Raise with every change of the analyser that alters its raw measures.
ANALYSER_VERSION = 4


@dataclass(frozen=True)
class StudySubject:
    """A planned patient and its scans: one, or several of the same body."""

    planned: PlannedPatient
    visits: tuple[Visit, ...]


def specification(photons: float = 3e6, *, implants: bool = False) -> CohortSpecification:
    """What the subjects are drawn from: a cohort's defaults under the reserved seed.

    Nobody with metal in the body serves for calibration or for studies of precision and accuracy; to learn
    where arms and legs end, people with metal are as good as others.
    """
    part = PartSpecification(train=1, validation=1, test=1)
    cohort = CohortSpecification(seed=RESERVED_SEED, pretraining=part, paired=part)
    default = cohort if implants else without(cohort, "implants")
    scanner = default.scanner.model_copy(update={"photons": photons})
    return default.model_copy(update={"scanner": scanner})


def plan_subjects(purpose: Purpose, count: int) -> list[PlannedPatient]:
    """Subjects of a purpose: ages evenly over the specified range, sexes in turn.

    Examples
    --------
    >>> [(subject.sex, subject.age_years) for subject in plan_subjects("accuracy", 2)]
    [('female', 25.75), ('male', 65.25)]
    """
    youngest, oldest = specification().age_years
    ages = youngest + (oldest - youngest) * (np.arange(count) + 0.5) / count
    first = FIRST_NUMBER[purpose]
    return [
        PlannedPatient(
            first + n, f"{purpose}-{n:05d}", "male" if n % 2 else "female", round(float(age), 2), 1
        )
        for n, age in enumerate(ages)
    ]


def simulate_subjects(
    purpose: Purpose, count: int, *, repeats: int = 1, photons: float = 3e6, implants: bool = False
) -> Iterator[StudySubject]:
    """Simulate subjects one after the other; with repeats, each is laid on the table so many times."""
    drawn_from = specification(photons, implants=implants)
    for planned in plan_subjects(purpose, count):
        if repeats == 1:
            yield StudySubject(planned, simulate_patient(drawn_from, planned).visits)
        else:
            yield StudySubject(planned, simulate_repeats(drawn_from, planned, repeats))


def fingerprint(purpose: Purpose, count: int, settings: BaselineSettings | None = None) -> str:
    """SHA-256 of the subjects of a purpose and of the analyser that measures them."""
    record = {
        "specification": specification().fingerprint(),
        "first_number": FIRST_NUMBER[purpose],
        "count": count,
        "analyser_version": ANALYSER_VERSION,
        "baseline": asdict(settings or BaselineSettings()),
        "region_weights": weights_digest(),
    }
    return hashlib.sha256(canonical_json(record).encode()).hexdigest()
