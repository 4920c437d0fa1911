"""Which settings are tried and chosen, in pretraining and in tasks; thousands of random matrices."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.decisions import tried
from harness.executors.simulated import SimulatedExecutor
from harness.outcome import Outcome
from harness.policy import Policy
from harness.price.work import work_of
from harness.records import search_rows, selection_rows
from harness.results import TABLES
from registry.contracts import InputError, Space, choice, loguniform, uniform
from tests.harness.toys import run_to_end, toy_plan, toy_strategy, toy_task

RATE = loguniform(1e-4, 1e-1, default=1e-2)
SHARED = {"width": uniform(0, 1, default=0.5)}
OWN = {"weight": uniform(0, 1, default=0.25)}


def arms() -> list[Any]:
    """Without hyperparameters; with a shared one; with the shared one and one of its own."""
    return [
        toy_strategy("plain"),
        toy_strategy("vae", space=Space(**SHARED)),
        toy_strategy("physics", space=Space(**SHARED, **OWN)),
    ]


def searched_plan(strategies: Any = None, tasks: Any = 1, **tables: Any) -> Any:
    tables = {"budget": {"draws": 3, "pretraining_draws": 4}, **tables}
    tables.setdefault("seeds", {"pretraining": [0, 1], "tuning_pretraining": 50})
    return toy_plan(arms() if strategies is None else strategies, tasks, **tables)


def by_width(trial: Any) -> float:
    """Probe and score: wide is good for `physics`, narrow for everybody else."""
    if trial.stage == "pretrain":
        width = trial.spec.pretraining_hyperparameters.get("width", 0.0)
        return float(width if trial.arm == "physics" else -width)
    return float(trial.spec.hyperparameters["rate"]) if trial.spec.hyperparameters else 0.0


# Pretraining ----------------------------------------------------------------------------------------


def test_every_arm_tries_as_many_settings_and_the_same_values_of_what_they_share() -> None:
    policy = Policy(searched_plan())
    order = run_to_end(policy, by_width)
    tried_by: dict[str, list[Any]] = {}
    for trial in order:
        if trial.spec.probe:
            tried_by.setdefault(trial.arm, []).append(trial.spec.pretraining_hyperparameters)
    assert {arm: len(settings) for arm, settings in tried_by.items()} == {"vae": 4, "physics": 4}
    assert [one["width"] for one in tried_by["vae"]] == [one["width"] for one in tried_by["physics"]]
    assert tried_by["physics"][0] == {"width": 0.5, "weight": 0.25}  # the declared setting comes first


def test_tuned_takes_the_arms_own_best_and_matched_one_draw_for_all() -> None:
    policy = Policy(searched_plan(reference_arms=["plain", "vae", "physics"]))
    run_to_end(policy, by_width)
    rows = {(row.strategy, row.protocol): row for row in policy.selection_rows() if row.task is None}
    assert set(rows) == {(arm, protocol) for arm in ("vae", "physics") for protocol in ("matched", "tuned")}
    draws = [policy.plan.searched["physics"](draw) for draw in range(4)]
    widths = [draw["width"] for draw in draws]
    assert rows["vae", "tuned"].hyperparameters == {"width": min(widths)}
    best = widths.index(max(widths))
    assert rows["physics", "tuned"].hyperparameters == draws[best]
    assert rows["physics", "tuned"].validation_score == max(widths)
    # opposite rankings: every draw has the same mean rank, the lowest wins; what is its own stays declared
    assert {rows[arm, "matched"].draw for arm in ("vae", "physics")} == {0}
    assert rows["vae", "matched"].hyperparameters == {"width": 0.5}
    assert rows["physics", "matched"].hyperparameters == {"width": 0.5, "weight": 0.25}
    assert rows["physics", "matched"].reason.endswith("; declared value of weight")


def test_tuning_and_finals_start_from_the_chosen_weights_and_seeds_are_nested() -> None:
    policy = Policy(searched_plan(seeds={"pretraining": [0, 1], "tuning_pretraining": 50, "final": [7, 8]}))
    order = run_to_end(policy, by_width)
    chosen = {
        (row.strategy, row.protocol): row.hyperparameters
        for row in policy.selection_rows()
        if row.task is None
    }
    chosen |= {("plain", protocol): {} for protocol in ("matched", "tuned")}
    for trial in order:
        if trial.stage == "tune":
            assert trial.spec.pretraining_seed == 50
        if trial.stage == "final":
            for protocol in policy.protocols_of(trial.key):
                assert trial.spec.pretraining_hyperparameters == chosen[trial.arm, protocol]
    finals = Counter(
        (trial.arm, protocol, trial.spec.pretraining_seed, trial.spec.seed)
        for trial in order
        if trial.stage == "final"
        for protocol in policy.protocols_of(trial.key)
    )
    assert finals == {
        (arm, protocol, pretraining_seed, seed): 1
        for arm in ("plain", "vae", "physics")
        for protocol in ("matched", "tuned")
        for pretraining_seed in (0, 1)
        for seed in (7, 8)
    }


def test_weights_that_are_judged_are_never_selected_on() -> None:
    order = run_to_end(Policy(searched_plan()), by_width)
    assert {trial.spec.seed for trial in order if trial.spec.probe} == {50}
    assert {trial.spec.seed for trial in order if trial.stage == "pretrain" and not trial.spec.probe} == {
        0,
        1,
        50,  # the weights that an arm without hyperparameters is tuned on
    }


def test_one_arm_more_changes_no_earlier_result() -> None:
    def matched(strategies: list[Any]) -> Any:
        policy = Policy(searched_plan(strategies, reference_arms=["vae", "physics"]))
        run_to_end(policy, by_width)
        return {
            (row.strategy, row.task, row.protocol): row.hyperparameters
            for row in policy.selection_rows()
            if row.strategy in ("vae", "physics")
        }

    newcomer = toy_strategy("new", space=Space(**OWN, fresh=uniform(0, 1, default=0)))
    assert matched(arms()[1:]) == matched([*arms()[1:], newcomer])


def test_without_a_search_nothing_changes() -> None:
    """Keys of trials, and how many there are, as if there were no search at all."""
    plan = toy_plan(arms(), 1)
    assert plan.searched == {}
    assert plan.probe is None
    order = run_to_end(Policy(plan), by_width)
    assert Counter(trial.stage for trial in order)["pretrain"] == 3
    assert all(trial.spec.probe is None for trial in order)


def test_the_declared_setting_found_best_shares_its_final_weights_with_a_suite_without_search() -> None:
    plain = toy_plan(arms(), 1, seeds={"pretraining": [0, 1]})
    policy = Policy(searched_plan())
    run_to_end(policy, lambda trial: -abs(by_width(trial) - 0.5) if trial.arm == "physics" else 0.0)
    for arm in ("vae", "physics"):
        keys = {
            trial.key for trial in policy.trials.values() if trial.arm == arm and trial.stage == "pretrain"
        }
        assert {plain.pretraining[source].key for source in plain.pretraining if source.arm == arm} <= keys


def test_a_probe_must_suit_every_compared_arm() -> None:
    with pytest.raises(InputError, match="'other' is not known"):
        searched_plan(search={"pretraining_metric": "other"})
    blind = toy_strategy("blind", provides={"generator"}, space=Space(**SHARED))
    with pytest.raises(InputError, match="pretraining_metric 'probe' needs encoder, which 'blind' has not"):
        searched_plan([*arms(), blind], [toy_task("t0", needs={"generator"}), toy_task("t1")])


def test_an_arm_whose_settings_all_fail_is_blocked_and_named_and_the_others_go_on() -> None:
    policy = Policy(searched_plan())
    run_to_end(policy, by_width, fails=lambda trial: trial.spec.probe is not None and trial.arm == "vae")
    rows = {
        (row.strategy, row.task, row.protocol): row
        for row in policy.selection_rows()
        if row.strategy == "vae"
    }
    assert rows["vae", None, "tuned"].draw is None
    assert "none of 4 draws has a result: it broke" in rows["vae", None, "tuned"].reason
    assert "left out for want of a result: vae" in rows["vae", None, "matched"].reason
    blocked = {policy.outcomes[k].error for k, state in policy.states.items() if state == "blocked"}
    assert any("no tuned setting of pretraining" in str(error) for error in blocked)
    states = Counter(
        (policy.trials[k].arm, state)
        for k, state in policy.states.items()
        if policy.trials[k].stage == "final"
    )
    assert states["physics", "blocked"] == states["plain", "blocked"] == 0
    assert policy.unselected_slots() == 0


# Budgets --------------------------------------------------------------------------------------------


def spend(policy: Policy, outcome: Any) -> list[Any]:
    """Run a policy with outcomes of one's own."""
    order = []
    while not policy.finished:
        trial = policy.next_trial()
        assert trial is not None
        order.append(trial)
        policy.complete(trial.key, outcome(trial))
    return order


