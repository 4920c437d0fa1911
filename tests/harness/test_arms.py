"""Arms derived from strategies: names, factors, what they share, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from harness import records
from harness.conditions import Condition, Place, Source
from harness.plan import make_plan
from harness.policy import Policy
from registry.contracts import InputError, Strategy, strategy
from tests.harness.toys import run_to_end, toy_catalogue, toy_plan, toy_strategy, toy_suite, toy_task

FACTORS = {"rate": 0.1, "depth": 2, "loss": "l2"}


def family() -> list[type[Strategy]]:
    """A parent and a child that changes one factor, as a real pair of strategies does."""
    parent = toy_strategy("parent", factors={**FACTORS, "rate": 0.0})

    class Child(parent):  # type: ignore[misc, valid-type]
        pass

    child = strategy("child", provides={"encoder"}, domain="toy", changes={"rate": 0.1})(Child)
    return [parent, child]


def ablated(design: str = "leave_one_out", **declared: Any) -> dict[str, Any]:
    declared.setdefault("factors", {"rate": 0.0, "depth": 1})
    return {"base": "child", "design": design, **declared}


def test_a_change_that_leads_back_to_a_strategy_of_the_suite_is_that_strategy() -> None:
    plan = toy_plan(family(), 1, ablation=[ablated()])
    assert list(plan.arms) == ["parent", "child", "child.depth_1"]
    assert plan.designs[0].arms == ("child", "parent", "child.depth_1")
    parent, derived = plan.arms["parent"], plan.arms["child.depth_1"]
    assert parent.ablation is None
    assert parent.ablations[0].changes == {"rate": 0.0}
    assert derived.ablation is not None
    assert (derived.ablation.base, derived.ablation.changes) == ("child", {"depth": 1})
    assert derived.card.factors == {**FACTORS, "depth": 1}
    assert derived.card.parent == "child"


def test_without_that_strategy_in_the_suite_the_arm_is_its_own() -> None:
    plan = toy_plan([family()[1]], 1, ablation=[ablated()])
    assert list(plan.arms) == ["child", "child.rate_0.0", "child.depth_1"]


def test_derived_arms_are_trained_by_their_strategy_with_their_factors() -> None:
    plan = toy_plan(family(), 1, ablation=[ablated(factors={"loss": ["l1", "huber"]})])
    for name, loss in (("child", "l2"), ("child.loss_l1", "l1"), ("child.loss_huber", "huber")):
        spec = plan.pretraining[Source(name, 0)].spec
        assert (spec.strategy, spec.factors["loss"]) == ("child", loss)
    assert len({trial.key for trial in plan.pretraining.values()}) == len(plan.pretraining)


def test_an_arm_of_two_designs_runs_once() -> None:
    designs = [ablated(), ablated("factorial"), ablated("dose", factors={"depth": [1, 3]})]
    plan = toy_plan(family(), 1, ablation=designs)
    assert list(plan.arms) == ["parent", "child", "child.depth_1", "child.rate_0.0.depth_1", "child.depth_3"]
    assert [run.design for run in plan.arms["child.depth_1"].ablations] == [
        "leave_one_out",
        "factorial",
        "dose",
    ]
    assert [run.number for run in plan.arms["child.depth_1"].ablations] == [0, 1, 2]
    assert records._arm(plan, "child.depth_3")["ablation"]["number"] == 2


def test_frozen_arms_take_the_setting_of_their_base_and_have_no_draws() -> None:
    plan = toy_plan(family(), 1, ablation=[ablated(hyperparameters="frozen")])
    assert {place.arm for place in plan.tuning} == {"parent", "child"}
    assert not plan.arms["child.depth_1"].retuned

    def score(trial: Any) -> float:
        return float(trial.draw == (2 if trial.arm == "child" else 0))

    policy = Policy(plan)
    run_to_end(policy, score)
    tuned = {row.strategy: row for row in policy.selection_rows() if row.protocol == "tuned"}
    assert {name: row.draw for name, row in tuned.items()} == {
        "parent": 0,
        "child": 2,
        "child.depth_1": 2,
        # trained like the parent, but not tuned like it: an arm of its own
        "child.rate_0.0": 2,
    }
    assert tuned["child.depth_1"].reason.startswith("frozen, as chosen for child: best validation score")
    matched = {row.draw for row in policy.selection_rows() if row.protocol == "matched"}
    assert len(matched) == 1


def test_the_same_changes_frozen_and_retuned_are_two_arms() -> None:
    twice = [ablated(factors={"depth": 1}, hyperparameters=how) for how in ("retuned", "frozen")]
    plan = toy_plan(family(), 1, ablation=twice)
    assert list(plan.arms) == ["parent", "child", "child.depth_1", "child.depth_1.frozen"]
    keys = [plan.pretraining[Source(name, 0)].key for name in ("child.depth_1", "child.depth_1.frozen")]
    assert keys[0] == keys[1]


def test_derived_arms_change_no_earlier_result() -> None:
    plain = toy_plan(family(), 2)
    rich = toy_plan(
        family(),
        2,
        ablation=[ablated()],
        controls={"aa": ["child"], "shuffled_labels": ["child"]},
        label_efficiency={"fractions": [0.5]},
    )

    def finals(plan: Any) -> set[str]:
        policy = Policy(plan)
        run_to_end(policy, lambda trial: float(trial.spec.hyperparameters.get("rate", 0)))
        return set(policy.trials)

    assert finals(plain) < finals(rich)
    assert plain.suite.references == rich.suite.references


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (ablated(factors={"dpeth": 1}), "factor 'dpeth' of 'child' is not known; did you mean 'depth'?"),
        (ablated(factors={"depth": 2}), "depth = 2 is what 'child' has already"),
        (ablated(factors={"depth": "deep"}), "depth = 'deep' is no number"),
        (ablated(factors={"rate": True}), "rate = True is no number"),
        (ablated("ladder", factors={"depth": 1}), "a ladder has one factor"),
        (ablated("ladder", orders=[["depth", "rate"]]), "a ladder has one order"),
        (ablated("ladder", orders=[["depth", "rate"], ["depth"]]), "is no order of its factors"),
        (ablated("dose"), "a dose-response has 2 factors"),
        (ablated("dose", factors={"depth": 1}), "one value besides the base's"),
        (ablated("factorial", generators={"rate": ["depth"]}), "mix main effects with each other"),
        (ablated("factorial", generators={"rate": ["dept"]}), "generators name 'dept'"),
    ],
)
def test_designs_that_cannot_be_made_say_so(declared: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        toy_plan(family(), 1, ablation=[declared])
    assert words in str(caught.value)
    assert str(caught.value).startswith("ablation.0: ")
    assert caught.value.mend


def test_a_derived_name_must_not_be_a_strategy_s() -> None:
    with pytest.raises(InputError, match=r"derived arm 's0\.aa' has the name of a strategy"):
        toy_plan([toy_strategy("s0"), toy_strategy("s0.aa")], 1, controls={"aa": ["s0"]})


# Controls -------------------------------------------------------------------------------------------


def test_the_second_arm_of_an_aa_comparison_differs_in_its_random_numbers_alone() -> None:
    plan = toy_plan(2, 1, controls={"aa": ["s1"]}, seeds={"pretraining": [0, 1], "final": [0, 1, 2]})
    pairs = [
        (plan.pretraining[Source("s1", seed)].spec, plan.pretraining[Source("s1.aa", seed)].spec)
        for seed in (0, 1)
    ]
    pairs += [
        (one.spec, other.spec)
        for one, other in zip(plan.tuning[Place("s1", "t0")], plan.tuning[Place("s1.aa", "t0")], strict=True)
    ]
    for one, other in pairs:
        assert one.key != other.key
        assert one.as_dict() == {
            **{name: value for name, value in other.as_dict().items() if name != "stream"},
            "upstream": one.upstream,
        }
    finals = [list(plan.finals(Place(arm, "t0"), {}, draw=0, protocols=())) for arm in ("s1", "s1.aa")]
    used = [{trial.spec.random_seed for trial in trials} for trials in finals]
    assert {0, 1, 2} < used[0] and len(used[0]) == 6
    assert not used[0] & used[1]


def test_weights_that_no_seed_changes_are_not_made_again_for_an_aa_arm() -> None:
    plan = toy_plan([toy_strategy("net", seeded=False)], 1, controls={"aa": ["net"]})
    assert plan.pretraining[Source("net", 0)].key == plan.pretraining[Source("net.aa", 0)].key


def test_shuffled_labels_start_from_the_same_weights_and_skip_tasks_without_labels() -> None:
    plan = toy_plan(
        1, [toy_task("t0"), toy_task("t1", uses_labels=False)], controls={"shuffled_labels": ["s0"]}
    )
    assert set(plan.pretraining) == {Source("s0", 0)}
    assert all(trial.spec.shuffled_labels for trial in plan.tuning[Place("s0.shuffled_labels", "t0")])
    assert [(cell.task, cell.reason) for cell in plan.cells if not cell.applicable] == [
        ("t1", "t1 learns from no labels that could be shuffled")
    ]


def test_a_strategy_with_broken_physics_takes_part_as_a_control() -> None:
    broken = toy_strategy("broken")
    plan = toy_plan([toy_strategy("s0"), broken], 1, controls={"broken_physics": ["broken"]})
    assert {name: arm.control for name, arm in plan.arms.items()} == {"s0": None, "broken": "broken_physics"}
    with pytest.raises(InputError, match=r"strategy 'brokne' is not known; did you mean"):
        toy_plan([toy_strategy("s0"), broken], 1, controls={"broken_physics": ["brokne"]})


# Axes -----------------------------------------------------------------------------------------------


def test_shares_of_the_labels_are_an_axis_of_every_strategy_on_every_task_with_labels() -> None:
    plan = toy_plan(
        3,
        [toy_task("t0", baselines=("mean",)), toy_task("t1", uses_labels=False)],
        controls={"aa": ["s0"], "broken_physics": ["s2"]},
        label_efficiency={"fractions": [0.5, 0.1, 1.0], "draws": 2},
    )
    shares = [Condition(share, draw) for share in (0.1, 0.5) for draw in (0, 1)]
    assert plan.conditions == {"t0": (Condition(), *shares), "t1": (Condition(),)}
    assert {place.arm for place in plan.places if not place.condition.is_main} == {"s0", "s1"}
    baselines = [trial.condition for trial in plan.fixed if trial.spec.baseline]
    assert baselines == list(plan.conditions["t0"])


def test_frozen_shares_take_the_setting_chosen_with_all_labels_and_retuned_ones_their_own() -> None:
    def selected(hyperparameters: str) -> tuple[int, dict[Condition, int | None]]:
        plan = toy_plan(
            1, 1, label_efficiency={"fractions": [0.5], "draws": 1, "hyperparameters": hyperparameters}
        )
        policy = Policy(plan)
        run_to_end(policy, lambda trial: float(trial.draw == (0 if trial.condition.is_main else 2)))
        rows = [row for row in policy.selection_rows() if row.protocol == "tuned"]
        return len(plan.tuning), {row.place.condition: row.draw for row in rows}

    half = Condition(0.5, 0)
    assert selected("frozen") == (1, {Condition(): 0, half: 0})
    assert selected("retuned") == (2, {Condition(): 0, half: 2})


def test_a_repeated_split_repeats_everything_that_reads_data_and_tunes_anew() -> None:
    strategies = [toy_strategy("net", needs_data=False), toy_strategy("vae")]
    plan = make_plan(
        toy_suite(["net", "vae"], ["t"], splits=3),
        toy_catalogue(strategies, [toy_task("t")]),
        settings={},
        cohort="c",
        other_splits={1: "d", 2: "e"},
    )
    assert plan.pretraining[Source("net", 0)].key == plan.pretraining[Source("net", 0, 2)].key
    assert plan.pretraining[Source("vae", 0)].key != plan.pretraining[Source("vae", 0, 2)].key
    assert len(plan.tuning) == 6
    assert {trial.spec.cohort for trial in plan.tuning[Place("net", "t", Condition(split=1))]} == {"d"}
    policy = Policy(plan)
    run_to_end(policy)
    assert {row.split for row in policy.selection_rows()} == {0, 1, 2}


def test_an_integer_where_the_base_has_a_fraction_is_the_same_value() -> None:
    whole, fraction = (
        toy_plan([family()[1]], 1, ablation=[ablated(factors={"rate": zero})]) for zero in (0, 0.0)
    )
    assert set(whole.arms) == set(fraction.arms) == {"child", "child.rate_0.0"}
    keys = {plan.pretraining[Source("child.rate_0.0", 0)].key for plan in (whole, fraction)}
    assert len(keys) == 1


def test_values_that_look_alike_are_arms_of_their_own() -> None:
    close = [0.12345678, 0.12345679]
    plan = toy_plan([family()[1]], 1, ablation=[ablated("dose", factors={"rate": close})])
    assert [arm.card.factors["rate"] for arm in plan.arms.values()] == [0.1, *close]
    texts = ["a b", "a_b", "a/b"]
    plan = toy_plan([family()[1]], 1, ablation=[ablated("dose", factors={"loss": texts})])
    assert [arm.card.factors["loss"] for arm in plan.arms.values()] == ["l2", *texts]
