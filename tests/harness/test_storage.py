"""An object store between driver and nodes: whole or absent, damage found, the same numbers as on one disk.

S3 is spoken for real, to moto's server on this machine.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from harness.executors.inline import InlineExecutor
from harness.progress import SilentDisplay
from harness.request import Request
from harness.run import prepare, run_suite
from harness.storage import ObjectStore, pack, unpack
from registry.contracts import DataError, InputError
from tests.harness.digits_run import digits_request, journal, numbers, run_inline


@pytest.fixture(params=["memory", "s3"])
def store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    name = request.node.name.replace("[", "-").replace("]", "")
    uri = f"memory://{name}" if request.param == "memory" else f"{request.getfixturevalue('s3')}/{name}"
    yield ObjectStore(uri)


def test_bundles_come_back_and_are_listed(store: ObjectStore) -> None:
    store.check()
    assert store.get("a/b") is None
    assert not store.has("a/b")
    assert store.names("a") == set()
    store.put("a/b", {"x": b"1", "y.bin": b"\x00" * 1000})
    store.put("a/c", {})
    assert store.get("a/b") == {"x": b"1", "y.bin": b"\x00" * 1000}
    assert store.get("a/c") == {}
    assert store.names("a") == {"b", "c"}
    store.remove("a/b")
    assert store.names("a") == {"c"}


def test_a_folder_comes_back_whole_or_not_at_all(store: ObjectStore, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.bin").write_bytes(b"a" * 5000)
    (folder / "b.txt").write_text("b")
    store.put_folder("f", folder)
    store.get_folder("f", tmp_path / "copy")
    assert (tmp_path / "copy" / "deep" / "a.bin").read_bytes() == b"a" * 5000
    store._files.pipe_file(store._place("f/files/b.txt"), b"c")
    with pytest.raises(DataError, match=r"b\.txt has not its SHA-256"):
        store.get_folder("f", tmp_path / "second")
    assert not (tmp_path / "second").exists()
    with pytest.raises(DataError, match="is not there"):
        store.get_folder("g", tmp_path / "third")


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,8}\.[a-z]{1,3}", fullmatch=True), st.binary(max_size=200), max_size=4
    )
)
def test_packing_is_exact_and_depends_on_content_alone(files: dict[str, bytes]) -> None:
    packed = pack(files)
    assert unpack(packed, source="x") == files
    assert pack(dict(reversed(list(files.items())))) == packed


@given(st.data())
def test_one_changed_byte_is_found(data: st.DataObject) -> None:
    packed = bytearray(pack({"a": b"content", "b": b"more"}))
    place = data.draw(st.integers(0, len(packed) - 1))
    if place == 64:
        return  # the line end between digest and content says nothing
    packed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DataError, match="has not the SHA-256"):
        unpack(bytes(packed), source="x")


def test_a_name_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no plain file"):
        unpack(pack({"../x": b""}), source="x")
    store = ObjectStore("memory://leaving")
    store._files.pipe_file(store._place("f/index.json"), json.dumps({"../x": "0"}).encode())
    with pytest.raises(DataError, match="leaves its folder"):
        store.get_folder("f", tmp_path / "copy")


@pytest.mark.parametrize("uri", ["runs/shared", "nonsense://bucket/x"])
def test_a_uri_that_cannot_be_used_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="storage"):
        ObjectStore(uri)


def test_a_store_that_does_not_answer_is_refused_before_anything_runs(s3: str, tmp_path: Path) -> None:
    request = dataclasses.replace(digits_request(tmp_path), storage="s3://no-such-bucket/x")
    with pytest.raises(InputError, match=r"s3://no-such-bucket/x does not answer.*check the URI"):
        run_inline(request)
    assert not request.output.exists()


# Whole runs: the worker has a cache of its own, as on another node ---------------------------------------


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of the node that executes."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "node"))
    return tmp_path / "node"


def remote_request(folder: Path, uri: str, **tables: Any) -> Request:
    return dataclasses.replace(digits_request(folder, **tables), storage=uri)


def started(run: Path) -> list[str]:
    return [event["key"] for event in journal(run) if event["event"] == "started"]


@pytest.mark.parametrize("where", ["memory", "s3"])
def test_a_run_through_a_store_gives_the_numbers_of_one_disk(
    tmp_path: Path, node: Path, request: pytest.FixtureRequest, where: str
) -> None:
    uri = (
        f"memory://run-{tmp_path.name}"
        if where == "memory"
        else f"{request.getfixturevalue('s3')}/{tmp_path.name}"
    )
    asked = remote_request(tmp_path / "remote", uri)
    assert run_inline(asked).complete
    plain = digits_request(tmp_path / "plain")
    run_inline(plain)
    ours, theirs = numbers(asked.output), numbers(plain.output)
    for name, frame in theirs.items():
        assert_frame_equal(ours[name], frame, check_exact=True)
    assert not (asked.cache / "artifacts").exists()  # weights never come to the driver
    assert list((node / "artifacts").iterdir())
    assert not list((node / "runs").glob("*/trials/*"))  # and results do not stay on the node
    # the driver lost its disk: what is in the store is adopted, nothing runs
    shutil.rmtree(asked.output)
    assert run_inline(asked).complete
    assert started(asked.output) == []
    # another run of the same store adopts the pretraining alone
    other = dataclasses.replace(asked, output=tmp_path / "remote" / "other")
    shutil.rmtree(asked.cache / "pretraining")
    assert run_inline(other).complete
    pretraining = {path.name for path in (asked.cache / "pretraining").iterdir()}
    assert pretraining
    assert not pretraining & set(started(other.output))


def test_a_new_node_fetches_cohort_and_weights_once(tmp_path: Path, node: Path) -> None:
    uri = f"memory://nodes-{tmp_path.name}"
    asked = remote_request(tmp_path, uri)
    run_inline(asked)
    shutil.rmtree(node)
    more = remote_request(tmp_path, uri, budget={"draws": 3})
    fetched = []
    real = ObjectStore.get_folder

    def counting(self: ObjectStore, name: str, destination: Path) -> None:
        fetched.append(name)
        real(self, name, destination)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectStore, "get_folder", counting)
        assert run_inline(more).complete
    assert len(fetched) == 1


@pytest.mark.parametrize("kind", ["artifacts", "pretraining", "runs/run/trials"])
def test_damage_in_the_store_is_found_and_made_anew(tmp_path: Path, node: Path, kind: str) -> None:
    uri = f"memory://damage-{tmp_path.name}"
    asked = remote_request(tmp_path, uri)
    run_inline(asked)
    before = numbers(asked.output)
    store = ObjectStore(uri)
    for name in store.names(kind):
        place = store._place(f"{kind}/{name}")
        content = bytearray(store._files.cat_file(place))
        content[-1] ^= 1
        store._files.pipe_file(place, bytes(content))
    shutil.rmtree(node)
    shutil.rmtree(asked.output)
    if kind == "pretraining":  # its own results would do for this run: another one adopts
        asked = dataclasses.replace(asked, output=tmp_path / "other")
    finished = run_inline(asked)
    if kind == "artifacts":  # nothing reads weights when every trial is there; a larger budget does
        more = remote_request(tmp_path, uri, budget={"draws": 3})
        assert not run_inline(more).complete
        assert run_inline(more).complete
    else:
        assert finished.complete
        for name, frame in numbers(asked.output).items():
            assert_frame_equal(frame, before[name], check_exact=True)


def test_a_process_that_was_ended_at_its_time_limit_is_known_on_its_node(tmp_path: Path, node: Path) -> None:
    """The driver cannot see the node's folder: the next attempt there tells."""
    asked = remote_request(
        tmp_path, f"memory://limit-{tmp_path.name}", resources={"time_limit_seconds": 60.0}
    )
    plan = prepare(asked).plan()
    victim = next(iter(plan.pretraining.values())).key
    words = node / "runs" / "run" / "scratch" / f"{victim}.stacks"
    words.parent.mkdir(parents=True)
    words.write_text("Thread 0x1: never_lets_go")
    assert not run_inline(asked).complete
    (failed,) = [event for event in journal(asked.output) if event["event"] == "failed"]
    assert failed["key"] == victim
    assert failed["error"] == "time limit of 60 s reached; it did not react and was ended"
    assert failed["traceback"] == "Thread 0x1: never_lets_go"
    assert run_inline(asked).complete


