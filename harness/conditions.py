"""Under which labels and on which split a cell is learned: the axes of a suite besides arm, task and seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Condition:
    """One place on the axes; the default is the main one: all labels, the cohort's own split.

    Parameters
    ----------
    label_fraction
        Share of the labelled train and validation patients that learning sees; `None` for all.
    label_draw
        Which nested sequence of patients the share is taken from; `None` for all.
    split
        0 for the cohort's own split, k for its k-th repetition.

    Examples
    --------
    >>> str(Condition(label_fraction=0.05, label_draw=1))
    '5 % of the labels, draw 1'
    >>> Condition().is_main
    True
    """

    label_fraction: float | None = None
    label_draw: int | None = None
    split: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this is what the main tables show."""
        return self == MAIN

    def __str__(self) -> str:
        """What is special about it, in words; nothing for the main one."""
        words = []
        if self.label_fraction is not None:
            words.append(f"{100 * self.label_fraction:g} % of the labels, draw {self.label_draw}")
        if self.split:
            words.append(f"split {self.split}")
        return ", ".join(words)


MAIN = Condition()


class Place(NamedTuple):
    """Where a setting is chosen and final trials stand: an arm on a task under a condition."""

    arm: str
    task: str
    condition: Condition = MAIN


class Source(NamedTuple):
    """Where weights come from: an arm's pretraining with one seed, on one split of the cohort."""

    arm: str
    seed: int
    split: int = 0