def test_where_trials_stop_early_arms_get_equal_resources_not_equal_trials() -> None:
    plan = toy_plan(2, 1, budget={"draws": 4}, search={"early_stopping": {}})

    def outcome(trial: Any) -> Outcome:
        if trial.stage == "tune" and trial.arm == "s1" and trial.draw % 4:  # s1 is stopped often
            return Outcome("done", None, "a", pruned_at=0.25, interim_score=0.0)
        return Outcome("done", by_width(trial), "a")

    policy = Policy(plan)
    order = spend(policy, outcome)
    spent = {row["strategy"]: row for row in search_rows(policy)}
    assert spent["s0"]["draws"] == 4
    assert spent["s1"]["draws"] > 4
    assert spent["s0"]["full_trials"] == 4
    assert 3 < spent["s1"]["full_trials"] <= 4
    assert spent["s1"]["pruned"] == sum(t.draw % 4 != 0 for t in order if t.stage == "tune" and t.arm == "s1")
    # draws are still shared, and matched is chosen among those that both have tried
    rates = {(t.arm, t.draw): t.spec.hyperparameters["rate"] for t in order if t.stage == "tune"}
    assert all(rates["s0", draw] == rates["s1", draw] for draw in range(4))
    matched = [row for row in policy.selection_rows() if row.protocol == "matched"]
    assert {row.draw for row in matched} <= set(range(4))


