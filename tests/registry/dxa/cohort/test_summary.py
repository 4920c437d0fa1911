"""The summary of a cohort and its spectrum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from registry.dxa.cohort.store import open_split
from registry.dxa.cohort.summary import SUMMARISED, adult_summary, principal_spectrum


def test_adults_are_summarised_beside_published_means(cohort: Path) -> None:
    table = adult_summary(cohort)
    assert table.height == 2 * len(SUMMARISED)
    men = table.filter((table["sex"] == "male") & (table["measure"] == "total_bmc_kg")).row(0, named=True)
    assert 1.5 < men["mean"] < 4.0
    assert men["published"] == "2.4-2.8"


def test_the_spectrum_is_that_of_a_singular_value_decomposition(cohort: Path) -> None:
    split = open_split(cohort, "pretraining", "train")
    spectrum = principal_spectrum(split, components=5)
    scans = np.asarray(split.scans[:, :, :108], dtype=np.float64)
    coarse = (scans[:, ::2, ::2] + scans[:, 1::2, ::2] + scans[:, ::2, 1::2] + scans[:, 1::2, 1::2]) / 4
    flat = coarse.reshape(len(coarse), -1)
    values = np.linalg.svd(flat - flat.mean(axis=0), compute_uv=False) ** 2
    np.testing.assert_allclose(spectrum, (np.cumsum(values) / values.sum())[:5], rtol=1e-4)
    assert spectrum[-1] == pytest.approx(spectrum.max())
