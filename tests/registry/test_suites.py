"""The suites that ship with the package say what they promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.outlook import look_ahead
from harness.request import Request
from harness.run import prepare
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


@pytest.mark.parametrize("name", sorted(suite_files()))
def test_every_suite_can_be_planned_on_any_machine(name: str, tmp_path: Path) -> None:
    """Without data, weights or the hardware that it is for."""
    request = Request(load_suite(name), (), tmp_path / "run", tmp_path / "cache")
    outlook = look_ahead(request)
    assert outlook.counts["to run"] == sum(outlook.counts.values())
    assert not list(tmp_path.iterdir())


def test_paper_has_the_published_sizes() -> None:
    suite = load_suite("paper")
    specification = CohortSpecification.read(suite.cohort, "paper")
    assert (specification.pretraining.total, specification.paired.total) == (16002, 1107)
    assert specification.paired.counts() == {"train": 885, "validation": 111, "test": 111}
    assert (suite.settings["backbone"], suite.settings["scan_reduction"]) == ("densenet121", 1)


def test_threads_that_load_are_in_no_identity_and_reach_the_records(tmp_path: Path) -> None:
    suite = load_suite("smoke")
    threaded = suite.model_copy(update={"settings": {**suite.settings, "loader_workers": 3}})
    plans = [
        prepare(Request(one, (), tmp_path / "run", tmp_path / "cache")).plan() for one in (suite, threaded)
    ]
    plain, other = ([trial.key for trial in plan.known_trials] for plan in plans)
    assert plain == other
    assert [plan.execution for plan in plans] == [{"loader_workers": 0}, {"loader_workers": 3}]


def test_study_nests_two_fine_tuning_seeds_in_five_pretraining_seeds_and_has_every_control(
    tmp_path: Path,
) -> None:
    plan = prepare(Request(load_suite("study"), (), tmp_path / "run", tmp_path / "cache")).plan()
    assert plan.slots("anthropometry") == 2 * 5 * 2
    assert {arm.control for arm in plan.arms.values()} == {
        *(None, "aa", "shuffled_labels", "broken_physics"),
    }


def test_ablation_names_arms_in_the_registry_s_own_words(tmp_path: Path) -> None:
    plan = prepare(Request(load_suite("ablation"), (), tmp_path / "run", tmp_path / "cache")).plan()
    without_term = next(arm for arm in plan.arms.values() if arm.card.factors["r_image_weight"] == 0.0)
    assert without_term.name == "nodxa_vae"
    assert "dxa_vae.r_variant_phase" not in plan.arms  # that is dxa_vae_permuted
    kinds = [derived.declared.design for derived in plan.designs]
    assert sorted(kinds) == ["dose", "factorial", "ladder", "leave_one_out"]