def test_a_budget_of_seconds_bounds_what_an_arm_spends() -> None:
    plan = toy_plan(2, 1, budget={"draws": 10, "seconds": 100.0})
    lasts = {"s0": 30.0, "s1": 60.0}
    policy = Policy(plan)
    spend(policy, lambda trial: Outcome("done", by_width(trial), "a", wall_seconds=lasts[trial.arm]))
    spent = {row["strategy"]: (row["draws"], row["seconds"]) for row in search_rows(policy)}
    assert spent == {"s0": (4, 120.0), "s1": (2, 120.0)}


@pytest.mark.parametrize("table", [{"early_stopping": {}}, {"method": "tpe", "shared_draws": 2}, {}])
def test_an_execution_that_goes_on_repeats_nothing_and_decides_the_same(table: Any) -> None:
    plan = searched_plan(budget={"draws": 5, "pretraining_draws": 3}, search=table)
    chance = random.Random(3)  # noqa: S311
    fixed: dict[str, Outcome] = {}

    def outcome(trial: Any) -> Outcome:
        if trial.stage == "tune" and "early_stopping" in table and chance.random() < 0.5:
            made = Outcome("done", None, "a", pruned_at=0.125, interim_score=chance.random())
        else:
            made = Outcome("done", chance.random(), "a", wall_seconds=chance.random())
        return fixed.setdefault(trial.key, made)

    first = Policy(plan)
    whole = spend(first, outcome)
    proposals = first.decisions.hunts.proposals
    assert bool(proposals) == (table.get("method") == "tpe")
    for cut in range(0, len(whole) + 1, 5):
        done = {trial.key: fixed[trial.key] for trial in whole[:cut]}
        started = {trial.key for trial in whole[:cut]}
        recorded: dict[str, dict[int, Any]] = {}
        for one in proposals:  # those of trials that had been handed out
            recorded.setdefault(one.hunt, {})[one.draw] = one.hyperparameters
        second = Policy(plan, done, recorded=recorded)
        rest = spend(second, outcome)
        assert not started & {trial.key for trial in rest}
        assert sorted(map(repr, selection_rows(second))) == sorted(map(repr, selection_rows(first)))


