"""What the contracts promise: draws that do not move, ablations that inherit, errors that travel."""

from __future__ import annotations

import hashlib
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from registry.contracts import (
    DataError,
    InputError,
    Space,
    Strategy,
    StrategyCard,
    Task,
    choice,
    loguniform,
    strategy,
    task,
    uniform,
)
from registry.contracts.tables import PrimaryEndpoint

SPACE = {
    "rate": loguniform(1e-5, 1e-2, default=1e-3),
    "drop": uniform(-1.0, 3.0, default=0.0),
    "kind": choice(["a", "b", "c"], default="b"),
}


@given(st.permutations(list(SPACE)), st.integers(0, 2**32 - 1), st.integers(0, 10_000))
def test_a_draw_depends_on_seed_name_and_index_alone(names: list[str], seed: int, index: int) -> None:
    whole = Space(**{name: SPACE[name] for name in names}).draw(seed=seed, index=index)
    for name in names:
        assert Space(**{name: SPACE[name]}).draw(seed=seed, index=index) == {name: whole[name]}
    assert 1e-5 <= whole["rate"] < 1e-2  # type: ignore[operator]
    assert -1 <= whole["drop"] < 3  # type: ignore[operator]
    assert whole["kind"] in "abc"  # type: ignore[operator]


def test_draws_have_the_declared_distributions() -> None:
    draws = [Space(**SPACE).draw(seed=3, index=i) for i in range(4000)]
    logs = [math.log10(d["rate"]) for d in draws]  # type: ignore[arg-type]
    assert kstest(logs, "uniform", args=(-5, 3)).pvalue > 0.001
    assert kstest([d["drop"] for d in draws], "uniform", args=(-1, 4)).pvalue > 0.001
    for option in "abc":
        assert abs(sum(d["kind"] == option for d in draws) - 4000 / 3) < 4 * math.sqrt(4000 * 2 / 9)


def test_names_are_drawn_independently() -> None:
    draws = [
        Space(a=uniform(0, 1, default=0), b=uniform(0, 1, default=0)).draw(seed=1, index=i)
        for i in range(4000)
    ]
    quadrants = [(d["a"] > 0.5, d["b"] > 0.5) for d in draws]  # type: ignore[operator]
    for quadrant in ((False, False), (False, True), (True, False), (True, True)):
        assert abs(quadrants.count(quadrant) - 1000) < 4 * math.sqrt(4000 * 3 / 16)


def test_a_known_draw_stays_what_it_is() -> None:
    """Results of earlier versions stay valid only while this does not change."""
    digest = hashlib.sha256(b"7/u/0").digest()
    drawn = Space(u=uniform(0, 1, default=0)).draw(seed=7, index=0)
    assert drawn["u"] == pytest.approx(int.from_bytes(digest[:7], "big") / 2**56)


@pytest.mark.parametrize(
    "make",
    [
        lambda: loguniform(0, 1, default=1),
        lambda: loguniform(2, 1, default=1),
        lambda: uniform(1, 1, default=1),
        lambda: choice(["a"], default="b"),
    ],
)
def test_impossible_distributions_are_refused(make: object) -> None:
    with pytest.raises(ValueError, match=r"needs|default"):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("kind", [InputError, DataError])
def test_errors_survive_the_way_back_from_a_worker(kind: type[InputError]) -> None:
    error = pickle.loads(pickle.dumps(kind("file x is torn", mend="delete it")))  # noqa: S301
    assert type(error) is kind
    assert str(error) == "file x is torn; delete it"


def parent_and_child() -> tuple[StrategyCard, StrategyCard]:
    @strategy("parent", provides={"encoder"}, domain="toy", factors={"weight": 0.0, "depth": 2})
    class Parent(Strategy):
        def pretrain(self, context: object) -> object:  # type: ignore[override]
            return None

    @strategy("child", provides={"encoder"}, domain="toy", changes={"weight": 0.5})
    class Child(Parent):
        pass

    return Parent.card, Child.card


def test_an_ablation_inherits_its_parents_factors_with_its_changes() -> None:
    parent, child = parent_and_child()
    assert (child.parent, child.changes) == ("parent", {"weight": 0.5})
    assert child.factors == {"weight": 0.5, "depth": 2}
    assert parent.factors == {"weight": 0.0, "depth": 2}


def test_an_ablation_of_a_factor_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"changes \['wieght'\], its parent has \[\]"):

        @strategy("lonely", provides={"encoder"}, domain="toy", changes={"wieght": 1})
        class Lonely(Strategy):
            pass


def test_a_task_says_why_a_strategy_does_not_fit() -> None:
    @task(
        "drawing",
        needs={"encoder", "generator"},
        needs_joint_training=True,
        domain="toy",
        part="all",
        primary=PrimaryEndpoint("psnr", "PSNR", "max", "mean"),
    )
    class Drawing(Task):
        def fit(self, context: object, artifact: object) -> object:  # type: ignore[override]
            return None

        def predict(self, context: object, model: object, split: object) -> object:  # type: ignore[override]
            return None

        def layouts(self) -> tuple[()]:
            return ()

    both = frozenset({"encoder", "generator"})

    def applies(**card: object) -> tuple[bool, str]:
        declared = {"name": "s", "title": "S", "provides": both, "domain": "toy", **card}
        return Drawing().applies(StrategyCard(**declared))  # type: ignore[arg-type]

    assert applies(trained_jointly=both) == (True, "")
    assert applies() == (False, "encoder and generator of S were not trained together")
    assert applies(provides=frozenset()) == (False, "S has no encoder and no generator")
    with pytest.raises(ValueError, match="task 'drawing' has no baseline 'mean'"):
        Drawing().fit_baseline("mean", None)  # type: ignore[arg-type]
