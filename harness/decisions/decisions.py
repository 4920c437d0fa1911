"""Choosing: from searches that have come to their end to the trials that follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Protocol as Interface

from harness.conditions import Condition, Place
from harness.decisions.choosing import Chosen, one_for_all, own_best
from harness.decisions.forecast import unnamed
from harness.decisions.hunt import Hunt
from harness.decisions.hunts import Hunts, KnownDraws
from harness.decisions.standing import Contest, contest_of, standing_of, weights_place
from harness.outcome import Outcome
from harness.plan import Plan, Trial
from harness.search.cell import Setting
from harness.search.pretraining import matched_setting
from harness.selection import Choice, Selection, boundaries
from harness.specs import PROTOCOLS, Protocol


class Add(Interface):
    """Takes a trial into the run."""

    def __call__(self, trial: Trial, *, blocked: str | None = None) -> None:
        """Take `trial` in; blocked from the start where a reason is given."""


class Decisions:
    """Every search of a run, and every selection that has been made.

    Parameters
    ----------
    add
        Told of every trial that follows from a decision.
    outcomes
        What became of the trials so far; looked at for words alone.
    recorded
        Proposals of earlier executions: name of the hunt to settings by draw.

    Attributes
    ----------
    selections
        In the order in which they were made.
    hunts
        The searches.
    """

    def __init__(
        self,
        plan: Plan,
        add: Add,
        outcomes: Mapping[str, Outcome],
        recorded: Mapping[str, Mapping[int, Setting]],
    ) -> None:
        self.plan = plan
        self.standing = standing_of(plan)
        self.hunts = Hunts(plan, add, outcomes, recorded)
        self.selections: list[Selection] = []
        self._add = add
        self._weights: dict[tuple[str, int, Protocol], Chosen] = {}
        self._chosen: dict[tuple[Place, Protocol], Chosen] = {}
        self._open = {contest: set(places) for contest, places in self.standing.references.items()}
        self._waiting = dict.fromkeys(
            (place, protocol)
            for place in plan.places
            if plan.draws[place.task] or plan.is_searched(place.arm)
            for protocol in PROTOCOLS
        )

    # What the policy calls ---------------------------------------------------------------------------

    def start(self) -> None:
        """Take in every trial that is certain by now."""
        for trial in self.plan.pretraining.values():
            self._add(trial)
        for arm, split in self.standing.led_by:
            if arm in self.plan.searched:
                self.hunts.search_weights(arm, split)
        for place in self.standing.followers:
            if not self.plan.is_searched(place.arm):
                for protocol in PROTOCOLS:
                    self.hunts.search(place, protocol, None)
        undecided = [contest for contest, places in self._open.items() if not places]
        self.drain()
        for trial in self.plan.fixed:
            self._add(trial)
        for contest in undecided:  # no reference arm takes part, so there is none to wait for
            self._select_matched(contest)

    def settled(self, key: str, outcome: Outcome) -> None:
        """Tell the searches that tried it what became of a trial."""
        self.hunts.settled(key, outcome)

    def drain(self) -> None:
        """Follow up what has been settled, and choose where a search has come to its end."""
        for hunt, protocol in self.hunts.drained():
            if protocol == "tuned":
                self._select_tuned(hunt)
            elif hunt.place in self._open[contest_of(hunt.place)]:
                self._leave(contest_of(hunt.place), hunt.place)

    # What records and plans need ---------------------------------------------------------------------

    def selection_rows(self) -> list[Selection]:
        """All selections, each with its arm's own validation score even where that came in later."""
        return [
            replace(row, validation_score=self.hunts.score(row)) if row.draw is not None else row
            for row in self.selections
        ]

    def waiting(self) -> Counter[Place]:
        """How many final results of each place are not named yet."""
        counts: Counter[Place] = Counter()
        for place, _ in self._waiting:
            counts[place] += self.plan.slots(place.task) // len(PROTOCOLS)
        return counts

    def unnamed(self) -> Iterator[tuple[Trial, int, tuple[Trial, ...]]]:
        """What is to come and not named yet: an example, how many at most, and what comes before."""
        return unnamed(self.plan, self.standing, self.hunts, self._weights, self.waiting())

    # How it works ------------------------------------------------------------------------------------

    def _leave(self, contest: Contest, place: Place) -> None:
        """A reference place has no more to say; the last one decides."""
        self._open[contest].discard(place)
        if not self._open[contest]:
            self._select_matched(contest)

    def _select_tuned(self, hunt: Hunt) -> None:
        choice, setting = own_best(hunt, self.plan.direction(hunt.place.task))
        if not hunt.place.task:
            self._weights_chosen(hunt.place, "tuned", choice, setting)
            return
        for place in self.standing.followers[hunt.place]:
            self._choose(place, "tuned", choice, setting)

    def _select_matched(self, contest: Contest) -> None:
        task, condition = contest
        hunts = {
            place.arm: self.hunts.serving(place, "matched") for place in self.standing.references[contest]
        }
        choice = one_for_all(hunts, self.plan.direction(task))
        if not task:
            self._select_matched_weights(condition, choice)
            return
        setting = None if choice.draw is None else KnownDraws(self.plan, task)(choice.draw)
        for leader, followers in self.standing.followers.items():
            if contest_of(leader) == contest:
                for place in followers:
                    self._choose(place, "matched", choice, setting)

    def _select_matched_weights(self, condition: Condition, choice: Choice) -> None:
        """One draw of what reference arms share; what is an arm's own keeps its declared value."""
        if not self.standing.references["", condition]:
            nothing = "no two reference arms share a hyperparameter of pretraining: declared values"
            choice = Choice(0, nothing)
        for arm, split in list(self.standing.led_by):
            if split != condition.split:
                continue
            space, setting, own = self.plan.arms[arm].space, None, ""
            if choice.draw is not None:
                setting = matched_setting(space, self.plan.searched[arm](choice.draw), self.standing.shared)
                names = [name for name in space if name not in self.standing.shared]
                own = f"; declared value of {', '.join(names)}" if names and self.standing.shared else ""
            named = replace(choice, reason=choice.reason + own)
            self._weights_chosen(weights_place(arm, split), "matched", named, setting)

    def _weights_chosen(
        self, place: Place, protocol: Protocol, choice: Choice, setting: Setting | None
    ) -> None:
        """Write the choice of an arm's weights down, and start what was waiting for it."""
        plan, arm, split = self.plan, place.arm, place.condition.split
        self._write_down(place, protocol, choice, setting)
        blocked = None if setting is not None else f"no {protocol} setting of pretraining: {choice.reason}"
        self._weights[arm, split, protocol] = Chosen(setting, choice.draw, blocked)
        led = self.standing.led_by[arm, split]
        if setting is not None:
            sources = dict.fromkeys(
                plan.source(one, seed) for one in led for seed in plan.suite.seeds.pretraining
            )
            leaders = [one for one in led if one in self.standing.followers]
            tuned = dict.fromkeys(plan.source(one, plan.suite.seeds.tuned_weights) for one in leaders)
            for source in {**tuned, **sources}:
                self._add(plan.weights(source, setting, draw=choice.draw, protocols=(protocol,)))
            for leader in leaders:
                self.hunts.search(leader, protocol, setting)
        for one in led:
            if not plan.draws[one.task]:
                self._chosen[one, protocol] = Chosen({}, None)
            elif blocked is not None and plan.leader(one) == one:
                self._give_up(one, protocol, blocked)
            self._release(one, protocol)

    def _give_up(self, leader: Place, protocol: Protocol, why: str) -> None:
        """Without weights a place chooses nothing."""
        if protocol == "tuned":
            for place in self.standing.followers[leader]:
                self._choose(place, "tuned", Choice(None, why), None)
        elif leader in self._open[contest_of(leader)]:
            self._leave(contest_of(leader), leader)

    def _choose(self, place: Place, protocol: Protocol, choice: Choice, setting: Setting | None) -> None:
        """Write the choice for a place down and release the final trials it names."""
        leader = self.plan.leader(place)
        if leader != place:
            choice = replace(choice, reason=f"frozen, as chosen for {_described(leader)}: {choice.reason}")
        self._write_down(place, protocol, choice, setting)
        blocked = None if setting is not None else f"no {protocol} setting: {choice.reason}"
        self._chosen[place, protocol] = Chosen(setting, choice.draw, blocked)
        self._release(place, protocol)

    def _release(self, place: Place, protocol: Protocol) -> None:
        """Add the final trials of a place once its weights and its setting are known."""
        chosen, weights = self._chosen.get((place, protocol)), Chosen(None, None)
        if self.plan.is_searched(place.arm):
            of_weights = (self.plan.weights_leader(place.arm), place.condition.split, protocol)
            if of_weights not in self._weights:
                return
            weights = self._weights[of_weights]
        if chosen is None or (place, protocol) not in self._waiting:
            return
        del self._waiting[place, protocol]
        blocked = weights.blocked or chosen.blocked
        for trial in self.plan.finals(
            place,
            None if blocked else chosen.setting,
            draw=chosen.draw,
            protocols=(protocol,),
            weights=weights.setting,
        ):
            self._add(trial, blocked=blocked)

    def _write_down(self, place: Place, protocol: Protocol, choice: Choice, setting: Setting | None) -> None:
        space = self.plan.tasks[place.task].space if place.task else self.plan.arms[place.arm].space
        row = Selection(
            place.task or None,
            protocol,
            place.arm,
            choice.draw,
            None,
            choice.mean_rank,
            setting,
            choice.reason,
            **vars(place.condition),
            boundary=boundaries(space, setting or {}),
        )
        self.selections.append(replace(row, validation_score=self.hunts.score(row)))


def _described(place: Place) -> str:
    """A place in words, for reasons."""
    return f"{place.arm}{'' if place.condition.is_main else f' with {place.condition}'}"
