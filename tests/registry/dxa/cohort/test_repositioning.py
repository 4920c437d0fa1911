"""Lying down anew: one person's scans differ less than those of two; all together as much as is asked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from registry.dxa.cohort.phenotypes import MAXIMUM_WEIGHT, sample_weight
from registry.dxa.cohort.pose import Habit, sample_placement, sample_pose
from registry.dxa.cohort.sources import PlacementVariation, PoseVariation
from registry.dxa.cohort.specification import CohortSpecification, Sex
from registry.dxa.cohort.splits import PlannedPatient
from registry.dxa.cohort.subject import simulate_patient, simulate_repeats

PEOPLE, SCANS = 1500, 2


def _drawn(share: float, draw: Callable[[Habit], float]) -> np.ndarray:
    """What is drawn for each person's scans, shape (people, scans)."""
    return np.array(
        [
            [
                draw(
                    Habit(np.random.default_rng([1, person]), np.random.default_rng([2, person, scan]), share)
                )
                for scan in range(SCANS)
            ]
            for person in range(PEOPLE)
        ]
    )


def _shoulders(habit: Habit) -> float:
    return sample_pose(PoseVariation(), (30.0, 30.0), habit).shrugs[0]


def _rotation(habit: Habit) -> float:
    return sample_placement(PlacementVariation(), habit).rotation_deg


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(
    ("draw", "spread"),
    [(_shoulders, PoseVariation().shrug_sd_deg), (_rotation, PlacementVariation().rotation_sd_deg)],
)
def test_one_persons_scans_have_their_share_of_the_spread(
    share: float, draw: Callable[[Habit], float], spread: float
) -> None:
    values = _drawn(share, draw)
    within = np.sqrt(((values[:, 0] - values[:, 1]) ** 2 / 2).mean())
    assert within == pytest.approx(share * spread, rel=0.08, abs=1e-9)
    # Between people nothing changes: 4 standard errors of a standard deviation.
    assert values[:, 0].std() == pytest.approx(spread, rel=4 / np.sqrt(2 * PEOPLE))


def test_even_numbers_stay_even_whatever_the_share() -> None:
    for share in (0.0, 0.4, 1.0):
        values = np.sort(_drawn(share, lambda habit: habit.uniform())[:, 0])
        assert np.abs(values - (np.arange(PEOPLE) + 0.5) / PEOPLE).max() < 1.63 / np.sqrt(PEOPLE)


def test_without_a_share_a_person_lies_alike_every_time_and_at_the_second_visit() -> None:
    counts = {"train": 8, "validation": 1, "test": 1}
    off = {"repositioning_share": 0.0}
    specification = CohortSpecification.read(
        {"seed": 3, "pretraining": counts, "paired": counts, "pose": off, "placement": off}, "test"
    )
    planned = PlannedPatient(5, "a", "female", 50.0, 2)
    first, second = simulate_repeats(specification, planned, 2)
    assert np.array_equal(first.composition.thickness_cm, second.composition.thickness_cm)
    assert not np.array_equal(first.scan.codes, second.scan.codes)
    # The second visit is another weight in nearly the same place; with a share of one it lies elsewhere.
    apart = []
    for share in (0.0, 1.0):
        every = {"repositioning_share": share}
        one = CohortSpecification.read(
            {"seed": 3, "pretraining": counts, "paired": counts, "pose": every, "placement": every}, "test"
        )
        bodies = [visit.composition.thickness_cm > 0 for visit in simulate_patient(one, planned).visits]
        apart.append(float((bodies[0] ^ bodies[1]).sum() / (bodies[0] | bodies[1]).sum()))
    assert apart[0] < 0.5 * apart[1]


@pytest.mark.parametrize(
    ("sex", "age", "mean", "spread"), [("female", 50.0, 1.18, 0.33), ("male", 8.0, 0.427, 0.31)]
)
def test_weights_have_the_mean_and_spread_of_their_age(
    sex: Sex, age: float, mean: float, spread: float
) -> None:
    generator = np.random.default_rng(0)
    weights = np.array([sample_weight(sex, age, generator) for _ in range(4000)])
    assert weights.min() >= 0
    assert weights.max() <= MAXIMUM_WEIGHT
    assert weights.mean() == pytest.approx(mean, abs=4 * spread / np.sqrt(4000))
    assert weights.std() == pytest.approx(spread, rel=0.05)
