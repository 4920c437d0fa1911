"""What trials need: declared, changed on the command line, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import records
from harness.executors import WorkersUnavailableError
from harness.executors.tune import TuneExecutor, ray_resources, slots_on
from harness.plan import Plan
from harness.policy import Policy
from harness.price.price import Cluster, price_of
from harness.price.timings import Timing
from harness.price.work import work_of
from harness.resources import Resources, TrialResources, bytes_of, parse_resources, size_text
from harness.suite import parse_suite
from registry.contracts import InputError, ResourceRequest, strategy
from tests.harness.toys import toy_plan, toy_strategy, toy_task

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


# What strategies and tasks declare ---------------------------------------------------------------------


def needy_plan(resources: dict[str, Any] | None = None, **suite: Any) -> Plan:
    arms = [toy_strategy("plain"), toy_strategy("needy", resources={"gpus": 1, "memory_bytes": 2**32})]
    tasks = [toy_task("light"), toy_task("heavy", baselines=("mean",), resources={"cpus": 3})]
    return toy_plan(arms, tasks, resources=resources or {}, **suite)


def given_by_label(plan: Plan) -> dict[tuple[str, str], TrialResources]:
    return {(trial.stage, trial.spec.task or trial.arm): plan.resources(trial) for trial in plan.known_trials}


def test_a_trial_is_given_the_more_of_what_the_suite_gives_and_its_code_declares() -> None:
    plan = needy_plan({"cpus": 2, "memory": "1GiB", "tune": {"cpus": 4}})
    assert given_by_label(plan) == {
        ("pretrain", "plain"): TrialResources(2, 0, 2**30),
        ("pretrain", "needy"): TrialResources(2, 1, 2**32),
        ("tune", "light"): TrialResources(4, 0, 2**30),
        ("tune", "heavy"): TrialResources(4, 0, 2**30),
        ("final", "heavy"): TrialResources(3, 0, 2**30),  # a baseline's
    }
    assert plan.shapes["pretrain"] == (TrialResources(2, 0, 2**30), TrialResources(2, 1, 2**32))
    place = next(place for place in plan.places if place.task == "heavy")
    final = next(plan.finals(place, {}, draw=0, protocols=()))
    assert plan.resources(final) == TrialResources(3, 0, 2**30)


def test_what_the_command_line_states_holds_whatever_is_declared() -> None:
    suite = needy_plan().suite.narrowed(resources=parse_resources("gpus=0,final.cpus=1"))
    assert suite.narrowed(resources={"memory": "2GiB"}).resources.fixed == ("gpus", "memory")
    plan = needy_plan(suite.as_table()["resources"])
    given = given_by_label(plan)
    assert given["pretrain", "needy"] == TrialResources(1, 0, 2**32)  # memory was not named
    assert given["tune", "heavy"] == TrialResources(3)
    assert given["final", "heavy"] == TrialResources(1)


def test_what_is_declared_is_no_part_of_a_trials_identity() -> None:
    plain = toy_plan([toy_strategy("needy")], [toy_task("heavy")])
    needy = toy_plan(
        [toy_strategy("needy", resources={"cpus": 8})], [toy_task("heavy", resources={"gpus": 1})]
    )
    assert [t.key for t in plain.known_trials] == [t.key for t in needy.known_trials]


def test_what_is_declared_is_on_record() -> None:
    plan = needy_plan()
    assert records._arm(plan, "needy")["resources"] == {"gpus": 1, "memory_bytes": 2**32}
    assert records._arm(plan, "plain")["resources"] == {}
    assert records._task(plan, "heavy")["resources"] == {"cpus": 3}


def test_a_derived_strategy_needs_what_its_parent_does_unless_it_says_otherwise() -> None:
    parent = toy_strategy("parent", factors={"depth": 1}, resources={"cpus": 2})
    child = strategy("child", provides={"encoder"}, domain="toy", changes={"depth": 2})(
        type("C", (parent,), {})
    )
    other = strategy("other", provides={"encoder"}, domain="toy")(type("O", (parent,), {}))
    assert child.card.resources == parent.card.resources
    assert other.card.resources == ResourceRequest()


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"gpu": 1}, "'gpu' is not known; known: cpus, gpus, memory_bytes"),
        ({"cpus": -1}, "cpus = -1 is not a number from 0 on"),
        ({"cpus": float("nan")}, "cpus = nan is not a number"),
        ({"cpus": True}, "cpus = True is not a number"),
        ({"gpus": 1.5}, "gpus = 1.5 is neither a fraction below 1 nor whole"),
        ({"memory_bytes": "8GiB"}, "memory_bytes = '8GiB' is not a whole number"),
    ],
)
def test_what_cannot_be_declared_is_named(resources: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=f"resources: {words}"):
        toy_strategy("s", resources=resources)
    with pytest.raises(ValueError, match=f"resources: {words}"):
        toy_task("t", resources=resources)


def test_a_price_counts_what_each_trial_is_given() -> None:
    plan = needy_plan(budget={"draws": 1})
    work = work_of(plan, Policy(plan))
    hourly = {one.kind: Timing(3600.0, 0.0, 1) for one in work}
    price = price_of(work, hourly, slots=Cluster(cpus=6, gpus=1).slots(plan.shapes))
    assert price.slots == {"pretrain": 1, "tune": 2, "final": 2}  # as if all needed what the largest does
    assert price.gpu_hours == 1
    trials = sum(one.count for one in work)
    heavy = sum(one.count for one in work if "heavy" in one.what)
    assert price.cpu_hours == pytest.approx(trials + 2 * heavy)


def test_a_declared_shape_that_no_node_has_is_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executor = TuneExecutor(Resources(), workers=2)
    monkeypatch.setattr(executor, "_start_ray", lambda: executor._take_stock([{"CPU": 2.0}]))
    monkeypatch.setattr("harness.executors.tune._refuse_exposed_ray", lambda: None)
    with pytest.raises(WorkersUnavailableError, match="one trial needs 1 CPUs and 1 GPUs, a node has 2 CPUs"):
        executor.start(3, (TrialResources(), TrialResources(gpus=1)))
