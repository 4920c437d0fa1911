import numpy as np
import pytest
import trimesh

from registry.contracts import DataError, InputError
from registry.dxa.mesh.files import ENDINGS, read_mesh


@pytest.fixture
def body():
    return trimesh.Trimesh(*_scaled(80.0), process=False)


def _scaled(half_length):
    sphere = trimesh.creation.icosphere(subdivisions=2)
    return sphere.vertices * [half_length / 3, half_length / 5, half_length], sphere.faces


@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if ending != ".stl"])
def test_every_format_gives_the_same_mesh(tmp_path, body, ending):
    path = tmp_path / f"body{ending}"
    body.export(path)
    mesh = read_mesh(path)
    np.testing.assert_allclose(mesh.vertices, body.vertices, atol=1e-4)
    np.testing.assert_array_equal(mesh.faces, body.faces)


def test_a_format_that_shares_no_corners_is_read_too(tmp_path, body):
    body.export(tmp_path / "body.stl")
    mesh = read_mesh(tmp_path / "body.stl")
    assert mesh.vertices[mesh.faces].shape == (len(body.faces), 3, 3)


@pytest.mark.parametrize(("half_length", "unit"), [(0.8, "metres"), (800.0, "millimetres")])
def test_another_unit_is_refused(tmp_path, half_length, unit):
    trimesh.Trimesh(*_scaled(half_length), process=False).export(tmp_path / "body.ply")
    with pytest.raises(InputError, match="units long") as error:
        read_mesh(tmp_path / "body.ply")
    assert unit in error.value.mend


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("body.txt", b"", InputError),
        ("missing.ply", None, DataError),
        ("torn.ply", b"ply\nformat ascii 1.0\nelement vertex 9\n", DataError),
        ("empty.ply", b"", DataError),
        ("points.obj", b"v 0 0 0\nv 0 0 150\nv 10 0 0\n", DataError),
        ("nan.obj", b"v 0 0 nan\nv 0 0 150\nv 10 0 0\nf 1 2 3\n", DataError),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, error):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=name):
        read_mesh(tmp_path / name)