def test_a_store_that_fails_for_a_moment_loses_nothing(
    tmp_path: Path, node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third write of a bundle fails, and every fifth read."""
    uri = f"memory://moments-{tmp_path.name}"
    asked = remote_request(tmp_path, uri)
    put, get = ObjectStore.put, ObjectStore.get
    writes, reads = iter(range(1, 10**6)), iter(range(1, 10**6))

    def shaky_put(self: ObjectStore, name: str, files: Any) -> None:
        if next(writes) % 7 == 3:
            raise TimeoutError("the network")
        put(self, name, files)

    def shaky_get(self: ObjectStore, name: str) -> Any:
        if "/logs/" in name or ("/trials/" in name and next(reads) % 5 == 0):
            raise TimeoutError("the network")
        return get(self, name)

    monkeypatch.setattr(ObjectStore, "put", shaky_put)
    monkeypatch.setattr(ObjectStore, "get", shaky_get)
    assert run_suite(asked, InlineExecutor(), SilentDisplay()).complete
    reasons = [event["error"] for event in journal(asked.output) if event["event"] == "retried"]
    assert any("object store: TimeoutError: the network" in reason for reason in reasons)
    assert any("its result did not come back" in reason for reason in reasons)
    monkeypatch.undo()
    plain = digits_request(tmp_path / "plain")
    run_inline(plain)
    for name, frame in numbers(plain.output).items():
        assert_frame_equal(numbers(asked.output)[name], frame, check_exact=True)
