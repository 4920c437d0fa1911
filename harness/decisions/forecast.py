"""What follows from decisions that are not made yet: for prices, and for how far a run is."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

from harness.conditions import Place
from harness.decisions.hunts import Hunts
from harness.decisions.standing import Standing
from harness.plan import Plan, Trial
from harness.search.cell import Setting
from harness.specs import PROTOCOLS, Protocol


def unnamed(
    plan: Plan,
    standing: Standing,
    hunts: Hunts,
    chosen: Container[tuple[str, int, Protocol]],
    waiting: Mapping[Place, int],
) -> Iterator[tuple[Trial, int, tuple[Trial, ...]]]:
    """What is to come and not named yet: an example, how many at most, and what comes before.

    Parameters
    ----------
    chosen
        Arm, split and protocol of the weights whose setting is chosen.
    waiting
        How many final results of each place are not named yet.
    """
    yield from _of_weights(plan, standing, chosen)
    for hunt in hunts:
        search = hunt.search
        if not search.finished and (left := search.limits.draws - len(search.settings)) > 0:
            yield hunts.trial(hunt, 0, search.settings[0]), left, ()
    for place, count in waiting.items():
        setting: Setting = {}
        before: tuple[Trial, ...] = ()
        if draws := plan.draws[place.task]:
            setting, before = draws[0], (plan.tune(plan.leader(place), 0, draws[0]),)
        yield next(plan.finals(place, setting, draw=None, protocols=())), count, before


def _of_weights(
    plan: Plan, standing: Standing, chosen: Container[tuple[str, int, Protocol]]
) -> Iterator[tuple[Trial, int, tuple[Trial, ...]]]:
    """What follows from settings of pretraining that are not chosen yet."""
    seeds = plan.suite.seeds
    for (arm, split), places in standing.led_by.items():
        undecided = sum((arm, split, protocol) not in chosen for protocol in PROTOCOLS)
        if arm not in plan.searched or not undecided:
            continue
        for source in {plan.source(place, seeds.pretraining[0]) for place in places}:
            yield plan.weights(source), undecided * len(seeds.pretraining), ()
        own = set(plan.arms[arm].space) - standing.shared
        tuned = {plan.source(place, seeds.tuned_weights) for place in places if place in standing.followers}
        if own and (arm, split, "matched") not in chosen:
            # the matched setting has declared values for these, which no draw may have tried
            for source in tuned:
                yield plan.weights(source), 1, ()
        for place in places:
            if (draws := plan.draws[place.task]) and plan.leader(place) == place:
                tries = undecided * plan.suite.budget.draws
                yield plan.tune(place, 0, draws[0]), tries, ()
