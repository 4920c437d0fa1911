"""Analysis of simulated scans against their true maps, flags on damaged ones."""

import numpy as np
import pytest

from registry.contracts import InputError
from registry.dxa.bodycomp import MEASURES, analyse, committed_calibration
from registry.dxa.bodycomp.accuracy import clean_codes
from registry.dxa.bodycomp.analysis import region_measures
from registry.dxa.bodycomp.inversion import MINERAL
from registry.dxa.bodycomp.maps import bridge_mineral, composition_maps
from registry.dxa.bodycomp.outline import ARM_LEFT, ARM_RIGHT, HEAD, LEG_LEFT, LEG_RIGHT, OUTSIDE, TRUNK
from registry.dxa.cohort.truth import composition_measures
from registry.dxa.imaging.channels import MAXIMUM_CODE
from registry.dxa.imaging.geometry import GRID
from registry.dxa.tasks.composition import to_scanner_grid
from registry.dxa.training.scans import reduce_scan


def test_measures_are_taken_as_the_truth_is(visits):
    for visit in visits:
        found = region_measures(visit.composition.densities_g_cm2, visit.composition.region)
        assert found == pytest.approx(composition_measures(visit.composition), rel=1e-12)


def test_with_known_fat_the_inversion_adds_nothing(visits):
    for visit in visits:
        density = visit.composition.densities_g_cm2
        maps = composition_maps(clean_codes(visit), fat_under_bone=(density[..., 0], density[..., 2] > 0))
        found = region_measures(maps.densities_g_cm2, visit.composition.region)
        for name in MEASURES:
            assert found[name] == pytest.approx(visit.measures[name], rel=2e-3), name


def test_blind_and_noise_free_totals_stay_near_their_targets(visits):
    # In percent of the mean; the study on many subjects is a slow test.
    limits = {"total_mass_kg": 0.3, "total_fat_kg": 7.0, "total_lean_kg": 3.5, "total_bmc_kg": 4.5}
    maps = [composition_maps(clean_codes(visit)) for visit in visits]
    found = [
        region_measures(m.densities_g_cm2, v.composition.region) for m, v in zip(maps, visits, strict=True)
    ]
    for name, limit in limits.items():
        true = np.array([visit.measures[name] for visit in visits])
        error = np.array([measures[name] for measures in found]) - true
        assert 100 * np.sqrt((error**2).mean()) / true.mean() < limit, name


def test_calibrated_measures_are_close_to_the_truth(visits, codes):
    analysis = analyse(codes, calibration=committed_calibration())
    assert analysis.calibrated
    assert analysis.analysable.all()
    true = np.array([[visit.measures[name] for name in MEASURES] for visit in visits])
    # Spine and pelvis of a body too thick for the dose lose mineral, and the analyser says so.
    seen = ~analysis.flagged("saturated")
    assert seen.sum() >= 3
    error = (analysis.measures - true)[seen]
    assert np.abs(error[:, MEASURES.index("total_fat_kg")]).max() < 2.0
    assert np.abs(error[:, MEASURES.index("total_lean_kg")]).max() < 2.0
    assert np.abs(error[:, MEASURES.index("total_bmc_kg")]).max() < 0.15


def test_regions_overlap_the_rigs_and_sides_are_the_subjects_own(visits, codes):
    for visit, scan in zip(visits, analyse(codes).scans, strict=True):
        true, found = visit.composition.region, scan.regions
        for region, least in (
            (HEAD, 0.7),
            (ARM_LEFT, 0.75),
            (ARM_RIGHT, 0.75),
            (LEG_LEFT, 0.9),
            (LEG_RIGHT, 0.9),
        ):
            both, either = (true == region) & (found == region), (true == region) | (found == region)
            assert both.sum() / either.sum() > least, region
        columns = np.arange(GRID.columns)
        assert np.average(columns, weights=(found == ARM_LEFT).sum(0)) > np.average(
            columns, weights=(found == ARM_RIGHT).sum(0)
        )
        assert ((found == OUTSIDE) == ~scan.maps.body).all()


def test_noise_is_estimated_from_the_channels(visits, codes):
    assert analyse(codes[:1]).scans[0].maps.photons == pytest.approx(3e6, rel=0.1)


def test_batches_and_single_scans_agree(codes):
    together = analyse(codes[:2]).measures
    np.testing.assert_array_equal(together, np.concatenate([analyse([scan]).measures for scan in codes[:2]]))


def test_an_empty_scan_has_no_measures_but_is_counted():
    empty = np.full((2, *GRID.shape, 6), 200, dtype=np.uint16)
    analysis = analyse(empty)
    assert np.isnan(analysis.measures).all()
    assert analysis.measures.shape == (2, 13)
    assert analysis.flagged("no_body").tolist() == [True, True]


def test_noise_alone_is_no_body():
    codes = np.random.default_rng(0).integers(0, MAXIMUM_CODE, (1, *GRID.shape, 6)).astype(np.uint16)
    analysis = analyse(codes)
    assert analysis.flagged("no_body")[0] or analysis.flagged("implausible")[0]


