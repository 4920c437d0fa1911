"""Scanners that average intensity: the truth stays, samples run as the anatomy does, the signal is lower."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from registry.dxa.cohort import subject as subject_module
from registry.dxa.cohort.composition import Composition, Specimen
from registry.dxa.cohort.detector import SAMPLES, detector_samples
from registry.dxa.cohort.projection import thickness_and_cover
from registry.dxa.cohort.specification import CohortSpecification
from registry.dxa.cohort.splits import PlannedPatient
from registry.dxa.cohort.subject import Visit, simulate_patient
from registry.dxa.imaging.attenuation import MONOCHROMATIC_KEV
from registry.dxa.imaging.channels import GAIN_COUNTS_PER_NEPER, MAXIMUM_CODE
from registry.dxa.imaging.materials import COMPONENT_MATERIALS, IMPLANT_MATERIAL, mass_attenuation

COUNTS = {"train": 8, "validation": 1, "test": 1}
Seen = tuple[Specimen, Composition, npt.NDArray[np.float64], npt.NDArray[np.float64] | None]


def _specification(averaging: str) -> CohortSpecification:
    scanner = {"photons": 0.0, "mode": "monochromatic", "averaging": averaging}
    table = {"seed": 3, "pretraining": COUNTS, "paired": COUNTS, "scanner": scanner}
    return CohortSpecification.read(table, "test")


@pytest.fixture(scope="module")
def scanned() -> tuple[Visit, Visit, Seen]:
    """One person with a new hip, scanned both ways, and what the detector saw."""
    seen: list[Seen] = []

    def spy(specimen: Specimen, composition: Composition) -> tuple[object, object]:
        densities, metal = detector_samples(specimen, composition)
        seen.append((specimen, composition, densities, metal))
        return densities, metal

    draw = subject_module.sample_individual

    def with_hip(*arguments: object) -> object:
        return dataclasses.replace(draw(*arguments), implants=("hip_left",))  # type: ignore[arg-type]

    planned = PlannedPatient(4, "a", "female", 66.0, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject_module, "detector_samples", spy)
        patch.setattr(subject_module, "sample_individual", with_hip)
        visits = [
            simulate_patient(_specification(name), planned).visits[0] for name in ("density", "intensity")
        ]
    assert len(seen) == 1
    return visits[0], visits[1], seen[0]


def test_the_truth_does_not_depend_on_the_detector(scanned: tuple[Visit, Visit, Seen]) -> None:
    density, intensity, _ = scanned
    assert density.measures == intensity.measures
    assert np.array_equal(density.composition.densities_g_cm2, intensity.composition.densities_g_cm2)
    assert np.array_equal(density.rest.vertices_cm, intensity.rest.vertices_cm)


def test_samples_have_the_means_of_the_maps(scanned: tuple[Visit, Visit, Seen]) -> None:
    _, composition, samples, metal = scanned[2]
    assert samples.shape == (150, 109, SAMPLES, 3)
    assert samples.min() >= 0.0
    np.testing.assert_allclose(samples.mean(axis=2), composition.densities_g_cm2, rtol=1e-12, atol=1e-12)
    assert metal is not None
    assert composition.implants_g_cm2 is not None
    np.testing.assert_allclose(metal.mean(axis=2), composition.implants_g_cm2, rtol=1e-12, atol=1e-12)
    assert np.ptp(metal, axis=2).max() > 1.0


def test_a_sample_holds_tissue_where_the_body_covers_it(scanned: tuple[Visit, Visit, Seen]) -> None:
    specimen, _, samples, _ = scanned[2]
    faces = specimen.model.faces
    _, cover = thickness_and_cover(specimen.body.vertices_cm, faces, np.zeros(len(faces), np.int64), 1)
    # The upper faces cover a sample once, or more often where one part of the body lies over another.
    covered = np.minimum(cover[..., 0], SAMPLES)
    filled = np.count_nonzero(samples.sum(axis=-1) > 0, axis=-1)
    partly = (covered > 0) & (covered < SAMPLES)
    assert partly.sum() > 200
    # Where folds of the skin run through each other, there may be no thickness left.
    assert (filled <= covered).all()
    assert (filled == covered).mean() > 0.998


def test_the_signal_falls_by_half_the_variance_within_a_pixel(scanned: tuple[Visit, Visit, Seen]) -> None:
    density, intensity, (_, composition, samples, metal) = scanned
    fall = density.scan.codes.astype(int) - intensity.scan.codes
    assert fall.min() >= 0
    outside = composition.densities_g_cm2.sum(axis=-1) == 0
    assert np.all(fall[outside] == 0)
    assert metal is not None
    in_scale = density.scan.codes.max(axis=-1) < MAXIMUM_CODE
    for channel, energy in enumerate(("hi", "lo")):
        # One energy: attenuation is linear in density, and -ln of the mean of exp(-A) is its cumulants' sum.
        mu = [
            float(mass_attenuation(material, MONOCHROMATIC_KEV[energy])[0])
            for material in (*COMPONENT_MATERIALS, IMPLANT_MATERIAL)
        ]
        variance = (samples @ np.array(mu[:3]) + mu[3] * metal).var(axis=-1)
        small = (variance < 0.01) & in_scale
        assert (variance[small] > 0.001).sum() > 300
        expected = GAIN_COUNTS_PER_NEPER * variance[small] / 2
        np.testing.assert_allclose(fall[..., channel][small], expected, atol=1.01, rtol=0.1)
        assert np.median(fall[..., channel][variance > 0.1]) > 100
