"""The analyser against a dense per-pixel least-squares solution of the same scan.

The reference side is what one would write first: it solves each pixel with a general nonlinear solver (scipy)
and estimates the fat under bone by dense asymmetric least squares on a sixth of the pixels.
Run with ``pytest benchmarks/bench_bodycomp.py``; numbers are in docs/body-composition.md.
"""

import numpy as np
import pytest
from scipy.optimize import least_squares

from registry.dxa.bodycomp import analyse, subjects
from registry.dxa.bodycomp.baseline import estimate_baseline
from registry.dxa.bodycomp.inversion import MINERAL, solve_soft_tissue
from registry.dxa.bodycomp.layer import layer_fat_g_cm2
from registry.dxa.bodycomp.maps import find_body
from registry.dxa.bodycomp.outline import OUTSIDE, find_landmarks, find_regions
from registry.dxa.bodycomp.region_network import divide
from registry.dxa.imaging.channels import decode
from registry.dxa.imaging.scanner import Scanner

REFERENCE_PIXELS = 200


@pytest.fixture(scope="module")
def scan():
    subject = next(iter(subjects.simulate_subjects("accuracy", 1)))
    codes = subject.visits[0].scan.codes
    analyse([codes])  # compile
    return codes


@pytest.fixture(scope="module")
def channels(scan):
    attenuation = decode(scan)
    return attenuation[find_body(attenuation)]


def reference_inversion(channels):
    """Each pixel by a trust-region solver with numerical derivatives."""
    scanner = Scanner(photons=None)
    solutions = []
    for observed in channels:
        weight = np.exp(-0.5 * observed)

        def residuals(x, observed=observed, weight=weight):
            return weight * (scanner.attenuation([[x[0], x[1], 0.0]])[0] - observed)

        solutions.append(least_squares(residuals, [1.0, 5 * observed[0]], x_scale=[1.0, 10.0]).x)
    return np.array(solutions)


def test_analyse_one_scan(benchmark, scan):
    benchmark.group = "whole scan"
    analysis = benchmark(analyse, [scan])
    assert analysis.analysable.all()


def test_invert_one_scan(benchmark, channels):
    benchmark.group = "inversion"
    benchmark.extra_info["pixels"] = len(channels)
    found = benchmark(solve_soft_tissue, channels)
    assert found.converged.mean() > 0.999


def test_invert_some_pixels_with_the_reference(benchmark, channels):
    benchmark.group = "inversion"
    some = channels[:: len(channels) // REFERENCE_PIXELS]
    benchmark.extra_info["pixels"] = len(some)
    found = benchmark.pedantic(reference_inversion, (some,), rounds=2)
    fast = solve_soft_tissue(some).densities_g_cm2[:, :2]
    # Both are least squares; they weigh noise a little differently.
    assert np.median(np.abs(found - fast)) < 0.05


def test_layer_table(benchmark, scan):
    benchmark.group = "fat under bone"
    maps = analyse([scan]).scans[0].maps
    table = benchmark(layer_fat_g_cm2, np.maximum(maps.densities_g_cm2.sum(axis=-1), 0.0))
    assert table.shape[1:] == scan.shape[:2]


def _soft_maps(scan):
    attenuation = decode(scan)
    body = find_body(attenuation)
    soft = solve_soft_tissue(attenuation[body])
    fat, total = np.zeros(body.shape), np.zeros(body.shape)
    fat[body], total[body] = soft.densities_g_cm2[:, 0], soft.densities_g_cm2.sum(axis=1)
    return fat, total, body


def test_estimate_fat_under_bone(benchmark, scan):
    benchmark.group = "fat under bone"
    fat, total, body = _soft_maps(scan)
    noise = np.full(body.shape, 0.2)
    found = benchmark(estimate_baseline, fat, total, noise, body, body)
    assert (found.fat_g_cm2[body] >= 0).all()


def test_divide_with_the_network(benchmark, scan):
    benchmark.group = "regions"
    maps = analyse([scan]).scans[0].maps
    regions = benchmark(divide, maps.soft_tissue_g_cm2, maps.body)
    assert ((regions != OUTSIDE) == maps.body).all()


def test_divide_by_the_outline(benchmark, scan):
    benchmark.group = "regions"
    maps = analyse([scan]).scans[0].maps
    total, mineral = maps.densities_g_cm2.sum(axis=-1), maps.densities_g_cm2[..., MINERAL]

    def by_outline():
        return find_regions(total, maps.body, find_landmarks(total, mineral, maps.body))

    regions = benchmark(by_outline)
    assert ((regions != OUTSIDE) == maps.body).all()


def dense_asymmetric_baseline(fat, body, rounds=12, roughness=3.0):
    """Asymmetric least squares on fat itself with a dense matrix, on every second row and third column."""
    fat, body = fat[::2, ::3], body[::2, ::3]
    number = np.full(body.shape, -1)
    number[body] = np.arange(body.sum())
    rows = []
    for a, b, c in (
        (number[:-2], number[1:-1], number[2:]),
        (number[:, :-2], number[:, 1:-1], number[:, 2:]),
    ):
        inside = (a >= 0) & (b >= 0) & (c >= 0)
        difference = np.zeros((inside.sum(), body.sum()))
        line = np.arange(inside.sum())
        for place, weight in ((a, 1.0), (b, -2.0), (c, 1.0)):
            difference[line, place[inside]] = weight
        rows.append(difference)
    differences = np.concatenate(rows)
    penalty = roughness * differences.T @ differences
    values, weights = fat[body], np.ones(body.sum())
    for _ in range(rounds):
        smooth = np.linalg.solve(penalty + np.diag(weights), weights * values)
        weights = np.where(values > smooth, 1.0, 0.02)
    return smooth


def test_estimate_fat_under_bone_with_the_dense_reference(benchmark, scan):
    benchmark.group = "fat under bone"
    fat, _, body = _soft_maps(scan)
    found = benchmark.pedantic(dense_asymmetric_baseline, (fat, body), rounds=2)
    assert np.isfinite(found).all()
