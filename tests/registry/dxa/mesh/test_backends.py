"""The same contract for every backend; kaolin's part runs only where kaolin is usable."""

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from registry.dxa.mesh.backend import choose_backend, probe_kaolin
from registry.dxa.mesh.torch_ops import TorchBackend, gather_points

KAOLIN = pytest.param(
    "kaolin",
    marks=[pytest.mark.kaolin, pytest.mark.skipif(probe_kaolin().status != "ok", reason=str(probe_kaolin()))],
)


@pytest.fixture(params=["torch", KAOLIN])
def backend(request):
    return choose_backend(request.param)


@pytest.fixture(scope="module")
def bodies():
    """Two solids of one topology with faces of very different areas."""
    sphere = trimesh.creation.icosphere(subdivisions=2)
    scales = ([30.0, 20.0, 80.0], [45.0, 15.0, 60.0])
    return [trimesh.Trimesh(sphere.vertices * scale, sphere.faces, process=False) for scale in scales]


@pytest.fixture(scope="module")
def batch(bodies):
    vertices = torch.tensor(np.stack([body.vertices for body in bodies]), dtype=torch.float32)
    return vertices, torch.tensor(np.asarray(bodies[0].faces), dtype=torch.long)


@pytest.fixture(scope="module")
def clouds():
    return torch.rand(3, 200, 3, generator=torch.Generator().manual_seed(0))


def test_areas_and_normals_are_trimeshs(backend, batch, bodies):
    areas, normals = backend.face_areas(*batch), backend.face_normals(*batch)
    for number, body in enumerate(bodies):
        np.testing.assert_allclose(areas[number].numpy(), body.area_faces, rtol=1e-4)
        np.testing.assert_allclose(normals[number].numpy(), body.face_normals, atol=1e-4)


def test_a_face_without_area_has_no_normal(backend):
    vertices = torch.tensor([[[0.0, 0, 0], [1, 1, 1], [2, 2, 2]]])
    assert backend.face_normals(vertices, torch.tensor([[0, 1, 2]])).abs().max() < 1e-6


def test_points_lie_on_the_surface_and_are_spread_by_area(backend, batch, bodies):
    torch.manual_seed(0)
    points, faces = backend.sample_points(*batch, 20_000)
    assert points.shape == (2, 20_000, 3)
    for number, body in enumerate(bodies):
        normals = body.face_normals[faces[number].numpy()]
        origins = body.triangles[faces[number].numpy(), 0]
        off = np.abs(((points[number].numpy() - origins) * normals).sum(1))
        assert off.max() < 1e-3
        share = np.bincount(faces[number].numpy(), minlength=len(body.faces)) / 20_000
        expected = body.area_faces / body.area
        # each count is binomial: five standard deviations
        assert (np.abs(share - expected) < 5 * np.sqrt(expected / 20_000) + 1e-4).all()


def test_sampling_follows_the_seed(backend, batch):
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(backend.sample_points(*batch, 50)[0])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_sampling_passes_gradients_to_vertices(backend, batch):
    vertices = batch[0].clone().requires_grad_()
    backend.sample_points(vertices, batch[1], 100)[0].sum().backward()
    # every point is a convex combination of corners
    assert float(vertices.grad.sum()) == pytest.approx(2 * 100 * 3, rel=1e-4)


def test_farthest_points_follow_their_definition(backend, clouds):
    chosen = backend.farthest_points(clouds, 12)
    for cloud, indices in zip(clouds.double(), chosen.tolist(), strict=True):
        assert indices[0] == int((cloud - cloud.mean(0)).norm(dim=1).argmax())
        for place in range(1, 12):
            distances = torch.cdist(cloud, cloud[indices[:place]]).min(1).values
            assert float(distances[indices[place]]) == pytest.approx(float(distances.max()), rel=1e-5)


def test_balls_hold_the_nearest_points_within_the_radius(backend, clouds):
    centres = clouds[:, :5]
    found = backend.ball_query(clouds, centres, radius=0.15, count=8)
    assert found.shape == (3, 5, 8)
    for cloud, own, indices in zip(clouds.numpy(), centres.numpy(), found.numpy(), strict=True):
        tree = cKDTree(cloud)
        for centre, index in zip(own, indices, strict=True):
            expected = tree.query(centre, k=8, distance_upper_bound=0.15)[1]
            expected = set(expected[expected < len(cloud)].tolist())
            assert set(index.tolist()) == expected
            filling = index[len(expected) :]
            assert (filling == index[0]).all()


def test_a_ball_with_nothing_in_it_is_the_nearest_point(backend, clouds):
    far = torch.full((3, 1, 3), 9.0)
    index = backend.ball_query(clouds, far, radius=0.1, count=4)
    nearest = torch.cdist(far, clouds).argmin(-1)
    assert torch.equal(index, nearest[..., None].expand(-1, -1, 4))


def test_a_ball_larger_than_the_cloud_is_filled_up(backend, clouds):
    assert backend.ball_query(clouds[:, :3], clouds[:, :2], radius=9.0, count=7).shape == (3, 2, 7)


def test_sided_distances_are_squared(backend, clouds):
    squared, index = backend.sided_distance(clouds[:, :20], clouds[:, 20:])
    for number in range(3):
        distance, nearest = cKDTree(clouds[number, 20:].numpy()).query(clouds[number, :20].numpy())
        np.testing.assert_allclose(squared[number].numpy(), distance**2, rtol=1e-4, atol=1e-9)
        np.testing.assert_array_equal(index[number].numpy(), nearest)


def test_distances_of_near_points_far_from_the_origin_are_exact(backend):
    """The expanded product would lose them."""
    points = torch.tensor([[[1000.0, 0, 0], [1000.001, 0, 0]]], dtype=torch.float32)
    squared, _ = backend.sided_distance(points[:, :1], points[:, 1:])
    assert float(squared.sqrt()) == pytest.approx(0.001, rel=0.05)


def test_a_backend_says_what_it_is(backend):
    assert backend.name in ("torch", "kaolin")
    assert backend.version[0].isdigit()


def test_gathering_is_indexing(clouds):
    index = torch.randint(0, 200, (3, 4, 5), generator=torch.Generator().manual_seed(1))
    gathered = gather_points(clouds, index)
    for number in range(3):
        assert torch.equal(gathered[number], clouds[number][index[number]])


@pytest.mark.kaolin
@pytest.mark.skipif(probe_kaolin().status != "ok", reason=str(probe_kaolin()))
def test_kaolin_and_torch_agree(batch):
    kaolin, ours = choose_backend("kaolin"), TorchBackend()
    torch.testing.assert_close(kaolin.face_areas(*batch), ours.face_areas(*batch))
    torch.testing.assert_close(kaolin.face_normals(*batch), ours.face_normals(*batch))
    drawn = []
    for backend in (kaolin, ours):
        torch.manual_seed(3)
        drawn.append(backend.sample_points(*batch, 500))
    assert torch.equal(drawn[0][1], drawn[1][1])
    torch.testing.assert_close(drawn[0][0], drawn[1][0])
