"""Sources of variation: each changes scans, can be switched off alone, and leaves the people paired."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from registry.dxa.cohort.bodies import body_model
from registry.dxa.cohort.implants import IMPLANTS, implant_map, sample_implants
from registry.dxa.cohort.individual import SmoothField
from registry.dxa.cohort.organs import air_chords_cm
from registry.dxa.cohort.pose import Placement, Pose, apply_pose, legs_apart, place
from registry.dxa.cohort.rig import bones_starting_with
from registry.dxa.cohort.sources import SOURCES, ImplantVariation, OrganVariation, without
from registry.dxa.cohort.specification import CohortSpecification
from registry.dxa.cohort.splits import PlannedPatient
from registry.dxa.cohort.subject import Visit, simulate_patient
from registry.dxa.cohort.variation import LocalShape, apply_local_shape, lying
from registry.dxa.imaging.geometry import GRID
from tests.registry.dxa.cohort.conftest import still_organs

COUNTS = {"train": 8, "validation": 1, "test": 1}
EVERYTHING = CohortSpecification.read({"seed": 3, "pretraining": COUNTS, "paired": COUNTS}, "test")


@cache
def _visit(*sources: str, number: int = 3) -> Visit:
    specification = EVERYTHING
    for source in sources:
        specification = without(specification, source)
    return simulate_patient(specification, PlannedPatient(number, "a", "female", 78.0, 1)).visits[0]


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_changes_scans_and_nothing_when_it_is_off_twice(source: str) -> None:
    with_it, off = _visit(), without(EVERYTHING, source)
    assert off.fingerprint() != EVERYTHING.fingerprint()
    assert without(off, source) == off
    assert not np.array_equal(_visit(source).scan.codes, with_it.scan.codes)
    # The person is the same: age, stature's phenotypes and everything the source does not touch.
    assert _visit(source).phenotypes == with_it.phenotypes


def test_pose_and_placement_leave_the_body_alone() -> None:
    for source in ("pose", "placement"):
        assert np.array_equal(_visit(source).rest.vertices_cm, _visit().rest.vertices_cm)
        assert _visit(source).mass_kg == pytest.approx(_visit().mass_kg, rel=0.03)


def test_unknown_and_impossible_parameters_are_refused() -> None:
    for table in ({"pose": {"arm": 1.0}}, {"fat": {"depot_sd": -0.1}}, {"implants": {"filling_share": 1.2}}):
        with pytest.raises(Exception, match=next(iter(table))):
            CohortSpecification.read({"seed": 3, "pretraining": COUNTS, "paired": COUNTS, **table}, "test")


def test_lying_is_shallower_wider_and_keeps_the_volume() -> None:
    model = body_model()
    ones = np.ones(len(model.bone_names))
    local = LocalShape(ones, ones, ones, np.zeros(model.rank), 0.0, 0.1)
    standing = model.mean_body
    laid = lying(model, standing, local)
    trunk = np.abs(standing.vertices_cm[:, 2] - standing.joints_cm[model.bone_index["spine04"], 2]) < 8
    trunk &= np.abs(standing.vertices_cm[:, 0]) < 20
    across, depth = (np.ptp(b.vertices_cm[trunk], axis=0)[[0, 1]] for b in (laid, standing))
    assert across[1] < 0.96 * depth[1]
    assert across[0] > 1.03 * depth[0]
    assert laid.volume_cm3(model.faces) == pytest.approx(standing.volume_cm3(model.faces), rel=0.01)


def test_breasts_stand_out_by_what_is_asked_for() -> None:
    model = body_model()
    ones = np.ones(len(model.bone_names))
    moved = apply_local_shape(
        model, model.mean_body, LocalShape(ones, ones, ones, np.zeros(model.rank), 2.0, 0.0)
    )
    forward = model.mean_body.vertices_cm[:, 1] - moved.vertices_cm[:, 1]
    assert forward.max() == pytest.approx(2.0, rel=0.15)
    assert (forward > 0.02).mean() < 0.15


def test_a_shift_stops_at_the_border_of_the_field() -> None:
    body = body_model().mean_body
    narrow = np.abs(body.vertices_cm[:, 0]) < 100
    placed = place(body, Placement(across_cm=500.0, along_cm=-500.0, rotation_deg=0.0))
    assert placed.vertices_cm[narrow, 2].min() == pytest.approx(GRID.row_spacing_cm)
    width = np.ptp(body.vertices_cm[:, 0])
    if width < GRID.width_cm - 2 * GRID.column_spacing_cm:
        assert placed.vertices_cm[:, 0].max() == pytest.approx(GRID.width_cm / 2 - GRID.column_spacing_cm)


def test_the_gas_asked_for_is_in_the_gut() -> None:
    joints = (np.array([0, 0, 130.0]), np.array([0, 0, 150.0]), np.array([0, 0, 105.0]))
    volumes = []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        air = air_chords_cm(
            joints, 1.0, still_organs(lung=0.0), variation=OrganVariation(diaphragm_sd_cm=0.0),
            generator=generator,
        )  # fmt: skip
        volumes.append(air.sum() * GRID.pixel_area_cm2)
    # Quartiles on CT: Neurogastroenterol Motil 2015, 95 (71, 141) ml; median and spread of ours.
    assert np.median(volumes) == pytest.approx(95, rel=0.12)
    assert np.log(np.percentile(volumes, 75) / np.percentile(volumes, 25)) == pytest.approx(0.69, rel=0.25)


def test_joint_replacements_are_as_frequent_as_published() -> None:
    generator = np.random.default_rng(0)
    drawn = [sample_implants(ImplantVariation(), 80.0, generator) for _ in range(20_000)]
    # Maradit Kremers et al. 2015: 5.26 % and 10.38 % at 80 years of age.
    for joint, share in (("hip", 0.0526), ("knee", 0.1038)):
        found = np.mean([any(name.startswith(joint) for name in names) for names in drawn])
        assert found == pytest.approx(share, abs=4 * np.sqrt(share / 20_000))
    assert not any(
        name != "fillings" for _ in range(500) for name in sample_implants(
            ImplantVariation(fixation_share=0.0), 30.0, generator
        )
    )  # fmt: skip
    assert not any(sample_implants(ImplantVariation(), 12.0, generator) for _ in range(500))


@pytest.mark.parametrize("name", IMPLANTS)
def test_every_implant_is_metal_where_it_belongs(name: str) -> None:
    model = body_model()
    pose = Pose((35, 35), (8, 8), (0, 0), (4, 4), (8, 8), (42, 42), 0.0, 0.0)
    body = place(apply_pose(model, model.mean_body, pose), Placement(0.0, 0.0, 0.0))
    metal = implant_map(model, body, 1.05, (name,))
    assert metal is not None
    rows, columns = np.nonzero(metal > 0)
    grams = metal.sum() * GRID.pixel_area_cm2
    assert 2.0 < grams < 400.0
    heights = GRID.row_centres_cm()[rows]
    low, high = {
        "hip": (55, 115), "knee": (35, 75), "plate": (5, 125), "spine": (85, 140), "fillings": (150, 185)
    }[name.split("_", maxsplit=1)[0]]  # fmt: skip
    assert heights.min() > low
    assert heights.max() < high
    if name.endswith(("left", "right")):
        middle = GRID.column_centres_cm()[columns].mean()
        assert (middle > 0) == name.endswith("left")


def test_implants_darken_the_scan_and_count_in_no_measure() -> None:
    off = without(EVERYTHING, "implants")
    metal = EVERYTHING.model_copy(update={"implants": ImplantVariation(joint_factor=5.0, filling_share=1.0)})
    planned = [PlannedPatient(n, "a", "male", 80.0, 1) for n in range(12)]
    for one in planned:
        with_metal = simulate_patient(metal, one).visits[0]
        if any(name.startswith(("hip", "knee")) for name in with_metal.implants):
            break
    plain = simulate_patient(off, one).visits[0]
    assert with_metal.measures == plain.measures
    assert with_metal.composition.implants_g_cm2 is not None
    covered = with_metal.composition.implants_g_cm2 > 3.0
    assert covered.any()
    assert (with_metal.scan.codes[covered].astype(int) - plain.scan.codes[covered] > 1000).all()


def test_a_smooth_field_has_its_amplitude() -> None:
    generator = np.random.default_rng(0)
    points = generator.uniform(-80, 80, (4000, 3))
    values = []
    for _ in range(40):
        direction = generator.normal(size=(10, 3))
        waves = direction / np.linalg.norm(direction, axis=1, keepdims=True) / 30.0
        values.append(SmoothField(waves, generator.uniform(0, 2 * np.pi, 10), 0.2).at(points))
    assert np.std(values) == pytest.approx(0.2, rel=0.1)
    assert np.mean(values) == pytest.approx(0.0, abs=0.02)


def test_legs_do_not_run_into_each_other() -> None:
    model = body_model()
    crossed = Pose((35, 35), (8, 8), (0, 0), (16, 14), (8, 8), (42, 42), 0.0, 0.0, leg_rolls=(10, 10))
    apart = legs_apart(model, model.mean_body, crossed)
    placed = apply_pose(model, model.mean_body, apart)
    skin = model.skin
    left, right = (
        placed.vertices_cm[
            skin.share(bones_starting_with(model, "lowerleg", "foot", "toe", side=side)) > 0.95
        ]
        for side in ("L", "R")
    )
    for height in np.arange(left[:, 2].min(), left[:, 2].max(), 2.0):
        slices = [points[np.abs(points[:, 2] - height) < 1.0, 0] for points in (left, right)]
        if all(len(points) for points in slices):
            assert slices[0].min() > slices[1].max()
    wide = dataclasses.replace(crossed, legs=(-5.0, -5.0))
    assert legs_apart(model, model.mean_body, wide) == wide
