"""Damage of every kind is detected by checksum, redone and reported; the tables come out the same."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from harness import files, recovery
from harness.executors.inline import InlineExecutor
from harness.files import StorageError
from harness.outlook import look_ahead
from harness.progress import SilentDisplay
from harness.request import Request
from harness.run import run_suite
from tests.harness.digits_run import digits_request, journal, numbers, run_inline


class Listening(SilentDisplay):
    """Keeps what is said about damage."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes += [text] if "damaged" in text else []


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Request:
    """A finished run; tests work on copies of it."""
    request = digits_request(tmp_path_factory.mktemp("quiet"))
    run_inline(request)
    return request


@pytest.fixture
def request_copy(quiet: Request, tmp_path: Path) -> Request:
    folder = quiet.output.parent
    shutil.copytree(folder, tmp_path / "copy")
    return digits_request(tmp_path / "copy")


def flip(path: Path) -> Path:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-3])
    return path


def remove(path: Path) -> Path:
    path.unlink()
    return path


def again(request: Request) -> tuple[list[str], list[str]]:
    """Run once more; the keys that were started, and what was said."""
    before = len(journal(request.output)) if request.output.exists() else 0
    display = Listening()
    assert run_suite(request, InlineExecutor(), display).complete
    events = journal(request.output)[before:]
    return [event["key"] for event in events if event["event"] == "started"], display.notes


def first_learned(request: Request, pattern: str) -> Path:
    """The first such file of a trial that learned a task; a pretraining would come back from the cache."""
    found = sorted((request.output / "trials").glob(f"*/{pattern}"))
    return next(
        path for path in found if '"stage":"pretrain"' not in (path.parent / "result.json").read_text()
    )


@pytest.mark.parametrize("harm", [flip, cut, remove])
@pytest.mark.parametrize(
    "pattern", ["result.json", "predictions.parquet", "curves.parquet", "exhibits.npz", "exhibits.json"]
)
def test_a_damaged_trial_is_set_aside_and_repeated_alone(
    quiet: Request, request_copy: Request, harm: Callable[[Path], Path], pattern: str
) -> None:
    harmed = harm(first_learned(request_copy, pattern))
    started, notes = again(request_copy)
    assert started == [harmed.parent.name]
    (note,) = notes
    assert str(harmed.parent) in note
    assert "set aside, made anew" in note
    assert pattern in note
    (event,) = [event for event in journal(request_copy.output) if event["event"] == "damaged"]
    assert event["folder"] == str(harmed.parent)
    assert (request_copy.output / "damaged" / harmed.parent.name).is_dir()
    for name, frame in numbers(request_copy.output).items():
        assert_frame_equal(frame, numbers(quiet.output)[name], check_exact=True)
    assert again(request_copy) == ([], [])


@pytest.mark.parametrize("harm", [flip, cut, remove])
@pytest.mark.parametrize("name", ["encoder.safetensors", "manifest.json"])
def test_damaged_weights_are_pretrained_anew(
    quiet: Request, request_copy: Request, harm: Callable[[Path], Path], name: str
) -> None:
    harmed = harm(sorted((request_copy.cache / "artifacts").glob(f"*/{name}"))[0])
    assert look_ahead(request_copy).counts["to run"] == 1
    started, _ = again(request_copy)
    assert len(started) == 1
    assert harmed.exists()
    for name_, frame in numbers(request_copy.output).items():
        assert_frame_equal(frame, numbers(quiet.output)[name_], check_exact=True)
    assert again(request_copy) == ([], [])


def test_a_damaged_pretraining_in_the_cache_is_not_adopted(request_copy: Request) -> None:
    for path in (request_copy.cache / "pretraining").glob("*/result.json"):
        flip(path)
    second = digits_request(request_copy.output.parent, output="second")
    started, notes = again(second)
    pretraining = {path.name for path in (request_copy.cache / "pretraining").iterdir()}
    assert pretraining <= set(started)
    assert sum("is damaged" in note for note in notes) == len(pretraining)


def test_a_damaged_journal_line_costs_nothing(quiet: Request, request_copy: Request) -> None:
    path = request_copy.output / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    middle = len(lines) // 2
    path.write_bytes(b"".join([*lines[:middle], b"\x00\xff" + lines[middle][2:], *lines[middle + 1 :]]))
    started, notes = again_from_damaged(request_copy)
    assert started == 0
    assert notes == [f"{path}: 1 damaged lines are ignored; trial folders decide"]
    for name, frame in numbers(request_copy.output).items():
        assert_frame_equal(frame, numbers(quiet.output)[name], check_exact=True)


def again_from_damaged(request: Request) -> tuple[int, list[str]]:
    path = request.output / "journal.jsonl"
    before = path.read_bytes().count(b'"event":"started"')
    display = Listening()
    assert run_suite(request, InlineExecutor(), display).complete
    return path.read_bytes().count(b'"event":"started"') - before, display.notes


@pytest.mark.parametrize("jump", [-(10**9), 10**9])
def test_clock_jumps_change_no_result_and_no_order(
    quiet: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    """Durations come from a clock that cannot be set; order is the journal's, not that of its times."""
    clock, calls = time.time, iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: clock() + (jump if next(calls) % 2 else 0))
    now = files.utc_now
    odd = iter(range(10**9))
    monkeypatch.setattr(
        "harness.journal.utc_now", lambda: now() if next(odd) % 2 else "1999-12-31T23:59:59.999+00:00"
    )
    request = digits_request(tmp_path)
    assert run_inline(request).complete
    assert all(
        event["wall_seconds"] >= 0
        for event in journal(request.output)
        if event.get("wall_seconds") is not None
    )
    started, notes = again(request)
    assert (started, notes) == ([], [])
    for name, frame in numbers(request.output).items():
        assert_frame_equal(frame, numbers(quiet.output)[name], check_exact=True)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
@pytest.mark.parametrize("place", ["journal.jsonl", "run.json", "cohorts"])
def test_a_place_that_cannot_be_written_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, place: str
) -> None:
    """What a read-only, forbidden or full disk answers to the calls that open files and make folders."""

    def refuse(real: Any) -> Any:
        def call(path: Any, *arguments: Any, **named: Any) -> Any:
            if place in str(path):
                raise OSError(number, os.strerror(number), str(path))
            return real(path, *arguments, **named)

        return call

    monkeypatch.setattr(os, "open", refuse(os.open))
    monkeypatch.setattr(Path, "mkdir", refuse(Path.mkdir))
    monkeypatch.setattr(Path, "open", refuse(Path.open))
    request = digits_request(tmp_path)
    with pytest.raises(StorageError, match=f"{place}.* cannot be written: {os.strerror(number)}; "):
        run_inline(request)
    monkeypatch.undo()
    assert run_inline(request).complete


def test_only_old_half_written_folders_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = tmp_path / ".abc.1.partial"
    partial.mkdir()
    recovery.sweep(tmp_path)
    assert partial.exists()
    monkeypatch.setattr(recovery, "STALE_SECONDS", -1.0)
    recovery.sweep(tmp_path)
    assert not partial.exists()


def test_a_damaged_pretraining_comes_back_from_the_cache(quiet: Request, request_copy: Request) -> None:
    results = sorted((request_copy.output / "trials").glob("*/result.json"))
    harmed = flip(next(path for path in results if '"stage":"pretrain"' in path.read_text()))
    started, notes = again(request_copy)
    assert started == []
    assert len(notes) == 1
    assert harmed.is_file()
    for name, frame in numbers(quiet.output).items():
        assert_frame_equal(frame, numbers(request_copy.output)[name])