def test_tpe_shares_its_first_draws_and_chooses_the_matched_setting_among_them() -> None:
    plan = toy_plan(2, 1, budget={"draws": 8}, search={"method": "tpe", "shared_draws": 3})
    policy = Policy(plan)
    order = run_to_end(policy, by_width)
    by_arm: dict[str, dict[int, Any]] = {}
    for trial in order:
        if trial.stage == "tune":
            by_arm.setdefault(trial.arm, {})[trial.draw] = trial.spec.hyperparameters
    assert [len(draws) for draws in by_arm.values()] == [8, 8]
    assert [by_arm["s0"][draw] for draw in range(3)] == [by_arm["s1"][draw] for draw in range(3)]
    assert [by_arm["s0"][draw] for draw in range(3, 8)] != [by_arm["s1"][draw] for draw in range(3, 8)]
    assert {row.draw for row in policy.selection_rows() if row.protocol == "matched"} <= {0, 1, 2}
    assert len(policy.decisions.hunts.proposals) == 2 * 5


def test_two_draws_of_the_same_setting_run_once() -> None:
    """A space of options repeats itself; the search must not wait for a trial that never comes."""
    few = toy_task("t0", space=Space(norm=choice(("a", "b"), default="a")))
    policy = Policy(toy_plan(2, [few], budget={"draws": 10}))
    order = run_to_end(policy, by_width_of_nothing)
    assert Counter((t.arm, t.stage) for t in order)["s0", "tune"] == 2
    assert {row["draws"] for row in search_rows(policy)} == {10}


def by_width_of_nothing(trial: Any) -> float:
    return 0.5


def test_the_boundary_is_recorded() -> None:
    policy = Policy(toy_plan(1, 1, budget={"draws": 60}))
    run_to_end(policy, by_width)  # the largest of 60 rates
    (row,) = search_rows(policy)
    assert row["boundary"] == ["rate at its high end"]
    assert set(row) == set(TABLES["search"])


def test_a_pruned_trial_has_no_score() -> None:
    assert tried(Outcome("done", None, pruned_at=0.3, interim_score=0.7)).score is None
    assert tried(Outcome("failed", error="x")).status == "failed"


# Random matrices on a virtual clock -----------------------------------------------------------------


def random_plan(chance: random.Random) -> Any:
    """A matrix of random size and shape, with a random search."""
    spaces = [Space(), Space(**SHARED), Space(**SHARED, **OWN), Space(**OWN)]
    strategies = [
        toy_strategy(
            f"s{number}",
            space=chance.choice(spaces),
            provides={"encoder", "generator"} if chance.random() < 0.5 else {"encoder"},
        )
        for number in range(chance.randint(1, 4))
    ]
    tasks = [
        toy_task(
            f"t{number}",
            space=chance.choice([Space(), None, Space(norm=choice(("a", "b"), default="a"))]),
            trains=chance.random() < 0.7,
            direction=chance.choice(["max", "min"]),
            needs={"encoder"} if number == 0 or chance.random() < 0.5 else {"encoder", "generator"},
            baselines=("mean",) if chance.random() < 0.5 else (),
        )
        for number in range(chance.randint(1, 3))
    ]
    seeds: dict[str, Any] = {"pretraining": list(range(chance.randint(1, 2))), "final": [0, 1]}
    if chance.random() < 0.5:
        seeds["tuning_pretraining"] = 9
    search: dict[str, Any] = {"method": chance.choice(["random", "random", "sobol"])}
    if chance.random() < 0.3:
        search["early_stopping"] = {"first": 0.2}
    budget = {"draws": chance.randint(1, 4), "pretraining_draws": chance.choice([1, 2, 3])}
    if chance.random() < 0.2:
        budget["seconds"] = 2.0
    references = chance.sample([s.card.name for s in strategies], chance.randint(0, len(strategies)))
    return toy_plan(
        strategies, tasks, budget=budget, seeds=seeds, search=search, reference_arms=sorted(references)
    )


