"""Cells and trials, as a plan lists them."""

from __future__ import annotations

from dataclasses import dataclass

from harness.conditions import MAIN, Condition, Place
from harness.specs import Protocol, Stage, TrialSpec


@dataclass(frozen=True)
class Cell:
    """One strategy on one task, and why not where it does not apply."""

    strategy: str
    task: str
    applicable: bool
    reason: str


@dataclass(frozen=True)
class Trial:
    """A specification in its place.

    Parameters
    ----------
    arm
        For which arm it runs; the empty text for baselines.
    draw, protocols
        Which draw it is, and which protocols it serves.
    condition
        Under which labels and on which split.
    """

    spec: TrialSpec
    arm: str = ""
    draw: int | None = None
    protocols: tuple[Protocol, ...] = ()
    condition: Condition = MAIN

    @property
    def key(self) -> str:
        """Identity of the trial."""
        return self.spec.key

    @property
    def stage(self) -> Stage:
        """`pretrain`, `tune` or `final`."""
        return self.spec.stage

    @property
    def place(self) -> Place:
        """The place of a trial that learns a task."""
        return Place(self.arm, str(self.spec.task), self.condition)

    @property
    def label(self) -> str:
        """How progress and errors call it."""
        spec = self.spec
        special = f" ({self.condition})" if not self.condition.is_main else ""
        if spec.stage == "pretrain":
            return f"pretrain {self.arm} seed {spec.seed}{special}"
        return (
            f"{spec.stage} {self.arm or f'{spec.baseline} baseline'} / {spec.task} seed {spec.seed}{special}"
        )
