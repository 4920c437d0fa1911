"""What runs next, on a virtual clock: dependencies, failures, fairness, no barrier."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.conditions import Source
from harness.executors.simulated import SimulatedExecutor
from harness.policy import Outcome, Policy
from registry.contracts import Space
from tests.harness.toys import run_to_end, toy_plan, toy_strategy, toy_task


def by_rate(trial: Any) -> float:
    return float(trial.spec.hyperparameters["rate"]) if trial.spec.hyperparameters else 0.0


def simulate(policy: Policy, seconds: Any, slots: int = 2, score: Any = by_rate) -> SimulatedExecutor:
    """Serve a policy from the simulated executor, as the driver does."""
    executor = SimulatedExecutor(lambda payload: seconds(payload["trial"]), lambda _: {}, slots)
    in_flight = 0
    while not policy.finished:
        while in_flight < executor.capacity and (trial := policy.next_trial()) is not None:
            executor.submit({"key": trial.key, "trial": trial})
            in_flight += 1
        event = executor.next_event(1.0)
        assert event is not None
        in_flight -= 1
        trial = policy.trials[event.key]
        policy.complete(event.key, Outcome("done", score(trial), artifact="a"))
    return executor


def test_pretraining_first_and_nothing_before_what_it_needs() -> None:
    policy = Policy(toy_plan(3, [toy_task("t0", baselines=("mean",))]))
    order = run_to_end(policy, by_rate)
    assert [t.stage for t in order[:3]] == ["pretrain"] * 3
    place = {trial.key: index for index, trial in enumerate(order)}
    for trial in order:
        assert all(place[upstream] < place[trial.key] for upstream in trial.spec.upstream)


def test_while_pretraining_runs_what_needs_none_fills_the_slots() -> None:
    policy = Policy(toy_plan(1, [toy_task("t0", baselines=("mean",))]))
    first, second = policy.next_trial(), policy.next_trial()
    assert first is not None
    assert second is not None
    assert (first.stage, second.spec.baseline) == ("pretrain", "mean")
    assert policy.next_trial() is None
    assert not policy.finished


def test_the_pretraining_with_most_dependants_goes_first() -> None:
    both = {"encoder", "generator"}
    rich = toy_strategy("rich", provides=both)
    tasks = [toy_task("t0"), toy_task("t1", needs=both)]
    policy = Policy(toy_plan([toy_strategy("poor"), rich], tasks))
    first = policy.next_trial()
    assert first is not None
    assert first.spec.strategy == "rich"


def test_arms_are_kept_level() -> None:
    policy = Policy(toy_plan(3, 2, budget={"draws": 4}))
    done: Counter[str] = Counter()
    for trial in run_to_end(policy, by_rate):
        if trial.stage == "tune":
            done[trial.arm] += 1
            assert max(done.values()) - min(done[arm] for arm in ("s0", "s1", "s2")) <= 1


def test_an_arm_starts_its_finals_while_another_still_pretrains() -> None:
    plan = toy_plan(2, 1)
    slow = plan.pretraining[Source("s1", 0)].key
    executor = simulate(Policy(plan), lambda t: 100.0 if t.key == slow else 1.0)
    ends = {key: (start, end) for start, end, key in executor.log}
    policy = Policy(plan)
    run_to_end(policy, by_rate)
    tuned = [k for k, t in policy.trials.items() if t.stage == "final" and t.arm == "s0"]
    assert min(ends[key][1] for key in tuned) < ends[slow][1]


def test_a_failed_pretraining_blocks_its_arm_alone() -> None:
    policy = Policy(toy_plan(2, 2, seeds={"final": [0, 1, 2]}))
    run_to_end(policy, by_rate, fails=lambda t: t.stage == "pretrain" and t.arm == "s0")
    states = Counter((policy.trials[key].arm, state) for key, state in policy.states.items())
    assert states["s0", "failed"] == 1
    assert states["s0", "done"] == 0
    assert states["s1", "blocked"] == states["s1", "failed"] == 0
    blocked = [policy.outcomes[k].error for k, s in policy.states.items() if s == "blocked"]
    assert all("it broke" in str(error) for error in blocked)
    assert any("pretrain s0 seed 0 failed: it broke" in str(error) for error in blocked)
    # the other arm's matched setting is chosen without it, and that is written down
    matched = [s for s in policy.selections if (s.strategy, s.protocol) == ("s1", "matched")]
    assert all(s.draw is not None and "left out for want of a result: s0" in s.reason for s in matched)


def test_a_second_pretraining_seed_that_fails_blocks_only_its_finals() -> None:
    policy = Policy(toy_plan(1, 1, seeds={"pretraining": [0, 1]}))
    run_to_end(policy, by_rate, fails=lambda t: t.stage == "pretrain" and t.spec.seed == 1)
    finals = Counter(
        (policy.trials[k].spec.pretraining_seed, s)
        for k, s in policy.states.items()
        if policy.trials[k].stage == "final"
    )
    assert set(finals) == {(0, "done"), (1, "blocked")}


def test_selections_follow_the_direction_of_the_task() -> None:
    for direction, best in (("max", max), ("min", min)):
        policy = Policy(toy_plan(2, [toy_task("t0", direction=direction)]))
        run_to_end(policy, by_rate)
        wanted = best(draw["rate"] for draw in policy.plan.draws["t0"])
        assert {s.hyperparameters["rate"] for s in policy.selections} == {wanted}


def test_equal_choices_share_their_final_trials() -> None:
    policy = Policy(toy_plan(2, 1))
    order = run_to_end(policy, by_rate)  # every arm likes the same draw
    finals = [t for t in order if t.stage == "final"]
    assert len(finals) == 4
    assert all(policy.protocols_of(t.key) == ["matched", "tuned"] for t in finals)
    assert policy.unselected_slots() == 0


def test_different_choices_get_trials_of_their_own() -> None:
    plan = toy_plan(3, 1)
    rates = sorted(draw["rate"] for draw in plan.draws["t0"])
    # s0 and s1 like the largest rate, s2 the smallest
    policy = Policy(plan)
    run_to_end(policy, lambda t: -by_rate(t) if t.arm == "s2" else by_rate(t))
    served = {
        (t.arm, t.spec.hyperparameters["rate"]): policy.protocols_of(key)
        for key, t in policy.trials.items()
        if t.stage == "final"
    }
    assert served == {
        ("s0", rates[-1]): ["matched", "tuned"],
        ("s1", rates[-1]): ["matched", "tuned"],
        ("s2", rates[-1]): ["matched"],
        ("s2", rates[0]): ["tuned"],
    }


def test_matched_is_chosen_by_the_reference_arms_alone() -> None:
    def matched(arms: int) -> Any:
        plan = toy_plan(arms, 1, reference_arms=["s0"])
        policy = Policy(plan)
        run_to_end(policy, lambda t: by_rate(t) if t.arm == "s0" else -by_rate(t))
        return {s.strategy: s.draw for s in policy.selections if s.protocol == "matched"}

    assert set(matched(1).values()) == set(matched(4).values())


def test_an_arm_whose_draws_all_fail_has_no_tuned_setting_but_a_matched_one() -> None:
    policy = Policy(toy_plan(2, 1))
    run_to_end(policy, by_rate, fails=lambda t: t.stage == "tune" and t.arm == "s0")
    of_s0 = {s.protocol: s for s in policy.selections if s.strategy == "s0"}
    assert of_s0["tuned"].draw is None
    assert "none of 3 draws has a result: it broke" in of_s0["tuned"].reason
    assert of_s0["matched"].draw is not None
    states = Counter(
        s
        for k, s in policy.states.items()
        if policy.trials[k].stage == "final" and policy.trials[k].arm == "s0"
    )
    assert states == {"done": 2, "blocked": 2}


def test_without_any_reference_result_every_matched_final_is_blocked() -> None:
    policy = Policy(toy_plan(2, 1, reference_arms=["s0"]))
    run_to_end(policy, by_rate, fails=lambda t: t.arm == "s0" and t.stage == "pretrain")
    matched = [s for s in policy.selections if s.protocol == "matched"]
    assert [s.draw for s in matched] == [None, None]
    assert policy.finished


def test_reference_arms_that_do_not_apply_leave_matched_without_a_setting() -> None:
    arms = [toy_strategy("s0", provides={"other"}), toy_strategy("s1")]
    policy = Policy(toy_plan(arms, 1, reference_arms=["s0"]))
    run_to_end(policy, by_rate)
    (matched,) = [s for s in policy.selections if s.protocol == "matched"]
    assert matched.draw is None
    assert "none applies" in matched.reason


def test_finished_trials_are_adopted_and_everything_else_runs_once() -> None:
    plan = toy_plan(3, 2)
    first = Policy(plan)
    whole = run_to_end(first, by_rate)
    for cut in range(len(whole) + 1):
        done = {t.key: first.outcomes[t.key] for t in whole[:cut]}
        second = Policy(plan, done)
        rest = run_to_end(second, by_rate)
        assert {t.key for t in rest} == {t.key for t in whole[cut:]}
        assert {(s.strategy, s.task, s.protocol, s.draw) for s in second.selections} == {
            (s.strategy, s.task, s.protocol, s.draw) for s in first.selections
        }


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_matrices_with_random_failures_end_and_lose_nothing(data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 10**6))
    chance = random.Random(seed)  # noqa: S311
    tasks = [
        toy_task(
            f"t{i}",
            space=Space() if chance.random() < 0.3 else None,
            trains=chance.random() < 0.7,
            baselines=("b",),
        )
        for i in range(data.draw(st.integers(1, 3)))
    ]
    plan = toy_plan(
        data.draw(st.integers(1, 4)),
        tasks,
        budget={"draws": data.draw(st.integers(1, 4))},
        seeds={"pretraining": list(range(data.draw(st.integers(1, 2)))), "final": [0, 1]},
        reference_arms=["s0"],
    )
    rate = data.draw(st.sampled_from([0.0, 0.2, 0.8]))
    policy = Policy(plan)
    handed_out = run_to_end(policy, lambda _: chance.random(), fails=lambda _: chance.random() < rate)
    assert len({t.key for t in handed_out}) == len(handed_out)
    assert set(policy.states.values()) <= {"done", "failed", "blocked"}
    assert policy.unselected_slots() == 0
    # every slot of every cell and protocol is accounted for
    slots: Counter[tuple[str, str, str]] = Counter()
    for key, trial in policy.trials.items():
        if trial.stage == "final" and trial.arm:
            for protocol in policy.protocols_of(key):
                slots[trial.arm, str(trial.spec.task), protocol] += 1
    for cell in plan.applicable:
        for protocol in ("matched", "tuned"):
            assert slots[cell.strategy, cell.task, protocol] == plan.slots(cell.task) // 2


def test_a_mixed_matrix_keeps_the_slots_busy() -> None:
    chance = random.Random(1)  # noqa: S311
    plan = toy_plan(4, 3, budget={"draws": 4})
    seconds = {}

    def lasts(trial: Any) -> float:
        return seconds.setdefault(
            trial.key, chance.uniform(3, 5) if trial.stage == "pretrain" else chance.uniform(0.5, 2.5)
        )

    executor = simulate(Policy(plan), lasts, slots=2)
    assert len(executor.log) >= 40
    assert executor.utilisation >= 0.95


def test_a_trial_cannot_end_twice() -> None:
    policy = Policy(toy_plan(1, 1))
    trial = policy.next_trial()
    assert trial is not None
    policy.complete(trial.key, Outcome("done", artifact="a"))
    with pytest.raises(ValueError, match="is done already"):
        policy.fail(trial.key, "late")
