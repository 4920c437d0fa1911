"""Regions on drawn bodies whose crotch is known, and on simulated ones that are hard to divide."""

import numpy as np
import pytest

from registry.dxa.bodycomp import subjects
from registry.dxa.bodycomp.analysis import analyse
from registry.dxa.bodycomp.crotch import find_crotch
from registry.dxa.bodycomp.outline import LEG_LEFT, LEG_RIGHT, find_landmarks, find_regions
from registry.dxa.cohort.subject import simulate_patient
from registry.dxa.imaging.geometry import GRID

TOP, CROTCH, BOTTOM, CENTRE = 5, 72, 140, 54


def drawn(gap_columns: float = 0.0, lean_columns_per_row: float = 0.0, pelvis: float = 1.0):
    """Total and mineral of a trunk on two round legs that touch or part; the legs lean from the crotch on."""
    row, column = np.indices(GRID.shape)
    aside = column - CENTRE - lean_columns_per_row * np.maximum(row - CROTCH, 0)
    radius = 11.0
    total = np.zeros(GRID.shape)
    for side in (1, -1):
        across = (aside - side * (radius - 0.5 + gap_columns / 2)) / radius
        # Touching thighs overlap: between them there is more than half of a thigh's tissue.
        total = np.maximum(total, 18.0 * np.sqrt(np.clip(1.1 - across**2, 0.0, 1.0)))
    total = np.where((row > CROTCH) & (row <= BOTTOM), total, 0.0)
    trunk = (row >= TOP) & (row <= CROTCH) & (np.abs(column - CENTRE) < 21)
    total[trunk] = 20.0
    # The neck is narrower than head and trunk.
    total[((row >= 18) & (row < 24) & (np.abs(column - CENTRE) > 6))] = 0.0
    mineral = np.zeros(GRID.shape)
    for side in (1, -1):
        femur = np.abs(aside - side * (radius + gap_columns / 2)) < 2
        mineral[femur & (row > CROTCH - 6) & (row <= BOTTOM)] = 1.5
    mineral[(row > 56) & (row <= CROTCH) & (np.abs(column - CENTRE) < 12)] = pelvis
    return total, mineral


@pytest.mark.parametrize("lean", [0.0, 0.15, -0.15])
@pytest.mark.parametrize("gap", [0.0, 6.0])
def test_the_crotch_is_found_between_touching_parted_and_leaning_legs(gap, lean):
    total, mineral = drawn(gap, lean)
    found = find_crotch(total, mineral, TOP, BOTTOM)
    assert found.row == pytest.approx(CROTCH + 0.5, abs=1.0)
    assert found.column == pytest.approx(CENTRE, abs=2.0)
    rows = np.arange(CROTCH + 3, CROTCH + 40)
    np.testing.assert_allclose(found.valley[rows], CENTRE + lean * (rows - CROTCH), atol=2.0 + gap / 2)


def test_the_pelvis_tells_where_touching_thighs_end():
    """A cleft goes on above the crotch, as deep as the valley below it: mineral alone marks the end."""
    total, mineral = drawn()
    total[CROTCH - 9 : CROTCH + 1, CENTRE - 2 : CENTRE + 3] = 15.0
    without = mineral.copy()
    without[: CROTCH + 1] = 0.0
    assert find_crotch(total, mineral, TOP, BOTTOM).row == pytest.approx(CROTCH + 0.5, abs=1.0)
    assert find_crotch(total, without, TOP, BOTTOM).row < CROTCH - 7


def test_legs_part_along_the_leaning_valley():
    total, mineral = drawn(0.0, 0.2)
    body = total > 0
    regions = find_regions(total, body, find_landmarks(total, mineral, body))
    row, column = np.indices(GRID.shape)
    aside = column - CENTRE - 0.2 * (row - CROTCH)
    legs = body & (row > CROTCH + 12) & (row < CROTCH + 45)
    assert (regions[legs & (aside > 2)] == LEG_LEFT).all()
    assert (regions[legs & (aside < -2)] == LEG_RIGHT).all()


def test_no_crotch_without_legs():
    total = np.zeros(GRID.shape)
    total[TOP : BOTTOM + 1, 30:80] = 20.0
    assert find_crotch(total, np.zeros(GRID.shape), TOP, BOTTOM) is None
    assert find_crotch(np.zeros(GRID.shape), np.zeros(GRID.shape), TOP, BOTTOM) is None
    assert find_landmarks(total, np.zeros(GRID.shape), total > 0) is None


@pytest.mark.parametrize("number", [11, 143, 195])
def test_legs_that_the_gap_alone_cannot_tell_overlap_the_rigs(number):
    """Cut upright where the gap alone ends, a leg of each of these overlapped the rig's by less than 0.75."""
    planned = subjects.plan_subjects("accuracy", 200)[number]
    visit = simulate_patient(subjects.specification(), planned).visits[0]
    found, true = analyse([visit.scan.codes]).scans[0].regions, visit.composition.region
    for leg in (LEG_LEFT, LEG_RIGHT):
        assert ((found == leg) & (true == leg)).sum() / ((found == leg) | (true == leg)).sum() > 0.85
