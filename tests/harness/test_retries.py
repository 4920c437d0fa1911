"""Lost workers and exhausted memory are tried again, nothing else is; the journal remembers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.executors import Event
from harness.executors.inline import InlineExecutor
from harness.progress import SilentDisplay
from harness.resources import TrialResources
from harness.retries import LOSSES, RAISES, Retries, Room
from harness.run import run_suite
from tests.harness.digits_run import digits_request, journal, numbers, run_inline, tables

GIB = 2**30
LOST = {"status": "lost", "error": "the worker died"}
MEMORY = {"status": "out_of_memory", "error": "MemoryError", "row": {"peak_memory_bytes": 3 * GIB}}


def test_a_lost_worker_is_retried_twice() -> None:
    retries, given_ = Retries(), TrialResources()
    assert [retries.again("a", LOST, given_, Room()) for _ in range(3)] == [True, True, False]
    assert retries.again("b", LOST, given_, Room())
    assert retries.explain("a", LOST, given_) == "its worker was lost 3 times, the last time: the worker died"


@pytest.mark.parametrize("status", ["failed", "done", "storage"])
def test_nothing_else_is(status: str) -> None:
    assert not Retries().again("a", {"status": status}, TrialResources(), Room(64 * GIB, 8))


def requests(first: TrialResources, outcome: dict[str, Any], room: Room) -> list[TrialResources]:
    """What a trial is given that always runs out."""
    retries, given_ = Retries(), [first]
    while retries.again("a", outcome, given_[-1], room):
        given_.append(retries.resources("a", first))
    return given_


def test_exhausted_memory_doubles_the_request_as_far_as_the_largest_node_has_it() -> None:
    sizes = [r.memory_bytes for r in requests(TrialResources(memory_bytes=2 * GIB), MEMORY, Room(10 * GIB))]
    assert sizes == [2 * GIB, 4 * GIB, 8 * GIB, 10 * GIB]
    sizes = [r.memory_bytes for r in requests(TrialResources(memory_bytes=2 * GIB), MEMORY, Room(3 * GIB))]
    assert sizes == [2 * GIB, 3 * GIB]
    assert len(requests(TrialResources(memory_bytes=GIB), MEMORY, Room(1000 * GIB))) == RAISES + 1


def test_without_a_request_the_measured_peak_counts() -> None:
    assert requests(TrialResources(), MEMORY, Room(100 * GIB))[1].memory_bytes == 6 * GIB
    assert requests(TrialResources(), {"status": "out_of_memory"}, Room(100 * GIB))[1].memory_bytes == 2 * GIB


def test_one_process_has_nothing_larger_to_give() -> None:
    assert len(requests(TrialResources(), MEMORY, Room())) == 1


def test_a_gpu_share_grows_to_the_whole_gpu_and_no_further() -> None:
    outcome = {"status": "out_of_memory", "memory_of": "gpu", "error": "CUDA out of memory"}
    shares = [r.gpus for r in requests(TrialResources(gpus=0.3), outcome, Room(None, 8))]
    assert shares == [0.3, 0.6, 1.0]
    assert len(requests(TrialResources(gpus=1), outcome, Room(None, 8))) == 1


@given(st.lists(st.sampled_from(["a", "b"]), max_size=20), st.integers(1, 8))
def test_a_request_never_shrinks_and_never_exceeds_the_room(keys: list[str], gib: int) -> None:
    retries, first, room = Retries(), TrialResources(memory_bytes=GIB), Room(gib * GIB)
    last = {"a": GIB, "b": GIB}
    for key in keys:
        retries.again(key, MEMORY, retries.resources(key, first), room)
        now = retries.resources(key, first).memory_bytes or 0
        assert last[key] <= now <= max(GIB, gib * GIB)
        last[key] = now


class Accident(InlineExecutor):
    """Loses workers and memory by a script: key to the outcomes that come before the real one."""

    def __init__(self, script: dict[str, list[dict[str, Any]]], room: Room) -> None:
        super().__init__()
        self.room = room
        self.script = script
        self.handed_out: list[tuple[str, TrialResources]] = []

    def submit(self, payload: Any) -> None:
        self.handed_out.append((payload["key"], TrialResources(**payload["resources"])))
        super().submit(payload)

    def next_event(self, timeout_seconds: float) -> Event | None:
        if self._queue and (coming := self.script.get(self._queue[0]["key"])):
            return Event(self._queue.popleft()["key"], coming.pop(0))
        return super().next_event(timeout_seconds)


def some_keys(folder: Path) -> dict[str, str]:
    """One key per stage of a digits run."""
    quiet = digits_request(folder)
    run_inline(quiet)
    frame = tables(quiet.output)["trials"].filter(pl.col("baseline").is_null())
    return {stage: group["key"][0] for (stage,), group in frame.group_by("stage")}


def test_accidents_change_no_number_and_are_journaled(tmp_path: Path) -> None:
    keys = some_keys(tmp_path / "quiet")
    script = {keys["pretrain"]: [LOST, LOST], keys["tune"]: [MEMORY, LOST, MEMORY], keys["final"]: [LOST]}
    request = digits_request(tmp_path / "rough")
    executor = Accident(script, Room(64 * GIB))
    assert run_suite(request, executor, SilentDisplay()).complete
    ours, theirs = numbers(request.output), numbers(tmp_path / "quiet" / "run")
    assert all(ours[name].equals(theirs[name]) for name in theirs)
    count = Counter(key for key, _ in executor.handed_out)
    assert {stage: count[key] for stage, key in keys.items()} == {"pretrain": 3, "tune": 4, "final": 2}
    assert set(count.values()) == {1, 2, 3, 4}
    assert [r.memory_bytes for key, r in executor.handed_out if key == keys["tune"]] == [
        None,
        6 * GIB,
        6 * GIB,
        12 * GIB,
    ]
    retried = [event for event in journal(request.output) if event["event"] == "retried"]
    assert Counter(event["reason"] for event in retried) == {"lost": 4, "out_of_memory": 2}


def test_what_is_lost_for_good_is_recorded_and_the_larger_request_remembered(
    tmp_path: Path,
) -> None:
    keys = some_keys(tmp_path / "quiet")
    request = digits_request(tmp_path / "rough")
    script = {keys["tune"]: [MEMORY] * 9, keys["final"]: [LOST] * (LOSSES + 1)}
    executor = Accident(script, Room(10 * GIB))
    finished = run_suite(request, executor, SilentDisplay())
    assert finished.status["failed"] == 2
    failed = tables(request.output)["trials"].filter(pl.col("status") == "failed")
    errors = dict(failed.select("key", "error").iter_rows())
    assert errors[keys["tune"]] == "out of memory (10 GiB requested, nothing larger to give): MemoryError"
    assert errors[keys["final"]] == "its worker was lost 3 times, the last time: the worker died"
    second = Accident({}, Room(10 * GIB))
    assert run_suite(request, second, SilentDisplay()).complete
    assert dict(second.handed_out)[keys["tune"]].memory_bytes == 10 * GIB
    assert dict(second.handed_out)[keys["final"]].memory_bytes is None


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_sequence_of_accidents_ends_with_every_trial_settled(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("accidents")
    request = digits_request(folder, strategies=["random_projection"], tasks=["stroke"])
    script: dict[str, list[dict[str, Any]]] = {}

    class Random(Accident):
        def submit(self, payload: Any) -> None:
            if payload["key"] not in script:
                script[payload["key"]] = data.draw(st.lists(st.sampled_from([LOST, MEMORY]), max_size=4))
            super().submit(payload)

    status = run_suite(request, Random(script, Room(8 * GIB)), SilentDisplay()).status
    assert status["missing"] == 0
    assert status["done"] + status["failed"] + status["blocked"] > 0
