"""Weights come back bit for bit or not at all."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness import files
from harness.artifacts import ArtifactStore
from harness.files import StorageError
from registry.contracts import Artifact, DataError

WEIGHTS = {"layer.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(7, dtype=np.int64)}


def artifact(**changes: object) -> Artifact:
    return Artifact({"encoder": {**WEIGHTS, **changes}}, {"backbone": "tiny"}, {"psnr": 30.5})  # type: ignore[dict-item]


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True),
        st.dictionaries(
            st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=9),
            arrays.arrays(
                st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
                arrays.array_shapes(min_dims=0, max_dims=3, max_side=4),
            ),
            max_size=3,
        ),
        min_size=1,
        max_size=3,
    )
)
def test_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, parts: dict) -> None:
    store = ArtifactStore(tmp_path_factory.mktemp("cache"))
    loaded = store.load(store.save(Artifact(parts)))
    assert loaded.parts.keys() == parts.keys()
    for name, weights in parts.items():
        assert loaded.parts[name].keys() == weights.keys()
        for key, array in weights.items():
            back = loaded.parts[name][key]
            assert (back.dtype, back.shape) == (array.dtype, array.shape)
            assert back.tobytes() == array.tobytes()


def test_metadata_and_validation_come_back(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    loaded = store.load(store.save(artifact()))
    assert (loaded.metadata, loaded.validation) == ({"backbone": "tiny"}, {"psnr": 30.5})
    assert loaded.parts["encoder"]["steps"].shape == ()


def test_equal_content_has_one_name_other_content_another(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    one = store.save(artifact())
    reordered = Artifact(
        {"encoder": dict(reversed(list(WEIGHTS.items())))}, {"backbone": "tiny"}, {"psnr": 30.5}
    )
    assert store.save(reordered) == one
    assert store.save(artifact(steps=np.array(8))) != one
    assert len(list((tmp_path / "artifacts").iterdir())) == 2


def test_transposed_views_are_stored_as_they_read(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    view = np.arange(6.0).reshape(2, 3).T
    assert np.array_equal(
        store.load(store.save(Artifact({"encoder": {"w": view}}))).parts["encoder"]["w"], view
    )


@pytest.mark.parametrize("name", ["encoder.safetensors", "manifest.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_harm_is_detected_and_the_file_named(tmp_path: Path, name: str, harm: str) -> None:
    store = ArtifactStore(tmp_path)
    digest = store.save(artifact())
    path = tmp_path / "artifacts" / digest / name
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif harm == "cut":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    for read in (store.load, store.verify):
        with pytest.raises(DataError, match=f"{name} is (corrupt|missing).*same command again"):
            read(digest)


def test_a_part_cannot_leave_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'\.\./encoder' is not a lower-case word"):
        ArtifactStore(tmp_path).save(Artifact({"../encoder": WEIGHTS}))


@pytest.mark.parametrize("failing", ["fsync", "rename"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "rename")), full)
    with pytest.raises(StorageError, match="No space left on device"):
        ArtifactStore(tmp_path).save(artifact())
    monkeypatch.undo()
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_who_comes_second_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes finish the same weights: the second rename fails, the first folder stays."""
    store = ArtifactStore(tmp_path)
    move = files._move_into_place

    def beaten(partial: Path, destination: Path) -> None:
        destination.mkdir()
        for path in partial.iterdir():
            (destination / path.name).write_bytes(path.read_bytes())
        move(partial, destination)

    monkeypatch.setattr(files, "_move_into_place", beaten)
    digest = store.save(artifact())
    store.verify(digest)
    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == [digest]


def test_write_atomically_keeps_the_old_file_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    files.write_json(path, {"old": float("nan")})

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="--output"):
        files.write_json(path, {"new": 1})
    monkeypatch.undo()
    assert json.loads(path.read_text()) == {"old": None}
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]
