"""The published side of the table of adults: weighted means, evened ages."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.weightstats import DescrStatsW

SCRIPT = Path(__file__).parents[4] / "scripts" / "summarise_survey.py"
_specification = importlib.util.spec_from_file_location("summarise_survey", SCRIPT)
assert _specification is not None
assert _specification.loader is not None
survey = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(survey)


def test_weighted_means_match_a_second_library() -> None:
    generator = np.random.default_rng(0)
    values, weights = generator.normal(28.0, 6.0, 500), generator.uniform(1.0, 9.0, 500)
    known = DescrStatsW(values, weights=weights, ddof=0)
    found = survey.weighted_mean_and_sd(np.append(values, np.nan), np.append(weights, 5.0))
    assert found == pytest.approx((known.mean, known.std))


def test_evened_ages_count_alike() -> None:
    generator = np.random.default_rng(1)
    ages = np.concatenate(
        [generator.uniform(20, 40, 3000), generator.uniform(40, 85, 1000), np.full(50, 85.0)]
    )
    weights = survey.even_ages(ages, generator.uniform(1.0, 9.0, len(ages)))
    counted = np.histogram(ages, bins=np.arange(20.0, 91.0, 5.0), weights=weights)[0]
    np.testing.assert_allclose(counted, [1.0] * 13 + [0.0])


def test_masses_follow_from_indices_of_stature() -> None:
    record = {
        "height": np.array([1.7]), "bmi": np.array([27.0]), "pfat": np.array([32.0]), "bmd": np.array([1.1]),
        "fbmi": np.array([86_505.19]), "lbmi": np.array([173_010.38]), "bbmi": np.array([8650.519]),
        "llean": np.array([22.0]), "lfat": np.array([12.5]), "waist": np.array([0.95]),
    }  # fmt: skip
    found = survey.quantities(record)
    assert found["total_fat_kg"] == pytest.approx(25.0)
    assert found["fat_free_kg"] == pytest.approx(52.5)
    assert found["total_mass_kg"] == pytest.approx(77.5)
    assert found["limb_lean_share"] == pytest.approx(44.0)
    assert found["limb_fat_share"] == pytest.approx(50.0)
