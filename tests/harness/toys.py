"""Strategies and tasks without data, for plans and policies: as many as a test wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.plan import Plan, make_plan
from harness.policy import Outcome, Policy
from harness.suite import Suite, parse_suite
from registry.catalog import Catalogue, Entry
from registry.contracts import PrimaryEndpoint, Probe, Space, Strategy, Task, loguniform, strategy, task

PROBES = {"probe": Probe("probe", "max", frozenset({"encoder"}))}


def toy_strategy(name: str, *, space: Space | None = None, **declared: Any) -> type[Strategy]:
    declared = {"provides": {"encoder"}, "domain": "toy", **declared}

    class Toy(Strategy):
        def pretrain(self, context: Any) -> Any:
            raise NotImplementedError

    Toy.space = space or Space()
    return strategy(name, **declared)(Toy)


def toy_task(name: str, *, space: Space | None = None, direction: str = "max", **declared: Any) -> type[Task]:
    declared = {
        "needs": {"encoder"},
        "domain": "toy",
        "part": "all",
        "primary": PrimaryEndpoint("score", "score", direction, "mean"),  # type: ignore[arg-type]
        **declared,
    }

    class Toy(Task):
        def fit(self, context: Any, artifact: Any) -> Any:
            raise NotImplementedError

        def predict(self, context: Any, model: Any, split: Any) -> Any:
            raise NotImplementedError

        def layouts(self) -> Any:
            return ()

    Toy.space = Space(rate=loguniform(1e-4, 1e-1, default=1e-2)) if space is None else space
    return task(name, **declared)(Toy)


def toy_catalogue(strategies: list[type[Strategy]], tasks: list[type[Task]]) -> Catalogue:
    return Catalogue(
        strategies={s.card.name: Entry(s.card.name, s, "toys") for s in strategies},
        tasks={t.card.name: Entry(t.card.name, t, "toys") for t in tasks},
    )


def toy_suite(strategies: list[str], tasks: list[str], **tables: Any) -> Suite:
    table: dict[str, Any] = {"schema": 1, "name": "toy", "domain": "toy"}
    return parse_suite({**table, "strategies": strategies, "tasks": tasks, **tables}, source="toy suite")


def toy_plan(
    strategies: list[type[Strategy]] | int = 2,
    tasks: list[type[Task]] | int = 1,
    *,
    settings: Mapping[str, Any] | None = None,
    **tables: Any,
) -> Plan:
    if isinstance(strategies, int):
        strategies = [toy_strategy(f"s{index}") for index in range(strategies)]
    if isinstance(tasks, int):
        tasks = [toy_task(f"t{index}") for index in range(tasks)]
    suite = toy_suite([s.card.name for s in strategies], [t.card.name for t in tasks], **tables)
    catalogue = toy_catalogue(strategies, tasks)
    return make_plan(suite, catalogue, settings=settings or {}, cohort="c" * 64, probes=PROBES)


def run_to_end(policy: Policy, score: Any = lambda trial: 0.5, fails: Any = lambda trial: False) -> list[Any]:
    """Run a policy one trial at a time; returns the trials in the order they were handed out."""
    order = []
    while not policy.finished:
        trial = policy.next_trial()
        assert trial is not None, "the policy is neither finished nor has anything to do"
        order.append(trial)
        if fails(trial):
            policy.fail(trial.key, "it broke")
        else:
            policy.complete(trial.key, Outcome("done", score(trial), artifact="a" * 64))
    assert policy.next_trial() is None
    return order
