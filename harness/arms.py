"""The arms of a suite: its strategies, and what is derived from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.suite import Suite
from registry.catalog import Catalogue
from registry.contracts import Space, Strategy, StrategyCard

Design = Literal["leave_one_out", "ladder", "factorial", "dose"]
Control = Literal["aa", "shuffled_labels", "broken_physics"]


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
        Its place in the design: the step of a ladder, the run of a factorial, the dose.
    """

    design: Design
    base: str
    changes: Mapping[str, Any]
    order: int


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
    ablation
        The design that it was derived for, if any.
    shuffled_labels, stream
        As in `TrialSpec`.
    """

    strategy: Strategy
    card: StrategyCard
    digest: str
    origin: str
    weights_of: str
    setting_of: str
    control: Control | None = None
    ablation: AblationOf | None = None
    shuffled_labels: bool = False
    stream: int = 0

    @property
    def name(self) -> str:
        """How tables call it."""
        return self.card.name

    @property
    def is_strategy(self) -> bool:
        """Whether it is a strategy as it stands in the suite, not one derived for it."""
        return self.name == self.strategy.card.name

    @property
    def space(self) -> Space:
        """The hyperparameters of its pretraining."""
        return self.strategy.space

    @property
    def retuned(self) -> bool:
        """Whether it has draws of its own."""
        return self.setting_of == self.name


def arms_of(suite: Suite, catalogue: Catalogue) -> Mapping[str, Arm]:
    """Every arm of `suite` by name, strategies first, in the order in which they are declared.

    Raises
    ------
    InputError
        If a name is not known.
    """
    return {name: _own(name, catalogue) for name in suite.strategies}


def _own(name: str, catalogue: Catalogue) -> Arm:
    strategy, entry = catalogue.strategy(name), catalogue.strategies[name]
    return Arm(
        strategy=strategy,
        card=strategy.card,
        digest=entry.digest,
        origin=entry.origin,
        weights_of=name,
        setting_of=name,
    )
