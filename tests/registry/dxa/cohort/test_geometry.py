"""Surface, projection, pose and girths against independent implementations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from registry.dxa.cohort.anthropometry import anthropometry, girth_cm
from registry.dxa.cohort.bodies import Body, body_model
from registry.dxa.cohort.phenotypes import sample_phenotypes, shape_coefficients
from registry.dxa.cohort.pose import (
    Placement,
    Pose,
    apply_pose,
    fits_field,
    place,
    posed_within_field,
)
from registry.dxa.cohort.pose.skinning import bone_transforms, rotations
from registry.dxa.cohort.primitives import Rods, ellipsoid_chords_cm
from registry.dxa.cohort.projection import thickness_and_cover, thickness_map
from registry.dxa.cohort.rig import REGIONS, region_faces, surface_regions
from registry.dxa.cohort.subject import Patient
from registry.dxa.cohort.surface import area_cm2, enclosed_volume_cm3, plane_section
from registry.dxa.imaging.geometry import GRID

Array = npt.NDArray[np.float64]
STRAIGHT = Pose((30, 30), (8, 8), (0, 0), (4, 4), (8, 8), (42, 42), 0.0, 0.0)


def _placed_mean_body() -> Body:
    model = body_model()
    return place(apply_pose(model, model.mean_body, STRAIGHT), Placement(0.3, 1.0, 0.5))


def numpy_thickness(vertices: Array, faces: npt.NDArray[np.int64], down: int, across: int) -> Array:
    """Signed rasterisation without loops; samples are never exactly on an edge of a real body."""
    columns = (vertices[:, 0] + GRID.width_cm / 2) * across / GRID.column_spacing_cm - 0.5
    rows = (GRID.length_cm - vertices[:, 2]) * down / GRID.row_spacing_cm - 0.5
    corners, depth = np.stack([columns, rows], 1)[faces], vertices[:, 1][faces]
    width, height = GRID.columns * across, GRID.rows * down
    low = np.maximum(np.ceil(corners.min(1)).astype(int), 0)
    high = np.minimum(np.floor(corners.max(1)).astype(int), [width - 1, height - 1])
    extent = np.maximum(high - low + 1, 0)
    count = extent.prod(axis=1)
    face = np.repeat(np.arange(len(faces)), count)
    local = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    x, y = low[face, 0] + local % extent[face, 0], low[face, 1] + local // extent[face, 0]
    a, b, c = (corners[face, k] for k in range(3))
    cross = lambda u, v: u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]  # noqa: E731
    sample = np.stack([x, y], 1)
    area = cross(b - a, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = cross(b - sample, c - sample) / area, cross(c - sample, a - sample) / area
    third = 1.0 - first - second
    inside = (first >= 0) & (second >= 0) & (third >= 0) & (area != 0)
    value = np.sign(area) * (first * depth[face, 0] + second * depth[face, 1] + third * depth[face, 2])
    total = np.bincount((y * width + x)[inside], value[inside], minlength=width * height)
    return total.reshape(GRID.rows, down, GRID.columns, across).mean(axis=(1, 3))


def test_the_surface_is_closed_outward_and_one_piece() -> None:
    model = body_model()
    mesh = trimesh.Trimesh(model.mean_body.vertices_cm, model.faces, process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.body_count == 1
    assert mesh.volume > 0
    assert enclosed_volume_cm3(model.mean_body.vertices_cm, model.faces) == pytest.approx(
        mesh.volume, rel=1e-9
    )
    assert area_cm2(model.mean_body.vertices_cm, model.faces) == pytest.approx(mesh.area, rel=1e-9)


def test_thickness_equals_the_numpy_reference() -> None:
    model, body = body_model(), _placed_mean_body()
    for samples in ((1, 1), (4, 2)):
        ours = thickness_map(body.vertices_cm, model.faces, samples=samples)
        np.testing.assert_allclose(ours, numpy_thickness(body.vertices_cm, model.faces, *samples), atol=1e-9)


def test_thickness_holds_the_volume_of_the_mesh() -> None:
    model, generator = body_model(), np.random.default_rng(2)
    for sex, age in (("male", 40.0), ("female", 25.0), ("female", 8.0), ("male", 75.0)):
        rest = model.rest(shape_coefficients(model, sample_phenotypes(model, sex, age, generator)))  # type: ignore[arg-type]
        body = place(apply_pose(model, rest, STRAIGHT), Placement(0.0, 0.0, 0.0))
        if not fits_field(body):
            continue
        thickness = thickness_map(body.vertices_cm, model.faces)
        volume = trimesh.Trimesh(body.vertices_cm, model.faces, process=False).volume
        assert thickness.sum() * GRID.pixel_area_cm2 == pytest.approx(volume, rel=5e-4)
        assert thickness.min() > -1e-9


def test_thickness_of_a_box_is_exact_even_where_edges_meet_samples() -> None:
    box = trimesh.creation.box(extents=(4 * GRID.column_spacing_cm, 7.0, 6 * GRID.row_spacing_cm))
    centre = np.array([0.0, 0.0, GRID.length_cm - 50.5 * GRID.row_spacing_cm])
    thickness = thickness_map(
        np.asarray(box.vertices) + centre, np.asarray(box.faces, dtype=np.int64), samples=(1, 1)
    )
    assert set(np.round(np.unique(thickness), 9)) == {0.0, 7.0}
    assert np.count_nonzero(thickness) == 4 * 6


def test_cover_names_the_region_on_top() -> None:
    model, body = body_model(), _placed_mean_body()
    _, cover = thickness_and_cover(body.vertices_cm, model.faces, surface_regions().of_face, len(REGIONS))
    region = cover.argmax(axis=-1)
    for name in REGIONS:
        faces = region_faces(name)
        assert len(faces) > 1000
        centre = body.vertices_cm[faces].mean(axis=(0, 1))
        row = int((GRID.length_cm - centre[2]) / GRID.row_spacing_cm)
        column = int((centre[0] + GRID.width_cm / 2) / GRID.column_spacing_cm)
        assert REGIONS[region[row, column]] == name
    covered = np.unique(region[cover.any(axis=-1)])
    assert len(covered) == len(REGIONS)


def test_skinning_leaves_an_unturned_body_and_keeps_bone_lengths() -> None:
    model = body_model()
    rest = model.mean_body
    linear, offset = bone_transforms(model, rest.joints_cm, {})
    np.testing.assert_allclose(linear, np.tile(np.eye(3), (len(linear), 1, 1)))
    np.testing.assert_allclose(offset, 0.0, atol=1e-12)
    posed = apply_pose(model, rest, STRAIGHT)
    for child, parent in enumerate(model.bone_parents):
        if parent >= 0:
            before = np.linalg.norm(rest.joints_cm[child] - rest.joints_cm[parent])
            assert np.linalg.norm(posed.joints_cm[child] - posed.joints_cm[parent]) == pytest.approx(
                before, abs=1e-9
            )
    assert posed.volume_cm3(model.faces) == pytest.approx(rest.volume_cm3(model.faces), rel=0.02)
    assert all(np.linalg.det(matrix) == pytest.approx(1.0) for matrix in rotations(STRAIGHT).values())


def test_a_long_body_is_posed_anew_and_counted() -> None:
    model = body_model()
    size = 184.0 / model.mean_body.stature_cm
    tall = Body(model.mean_body.vertices_cm * size, model.mean_body.joints_cm * size)
    _, unchanged = posed_within_field(model, model.mean_body, STRAIGHT)
    posed, changes = posed_within_field(model, tall, STRAIGHT)
    assert unchanged == 0
    assert changes > 0
    assert np.ptp(posed.vertices_cm[:, 2]) < np.ptp(apply_pose(model, tall, STRAIGHT).vertices_cm[:, 2])
    assert fits_field(place(posed, Placement(0.0, 30.0, 0.0)))


def test_girths_equal_those_of_trimesh() -> None:
    model = body_model()
    rest = model.mean_body
    mesh = trimesh.Trimesh(rest.vertices_cm, model.faces, process=False)
    trunk = trimesh.Trimesh(rest.vertices_cm, region_faces("trunk"), process=False)
    for height in (16.0, 25.0, 35.0):
        origin = np.array([0.0, 0.0, height])
        segments = trimesh.intersections.mesh_plane(trunk, [0, 0, 1.0], origin)
        points = segments.reshape(-1, 3)[:, :2]
        order = ConvexHull(points).vertices
        loop = points[order]
        expected = np.linalg.norm(loop - np.roll(loop, 1, axis=0), axis=1).sum()
        assert girth_cm(
            rest.vertices_cm, region_faces("trunk"), origin, np.array([0, 0, 1.0])
        ) == pytest.approx(expected)
    ours = plane_section(rest.vertices_cm, model.faces, np.array([0, 0, 20.0]), np.array([0, 0, 1.0]))
    theirs = trimesh.intersections.mesh_plane(mesh, [0, 0, 1.0], [0, 0, 20.0]).reshape(-1, 3)
    np.testing.assert_allclose(
        np.unique(ours.round(6), axis=0), np.unique(theirs.round(6), axis=0), atol=2e-6
    )


def test_the_girth_of_a_cylinder_is_its_circumference() -> None:
    cylinder = trimesh.creation.cylinder(radius=5.0, height=40.0, sections=720)
    tilted = np.array([0.0, 1.0, 1.0])
    faces = np.asarray(cylinder.faces, dtype=np.int64)
    assert girth_cm(cylinder.vertices, faces, np.zeros(3), np.array([0, 0, 1.0])) == pytest.approx(
        2 * np.pi * 5, rel=1e-4
    )
    ellipse = np.pi * (
        3 * (5 + 5 * 2**0.5) - np.sqrt((3 * 5 + 5 * 2**0.5) * (5 + 3 * 5 * 2**0.5))
    )  # Ramanujan
    assert girth_cm(cylinder.vertices, faces, np.zeros(3), tilted) == pytest.approx(ellipse, rel=1e-3)


def test_volumes_of_the_regions_sum_to_the_total(patients: list[Patient]) -> None:
    for patient in patients:
        values = patient.visits[0].measures
        parts = sum(
            values[f"volume_{name}_l"] for name in ("arm_left", "arm_right", "leg_left", "leg_right", "torso")
        )
        head = values["volume_total_l"] - parts
        assert 2.0 < head < 7.0
        mesh = trimesh.Trimesh(patient.visits[0].rest.vertices_cm, body_model().faces, process=False)
        assert values["volume_total_l"] == pytest.approx(mesh.volume / 1000, rel=1e-9)
        assert values["surface_area_m2"] == pytest.approx(mesh.area / 1e4, rel=1e-9)


def test_a_mirrored_body_swaps_left_and_right(patients: list[Patient]) -> None:
    model, rest = body_model(), patients[0].visits[0].rest
    flip = np.array([-1.0, 1.0, 1.0])
    opposite = [
        model.bone_index[name[:-1] + {"L": "R", "R": "L"}[name[-1]]] if name[-2:-1] == "." else number
        for name, number in model.bone_index.items()
    ]
    mirrored = Body(rest.vertices_cm[model.mirror] * flip, rest.joints_cm[opposite] * flip)
    before, after = anthropometry(model, rest), anthropometry(model, mirrored)
    for name in ("circumference_bicep", "circumference_thigh", "volume_arm"):
        unit = "l" if name.startswith("volume") else "cm"
        assert after[f"{name}_left_{unit}"] == pytest.approx(before[f"{name}_right_{unit}"], rel=0.005)


semi_axis = st.floats(2.0, 8.0)


@settings(max_examples=25, deadline=None)
@given(
    st.floats(-20, 20),
    st.floats(30, 160),
    st.tuples(semi_axis, semi_axis, st.floats(4.0, 12.0)),
    st.floats(-1.5, 1.5),
)
def test_an_ellipsoid_has_its_volume(
    x: float, z: float, axes: tuple[float, float, float], tilt: float
) -> None:
    a, b, c = axes
    chords = ellipsoid_chords_cm((x, 0.0, z), (a, b, c), tilt)
    assert chords.sum() * GRID.pixel_area_cm2 == pytest.approx(4 / 3 * np.pi * a * b * c, rel=0.02)
    wall = 0.4
    shell = ellipsoid_chords_cm((x, 0.0, z), (a, b, c), tilt, wall)
    inner = 4 / 3 * np.pi * (a - wall) * (b - wall) * (c - wall)
    assert (chords - shell).sum() * GRID.pixel_area_cm2 == pytest.approx(inner, rel=0.04)


def test_a_rod_has_its_volume() -> None:
    start, end, radius = np.array([2.0, 0.0, 60.0]), np.array([2.0, 0.0, 100.0]), 3.0
    rod = Rods.between([(start, end)], radius, core=0.5, core_deficit=0.4)
    solid = 2 * np.pi * radius**2 / 2 * 40.0 + np.pi * radius**3 * 4 / 3
    core = np.pi * (0.5 * radius) ** 2 * 40.0 + 4 / 3 * np.pi * (0.5 * radius) ** 3
    assert rod.chords_cm().sum() * GRID.pixel_area_cm2 == pytest.approx(solid - 0.4 * core, rel=0.01)
