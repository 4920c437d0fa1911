"""What a suite becomes: cells, trials, shared pretraining, shared draws."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.conditions import Place, Source
from harness.plan import make_plan
from registry.contracts import InputError, Space, loguniform, uniform
from tests.harness.toys import toy_catalogue, toy_plan, toy_strategy, toy_suite, toy_task


def test_every_arm_of_a_task_gets_the_same_draws() -> None:
    plan = toy_plan(3, 2, budget={"draws": 5})
    for task in ("t0", "t1"):
        drawn = [[t.spec.hyperparameters for t in plan.tuning[Place(s, task)]] for s in ("s0", "s1", "s2")]
        assert drawn[0] == drawn[1] == drawn[2]
        assert len({d["rate"] for d in drawn[0]}) == 5


def test_more_budget_or_one_more_hyperparameter_moves_no_draw() -> None:
    small = toy_plan(1, 1, budget={"draws": 2})
    large = toy_plan(1, 1, budget={"draws": 9})
    assert large.draws["t0"][:2] == small.draws["t0"]
    wider = toy_task(
        "t0", space=Space(rate=loguniform(1e-4, 1e-1, default=1e-2), drop=uniform(0, 1, default=0))
    )
    assert [d["rate"] for d in toy_plan(1, [wider]).draws["t0"]] == [
        d["rate"] for d in toy_plan(1, 1).draws["t0"]
    ]


def test_pretraining_is_shared_by_tasks_and_nested_over_seeds() -> None:
    plan = toy_plan(2, 3, seeds={"pretraining": [4, 5], "final": [0, 1, 2]})
    assert set(plan.pretraining) == {Source(arm, seed) for arm in ("s0", "s1") for seed in (4, 5)}
    upstream = {trial.spec.upstream for trials in plan.tuning.values() for trial in trials}
    assert upstream == {(plan.pretraining[Source("s0", 4)].key,), (plan.pretraining[Source("s1", 4)].key,)}
    finals = list(plan.finals(Place("s0", "t0"), {}, draw=0, protocols=("tuned",)))
    assert [(t.spec.pretraining_seed, t.spec.seed) for t in finals] == [
        (p, s) for p in (4, 5) for s in (0, 1, 2)
    ]
    assert plan.slots("t0") == 12


def test_tuning_uses_its_own_seed() -> None:
    plan = toy_plan(1, 1, seeds={"tuning": 77})
    assert {trial.spec.seed for trial in plan.tuning[Place("s0", "t0")]} == {77}


def test_a_task_without_space_has_no_tuning_and_one_set_of_finals_for_both_protocols() -> None:
    plan = toy_plan(1, [toy_task("t0", space=Space())])
    assert plan.tuning == {}
    assert [t.protocols for t in plan.fixed] == [("matched", "tuned")] * 2
    assert len({t.key for t in plan.fixed}) == 2


def test_a_task_that_draws_no_random_numbers_is_run_once_per_artifact() -> None:
    plan = toy_plan(
        1, [toy_task("t0", space=Space(), trains=False)], seeds={"pretraining": [0, 1], "final": [7, 8]}
    )
    assert [(t.spec.pretraining_seed, t.spec.seed) for t in plan.fixed] == [(0, 7), (1, 7)]


def test_baselines_are_final_trials_of_both_protocols_with_one_seed() -> None:
    plan = toy_plan(2, [toy_task("t0", baselines=("mean", "ridge"))])
    baselines = [t for t in plan.fixed if t.spec.baseline]
    assert [(t.spec.baseline, t.spec.strategy, t.spec.upstream, t.protocols) for t in baselines] == [
        ("mean", None, (), ("matched", "tuned")),
        ("ridge", None, (), ("matched", "tuned")),
    ]


def test_cells_that_do_not_apply_say_why_and_cost_nothing() -> None:
    both = {"encoder", "generator"}
    vae = toy_strategy("vae", provides=both, trained_jointly=frozenset(both))
    apart = toy_strategy("apart", provides=both)
    plan = toy_plan(
        [vae, apart, toy_strategy("net")], [toy_task("draw", needs=both, needs_joint_training=True)]
    )
    assert [(c.strategy, c.applicable, c.reason) for c in plan.cells] == [
        ("vae", True, ""),
        ("apart", False, "encoder and generator of apart were not trained together"),
        ("net", False, "net has no generator"),
    ]
    assert {source.arm for source in plan.pretraining} == {"vae"}


def test_settings_that_decide_nothing_are_in_no_identity() -> None:
    catalogue = toy_catalogue([toy_strategy("vae")], [toy_task("t", baselines=["mean"])])
    suite = toy_suite(["vae"], ["t"])

    def keys(size: int, threads: int, execution: dict[str, int]) -> list[str]:
        settings = {"size": size, "threads": threads}
        plan = make_plan(suite, catalogue, settings=settings, cohort="c", execution=execution)
        assert plan.execution == {name: settings[name] for name in execution}
        assert {**plan.settings, **plan.execution} == settings
        return [trial.key for trial in plan.known_trials]

    declared = keys(1, 0, {})
    assert keys(1, 0, {"threads": 0}) == declared  # as it was before it was known to decide nothing
    assert keys(1, 2, {"threads": 0}) == declared
    assert set(keys(1, 2, {})).isdisjoint(declared)
    assert set(keys(2, 2, {"threads": 0})).isdisjoint(declared)


def test_weights_that_need_no_data_are_shared_between_cohorts() -> None:
    strategies = [toy_strategy("net", needs_data=False), toy_strategy("vae")]
    catalogue = toy_catalogue(strategies, [toy_task("t")])
    suite = toy_suite(["net", "vae"], ["t"])
    one, two = (make_plan(suite, catalogue, settings={}, cohort=c) for c in ("one", "two"))
    assert one.pretraining[Source("net", 0)].key == two.pretraining[Source("net", 0)].key
    assert one.pretraining[Source("vae", 0)].key != two.pretraining[Source("vae", 0)].key
    assert one.tuning[Place("net", "t")][0].key != two.tuning[Place("net", "t")][0].key


def test_names_and_domains_are_checked() -> None:
    catalogue = toy_catalogue([toy_strategy("dxa_vae"), toy_strategy("other", domain="x")], [toy_task("t")])
    with pytest.raises(InputError, match=r"strategy 'dxa_vea' is not known; did you mean 'dxa_vae'\?"):
        make_plan(toy_suite(["dxa_vea"], ["t"]), catalogue, settings={}, cohort="c")
    with pytest.raises(InputError, match=r"task 'tt' is not known; did you mean 't'\?"):
        make_plan(toy_suite(["dxa_vae"], ["tt"]), catalogue, settings={}, cohort="c")
    with pytest.raises(InputError, match="'other' belongs to domain 'x', the suite to 'toy'"):
        make_plan(toy_suite(["other"], ["t"]), catalogue, settings={}, cohort="c")


def test_a_suite_in_which_nothing_applies_is_refused() -> None:
    with pytest.raises(InputError, match="no cell of suite 'toy' applies: s0 has no generator"):
        toy_plan(1, [toy_task("t", needs={"generator"})])


def test_planning_imports_no_heavy_library() -> None:
    script = (
        "import sys, harness.outlook, harness.plan, harness.policy\n"
        "heavy = {'torch', 'ray', 'polars', 'timm', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_final_seeds_are_nested_in_pretraining_seeds_and_shared_by_arms() -> None:
    plan = toy_plan(2, 1, seeds={"pretraining": [0, 1, 5], "final": [0, 1]}, controls={"aa": ["s0"]})
    begun = {
        arm: [trial.spec.random_seed for trial in plan.finals(Place(arm, "t0"), {}, draw=0, protocols=())]
        for arm in ("s0", "s1", "s0.aa")
    }
    assert begun["s0"] == begun["s1"]
    assert begun["s0"][:2] == [0, 1]
    assert len({*begun["s0"], *begun["s0.aa"]}) == 12
