"""The network that divides bodies: on subjects that it has not seen, and on inputs made by hand."""

import io
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from registry.dxa.bodycomp import subjects
from registry.dxa.bodycomp.analysis import analyse
from registry.dxa.bodycomp.maps import composition_maps
from registry.dxa.bodycomp.outline import (
    ARM_LEFT,
    ARM_RIGHT,
    HEAD,
    LEG_LEFT,
    LEG_RIGHT,
    OUTSIDE,
    TRUNK,
    find_regions,
    least_overlap,
)
from registry.dxa.bodycomp.region_network import (
    RegionNetwork,
    divide,
    join_stray_pieces,
    network_inputs,
    pad_to_network,
    read_region_network,
    region_network,
)
from registry.dxa.cohort.rig import REGIONS
from registry.dxa.cohort.subject import simulate_patient
from registry.dxa.imaging.geometry import GRID, Grid

SCRIPT = Path(__file__).parents[4] / "scripts" / "train_regions.py"
MIRRORED = np.array([HEAD, TRUNK, ARM_RIGHT, ARM_LEFT, LEG_RIGHT, LEG_LEFT, OUTSIDE])


@pytest.fixture(scope="module")
def solved(visits):
    return [composition_maps(visit.scan.codes) for visit in visits]


def overlap(found, true, region):
    return ((found == region) & (true == region)).sum() / ((found == region) | (true == region)).sum()


def test_regions_are_the_rigs(visits, solved):
    for visit, maps in zip(visits, solved, strict=True):
        regions = divide(maps.soft_tissue_g_cm2, maps.body)
        np.testing.assert_array_equal(regions == OUTSIDE, ~maps.body)
        assert least_overlap(regions, visit.composition.region.astype(np.int8)) > 0.88


@pytest.mark.parametrize("number", [49, 91, 101])
def test_arms_on_the_trunk_are_told_from_it(number):
    """The outline's rules overlap one of these arms by less than 0.7."""
    planned = subjects.plan_subjects("accuracy", 200)[number]
    visit = simulate_patient(subjects.specification(), planned).visits[0]
    scan, true = analyse([visit.scan.codes]).scans[0], visit.composition.region
    by_outline = find_regions(scan.maps.densities_g_cm2.sum(axis=-1), scan.maps.body, scan.landmarks)
    arms = (ARM_LEFT, ARM_RIGHT)
    assert "limbs_touching" in scan.flags
    assert min(overlap(by_outline, true, arm) for arm in arms) < 0.7
    assert min(overlap(scan.regions, true, arm) for arm in arms) > 0.88


def test_a_mirrored_scan_has_mirrored_regions(solved):
    for maps in solved:
        straight = divide(maps.soft_tissue_g_cm2, maps.body)
        mirrored = divide(maps.soft_tissue_g_cm2[:, ::-1].copy(), maps.body[:, ::-1])
        assert least_overlap(straight, MIRRORED[mirrored[:, ::-1]].astype(np.int8)) > 0.9


def test_a_finer_grid_has_the_same_regions(solved):
    fine = GRID.refined(2, 2)
    for maps in solved:
        coarse = divide(maps.soft_tissue_g_cm2, maps.body)
        tissue, body = (np.repeat(np.repeat(a, 2, 0), 2, 1) for a in (maps.soft_tissue_g_cm2, maps.body))
        assert least_overlap(divide(tissue, body, fine)[::2, ::2], coarse) > 0.93


@pytest.mark.parametrize("shape", [(32, 32), (151, 109), (40, 200)])
def test_any_grid_gives_a_region_to_every_pixel_of_a_body(shape):
    grid = Grid(*shape, row_spacing_cm=195.0 / shape[0], column_spacing_cm=65.0 / shape[1])
    body = np.zeros(shape, dtype=bool)
    body[4:-4, 6:-6] = True
    regions = divide(body[..., None] * np.array([3.0, 12.0]), body, grid)
    np.testing.assert_array_equal(regions != OUTSIDE, body)


def test_what_saturated_or_impossible_fat_says_is_bounded():
    tissue = np.zeros((1, 8, 8, 2))
    tissue[..., 0] = [[-1e4]]
    assert torch.isfinite(region_network()(network_inputs(tissue))).all()
    assert network_inputs(tissue)[0, 1].min() == -3.0


def test_padding_reaches_the_next_size_that_can_be_halved():
    padded = pad_to_network(torch.ones(1, 2, 150, 109))
    assert padded.shape == (1, 2, 152, 112)
    assert padded.sum() == 2 * 150 * 109
    assert pad_to_network(torch.ones(1, 2, 152, 112)).shape == (1, 2, 152, 112)


def test_stray_pieces_go_to_what_is_around_them():
    regions = np.full((20, 20), OUTSIDE, dtype=np.int8)
    regions[2:18, 2:18] = TRUNK
    regions[2:18, 14:18] = ARM_LEFT
    expected = regions.copy()
    regions[8, 6] = ARM_LEFT  # one pixel of an arm inside the trunk
    regions[10, 15] = LEG_LEFT  # a leg's only piece is no stray one
    expected[10, 15] = LEG_LEFT
    np.testing.assert_array_equal(join_stray_pieces(regions), expected)


def test_a_hand_beyond_a_thigh_stays_with_its_arm():
    regions = np.full((30, 20), TRUNK, dtype=np.int8)
    regions[0:10, 0:4] = ARM_RIGHT
    regions[14:20, 0:4] = ARM_RIGHT
    np.testing.assert_array_equal(join_stray_pieces(regions), regions)


def test_weights_of_another_network_are_refused():
    other = io.BytesIO()
    np.savez(other, **{"down.0.0.weight": np.zeros((8, 2, 3, 3))})
    other.seek(0)
    with pytest.raises(ValueError, match="another network"):
        read_region_network(other)


def test_the_weights_are_part_of_the_fingerprint(monkeypatch):
    before = subjects.fingerprint("calibration", 10)
    monkeypatch.setattr(subjects, "weights_digest", lambda: "others")
    assert subjects.fingerprint("calibration", 10) != before


def test_scans_that_lie_otherwise_are_flagged(codes):
    upside_down = analyse(codes[:, ::-1])
    assert not (upside_down.analysable & ~upside_down.flagged("regions_unclear")).any()
    assert not analyse(codes).flagged("regions_unclear").any()


@pytest.mark.slow
def test_the_script_trains_writes_and_measures(tmp_path, monkeypatch, capsys):
    output = tmp_path / "regions.npz"
    arguments = [str(SCRIPT), str(output), "--subjects", "48", "--checked", "4", "--epochs", "8"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert stopped.value.code == 1  # too little to be good
    printed = capsys.readouterr().out
    assert "leg_right" in printed
    losses = [float(line.split()[-1]) for line in printed.splitlines() if line.startswith("epoch")]
    assert losses[-1] < 0.7 * losses[0]
    assert isinstance(read_region_network(io.BytesIO(output.read_bytes())), RegionNetwork)
    assert set(REGIONS) <= set(printed.split())
