"""The hot paths of simulation: one whole patient, and thickness against its reference in numpy.

And what a detector that averages intensity changes: in time, and in the measures of an analyser that knows
nothing of it (noise-free, the rig's regions, no calibration).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from registry.dxa.bodycomp import subjects
from registry.dxa.bodycomp.analysis import region_measures
from registry.dxa.bodycomp.maps import composition_maps
from registry.dxa.cohort.bodies import body_model
from registry.dxa.cohort.pose import Placement, Pose, apply_pose, place
from registry.dxa.cohort.projection import thickness_map
from registry.dxa.cohort.specification import CohortSpecification
from registry.dxa.cohort.splits import PlannedPatient
from registry.dxa.cohort.subject import simulate_patient
from tests.registry.dxa.cohort.test_geometry import numpy_thickness

COUNTS = {"train": 8, "validation": 1, "test": 1}
POSE = Pose((30, 30), (8, 8), (0, 0), (4, 4), (8, 8), (42, 42), 0.0, 0.0)


@pytest.mark.parametrize("averaging", ["density", "intensity"])
def test_one_complete_patient(benchmark: Any, averaging: str) -> None:
    scanner = {"averaging": averaging}
    specification = CohortSpecification.read(
        {"seed": 1, "pretraining": COUNTS, "paired": COUNTS, "scanner": scanner}, "benchmark"
    )
    planned = PlannedPatient(3, "S000003", "female", 40.0, 1)
    patient = benchmark(simulate_patient, specification, planned)
    assert len(patient.visits) == 1


def test_bias_of_a_detectors_average(benchmark: Any) -> None:
    drawn_from = subjects.specification(photons=0.0)
    scanner = drawn_from.scanner.model_copy(update={"averaging": "intensity"})
    settings = (drawn_from, drawn_from.model_copy(update={"scanner": scanner}))

    def changes_percent() -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for planned in subjects.plan_subjects("accuracy", 60):
            plain, averaged = (_measured(specification, planned) for specification in settings)
            for name, value in plain.items():
                found.setdefault(name, []).append(100.0 * (averaged[name] / value - 1.0))
        return found

    found = benchmark.pedantic(changes_percent, rounds=1, iterations=1)
    for name, values in found.items():
        low, middle, high = np.percentile(values, [25, 50, 75])
        benchmark.extra_info[name] = f"{middle:+.2f} % ({low:+.2f} to {high:+.2f})"
    assert -0.5 < np.median(found["total_mass_kg"]) < -0.1


def _measured(specification: CohortSpecification, planned: PlannedPatient) -> dict[str, float]:
    visit = simulate_patient(specification, planned).visits[0]
    maps = composition_maps(visit.scan.codes)
    assert maps is not None
    return region_measures(maps.densities_g_cm2, visit.composition.region)


def test_thickness_compiled(benchmark: Any) -> None:
    model = body_model()
    body = place(apply_pose(model, model.mean_body, POSE), Placement(0.0, 0.0, 0.0))
    thickness = benchmark(thickness_map, body.vertices_cm, model.faces)
    assert thickness.max() > 10


def test_thickness_reference(benchmark: Any) -> None:
    model = body_model()
    body = place(apply_pose(model, model.mean_body, POSE), Placement(0.0, 0.0, 0.0))
    thickness = benchmark(numpy_thickness, body.vertices_cm, model.faces, 4, 2)
    assert thickness.max() > 10
