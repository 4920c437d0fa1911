"""The arms of a suite: its strategies, and what is derived from them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from harness.suite import Suite
from harness.suite.axes import Ablation
from registry.ablation import Changes, Design, DesignKind, design_of
from registry.catalog import Catalogue, unknown_name
from registry.contracts import InputError, Space, Strategy, StrategyCard

Control = Literal["aa", "shuffled_labels", "broken_physics"]
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class AblationOf:
    """How an arm was derived.

    Parameters
    ----------
    design
        The kind of design.
    base
        The arm it is derived from.
    changes
        Factors that differ from the base's.
    order
        Its number among the runs of the design.
    number
        The design's number among those of the suite.
    """

    design: DesignKind
    base: str
    changes: Mapping[str, Any]
    order: int
    number: int


@dataclass(frozen=True)
class Arm:
    """What takes part in the comparison under one name.

    Parameters
    ----------
    strategy
        Makes its weights.
    card
        What the report says about it: the strategy's card, with name, title and factors of its own where
        it is derived.
    digest, origin
        Of the strategy's plug-in, and where it comes from.
    weights_of
        The arm whose pretraining it starts from: itself, unless only learning differs.
    setting_of
        The arm whose tuned setting it takes: itself, unless its hyperparameters are frozen.
    control
        What kind of control it is, if it is one.
    ablations
        The designs that it is a run of; the base of a design is no such run.
    shuffled_labels
        Whether it learns from labels that are dealt out to the wrong scans.
    stream
        1 for the second arm of an A/A comparison, which shares no random number with the first.
    """

    strategy: Strategy
    card: StrategyCard
    digest: str
    origin: str
    weights_of: str
    setting_of: str
    control: Control | None = None
    ablations: tuple[AblationOf, ...] = ()
    shuffled_labels: bool = False
    stream: int = 0

    @property
    def name(self) -> str:
        """How tables call it."""
        return self.card.name

    @property
    def ablation(self) -> AblationOf | None:
        """The design that it was derived for; none of a strategy that would be there without it."""
        return None if self.is_strategy or not self.ablations else self.ablations[0]

    @property
    def is_strategy(self) -> bool:
        """Whether it is a strategy as it stands in the suite, not one derived for it."""
        return self.name == self.strategy.card.name

    @property
    def competes(self) -> bool:
        """Whether it is one of those that the suite is about: neither derived nor a control."""
        return self.is_strategy and self.control is None

    @property
    def space(self) -> Space:
        """The hyperparameters of its pretraining."""
        return self.strategy.space

    @property
    def retuned(self) -> bool:
        """Whether it has draws of its own."""
        return self.setting_of == self.name


@dataclass(frozen=True)
class DerivedDesign:
    """A design of a suite with the arms that are its runs.

    Parameters
    ----------
    declared
        The suite's table.
    design
        Its runs.
    arms
        Names of the arms, one per run.
    """

    declared: Ablation
    design: Design
    arms: tuple[str, ...]


def arms_of(suite: Suite, catalogue: Catalogue) -> tuple[dict[str, Arm], tuple[DerivedDesign, ...]]:
    """Every arm of `suite` by name, strategies first, and the designs that some were derived for.

    Raises
    ------
    InputError
        If a name or factor is not known, or a design cannot be made of its factors.
    """
    arms = {name: _strategy_arm(name, catalogue) for name in suite.strategies}
    for name in suite.controls.broken_physics:
        arms[name] = replace(arms.get(name) or _strategy_arm(name, catalogue), control="broken_physics")
    designs = []
    for number, declared in enumerate(suite.ablation):
        design = _design(declared, f"ablation.{number}", arms[declared.base])
        names = [_arm_of_run(arms, declared, run, (order, number)) for order, run in enumerate(design.runs)]
        designs.append(DerivedDesign(declared, design, tuple(names)))
    for control in _control_arms(suite, arms):
        arms[control.name] = control
    for name, arm in arms.items():
        if name in catalogue.strategies and not arm.is_strategy:
            origin = catalogue.strategies[name].origin
            raise InputError(
                f"the derived arm {name!r} has the name of a strategy from {origin}",
                mend="rename that strategy",
            )
    return arms, tuple(designs)


def _strategy_arm(name: str, catalogue: Catalogue) -> Arm:
    strategy = catalogue.strategy(name)
    entry = catalogue.strategies[name]
    return Arm(
        strategy, strategy.card, digest=entry.digest, origin=entry.origin, weights_of=name, setting_of=name
    )


def _control_arms(suite: Suite, arms: Mapping[str, Arm]) -> Iterator[Arm]:
    for base in suite.controls.aa:
        again = _derived(arms[base], f"{base}.aa", "again")
        yield replace(again, control="aa", weights_of=again.name, stream=1)
    for base in suite.controls.shuffled_labels:
        shuffled = _derived(arms[base], f"{base}.shuffled_labels", "shuffled labels")
        yield replace(shuffled, control="shuffled_labels", shuffled_labels=True)


def _derived(base: Arm, name: str, words: str, changes: Changes | None = None) -> Arm:
    """An arm like `base` under another name, with changed factors."""
    changes = dict(changes or {})
    card = replace(
        base.card,
        name=name,
        title=f"{base.card.title} ({words})",
        parent=base.name,
        changes=changes,
        factors={**base.card.factors, **changes},
    )
    return replace(base, card=card, setting_of=name, control=None, ablations=())


# Designs --------------------------------------------------------------------------------------------


def _design(declared: Ablation, place: str, base: Arm) -> Design:
    alternatives = {
        factor: tuple(_checked(place, base, factor, value) for value in values)
        for factor, values in declared.alternatives.items()
    }
    try:
        return design_of(
            declared.design,
            alternatives,
            orders=declared.orders,
            generators=declared.generators,
        )
    except ValueError as error:
        what, _, mend = str(error).partition("; ")
        raise InputError(f"{place}: {what}", mend=mend) from error


def _checked(place: str, base: Arm, factor: str, value: Any) -> Any:
    """The value that a factor is changed to: the factor must be the base's, the value another of its kind.

    Where the base has a fraction, an integer becomes one: 0 and 0.0 are one value and must be one identity.
    """
    factors = base.card.factors
    if not factors:
        raise InputError(
            f"{place}: {base.name!r} declares no factors", mend="ablate a strategy that declares some"
        )
    if factor not in factors:
        hint = unknown_name("factor", factor, factors)
        raise InputError(f"{place}: factor {factor!r} of {base.name!r} is not known", mend=hint.mend)
    own = factors[factor]
    if _kind(value) != _kind(own):
        raise InputError(
            f"{place}: {factor} = {value!r} is no {_kind(own)}, as in {base.name!r}, which has {own!r}",
            mend=f"give a {_kind(own)}",
        )
    if value == own:
        raise InputError(
            f"{place}: {factor} = {value!r} is what {base.name!r} has already",
            mend="name other values alone; the base takes part in any case",
        )
    return float(value) if isinstance(own, float) else value


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "truth value"
    return {int: "number", float: "number", str: "text"}.get(type(value), type(value).__name__)


def _arm_of_run(arms: dict[str, Arm], declared: Ablation, changes: Changes, place: tuple[int, int]) -> str:
    """The name of the arm that is a run of a design: one that is there, or a new one, which is added.

    Parameters
    ----------
    place
        Its number among the runs of the design, and the design's among those of the suite.
    """
    base = arms[declared.base]
    if not changes:
        return base.name
    words = ", ".join(f"{factor} {_text(value)}" for factor, value in changes.items())
    arm = _derived(base, _name_of(base, changes), words, changes)
    frozen = declared.hyperparameters == "frozen"
    arm = replace(arm, weights_of=arm.name, setting_of=base.setting_of if frozen else arm.name)
    same = next((one for one in arms.values() if _same_work(one, arm)), None)
    if same is None:
        if arm.name in arms:  # the same changes of the same base, once frozen and once retuned
            arm = _renamed(arm, f"{arm.name}.{declared.hyperparameters}")
        while arm.name in arms:  # two texts that make one plain word
            arm = _renamed(arm, f"{arm.name}_")
        same = arm
    run = AblationOf(declared.design, base.name, dict(changes), *place)
    arms[same.name] = replace(same, ablations=(*same.ablations, run))
    return same.name


def _same_work(one: Arm, other: Arm) -> bool:
    """Whether two arms would train the same weights and tune alike: a change may lead back to a parent."""
    return (
        one.retuned == other.retuned
        and (one.retuned or one.setting_of == other.setting_of)
        and (one.stream, one.shuffled_labels) == (other.stream, other.shuffled_labels)
        and one.card.factors == other.card.factors
        and one.digest == other.digest
        and type(one.strategy).pretrain is type(other.strategy).pretrain
        and type(one.strategy).space is type(other.strategy).space
    )


def _renamed(arm: Arm, name: str) -> Arm:
    return replace(
        arm,
        card=replace(arm.card, name=name),
        weights_of=name if arm.weights_of == arm.name else arm.weights_of,
        setting_of=name if arm.setting_of == arm.name else arm.setting_of,
    )


def _name_of(base: Arm, changes: Changes) -> str:
    words = ".".join(f"{factor}_{value}" for factor, value in changes.items())
    return f"{base.name}.{_NO_NAME.sub('_', words)}"


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
