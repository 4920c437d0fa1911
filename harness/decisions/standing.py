"""Who follows whom, and which reference places every contest for a matched setting waits for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.conditions import Condition, Place
from harness.plan import Plan
from harness.search.pretraining import shared_names

#: A task (empty for pretraining) under a condition: where arms share one matched setting.
Contest = tuple[str, Condition]


@dataclass(frozen=True)
class Standing:
    """Fixed by the plan before anything is chosen.

    Parameters
    ----------
    followers
        Place that chooses a setting of its own to the places that take it, itself among them.
    led_by
        Arm that searches its pretraining and split to the places whose weights come of it.
    references
        Contest to the places of reference arms that it waits for.
    shared
        Hyperparameters of pretraining that a matched setting is about.
    """

    followers: Mapping[Place, Sequence[Place]]
    led_by: Mapping[tuple[str, int], Sequence[Place]]
    references: Mapping[Contest, Sequence[Place]]
    shared: frozenset[str]


def standing_of(plan: Plan) -> Standing:
    """The standing of every place of a plan."""
    followers: dict[Place, list[Place]] = defaultdict(list)
    led_by: dict[tuple[str, int], list[Place]] = defaultdict(list)
    for place in plan.places:
        if plan.draws[place.task]:
            followers[plan.leader(place)].append(place)
        if plan.is_searched(place.arm):
            led_by[plan.weights_leader(place.arm), place.condition.split].append(place)
    shared = shared_names({arm: plan.arms[arm].space for arm in plan.searched}, plan.suite.references)
    arms, references = set(plan.suite.references), defaultdict[Contest, list[Place]](list)
    for leader in followers:
        waited_for = references[contest_of(leader)]
        if leader.arm in arms:
            waited_for.append(leader)
    for arm, split in led_by:
        place = weights_place(arm, split)
        waited_for = references[contest_of(place)]
        if arm in arms and shared & set(plan.arms[arm].space):
            waited_for.append(place)
    return Standing(dict(followers), dict(led_by), dict(references), shared)


def weights_place(arm: str, split: int) -> Place:
    """Where the setting of an arm's pretraining is chosen."""
    return Place(arm, "", Condition(split=split))


def contest_of(place: Place) -> Contest:
    """The contest that a place takes part in."""
    return place.task, place.condition
