"""Which patients' labels are seen: nested, the same whatever the order, another patient's where shuffled."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.labels import check_domain, kept, nested_patients, shuffled_order
from registry.contracts import Domain, InputError
from tests.harness.toys import toy_suite

patient_keys = st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=40)
fractions = st.floats(0.01, 1.0)


@given(patient_keys, fractions, fractions, st.integers(0, 5))
def test_smaller_shares_are_part_of_larger_ones(patients: list[str], a: float, b: float, draw: int) -> None:
    smaller, larger = sorted((a, b))
    assert nested_patients(patients, smaller, draw) <= nested_patients(patients, larger, draw)


@given(patient_keys, fractions, st.integers(0, 5))
def test_the_share_is_of_patients_rounded_up_and_knows_no_order(
    patients: list[str], fraction: float, draw: int
) -> None:
    chosen = nested_patients(patients, fraction, draw)
    assert chosen == nested_patients(patients[::-1], fraction, draw)
    assert len(chosen) == kept(len(set(patients)), fraction)
    assert nested_patients(patients, 1.0, draw) == set(patients)


def test_binary_fractions_do_not_round_up_by_accident() -> None:
    assert [kept(10, share) for share in (0.1, 0.3, 0.7, 0.05)] == [1, 3, 7, 1]
    assert kept(60, 0.05) == 3


def test_draws_choose_each_patient_equally_often() -> None:
    everybody = [f"p{number}" for number in range(20)]
    chosen = Counter(patient for draw in range(400) for patient in nested_patients(everybody, 0.25, draw))
    assert set(chosen) == set(everybody)
    assert all(60 <= count <= 140 for count in chosen.values())  # 100 expected, 9 standard deviation


def test_a_later_patient_moves_nobody_else() -> None:
    everybody = [f"p{number}" for number in range(30)]
    ranked = [nested_patients(everybody, number / 30, 3) for number in range(1, 31)]
    with_one_more = [nested_patients([*everybody, "new"], number / 31, 3) for number in range(1, 32)]
    assert {frozenset(one - {"new"}) for one in with_one_more} - {frozenset()} == set(ranked)


@given(patient_keys, st.integers(0, 2**32 - 1))
def test_shuffled_labels_are_somebody_else_s(patients: list[str], seed: int) -> None:
    order = shuffled_order(patients, seed)
    assert sorted(order) == list(range(len(patients)))
    if 2 * max(Counter(patients).values()) <= len(patients):
        assert all(patients[scan] != patients[given] for scan, given in enumerate(order))


def test_a_domain_that_cannot_is_refused_with_the_method_it_lacks() -> None:
    class Bare(Domain):
        name = "bare"
        check_settings = cohort = prepare = open_split = None  # type: ignore[assignment]

    Bare.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]
    bare = Bare()  # type: ignore[abstract]
    check_domain(bare, toy_suite(["a"], ["t"]))
    with pytest.raises(InputError, match=r"label_efficiency: domain 'bare' has no method with_patients"):
        check_domain(bare, toy_suite(["a"], ["t"], label_efficiency={}))
    with pytest.raises(InputError, match=r"controls\.shuffled_labels: .* with_labels_of"):
        check_domain(bare, toy_suite(["a"], ["t"], controls={"shuffled_labels": ["a"]}))