def drive(
    policy: Policy, outcome: Any, chance: random.Random, slots: int, *, stop_after: int | None = None
) -> list[str]:
    """Serve a policy from the simulated executor; returns the keys that ran to their end."""
    executor = SimulatedExecutor(lambda _: chance.uniform(0.5, 3.0), lambda _: {}, slots)
    under_way, ended = 0, []
    while not policy.finished and (stop_after is None or len(ended) < stop_after):
        while under_way < slots and (trial := policy.next_trial()) is not None:
            for upstream in trial.spec.upstream:
                assert policy.states[upstream] == "done", "started before what it needs"
            executor.submit({"key": trial.key})
            under_way += 1
        event = executor.next_event(1.0)
        assert event is not None, "nothing runs and the run is not finished"
        under_way -= 1
        ended.append(event.key)
        made = outcome(policy.trials[event.key])
        if made.status == "failed":
            policy.fail(event.key, made.error)
        else:
            policy.complete(event.key, made)
    return ended


def check_random_matrix(number: int) -> None:
    """Whatever fails and whenever it is killed: it ends, nothing runs twice, every slot is accounted for."""
    chance = random.Random(number)  # noqa: S311
    plan = random_plan(chance)
    rate = chance.choice([0.0, 0.0, 0.2, 0.9])
    fixed: dict[str, Outcome] = {}

    def outcome(trial: Any) -> Outcome:
        if trial.key not in fixed:
            luck = random.Random(f"{number}/{trial.key}")  # noqa: S311 - the same whenever it runs
            if luck.random() < rate:
                fixed[trial.key] = Outcome("failed", error="it broke")
            elif trial.stage == "tune" and plan.suite.search.early_stopping and luck.random() < 0.4:
                fixed[trial.key] = Outcome("done", None, None, pruned_at=0.2, interim_score=luck.random())
            else:
                fixed[trial.key] = Outcome("done", luck.random(), "a", wall_seconds=1.0)
        return fixed[trial.key]

    policy = Policy(plan)
    promised = sum(policy.counts().values()) + policy.unselected_slots()
    assert sum(one.count for one in work_of(plan, policy, timed=False)) == promised
    ended = drive(policy, outcome, chance, chance.randint(1, 5))
    assert len(set(ended)) == len(ended)
    assert set(policy.states.values()) <= {"done", "failed", "blocked"}
    assert policy.unselected_slots() == 0
    if plan.suite.search.early_stopping is None:  # stopping early buys more draws than were promised
        assert len(policy.trials) <= promised
    slots: Counter[Any] = Counter()
    for key, trial in policy.trials.items():
        if trial.stage == "final" and trial.arm:
            for protocol in policy.protocols_of(key):
                slots[trial.arm, trial.spec.task, protocol] += 1
    for cell in plan.applicable:
        for protocol in ("matched", "tuned"):
            assert slots[cell.strategy, cell.task, protocol] == plan.slots(cell.task) // 2
    # killed at a random moment, it goes on and comes to the same
    cut = chance.randint(0, len(ended))
    killed = Policy(plan)
    before = drive(killed, outcome, chance, 2, stop_after=cut)
    done = {key: fixed[key] for key in before if fixed[key].status == "done"}
    again = Policy(plan, done)
    rest = drive(again, outcome, chance, 3)
    assert not set(rest) & set(done)
    assert again.states == policy.states
    assert sorted(map(repr, selection_rows(again))) == sorted(map(repr, selection_rows(policy)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**9))
def test_random_matrices_end_lose_nothing_and_survive_a_kill(number: int) -> None:
    check_random_matrix(number)


@pytest.mark.slow
def test_thousands_of_random_matrices() -> None:
    for number in range(3000):
        check_random_matrix(number)
