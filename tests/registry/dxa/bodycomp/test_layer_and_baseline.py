"""The layer against closed forms of cylinders; the estimate under bone on bodies made to order."""

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import spsolve

from registry.dxa.bodycomp.baseline import BaselineSettings, _relax_rows, estimate_baseline
from registry.dxa.bodycomp.layer import (
    LEVELS_CM,
    LIPID_DENSITY_G_CM3,
    TISSUE_DENSITY_G_CM3,
    fill_pits,
    layer_fat_g_cm2,
)
from registry.dxa.imaging.geometry import GRID


def cylinder(radius):
    """Chord of a cylinder along the table, with everything beyond its ends empty."""
    chord = 2 * np.sqrt(np.maximum(radius**2 - GRID.column_centres_cm() ** 2, 0.0))
    thickness = np.tile(chord, (GRID.rows, 1))
    thickness[:20] = thickness[-20:] = 0.0
    return thickness


# A layer thinner than a pixel is wide does not see gentle slopes.
@pytest.mark.parametrize(("level", "tolerance"), [(0.75, 0.13), (1.7, 0.04), (2.8, 0.04)])
def test_layer_of_a_cylinder_is_the_difference_of_two_chords(level, tolerance):
    thickness = cylinder(8.0)
    layers = layer_fat_g_cm2(TISSUE_DENSITY_G_CM3 * thickness)
    expected = LIPID_DENSITY_G_CM3 * (thickness - cylinder(8.0 - level))
    middle = slice(60, 90)
    inside = np.abs(GRID.column_centres_cm()) < 0.8 * (8.0 - level)
    found = layers[list(LEVELS_CM).index(level)]
    np.testing.assert_allclose(found[middle][:, inside], expected[middle][:, inside], rtol=tolerance)


def test_layers_rise_with_their_level_and_end_with_all_fat():
    total = TISSUE_DENSITY_G_CM3 * cylinder(6.0)
    layers = layer_fat_g_cm2(total)
    assert (np.diff(layers, axis=0) >= -1e-12).all()
    whole = slice(25, -25)
    all_fat = LIPID_DENSITY_G_CM3 * total / TISSUE_DENSITY_G_CM3
    np.testing.assert_allclose(layers[-1][whole], all_fat[whole])


def test_pits_are_filled_to_their_rim():
    values = np.zeros((9, 9))
    values[1:8, 1:8] = 5.0
    values[3:6, 3:6] = 1.0
    filled = fill_pits(values)
    assert filled[4, 4] == 5.0
    assert filled[0, 0] == 0.0


def test_line_relaxation_solves_the_penalised_problem():
    generator = np.random.default_rng(0)
    body = np.ones((12, 9), dtype=bool)
    body[:4, :3] = False
    body[7, 4] = False
    weight, wanted = generator.uniform(0.5, 2.0, body.shape), generator.normal(size=body.shape)
    down, across = (generator.uniform(low, 2 * low, body.shape) for low in (3.0, 7.0))
    index = -np.ones(body.shape, dtype=int)
    index[body] = np.arange(body.sum())
    rows = []
    for centre, before, after, roughness in (
        (index[1:-1], index[:-2], index[2:], down[1:-1]),
        (index[:, 1:-1], index[:, :-2], index[:, 2:], across[:, 1:-1]),
    ):
        for c, a, b, r in zip(centre.ravel(), before.ravel(), after.ravel(), roughness.ravel(), strict=True):
            if min(a, b, c) >= 0:
                row = np.zeros(body.sum())
                row[[a, c, b]] = np.sqrt(r) * np.array([1.0, -2.0, 1.0])
                rows.append(row)
    differences = np.array(rows)
    matrix = np.diag(weight[body]) + differences.T @ differences
    expected = spsolve(sparse.csc_matrix(matrix), (weight * wanted)[body])
    found = np.zeros(body.shape)
    for _ in range(200):
        _relax_rows(found, wanted, weight, body, down, across, 1.3)
        _relax_rows(found.T, wanted.T, weight.T, body.T, across.T, down.T, 1.3)
    np.testing.assert_allclose(found[body], expected, atol=1e-8)


def test_fat_under_a_bone_is_that_of_the_layer_around_it():
    thickness = cylinder(8.0)
    body = thickness > 0
    total = TISSUE_DENSITY_G_CM3 * thickness
    fat = LIPID_DENSITY_G_CM3 * (thickness - cylinder(7.0))
    mineral = np.where((np.abs(GRID.column_centres_cm()) < 1.5) & body, 0.8, 0.0)
    generator = np.random.default_rng(0)
    apparent = fat - 17.5 * mineral + generator.normal(0.0, 0.1, fat.shape)
    estimate = estimate_baseline(apparent, total, np.full(fat.shape, 0.1), body, body)
    under = mineral[70:80] > 0
    assert np.abs(estimate.fat_g_cm2 - fat)[70:80][under].mean() < 0.12
    assert (estimate.free_of_bone[70:80][under] < 0.01).all()
    beside = body[70:80] & (np.abs(GRID.column_centres_cm()) > 2.5) & (np.abs(GRID.column_centres_cm()) < 5.5)
    assert (estimate.free_of_bone[70:80][beside] > 0.3).mean() > 0.9


