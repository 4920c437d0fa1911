"""Proposals by Optuna: better than chance, reproducible, and told of everything."""

from __future__ import annotations

import math
from typing import Any

import pytest

from harness.search import tpe
from harness.search.cell import CellSearch, Limits, Tried
from harness.search.draws import SharedDraws
from registry.contracts import InputError, Space, choice, loguniform, uniform

SPACE = Space(rate=loguniform(1e-5, 1e-1, default=1e-3), drop=uniform(0, 1, default=0.5))


def quality(setting: Any) -> float:
    return float(-((math.log10(setting["rate"]) + 2.5) ** 2) - 4 * (setting["drop"] - 0.2) ** 2)


def search(identity: str = "a / b", *, draws: int = 30, sampler: bool = True) -> CellSearch:
    shared = SharedDraws(SPACE, seed=4)
    made = tpe.TpeSampler(SPACE, direction="max", seed=4, identity=identity, startup=10)
    return CellSearch(Limits(draws, 10 if sampler else draws, parallel=2), shared, made if sampler else None)


def run(one: CellSearch, fails: Any = lambda draw: False) -> CellSearch:
    while not one.finished:
        for draw, setting in list(one.propose()):
            one.settle(draw, Tried("failed") if fails(draw) else Tried("done", quality(setting)))
    return one


def test_it_finds_better_settings_than_as_many_random_draws() -> None:
    ours = sum(max(run(search(str(n))).scores().values()) for n in range(5)) / 5  # type: ignore[type-var]
    chance = max(run(search(sampler=False)).scores().values())  # type: ignore[type-var]
    assert ours > chance


def test_the_same_cell_proposes_the_same_and_another_one_does_not() -> None:
    assert run(search()).settings == run(search()).settings
    assert run(search()).settings[:10] == run(search("c / d")).settings[:10]  # the shared ones
    assert run(search()).settings[10:] != run(search("c / d")).settings[10:]


def test_failed_and_pruned_draws_are_told_as_such() -> None:
    one = search(draws=14)
    while not one.finished:
        for draw, setting in list(one.propose()):
            result = Tried("done", quality(setting))
            if draw % 4 == 1:
                result = Tried("pruned", share=0.3, interim=quality(setting))
            if draw % 4 == 2:
                result = Tried("failed")
            one.settle(draw, result)
    states = [trial.state.name for trial in one.sampler._study.trials]  # type: ignore[union-attr]
    assert states == [["COMPLETE", "PRUNED", "FAIL", "COMPLETE"][draw % 4] for draw in range(14)]


def test_an_execution_that_goes_on_takes_the_recorded_proposals() -> None:
    whole = run(search())
    recorded = dict(enumerate(whole.settings))
    again = search()
    again.recorded = recorded
    assert run(again).settings == whole.settings


def test_without_optuna_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(tpe.importlib, "import_module", missing)
    with pytest.raises(InputError, match="needs Optuna"):
        tpe.require_optuna()


def test_an_unknown_distribution_is_refused() -> None:
    class Strange:
        default = 1

        def describe(self) -> str:
            return "strange"

    space = Space(rate=SPACE["rate"], odd=Strange())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no word for the distribution of 'odd'"):
        tpe.TpeSampler(space, direction="max", seed=0, identity="x", startup=2)


def test_options_are_proposed_as_they_were_declared() -> None:
    space = Space(norm=choice(("frozen", "trained"), default="frozen"))
    sampler = tpe.TpeSampler(space, direction="min", seed=0, identity="x", startup=1)
    assert sampler.propose(0)["norm"] in ("frozen", "trained")