def test_a_good_scan_carries_no_flag(codes):
    flags = [scan.flags for scan in analyse(codes).scans]
    assert frozenset() in flags
    assert not any(found & {"no_body", "implausible", "outside_field"} for found in flags)


def test_mineral_is_bridged_along_the_body_where_nothing_tells_of_it():
    mineral = np.zeros((9, 5))
    mineral[:, 2] = np.linspace(1.0, 1.8, 9)
    body = np.ones(mineral.shape, dtype=bool)
    body[:, 4] = False
    missing = np.zeros_like(body)
    missing[3:6, 1:4] = True
    broken = np.where(missing, -7.0, mineral)
    np.testing.assert_allclose(bridge_mineral(broken, missing, body), mineral, atol=1e-12)
    assert not bridge_mineral(broken, body, body)[body].any()


def test_a_spine_that_no_low_energy_reaches_keeps_its_mineral(visits):
    visit = visits[0]
    density = visit.composition.densities_g_cm2
    # The middle of the densest vertebra in the abdomen.
    abdomen = density[60:75, 45:65, MINERAL]
    row, column = np.add(np.unravel_index(np.argmax(abdomen), abdomen.shape), (60, 45))
    codes = visit.scan.codes.copy()
    whole = analyse([codes]).scans[0].measures["total_bmc_kg"]
    codes[row - 1 : row + 2, column - 1 : column + 2, 1::2] = MAXIMUM_CODE
    scan = analyse([codes]).scans[0]
    assert scan.maps.starved.sum() >= 9
    lost_kg = float(density[scan.maps.starved, MINERAL].sum()) * GRID.pixel_area_cm2 / 1000.0
    assert abs(scan.measures["total_bmc_kg"] - whole) < 0.5 * lost_kg


def test_flags_tell_what_is_wrong(codes):
    shifted = np.full_like(codes[0], 200)
    shifted[:, :-25] = codes[0][:, 25:]
    assert "outside_field" in analyse([shifted]).scans[0].flags
    burnt = codes[0].copy()
    burnt[60:75, 45:60] = MAXIMUM_CODE
    assert "saturated" in analyse([burnt]).scans[0].flags
    swapped = codes[0][..., [1, 0, 3, 2, 5, 4]]
    assert analyse([swapped]).scans[0].flags & {"implausible", "no_body"}


def test_generated_scans_may_hold_floating_values(codes):
    exact, shifted = analyse([codes[0]]), analyse([codes[0].astype(np.float32) + 0.25])
    np.testing.assert_allclose(shifted.measures, exact.measures, rtol=0.05)


@pytest.mark.parametrize(
    ("scan", "what"),
    [(np.zeros((10, 10, 6)), "shape"), (np.full((*GRID.shape, 6), np.nan), "not finite")],
)
def test_what_is_no_scan_is_refused(scan, what):
    with pytest.raises(InputError, match=what):
        analyse([scan])


def test_scans_at_half_resolution_have_the_same_total_masses(codes):
    """What the tasks judge: reduced by two and brought back; regional limits are in docs/tasks.md."""
    reduced = [reduce_scan(scan.astype(np.float32), 2).transpose(2, 0, 1) for scan in codes]
    found = analyse([to_scanner_grid(scan, 2) for scan in reduced], calibration=committed_calibration())
    full = analyse(codes, calibration=committed_calibration())
    seen = ~full.flagged("saturated")
    assert seen.sum() >= 3
    for name, tolerance in {"total_mass_kg": 0.01, "total_lean_kg": 0.06, "total_bmc_kg": 0.06}.items():
        column = MEASURES.index(name)
        np.testing.assert_allclose(found.measures[seen, column], full.measures[seen, column], rtol=tolerance)


def test_the_share_without_a_physical_solution_is_that_of_the_broken_pixels(codes, visits):
    """Channels of both energies exchanged in a patch of the trunk: less than no tissue, or contradictions."""
    broken = codes[2].copy()
    body = visits[2].composition.region >= 0
    row, column = (int(np.median(index)) for index in np.nonzero(visits[2].composition.region == TRUNK))
    patch = (slice(row - 8, row + 8), slice(column - 8, column + 8))
    broken[patch] = broken[patch][..., ::-1]
    share = float(body[patch].sum()) / float(body.sum())
    whole, found = (analyse([one]).scans[0] for one in (codes[2], broken))
    assert found.shares["implausible"] - whole.shares["implausible"] == pytest.approx(share, rel=0.2)
    assert "implausible" in found.flags - whole.flags


def test_no_mineral_is_made_up_where_channels_contradict_each_other(codes):
    """Channels that are all there and disagree everywhere, as in a poorly generated scan."""
    contradicting = codes[2] + np.random.default_rng(0).normal(0.0, 400.0, codes[2].shape)
    contradicting = np.clip(contradicting, 1.0, MAXIMUM_CODE - 1.0)
    maps = composition_maps(contradicting)
    assert maps.starved.sum() > 100
    assert not maps.densities_g_cm2[maps.starved, MINERAL].any()
