"""The suites that ship with the package say what they promise."""

from __future__ import annotations

import pytest

from harness.suite import load_suite
from registry.catalog import suite_files
from registry.dxa.cohort.specification import CohortSpecification
from registry.dxa.cohort.splits import plan_cohort
from registry.dxa.domain import DxaDomain


@pytest.mark.parametrize("name", sorted(suite_files()))
def test_every_suite_reads_and_its_domain_understands_it(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert DxaDomain().check_settings(suite.settings)
    assert CohortSpecification.read(suite.cohort, name)


def test_quick_has_enough_patients_to_choose_and_to_judge() -> None:
    paired = plan_cohort(CohortSpecification.read(load_suite("quick").cohort, "quick"))["paired"]
    assert len({patient.key for patient in paired["validation"]}) >= 50
    assert len({patient.key for patient in paired["test"]}) >= 100
