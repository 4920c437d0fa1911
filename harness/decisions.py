"""Which settings are tried, which are chosen, and what follows from that: pretraining first, then tasks.

Two protocols come from the same trials. `tuned`: each arm's own best draw. `matched`: one draw for all, by
the mean rank over the reference arms. Where hyperparameters of pretraining are searched, both are chosen
there first, and tasks are tuned on the weights of each; where the two agree, their trials are shared.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol as Interface

from harness.conditions import Condition, Place, Source
from harness.files import canonical_json
from harness.journal import History
from harness.outcome import Outcome
from harness.plan import Plan, Trial
from harness.search.cell import CellSearch, Limits, Sampler, Setting, Tried
from harness.search.pretraining import matched_setting, shared_names
from harness.selection import BestMeanRank, BestValidationScore, Choice, Selection, boundaries
from harness.specs import PROTOCOLS, Protocol
from registry.contracts.tables import Direction

#: More than any search can use up: all draws are shared.
ALL = 10**9
#: A task (empty for pretraining) under a condition: where arms share one matched setting.
Contest = tuple[str, Condition]


class Add(Interface):
    """Takes a trial into the run."""

    def __call__(self, trial: Trial, *, blocked: str | None = None) -> None:
        """Take `trial` in; blocked from the start where a reason is given."""


@dataclass(frozen=True)
class Proposal:
    """A setting that a sampler proposed: on record, so that an execution that goes on takes it again."""

    hunt: str
    strategy: str
    task: str
    draw: int
    hyperparameters: Setting


@dataclass
class Hunt:
    """The search of one place on given weights, and the protocols that it serves.

    Parameters
    ----------
    place
        An arm on a task under a condition; the task is empty for the arm's pretraining.
    weights
        The setting of the weights that it tunes on; the declared one where there is none.
    """

    place: Place
    weights: Setting | None
    search: CellSearch
    protocols: list[Protocol]
    closed: set[Protocol] = field(default_factory=set)
    error: str = ""

    @property
    def name(self) -> str:
        """Names it in the records of this and of later executions."""
        return hunt_name(self.place, self.weights)


@dataclass(frozen=True)
class Chosen:
    """What was chosen for a place under a protocol; `blocked` says why nothing could be."""

    setting: Setting | None
    draw: int | None
    blocked: str | None = None


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
    selections, proposals
        In the order in which they were made.
    """

    def __init__(
        self,
        plan: Plan,
        add: Add,
        outcomes: Mapping[str, Outcome],
        recorded: Mapping[str, Mapping[int, Setting]],
    ) -> None:
        self.plan = plan
        self.selections: list[Selection] = []
        self.proposals: list[Proposal] = []
        self.hunts: dict[tuple[Place, str], Hunt] = {}
        self._add = add
        self._outcomes = outcomes
        self._recorded = recorded
        self._serving: dict[tuple[Place, Protocol], Hunt] = {}
        self._draws: dict[str, list[tuple[Hunt, int]]] = defaultdict(list)
        self._touched: deque[Hunt] = deque()
        self._weights: dict[tuple[str, int, Protocol], Chosen] = {}
        self._chosen: dict[tuple[Place, Protocol], Chosen] = {}
        self._followers: dict[Place, list[Place]] = defaultdict(list)
        self._led_by: dict[tuple[str, int], list[Place]] = defaultdict(list)
        self._open: dict[Contest, set[Place]] = {}
        self._references: dict[Contest, list[Place]] = {}
        self._waiting: dict[tuple[Place, Protocol], None] = {}
        self._lay_out()

    # What the policy calls ---------------------------------------------------------------------------

    def start(self) -> None:
        """Take in every trial that is certain by now."""
        for trial in self.plan.pretraining.values():
            self._add(trial)
        for arm, split in self._led_by:
            if arm in self.plan.searched:
                self._hunt_weights(arm, split)
        for place in self._followers:
            if not self.plan.is_searched(place.arm):
                for protocol in PROTOCOLS:
                    self._hunt(place, protocol, None)
        undecided = [contest for contest, places in self._open.items() if not places]
        self.drain()
        for trial in self.plan.fixed:
            self._add(trial)
        for contest in undecided:  # no reference arm takes part, so there is none to wait for
            self._select_matched(contest)

    def settled(self, key: str, outcome: Outcome) -> None:
        """Tell the searches that tried it what became of a trial."""
        for hunt, draw in self._draws.pop(key, []):
            hunt.search.settle(draw, tried(outcome))
            hunt.error = hunt.error or outcome.error or ""
            self._touched.append(hunt)

    def drain(self) -> None:
        """Follow up what has been settled, without recursion: a settled draw may release thousands."""
        while self._touched:
            hunt = self._touched.popleft()
            for draw, setting in hunt.search.propose():
                trial = self._trial(hunt, draw, setting)
                self._draws[trial.key].append((hunt, draw))
                self._record(hunt, draw, setting)
                if trial.key in self._outcomes:  # another draw was the same setting
                    self.settled(trial.key, self._outcomes[trial.key])
                else:
                    self._add(trial)
            if hunt.search.finished:
                for protocol in [one for one in hunt.protocols if one not in hunt.closed]:
                    hunt.closed.add(protocol)
                    self._close(hunt, protocol)

    # What records and plans need ---------------------------------------------------------------------

    def selection_rows(self) -> list[Selection]:
        """All selections, each with its arm's own validation score even where that came in later."""
        return [
            replace(row, validation_score=self._score(row)) if row.draw is not None else row
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
        plan, seeds = self.plan, self.plan.suite.seeds
        for (arm, split), places in self._led_by.items():
            open_protocols = sum((arm, split, protocol) not in self._weights for protocol in PROTOCOLS)
            if arm not in plan.searched or not open_protocols:
                continue
            for source in {plan.source(place, seeds.pretraining[0]) for place in places}:
                yield plan.weights(source), open_protocols * len(seeds.pretraining), ()
            own = set(plan.arms[arm].space) - self._shared
            tuned = {plan.source(place, seeds.tuned_weights) for place in places if place in self._followers}
            if own and (arm, split, "matched") not in self._weights:
                # the matched setting has declared values for these, which no draw may have tried
                for source in tuned:
                    yield plan.weights(source), 1, ()
            for place in places:
                if (draws := plan.draws[place.task]) and plan.leader(place) == place:
                    tries = open_protocols * plan.suite.budget.draws
                    yield plan.tune(place, 0, draws[0]), tries, ()
        for hunt in self.hunts.values():
            if (
                not hunt.search.finished
                and (left := hunt.search.limits.draws - len(hunt.search.settings)) > 0
            ):
                yield self._trial(hunt, 0, hunt.search.settings[0]), left, ()
        for place, count in self.waiting().items():
            setting: Setting = {}
            before: tuple[Trial, ...] = ()
            if draws := plan.draws[place.task]:
                setting, before = draws[0], (plan.tune(plan.leader(place), 0, draws[0]),)
            yield next(plan.finals(place, setting, draw=None, protocols=())), count, before

    # How it works ------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        """Who follows whom, and which reference places every contest waits for."""
        plan, references = self.plan, set(self.plan.suite.references)
        for place in plan.places:
            searched = plan.is_searched(place.arm)
            if plan.draws[place.task]:
                self._followers[plan.leader(place)].append(place)
            if plan.draws[place.task] or searched:
                for protocol in PROTOCOLS:
                    self._waiting[place, protocol] = None
            if searched:
                self._led_by[plan.weights_leader(place.arm), place.condition.split].append(place)
        self._shared = shared_names(
            {arm: plan.arms[arm].space for arm in plan.searched}, plan.suite.references
        )
        for leader in self._followers:
            self._references.setdefault(contest_of(leader), [])
            if leader.arm in references:
                self._references[contest_of(leader)].append(leader)
        for arm, split in self._led_by:
            place = weights_place(arm, split)
            self._references.setdefault(contest_of(place), [])
            if arm in references and self._shared & set(plan.arms[arm].space):
                self._references[contest_of(place)].append(place)
        self._open = {contest: set(places) for contest, places in self._references.items()}

    def _hunt_weights(self, arm: str, split: int) -> None:
        """Search the pretraining of an arm."""
        place = weights_place(arm, split)
        draws = self.plan.suite.budget.pretraining_draws
        search = CellSearch(Limits(draws, ALL), self.plan.searched[arm])
        self._open_hunt(Hunt(place, None, search, list(PROTOCOLS)))

    def _hunt(self, place: Place, protocol: Protocol, weights: Setting | None) -> None:
        """Search the setting of a place on given weights; one search serves all protocols that share them."""
        hunt = self.hunts.get((place, weights_text(weights)))
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
        search = CellSearch(limits, _KnownDraws(self.plan, place.task), sampler, recorded)
        self._open_hunt(Hunt(place, weights, search, [protocol]))

    def _sampler(self, name: str, task: str) -> Sampler:
        from harness.search.tpe import TpeSampler  # noqa: PLC0415 - an extra, only where it is asked for

        suite = self.plan.suite
        return TpeSampler(
            self.plan.tasks[task].space,
            direction=self._direction(task),
            seed=suite.seeds.draws,
            identity=name,
            startup=suite.search.shared(suite.budget.draws),
        )

    def _open_hunt(self, hunt: Hunt) -> None:
        self.hunts[hunt.place, weights_text(hunt.weights)] = hunt
        for protocol in hunt.protocols:
            self._serving[hunt.place, protocol] = hunt
        self._touched.append(hunt)

    def _trial(self, hunt: Hunt, draw: int, setting: Setting) -> Trial:
        place = hunt.place
        if place.task:
            return self.plan.tune(place, draw, setting, hunt.weights)
        source = Source(place.arm, self.plan.suite.seeds.tuned_weights, place.condition.split)
        return self.plan.weights(source, setting, draw=draw)

    def _record(self, hunt: Hunt, draw: int, setting: Setting) -> None:
        """Put a sampler's proposal on record, unless it is there already."""
        search = hunt.search
        if search.sampler is not None and draw >= search.limits.shared and draw not in search.recorded:
            self.proposals.append(Proposal(hunt.name, hunt.place.arm, hunt.place.task, draw, setting))

    def _close(self, hunt: Hunt, protocol: Protocol) -> None:
        """Choose where a search has come to its end."""
        if protocol == "tuned":
            self._select_tuned(hunt)
            return
        contest = contest_of(hunt.place)
        if hunt.place in self._open[contest]:
            self._leave(contest, hunt.place)

    def _leave(self, contest: Contest, place: Place) -> None:
        """A reference place has no more to say; the last one decides."""
        self._open[contest].discard(place)
        if not self._open[contest]:
            self._select_matched(contest)

    def _select_tuned(self, hunt: Hunt) -> None:
        rule, tries = BestValidationScore(self._direction(hunt.place.task)), hunt.search.tried
        scores = hunt.search.scores()
        choice = rule.choose({draw: scores[draw] for draw in scores if tries[draw].status != "pruned"})
        reason = choice.reason
        if choice.draw is None:
            reason = f"{reason}: {hunt.error or 'no draw has a result'}"
        if stopped := hunt.search.count("pruned"):
            reason = f"{reason}; {stopped} more stopped early"
        choice = replace(choice, reason=reason)
        setting = None if choice.draw is None else hunt.search.settings[choice.draw]
        if not hunt.place.task:
            self._weights_chosen(hunt.place, "tuned", choice, setting)
            return
        for place in self._followers[hunt.place]:
            self._choose(place, "tuned", choice, setting)

    def _select_matched(self, contest: Contest) -> None:
        task, condition = contest
        hunts = {place.arm: self._serving.get((place, "matched")) for place in self._references[contest]}
        searches = {arm: hunt.search for arm, hunt in hunts.items() if hunt is not None}
        common = min((min(len(one.settings), one.limits.shared) for one in searches.values()), default=0)
        scores = {arm: one.scores(common) for arm, one in searches.items()}
        scores |= {arm: {} for arm, hunt in hunts.items() if hunt is None}  # left without weights
        choice = BestMeanRank(self._direction(task)).choose(scores)
        if not task:
            self._select_matched_weights(condition, choice)
            return
        setting = None if choice.draw is None else _KnownDraws(self.plan, task)(choice.draw)
        for leader, followers in self._followers.items():
            if contest_of(leader) == contest:
                for place in followers:
                    self._choose(place, "matched", choice, setting)

    def _select_matched_weights(self, condition: Condition, choice: Choice) -> None:
        """One draw of what reference arms share; what is an arm's own keeps its declared value."""
        if not self._references["", condition]:
            nothing = "no two reference arms share a hyperparameter of pretraining: declared values"
            choice = Choice(0, nothing)
        for arm, split in list(self._led_by):
            if split != condition.split:
                continue
            space, setting, own = self.plan.arms[arm].space, None, ""
            if choice.draw is not None:
                setting = matched_setting(space, self.plan.searched[arm](choice.draw), self._shared)
                names = [name for name in space if name not in self._shared]
                own = f"; declared value of {', '.join(names)}" if names and self._shared else ""
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
        led = self._led_by[arm, split]
        if setting is not None:
            sources = dict.fromkeys(
                plan.source(one, seed) for one in led for seed in plan.suite.seeds.pretraining
            )
            leaders = [one for one in led if one in self._followers]
            tuned = dict.fromkeys(plan.source(one, plan.suite.seeds.tuned_weights) for one in leaders)
            for source in {**tuned, **sources}:
                self._add(plan.weights(source, setting, draw=choice.draw, protocols=(protocol,)))
            for leader in leaders:
                self._hunt(leader, protocol, setting)
        for one in led:
            if not plan.draws[one.task]:
                self._chosen[one, protocol] = Chosen({}, None)
            elif blocked is not None and plan.leader(one) == one:
                self._give_up(one, protocol, blocked)
            self._release(one, protocol)

    def _give_up(self, leader: Place, protocol: Protocol, why: str) -> None:
        """Without weights a place chooses nothing."""
        if protocol == "tuned":
            for place in self._followers[leader]:
                self._choose(place, "tuned", Choice(None, why), None)
        elif leader in self._open[contest_of(leader)]:
            self._leave(contest_of(leader), leader)

    def _choose(self, place: Place, protocol: Protocol, choice: Choice, setting: Setting | None) -> None:
        """Write the choice for a place down and release the final trials it names."""
        leader = self.plan.leader(place)
        if leader != place:
            choice = replace(choice, reason=f"frozen, as chosen for {described(leader)}: {choice.reason}")
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
        self.selections.append(replace(row, validation_score=self._score(row)))

    def _score(self, row: Selection) -> float | None:
        """The validation score of what was selected, where exactly that was tried."""
        leader = self.plan.leader(row.place) if row.task else row.place
        hunt = self._serving.get((leader, row.protocol))
        if hunt is None or row.draw is None or row.draw >= len(hunt.search.settings):
            return None
        if hunt.search.settings[row.draw] != row.hyperparameters:
            return None  # a matched setting with declared values in place of the draw's own
        return hunt.search.scores()[row.draw]

    def _direction(self, task: str) -> Direction:
        if task:
            return self.plan.tasks[task].card.primary.direction
        if self.plan.probe is None:
            raise RuntimeError("a pretraining search without a probe")
        return self.plan.probe[1].direction


@dataclass(frozen=True)
class _KnownDraws:
    """Shared draws of a task: those that the plan has drawn, and further ones."""

    plan: Plan
    task: str

    def __call__(self, draw: int) -> Setting:
        known = self.plan.draws[self.task]
        return known[draw] if draw < len(known) else self.plan.shared[self.task](draw)


def tried(outcome: Outcome) -> Tried:
    """An outcome as a search sees it."""
    if outcome.status == "done" and outcome.pruned_at is not None:
        return Tried("pruned", None, outcome.wall_seconds, outcome.pruned_at, outcome.interim_score)
    score = outcome.validation_score if outcome.status == "done" else None
    return Tried(outcome.status, score, outcome.wall_seconds)


def recorded_proposals(history: History) -> dict[str, dict[int, Setting]]:
    """What samplers proposed in earlier executions: search to settings by draw."""
    recorded: dict[str, dict[int, Setting]] = defaultdict(dict)
    for entry in history.of("proposed"):
        recorded[entry["hunt"]][entry["draw"]] = entry["hyperparameters"]
    return recorded


def weights_place(arm: str, split: int) -> Place:
    """Where the setting of an arm's pretraining is chosen."""
    return Place(arm, "", Condition(split=split))


def hunt_name(place: Place, weights: Setting | None) -> str:
    """Names a search, in this execution and in the records of earlier ones."""
    return canonical_json([place.arm, place.task, vars(place.condition), weights])


def weights_text(weights: Setting | None) -> str:
    """Tells settings of weights apart; empty for the declared one."""
    return "" if weights is None else canonical_json(weights)


def contest_of(place: Place) -> Contest:
    """The contest that a place takes part in."""
    return place.task, place.condition


def described(place: Place) -> str:
    """A place in words, for reasons."""
    return f"{place.arm}{'' if place.condition.is_main else f' with {place.condition}'}"
