"""What a strategy or task is given while it works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class OpenSplit(Protocol):
    """The door to the data: hands out the domain's view of one split."""

    def __call__(self, part: str, split: str) -> Any:
        """Open `split` (`train`, `validation`) of `part`; `test` raises `TestSplitClosedError`."""


class OpenRun(Protocol):
    """What the command line hands to a domain's commands: the data that a finished run was made on."""

    def __call__(self, folder: Path, purpose: str) -> OpenSplit:
        """The door of the run in `folder`; it opens `test` as well, and counts that under `purpose`."""


class Report(Protocol):
    """Where progress and learning curves go."""

    def __call__(self, step: int, steps: int, **values: float) -> None:
        """Record `values` after `step` of `steps`; cheap enough for every step."""


@dataclass(frozen=True)
class TrialContext:
    """Everything one trial may know.

    Parameters
    ----------
    hyperparameters
        The drawn or declared values of the space.
    factors
        What defines the strategy (its parent's factors with its own changes); empty for tasks.
    settings
        The suite's settings, equal for every arm: scan size, backbone, steps. Validated by the domain.
    seed
        Seeds every random number of the trial.
    device, precision, threads
        Where to compute: `cpu` or `cuda`; `float32` or `bfloat16`; threads for numerical libraries.
    open_split
        Opens a split of the cohort; the test split stays closed until the final stage.
    report
        Progress and curves.
    scratch
        A folder that survives a lost worker: checkpoints go here.
    """

    hyperparameters: Mapping[str, Any]
    factors: Mapping[str, Any]
    settings: Mapping[str, Any]
    seed: int
    device: str
    precision: str
    threads: int
    open_split: OpenSplit
    report: Report
    scratch: Path
