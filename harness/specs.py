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
STAGES: tuple[Stage, ...] = ("pretrain", "tune", "final")
PROTOCOLS: tuple[Protocol, ...] = ("matched", "tuned")

#: Fields that later versions added, with the value that leaves the identity of a trial as it was.
_ADDED: Mapping[str, Any] = {
    "label_fraction": None,
    "label_draw": None,
    "shuffled_labels": False,
    "stream": 0,
    "probe": None,
}


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
    label_fraction, label_draw
        The share of labelled patients that it learns from, and of which nested sequence; `None` for all.
    shuffled_labels
        Whether the labels of the train split are dealt out to the wrong scans.
    stream
        Which stream of random numbers `seed` begins: final trials have one per pretraining seed, A/A arms
        have their own.
    probe
        The domain's probe that scores a pretraining whose hyperparameters are searched.

    Notes
    -----
    The last five enter the identity only where they are not at their defaults: keys of trials that know
    nothing of them stay as they are.
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
    label_fraction: float | None = None
    label_draw: int | None = None
    shuffled_labels: bool = False
    stream: int = 0
    probe: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as they travel to a worker and into records."""
        values = dict(vars(self))
        values.pop("key", None)  # the digest, once it is known
        for name, default in _ADDED.items():
            if values[name] == default:
                del values[name]
        return values

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
    def random_seed(self) -> int:
        """What random numbers begin with: `seed`, or in another stream a number that it decides."""
        if not self.stream:
            return self.seed
        return int(digest_of([self.stream, self.seed])[:8], 16)

    @property
    def label(self) -> str:
        """How progress and errors call it."""
        if self.stage == "pretrain":
            return f"pretrain {self.strategy} seed {self.seed}"
        who = self.strategy or f"{self.baseline} baseline"
        return f"{self.stage} {who} / {self.task} seed {self.seed}"
