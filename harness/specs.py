"""The specification of one trial: everything that decides its result and nothing else.

Its digest is its identity: the same trial in another suite, under another budget or protocol, or with the
suite's lists in another order, is the same trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from harness.files import digest_of
from registry.contracts import InputError

Stage = Literal["pretrain", "tune", "final"]
Protocol = Literal["matched", "tuned"]
PROTOCOLS: tuple[Protocol, ...] = ("matched", "tuned")


@dataclass(frozen=True)
class TrialSpec:
    """Everything that decides the result of one trial.

    Parameters
    ----------
    stage
        `pretrain`, `tune` or `final`.
    strategy, strategy_version, strategy_plugin, factors
        Whose weights, in which version, from a plug-in of which digest, with which factors; `None` and
        empty for baselines.
    task, task_version, task_plugin, baseline
        What is learned; `None` for pretraining.
    pretraining_hyperparameters, hyperparameters
        In force; `hyperparameters` is `None` for a final trial that can never be selected (blocked).
    settings
        The suite's settings with defaults filled in, equal for every arm.
    seed, pretraining_seed
        Of this trial, and of the weights it starts from.
    cohort
        Fingerprint of the data; `None` for a strategy that reads none.
    upstream
        Keys of the trials whose results it starts from.
    """

    stage: Stage
    domain: str
    settings: Mapping[str, Any]
    seed: int
    strategy: str | None = None
    strategy_version: str | None = None
    strategy_plugin: str = ""
    factors: Mapping[str, Any] = field(default_factory=dict)
    task: str | None = None
    task_version: str | None = None
    task_plugin: str = ""
    baseline: str | None = None
    pretraining_hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] | None = field(default_factory=dict)
    pretraining_seed: int | None = None
    cohort: str | None = None
    upstream: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they travel to a worker and into records."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrialSpec:
        """The specification that `as_dict` came from."""
        return cls(**{**values, "upstream": tuple(values["upstream"])})

    @cached_property
    def key(self) -> str:
        """SHA-256 of the canonical text."""
        try:
            return digest_of(self.as_dict())
        except (TypeError, ValueError) as error:
            raise InputError(
                f"the specification of {self.label} has no canonical text: {error}",
                mend="use finite numbers, texts, lists and tables in hyperparameters, factors and settings",
            ) from error

    @property
    def label(self) -> str:
        """How progress and errors call it."""
        if self.stage == "pretrain":
            return f"pretrain {self.strategy} seed {self.seed}"
        who = self.strategy or f"{self.baseline} baseline"
        return f"{self.stage} {who} / {self.task} seed {self.seed}"