def two_cylinders(radius, apart):
    """Fat and thickness of two cylinders side by side, whose layers have 0.5 and 2.5 cm."""
    fat, thickness = np.zeros(GRID.shape), np.zeros(GRID.shape)
    for side, layer in ((-1, 0.5), (1, 2.5)):
        squared = (GRID.column_centres_cm() + side * apart) ** 2
        chord = 2 * np.sqrt(np.maximum(radius**2 - squared, 0.0))
        inner = 2 * np.sqrt(np.maximum((radius - layer) ** 2 - squared, 0.0))
        thickness = np.maximum(thickness, np.tile(chord, (GRID.rows, 1)))
        fat = np.where(thickness == chord, LIPID_DENSITY_G_CM3 * (chord - inner), fat)
    thickness[:20] = thickness[-20:] = 0.0
    return np.where(thickness > 0, fat, 0.0), thickness


def test_the_layer_bends_where_two_parts_of_the_body_meet():
    fat, thickness = two_cylinders(radius=4.0, apart=3.68)
    body = thickness > 0
    thin, thick = ((np.abs(GRID.column_centres_cm() - side * 3.68) < 1.2) & body for side in (1, -1))
    # Bones along both, with soft tissue on either side.
    apparent = fat - 17.5 * np.where(thin | thick, 0.8, 0.0)
    errors = []
    for crease in (BaselineSettings().crease_g_cm2, 1e9):
        estimate = estimate_baseline(
            apparent,
            TISSUE_DENSITY_G_CM3 * thickness,
            np.full(fat.shape, 0.05),
            body,
            body,
            settings=BaselineSettings(crease_g_cm2=crease),
        )
        wrong = np.abs(estimate.fat_g_cm2 - fat)[60:90]
        errors.append([wrong[under[60:90]].mean() for under in (thin, thick)])
    bending, stiff = errors
    assert max(bending) < 0.3
    assert max(stiff) > 2 * max(bending)


def test_a_part_that_is_nearly_all_bone_does_not_follow_each_scans_noise():
    """A skull: bone from edge to edge but for a rim. Without a usual layer its fat would drift."""
    thickness = cylinder(7.0)
    body = thickness > 0
    total = TISSUE_DENSITY_G_CM3 * thickness
    fat = LIPID_DENSITY_G_CM3 * (thickness - cylinder(6.5))
    mineral = np.where((np.abs(GRID.column_centres_cm()) < 6.3) & body, 1.0, 0.0)
    spreads = []
    for weight in (BaselineSettings().usual_weight, 0.0):
        found = []
        for seed in range(6):
            noise = np.random.default_rng(seed).normal(0.0, 0.4, fat.shape)
            estimate = estimate_baseline(
                fat - 17.5 * mineral + noise,
                total,
                np.full(fat.shape, 0.4),
                body,
                body,
                settings=BaselineSettings(usual_weight=weight),
            )
            found.append(estimate.fat_g_cm2[60:90].sum())
        spreads.append(np.std(found))
    assert spreads[0] < 0.8 * spreads[1]


def test_an_abdomen_holds_more_fat_than_any_skin():
    half_width = 25.0
    thickness = np.tile(
        32.0 * np.sqrt(np.maximum(1.0 - (GRID.column_centres_cm() / half_width) ** 2, 0)), (150, 1)
    )
    thickness[:20] = thickness[-20:] = 0.0
    body = thickness > 0
    fat = np.minimum(LIPID_DENSITY_G_CM3 * 20.0, 0.7 * TISSUE_DENSITY_G_CM3 * thickness)
    mineral = np.where((np.abs(GRID.column_centres_cm()) < 2.0) & body, 1.0, 0.0)
    estimate = estimate_baseline(
        fat - 17.5 * mineral, TISSUE_DENSITY_G_CM3 * thickness, np.full(fat.shape, 0.3), body, body
    )
    under = mineral[65:85] > 0
    np.testing.assert_allclose(estimate.fat_g_cm2[65:85][under], fat[65:85][under], rtol=0.05)


def test_without_bone_the_estimate_follows_the_fat():
    thickness = cylinder(8.0)
    body = thickness > 0
    fat = LIPID_DENSITY_G_CM3 * (thickness - cylinder(6.8))
    estimate = estimate_baseline(
        fat,
        TISSUE_DENSITY_G_CM3 * thickness,
        np.full(fat.shape, 0.05),
        body,
        body,
        settings=BaselineSettings(),
    )
    inner = np.abs(GRID.column_centres_cm()) < 6.0
    np.testing.assert_allclose(estimate.fat_g_cm2[60:90][:, inner], fat[60:90][:, inner], rtol=0.08)
