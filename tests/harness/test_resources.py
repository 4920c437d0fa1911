"""What trials need: declared, changed on the command line, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.executors import WorkersUnavailableError
from harness.executors.tune import TuneExecutor, ray_resources, slots_on
from harness.resources import Resources, TrialResources, bytes_of, parse_resources, size_text
from harness.suite import parse_suite
from registry.contracts import InputError

TABLE: dict[str, Any] = {"schema": 1, "name": "x", "domain": "d", "strategies": ["s"], "tasks": ["t"]}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("8GiB", 8 * 2**30),
        ("8 gb", 8 * 10**9),
        ("1.5Mi", 1572864),
        ("2k", 2000),
        ("3TiB", 3 * 2**40),
    ],
)
def test_memory_is_read_in_the_units_that_people_use(text: str, number: int) -> None:
    assert bytes_of(text) == number


@pytest.mark.parametrize("text", ["", "much", "-1GiB", "8 GiB more", "0", "1e9", "GiB"])
def test_what_is_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write it like '8GiB'"):
        bytes_of(text)


@given(st.integers(1, 2**50))
def test_sizes_are_written_as_they_are_read(number: int) -> None:
    assert bytes_of(size_text(number)) == pytest.approx(number, rel=0.001)


def test_a_stage_may_need_other_than_the_rest() -> None:
    declared = {"cpus": 2, "memory": "1GiB", "pretrain": {"gpus": 1, "memory": "4GiB"}}
    suite = parse_suite(TABLE | {"resources": declared}, source="t")
    assert suite.resources.of("pretrain") == TrialResources(2, 1, 4 * 2**30)
    assert suite.resources.of("tune") == suite.resources.of("final") == TrialResources(2, 0, 2**30)
    assert len(suite.resources.shapes) == 2
    assert (suite.resources.of("pretrain").device, suite.resources.of("final").device) == ("cuda", "cpu")


def test_the_command_line_changes_only_what_it_names() -> None:
    suite = parse_suite(TABLE | {"resources": {"cpus": 2, "pretrain": {"gpus": 1}}}, source="t")
    changed = suite.narrowed(resources=parse_resources("memory=2GiB, pretrain.time_limit_seconds=60"))
    assert changed.resources.of("pretrain") == TrialResources(2, 1, 2 * 2**30, 60)
    assert changed.resources.of("tune") == TrialResources(2, 0, 2 * 2**30, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpus", "'gpus' is not KEY=VALUE"),
        ("=3", "'=3' is not KEY=VALUE"),
        ("gpu=1", "key 'resources.gpu' is not known; did you mean 'gpus'"),
        ("gpus=lots", "resources.gpus = 'lots' cannot be used"),
        ("gpus=1.5", "1.5 GPUs cannot be given"),
        ("memory=big", "'big' is no amount of memory"),
        ("pretrain.cpus=0", "resources.pretrain.cpus = 0 cannot be used"),
        ("warm.cpus=1", "key 'resources.warm' is not known"),
        ("time_limit_seconds=-1", "time_limit_seconds = -1 cannot be used"),
    ],
)
def test_what_cannot_be_given_is_named(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_suite(TABLE, source="t").narrowed(resources=parse_resources(text))


def test_resources_are_no_part_of_a_trials_identity() -> None:
    from tests.harness.toys import toy_plan  # noqa: PLC0415

    plain, needy = toy_plan(2, 1), toy_plan(2, 1, resources={"memory": "1GiB", "time_limit_seconds": 5.0})
    assert [t.key for t in plain.known_trials] == [t.key for t in needy.known_trials]


@pytest.mark.parametrize(
    ("nodes", "needed", "slots"),
    [
        ([{"CPU": 16, "GPU": 1}], TrialResources(1, 0.5), 2),
        ([{"CPU": 16, "GPU": 2}], TrialResources(1, 0.25), 8),
        ([{"CPU": 16, "GPU": 1}], TrialResources(1, 0.3), 3),
        ([{"CPU": 16, "GPU": 4}], TrialResources(1, 1), 4),
        ([{"CPU": 2, "GPU": 8}], TrialResources(1, 1), 2),
        ([{"CPU": 3}, {"CPU": 3}], TrialResources(2), 2),  # a trial does not span nodes
        ([{"CPU": 64, "memory": 10 * 2**30}], TrialResources(1, 0, 4 * 2**30), 2),
    ],
)
def test_trials_are_packed_node_by_node(nodes: Any, needed: TrialResources, slots: int) -> None:
    assert slots_on(nodes, ray_resources(needed)) == slots


def test_what_no_node_can_give_is_refused_before_anything_runs() -> None:
    executor = TuneExecutor(Resources(gpus=1), workers=2)
    with pytest.raises(WorkersUnavailableError, match="1 CPUs and 1 GPUs, a node has 2 CPUs and 0 GPUs"):
        executor._take_stock([{"CPU": 2.0}])
    executor = TuneExecutor(Resources(pretrain={"memory": "8GiB"}), workers=2)  # type: ignore[arg-type]
    with pytest.raises(WorkersUnavailableError, match=r"8 GiB of memory, a node has .* 4 GiB of memory"):
        executor._take_stock([{"CPU": 2.0, "memory": 4 * 2**30}])
