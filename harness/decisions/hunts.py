"""All searches of a run: which are open, what they try, and which have come to their end."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from harness.conditions import Place, Source
from harness.decisions.hunt import Hunt, Proposal, hunt_name, tried, weights_text
from harness.decisions.standing import weights_place
from harness.outcome import Outcome
from harness.plan import Plan, Trial
from harness.search.cell import CellSearch, Limits, Sampler, Setting
from harness.selection import Selection
from harness.specs import PROTOCOLS, Protocol

#: More than any search can use up: all draws are shared.
ALL = 10**9


@dataclass(frozen=True)
class KnownDraws:
    """Shared draws of a task: those that the plan has drawn, and further ones."""

    plan: Plan
    task: str

    def __call__(self, draw: int) -> Setting:
        """The setting of number `draw`."""
        known = self.plan.draws[self.task]
        return known[draw] if draw < len(known) else self.plan.shared[self.task](draw)


class Hunts:
    """Every search of a run, told what becomes of its draws.

    Parameters
    ----------
    add
        Told of every trial that a search proposes.
    outcomes
        What became of the trials so far.
    recorded
        Proposals of earlier executions: name of the hunt to settings by draw.

    Attributes
    ----------
    proposals
        Settings that samplers proposed in this execution, in order.
    """

    def __init__(
        self,
        plan: Plan,
        add: Callable[[Trial], None],
        outcomes: Mapping[str, Outcome],
        recorded: Mapping[str, Mapping[int, Setting]],
    ) -> None:
        self.plan = plan
        self.proposals: list[Proposal] = []
        self._add = add
        self._outcomes = outcomes
        self._recorded = recorded
        self._hunts: dict[tuple[Place, str], Hunt] = {}
        self._serving: dict[tuple[Place, Protocol], Hunt] = {}
        self._draws: dict[str, list[tuple[Hunt, int]]] = defaultdict(list)
        self._touched: deque[Hunt] = deque()

    def __iter__(self) -> Iterator[Hunt]:
        return iter(self._hunts.values())

    def serving(self, place: Place, protocol: Protocol) -> Hunt | None:
        """The search that a place takes its setting from under a protocol, once there is one."""
        return self._serving.get((place, protocol))

    def search_weights(self, arm: str, split: int) -> None:
        """Search the pretraining of an arm; it serves every protocol."""
        place = weights_place(arm, split)
        draws = self.plan.suite.budget.pretraining_draws
        search = CellSearch(Limits(draws, ALL), self.plan.searched[arm])
        self._open(Hunt(place, None, search, list(PROTOCOLS)))

    def search(self, place: Place, protocol: Protocol, weights: Setting | None) -> None:
        """Search the setting of a place on given weights; one search serves all protocols that share them."""
        hunt = self._hunts.get((place, weights_text(weights)))
        if hunt is not None:
            hunt.protocols.append(protocol)
            self._serving[place, protocol] = hunt
            self._touched.append(hunt)
            return
        suite, sampler = self.plan.suite, None
        recorded: Mapping[int, Setting] = {}
        if suite.search.method == "tpe":
            name = hunt_name(place, weights)
            sampler, recorded = self._sampler(name, place.task), self._recorded.get(name, {})
        limits = Limits(
            draws=suite.budget.draws,
            shared=suite.search.shared(suite.budget.draws) if suite.search.method == "tpe" else ALL,
            seconds=suite.budget.seconds,
            by_share=suite.search.early_stopping is not None,
            parallel=suite.search.parallel,
        )
        search = CellSearch(limits, KnownDraws(self.plan, place.task), sampler, recorded)
        self._open(Hunt(place, weights, search, [protocol]))

    def settled(self, key: str, outcome: Outcome) -> None:
        """Tell the searches that tried it what became of a trial."""
        for hunt, draw in self._draws.pop(key, []):
            hunt.search.settle(draw, tried(outcome))
            hunt.error = hunt.error or outcome.error or ""
            self._touched.append(hunt)

    def drained(self) -> Iterator[tuple[Hunt, Protocol]]:
        """Follow up what has been settled, and hand out every search that has come to its end by that.

        Without recursion: a settled draw may release thousands.
        """
        while self._touched:
            hunt = self._touched.popleft()
            for draw, setting in hunt.search.propose():
                trial = self.trial(hunt, draw, setting)
                self._draws[trial.key].append((hunt, draw))
                self._record(hunt, draw, setting)
                if trial.key in self._outcomes:  # another draw was the same setting
                    self.settled(trial.key, self._outcomes[trial.key])
                else:
                    self._add(trial)
            if hunt.search.finished:
                for protocol in [one for one in hunt.protocols if one not in hunt.closed]:
                    hunt.closed.add(protocol)
                    yield hunt, protocol

    def score(self, row: Selection) -> float | None:
        """The validation score of what was selected, where exactly that was tried."""
        leader = self.plan.leader(row.place) if row.task else row.place
        hunt = self.serving(leader, row.protocol)
        if hunt is None or row.draw is None or row.draw >= len(hunt.search.settings):
            return None
        if hunt.search.settings[row.draw] != row.hyperparameters:
            return None  # a matched setting with declared values in place of the draw's own
        return hunt.search.scores()[row.draw]

    def trial(self, hunt: Hunt, draw: int, setting: Setting) -> Trial:
        """The trial that tries a setting for a hunt."""
        place = hunt.place
        if place.task:
            return self.plan.tune(place, draw, setting, hunt.weights)
        source = Source(place.arm, self.plan.suite.seeds.tuned_weights, place.condition.split)
        return self.plan.weights(source, setting, draw=draw)

    def _open(self, hunt: Hunt) -> None:
        self._hunts[hunt.place, weights_text(hunt.weights)] = hunt
        for protocol in hunt.protocols:
            self._serving[hunt.place, protocol] = hunt
        self._touched.append(hunt)

    def _sampler(self, name: str, task: str) -> Sampler:
        from harness.search.tpe import TpeSampler  # noqa: PLC0415 - an extra, only where it is asked for

        suite = self.plan.suite
        return TpeSampler(
            self.plan.tasks[task].space,
            direction=self.plan.direction(task),
            seed=suite.seeds.draws,
            identity=name,
            startup=suite.search.shared(suite.budget.draws),
        )

    def _record(self, hunt: Hunt, draw: int, setting: Setting) -> None:
        """Put a sampler's proposal on record, unless it is there already."""
        search = hunt.search
        if search.sampler is not None and draw >= search.limits.shared and draw not in search.recorded:
            self.proposals.append(Proposal(hunt.name, hunt.place.arm, hunt.place.task, draw, setting))
