"""Plans and splits as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.contracts import DataError
from registry.dxa.cohort.specification import PARTS, SPLITS, CohortSpecification
from registry.dxa.cohort.splits import check_no_leak, plan_cohort, stratified_split

counts = st.fixed_dictionaries(
    {"train": st.integers(1, 120), "validation": st.integers(1, 40), "test": st.integers(1, 40)}
)


@settings(max_examples=40, deadline=None)
@given(counts, counts, st.integers(0, 2**31), st.floats(0.0, 0.3))
def test_plans_are_exact_disjoint_and_repeatable(
    pretraining: dict[str, int], paired: dict[str, int], seed: int, twice: float
) -> None:
    specification = CohortSpecification.read(
        {"seed": seed, "pretraining": pretraining, "paired": paired, "second_visit_share": twice}, "test"
    )
    plan = plan_cohort(specification)
    keys = {f"{part}/{split}": [p.key for p in plan[part][split]] for part in PARTS for split in SPLITS}
    check_no_leak(keys)
    everyone = [key for patients in keys.values() for key in patients]
    assert len(everyone) == len(set(everyone))
    for part, wanted in (("pretraining", pretraining), ("paired", paired)):
        for split in SPLITS:
            assert sum(patient.visits for patient in plan[part][split]) == wanted[split]
    assert plan == plan_cohort(specification)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(6, 85), min_size=30, max_size=200), st.integers(0, 2**31))
def test_splits_have_the_same_ages_and_sexes(ages: list[float], seed: int) -> None:
    generator = np.random.default_rng(seed)
    sexes = [str(sex) for sex in generator.integers(0, 2, len(ages))]
    held = len(ages) // 5
    quotas = {"train": len(ages) - 2 * held, "validation": held, "test": held}
    split = np.array(stratified_split(ages, sexes, quotas, generator))
    assert {name: int((split == name).sum()) for name in quotas} == quotas
    rank = np.empty(len(ages))
    rank[np.lexsort((ages, sexes))] = np.linspace(0, 1, len(ages))
    for name in quotas:
        # The ranks by sex and age of a fair share are evenly spread, so their mean is near one half.
        assert abs(rank[split == name].mean() - 0.5) < 2.0 / np.sqrt(held) / 3


def test_ages_cover_the_range_and_sexes_are_balanced() -> None:
    specification = CohortSpecification.read(
        {"seed": 1, "pretraining": {"scans": 400}, "paired": {"scans": 200}}, "test"
    )
    for split in SPLITS:
        people = plan_cohort(specification)["pretraining"][split]
        ages = np.array([person.age_years for person in people])
        assert abs(np.median(ages) - 45.5) < 9
        assert ages.min() < 20
        assert ages.max() > 70
        assert 0.4 < np.mean([person.sex == "male" for person in people]) < 0.6


def test_a_leak_names_the_patient_and_both_splits() -> None:
    with pytest.raises(DataError, match="'S000002' is in both pretraining/train and paired/test"):
        check_no_leak({"pretraining/train": ["S000001", "S000002"], "paired/test": ["S000002"]})
    check_no_leak({"paired/train": ["S000001", "S000001"], "paired/test": ["S000002"]})


def test_quotas_must_fit() -> None:
    with pytest.raises(ValueError, match="do not sum"):
        stratified_split([1.0, 2.0], ["f", "m"], {"train": 1}, np.random.default_rng(0))


def test_another_split_divides_the_same_patients_anew() -> None:
    counts = {"train": 60, "validation": 20, "test": 20}
    declared = CohortSpecification.read(
        {"seed": 1, "pretraining": counts, "paired": counts, "second_visit_share": 0.1}, "test"
    )
    plans = [plan_cohort(declared.model_copy(update={"split": k})) for k in (0, 1, 2, 1)]
    for part in PARTS:
        people = [
            sorted((p for s in SPLITS for p in plan[part][s]), key=lambda p: p.number) for plan in plans
        ]
        assert people[0] == people[1] == people[2]
        for split in SPLITS:
            assert len({sum(p.visits for p in plan[part][split]) for plan in plans}) == 1
        tests = [{p.key for p in plan[part]["test"]} for plan in plans]
        assert tests[1] == tests[3]
        assert tests[0] != tests[1] != tests[2] != tests[0]
    assert len({declared.model_copy(update={"split": k}).fingerprint() for k in range(3)}) == 3
