"""The scanner against xraydb, closed forms and the calibration in the QDR manual."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from registry.dxa.imaging.attenuation import (
    FILTER_LAYERS,
    MONOCHROMATIC_KEV,
    attenuation_tables,
    read_spectra,
)
from registry.dxa.imaging.channels import CHANNELS, MAXIMUM_CODE, decode, encode
from registry.dxa.imaging.materials import mass_attenuation
from registry.dxa.imaging.r_image import r_image
from registry.dxa.imaging.scanner import Scanner

# xraydb's Elam tables (total), evaluated apart from this project.
R_40_70 = {
    "triolein": 1.233,
    "protein": 1.318,
    "glycogen": 1.330,
    "water": 1.391,
    "muscle": 1.402,
    "cortical_bone": 2.589,
    "hydroxyapatite": 3.154,
}


def _layer_attenuation(source: str, layers: dict[str, float]) -> float:
    record = read_spectra()[source]
    depth = sum(
        np.array(record["mass_attenuation_cm2_g"][name]) * density for name, density in layers.items()
    )
    return float(-np.log(np.sum(np.array(record["signal_share"]) * np.exp(-depth))))


@pytest.mark.parametrize(("material", "expected"), R_40_70.items())
def test_r_values_at_40_and_70_kev(material: str, expected: float) -> None:
    low, high = mass_attenuation(material, [40.0, 70.0])
    assert low / high == pytest.approx(expected, abs=6e-4)


def test_committed_coefficients_are_those_of_xraydb() -> None:
    for source in ("high", "low"):
        record = read_spectra()[source]
        for material, values in record["mass_attenuation_cm2_g"].items():
            np.testing.assert_allclose(values, mass_attenuation(material, record["energy_kev"]), rtol=1e-4)


def test_spectra_are_normalised_and_within_their_tube_voltage() -> None:
    for source in ("high", "low"):
        record = read_spectra()[source]
        assert len(record["energy_kev"]) == 14
        assert sum(record["signal_share"]) == pytest.approx(1.0, abs=1e-6)
        assert max(record["energy_kev"]) < record["kilovolts"]


def test_r_values_of_the_manuals_sample_calibration() -> None:
    phantom = 17.4 * 1.18
    absolute = _layer_attenuation("low", {"pmma": phantom}) / _layer_attenuation("high", {"pmma": phantom})
    segment = dict(FILTER_LAYERS["tissue"])["pmma"]
    change = [
        _layer_attenuation(source, {"pmma": phantom + segment})
        - _layer_attenuation(source, {"pmma": phantom})
        for source in ("low", "high")
    ]
    assert absolute == pytest.approx(1622.56 / 1305.39, abs=0.03)
    assert change[0] / change[1] == pytest.approx((1718.52 - 1622.56) / (1389.09 - 1305.39), abs=0.03)
    high = _layer_attenuation("high", {"pmma": phantom})
    assert change[1] / high == pytest.approx((1389.09 - 1305.39) / 1305.39, rel=0.05)


def test_bone_lean_and_fat_are_ordered_by_their_r_values() -> None:
    scanner = Scanner(photons=None)
    attenuation = scanner.attenuation(np.array([[0.0, 0.0, 2.0], [0.0, 20.0, 0.0], [20.0, 0.0, 0.0]]))
    bone, lean, fat = attenuation[:, 1] / attenuation[:, 0]
    assert bone > lean > fat > 1.0


def test_beam_hardening_lowers_r_with_thickness() -> None:
    attenuation = Scanner(photons=None).attenuation(
        np.array([[0.0, depth, 0.0] for depth in (0.5, 5.0, 25.0)])
    )
    r = attenuation[:, 1] / attenuation[:, 0]
    assert r[0] > r[1] > r[2]


def test_a_monochromatic_beam_follows_beer_and_lambert() -> None:
    density = np.array([3.0, 12.0, 1.5])
    attenuation = Scanner(photons=None, mode="monochromatic").attenuation(density)
    for position, name in enumerate(("hi", "lo")):
        coefficients = [
            mass_attenuation(material, MONOCHROMATIC_KEV[name])[0]
            for material in ("triolein", "muscle", "hydroxyapatite")
        ]
        assert attenuation[position] == pytest.approx(float(density @ coefficients), rel=1e-12)


def test_phases_add_a_positive_amount_that_only_hardening_changes() -> None:
    maps = np.array([[0.0, 2.0, 0.0], [1.0, 5.0, 0.0], [6.0, 25.0, 2.0]])
    channels = Scanner(photons=None).attenuation(maps).reshape(3, 3, 2)
    for phase, hardening in ((1, (0.25, 0.5)), (2, (0.05, 0.15))):
        added = channels[:, phase] - channels[:, 0]
        assert (added > 0).all()
        assert (np.diff(added, axis=0) < 0).all()
        assert (np.ptp(added, axis=0) / added.mean(axis=0) < hardening).all()
    mono = Scanner(photons=None, mode="monochromatic").attenuation(maps).reshape(3, 3, 2)
    np.testing.assert_allclose(np.ptp(mono[:, 1:] - mono[:, :1], axis=0), 0.0, atol=1e-12)


def test_a_pixel_half_covered_passes_the_mean_of_both_halves() -> None:
    # Beer and Lambert for one energy; -ln((1 + exp(-mu s)) / 2) on top of what the filter takes.
    depth = 14.0
    pixel = np.array([[0.0, 0.0, 0.0], [0.0, depth, 0.0]])
    found = Scanner(photons=None, mode="monochromatic").averaged_attenuation(pixel).reshape(3, 2)
    for position, name in enumerate(("hi", "lo")):
        energy = MONOCHROMATIC_KEV[name]
        mu = mass_attenuation("muscle", energy)[0]
        covered = -np.log((1.0 + np.exp(-mu * depth)) / 2.0)
        for phase, layers in enumerate(FILTER_LAYERS.values()):
            filtered = sum(mass_attenuation(material, energy)[0] * density for material, density in layers)
            assert found[phase, position] == pytest.approx(filtered + covered, rel=1e-12)
        assert covered < mu * depth / 2  # what the mean density would take


def test_metal_over_a_share_of_a_pixel_lets_the_rest_pass() -> None:
    for covered in range(8):
        metal = np.where(np.arange(8) < covered, 500.0, 0.0)
        found = Scanner(photons=None).averaged_attenuation(np.zeros((8, 3)), metal)
        assert found[0] == pytest.approx(-np.log(1 - covered / 8), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, (4, 8, 3), elements=st.floats(0.0, 30.0)))
def test_mean_intensity_never_attenuates_more_than_mean_density(samples: np.ndarray) -> None:
    # Jensen's inequality, for every channel.
    scanner = Scanner(photons=None)
    averaged, of_the_mean = scanner.averaged_attenuation(samples), scanner.attenuation(samples.mean(axis=1))
    assert (averaged <= of_the_mean + 1e-9).all()
    alike = np.repeat(samples[:, :1], 8, axis=1)
    np.testing.assert_allclose(
        scanner.averaged_attenuation(alike), scanner.attenuation(samples[:, 0]), rtol=1e-9, atol=1e-12
    )


def test_a_scan_of_equal_samples_is_that_of_their_density() -> None:
    maps = np.random.default_rng(1).uniform(0.0, 15.0, (4, 5, 3))
    samples, metal = np.repeat(maps[:, :, None], 8, axis=2), np.full((4, 5), 0.2)
    one = Scanner().scan(maps, np.random.default_rng(0), implants_g_cm2=metal)
    other = Scanner().scan(
        samples, np.random.default_rng(0), implants_g_cm2=np.repeat(metal[..., None], 8, axis=2)
    )
    assert np.abs(one.codes.astype(int) - other.codes).max() <= 1


def test_poisson_noise_has_its_variance() -> None:
    maps = np.zeros((100, 100, 3))
    maps[..., 1] = 10.0
    codes = Scanner(photons=3e6).scan(maps, np.random.default_rng(0)).codes.astype(float)
    expected = Scanner(photons=None).attenuation(maps[0, 0])
    noise = decode(codes).std(axis=(0, 1))
    rounding = 1 / 2000 / np.sqrt(12)
    np.testing.assert_allclose(noise, np.hypot(1 / np.sqrt(3e6 * np.exp(-expected)), rounding), rtol=0.05)
    np.testing.assert_allclose(decode(codes).mean(axis=(0, 1)), expected, atol=5e-4)


def test_codes_are_limited_to_14_bits_and_the_limiting_is_counted() -> None:
    scan = Scanner(photons=None).scan(np.full((2, 2, 3), 40.0), np.random.default_rng(0))
    assert scan.codes.max() == MAXIMUM_CODE
    assert scan.saturated == 2 * 2 * len(CHANNELS)


def test_codes_and_attenuation_are_inverse_up_to_rounding() -> None:
    attenuation = np.linspace(0.0, 8.0, 101)
    codes, saturated = encode(attenuation)
    assert saturated == 0
    np.testing.assert_allclose(decode(codes), attenuation, atol=0.5 / 2000)


def test_r_image_is_constant_where_the_beam_is_open() -> None:
    maps = np.zeros((1, 2, 3))
    maps[0, 1] = (0.0, 10.0, 0.0)
    image = r_image(Scanner(photons=None).scan(maps, np.random.default_rng(0)).codes)
    assert image[0, 0] == 1.0
    assert 1.2 < image[0, 1] < 1.4


def test_tables_are_read_once() -> None:
    assert attenuation_tables("polychromatic") is attenuation_tables("polychromatic")
