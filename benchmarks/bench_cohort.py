"""The hot paths of simulation: one whole patient, and thickness against its reference in numpy."""

from __future__ import annotations

from typing import Any

from registry.dxa.cohort.bodies import body_model
from registry.dxa.cohort.pose import Placement, Pose, apply_pose, place
from registry.dxa.cohort.projection import thickness_map
from registry.dxa.cohort.specification import CohortSpecification
from registry.dxa.cohort.splits import PlannedPatient
from registry.dxa.cohort.subject import simulate_patient
from tests.registry.dxa.cohort.test_geometry import numpy_thickness

COUNTS = {"train": 8, "validation": 1, "test": 1}
POSE = Pose((30, 30), (8, 8), (0, 0), (4, 4), (8, 8), (42, 42), 0.0, 0.0)


def test_one_complete_patient(benchmark: Any) -> None:
    specification = CohortSpecification.read(
        {"seed": 1, "pretraining": COUNTS, "paired": COUNTS}, "benchmark"
    )
    planned = PlannedPatient(3, "S000003", "female", 40.0, 1)
    patient = benchmark(simulate_patient, specification, planned)
    assert len(patient.visits) == 1


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
