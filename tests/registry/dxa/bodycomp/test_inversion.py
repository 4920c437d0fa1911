"""Inversion against the forward model, a second solver and closed forms."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from registry.dxa.bodycomp.inversion import (
    SATURATION_NEPERS,
    solve_lean_alone,
    solve_soft_tissue,
    solve_under_bone,
)
from registry.dxa.imaging.attenuation import attenuation_tables
from registry.dxa.imaging.channels import MAXIMUM_CODE, decode
from registry.dxa.imaging.scanner import Scanner

grams = st.floats(0.0, 25.0)


@settings(max_examples=50, deadline=None)
@given(fat=grams, lean=st.floats(0.1, 25.0))
def test_soft_tissue_comes_back_exactly(fat, lean):
    attenuation = Scanner().attenuation([[fat, lean, 0.0]])
    assume(attenuation.max() < SATURATION_NEPERS)
    found = solve_soft_tissue(attenuation)
    assert found.converged.all()
    np.testing.assert_allclose(found.densities_g_cm2, [[fat, lean, 0.0]], atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(fat=grams, lean=st.floats(0.5, 25.0), mineral=st.floats(0.0, 6.0))
def test_bone_comes_back_where_the_fat_is_known(fat, lean, mineral):
    attenuation = Scanner().attenuation([[fat, lean, mineral]])
    assume(attenuation.max() < SATURATION_NEPERS)
    found = solve_under_bone(attenuation, [fat], [fat + lean])
    assert found.converged.all()
    np.testing.assert_allclose(found.densities_g_cm2, [[fat, lean, mineral]], atol=1e-5)


def test_one_unknown_is_enough_where_fat_is_known_and_there_is_no_bone():
    attenuation = Scanner().attenuation([[4.0, 17.0, 0.0]])
    attenuation[0, 1::2] = np.inf  # no photon at low energy
    found = solve_lean_alone(attenuation, [4.0], [10.0])
    np.testing.assert_allclose(found.densities_g_cm2, [[4.0, 17.0, 0.0]], atol=1e-6)


def test_lean_tissue_is_found_beside_mineral_that_is_known():
    attenuation = Scanner().attenuation([[4.0, 17.0, 1.2]])
    attenuation[0, 1::2] = np.inf
    found = solve_lean_alone(attenuation, [4.0], [10.0], mineral_g_cm2=[1.2])
    np.testing.assert_allclose(found.densities_g_cm2, [[4.0, 17.0, 1.2]], atol=1e-6)


def test_monochromatic_beams_follow_from_two_linear_equations():
    tables = attenuation_tables("monochromatic")
    matrix = np.stack([tables[name].mass_attenuation_cm2_g[:2, 0] for name in ("hi", "lo")])
    attenuation = Scanner(mode="monochromatic").attenuation([[2.0, 11.0, 0.7]])
    expected = np.linalg.solve(matrix, attenuation[0, :2])
    found = solve_soft_tissue(attenuation, "monochromatic").densities_g_cm2[0]
    np.testing.assert_allclose(found[:2], expected, rtol=1e-6)
    # What bone that is overlooked costs, in fat and in lean tissue.
    assert (found[:2] - [2.0, 11.0]) / 0.7 == pytest.approx([-17.5, 18.6], abs=2.5)


def test_noisy_pixels_agree_with_a_general_solver():
    scanner = Scanner(photons=3e6)
    density = np.array([[3.0, 12.0, 0.0], [1.0, 18.0, 0.0], [9.0, 9.0, 0.0]])
    attenuation = decode(scanner.scan(density, np.random.default_rng(0)).codes)
    found = solve_soft_tissue(attenuation).densities_g_cm2
    for pixel, observed in enumerate(attenuation):

        def deviance_residuals(x, observed=observed):
            model = scanner.attenuation([[x[0], x[1], 0.0]])[0]
            # Signed roots of the Poisson deviance of counts exp(-observed) with means exp(-model).
            n, m = np.exp(-observed), np.exp(-model)
            return np.sign(n - m) * np.sqrt(2 * np.maximum(n * np.log(n / m) - (n - m), 0.0))

        reference = least_squares(deviance_residuals, [5.0, 10.0], xtol=1e-12, ftol=1e-12, gtol=1e-14).x
        np.testing.assert_allclose(found[pixel, :2], reference, atol=5e-3)


def test_saturated_channels_are_left_out():
    density = np.array([[5.0, 15.0, 0.0]])
    attenuation = Scanner().attenuation(density)
    attenuation[0, 5] = decode(MAXIMUM_CODE)
    np.testing.assert_allclose(solve_soft_tissue(attenuation).densities_g_cm2, density, atol=1e-6)


def test_reported_errors_match_the_scatter_of_repeated_scans():
    photons, density = 3e6, np.tile([4.0, 14.0, 0.0], (4000, 1))
    attenuation = decode(Scanner(photons=photons).scan(density, np.random.default_rng(1)).codes)
    found = solve_soft_tissue(attenuation)
    expected = found.error_factor_g_cm2.mean() / np.sqrt(photons)
    assert found.densities_g_cm2[:, 0].std() == pytest.approx(expected, rel=0.05)
    assert found.densities_g_cm2[:, 0].mean() == pytest.approx(4.0, abs=4 * expected / np.sqrt(4000))
    # Six channels less two unknowns; rounding to codes adds a little.
    assert found.misfit.mean() * photons == pytest.approx(4.0, rel=0.05)


def test_channels_that_contradict_each_other_do_not_converge_to_anything_finite_and_silent():
    wild = np.array([[8.0, 0.0, 8.0, 0.0, 8.0, 0.0]])
    found = solve_soft_tissue(wild)
    assert found.misfit[0] > 1e-3 or not found.converged[0] or found.densities_g_cm2.min() < -1.0
