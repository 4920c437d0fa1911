"""The contract of a pretraining strategy."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from registry.contracts.artifact import Artifact
from registry.contracts.context import TrialContext
from registry.contracts.request import ResourceRequest
from registry.contracts.space import Space


@dataclass(frozen=True)
class StrategyCard:
    """What is declared about a strategy; readable without running it.

    Parameters
    ----------
    name
        How suites and the command line call it.
    title
        How tables and figures call it.
    provides
        The parts of its artifact.
    domain
        The domain whose cohorts it understands.
    version
        Raised whenever the same inputs give other results; part of a trial's identity.
    parent, changes
        The strategy it derives from and the factors it changes.
    factors
        All factors in force (its parent's with its own changes).
    trained_jointly
        Parts that were trained together and fit each other.
    needs_data
        Whether pretraining reads the cohort.
    seeded
        Whether another seed gives other weights; weights that come from elsewhere are the same for all.
    resources
        The least that one pretraining needs of a machine; never part of its identity.
    summary, citation, licence
        For the report: one sentence, a reference, the licence of the weights.
    """

    name: str
    title: str
    provides: frozenset[str]
    domain: str
    version: str = "1"
    parent: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    factors: Mapping[str, Any] = field(default_factory=dict)
    trained_jointly: frozenset[str] = frozenset()
    needs_data: bool = True
    seeded: bool = True
    resources: ResourceRequest = field(default_factory=ResourceRequest)
    summary: str = ""
    citation: str = ""
    licence: str = ""


class Strategy(abc.ABC):
    """How initial weights come about.

    Required: `pretrain`. Optional: `space`, hyperparameters of pretraining with their declared values.
    """

    card: ClassVar[StrategyCard]
    space: ClassVar[Space] = Space()

    @abc.abstractmethod
    def pretrain(self, context: TrialContext) -> Artifact:
        """Make the weights, from `context.open_split` and nothing else; equal seeds give equal weights."""


StrategyClass = TypeVar("StrategyClass", bound=type[Strategy])


def strategy(
    name: str,
    *,
    provides: set[str],
    domain: str,
    title: str | None = None,
    changes: Mapping[str, Any] | None = None,
    factors: Mapping[str, Any] | None = None,
    resources: Mapping[str, float] | None = None,
    **declared: Any,
) -> Callable[[StrategyClass], StrategyClass]:
    """Declare a strategy; the class becomes an entry of the catalogue when its module is registered.

    A class that derives from another strategy and declares `changes` is an ablation: its factors are its
    parent's with the changes made, and so are its resources unless it declares some. `resources` holds
    `cpus`, `gpus` and `memory_bytes`, as far as they matter.

    Raises
    ------
    ValueError
        If `changes` names a factor that the parent does not have, or is given without a parent, or
        `resources` something that cannot be given.
    """

    def declare(implementation: StrategyClass) -> StrategyClass:
        parent: StrategyCard | None = getattr(implementation, "card", None)
        inherited = dict(parent.factors) if parent is not None else {}
        unknown = set(changes or {}) - set(inherited)
        if unknown:
            raise ValueError(
                f"strategy {name!r} changes {sorted(unknown)}, its parent has {sorted(inherited)}"
            )
        implementation.card = StrategyCard(
            name=name,
            title=title or name,
            provides=frozenset(provides),
            domain=domain,
            parent=parent.name if parent is not None and changes is not None else None,
            changes=dict(changes or {}),
            factors={**(inherited if changes is not None else {}), **(factors or {}), **(changes or {})},
            resources=_resources(resources, parent if changes is not None else None),
            **declared,
        )
        return implementation

    return declare


def _resources(declared: Mapping[str, float] | None, parent: StrategyCard | None) -> ResourceRequest:
    if declared is None and parent is not None:
        return parent.resources
    return ResourceRequest.of(declared or {})
