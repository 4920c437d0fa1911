"""A tiny cohort in memory: smooth bodies of random size, for tests of learning that need no real scans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.contracts import Strategy, Task, TrialContext

#: Coarse scans (25 x 19 pixels), one tiny pass over the data.
SETTINGS = {
    "scan_reduction": 6,
    "latent_size": 8,
    "pretraining_steps": 4,
    "pretraining_batch_size": 4,
    "finetuning_epochs": 2,
    "finetuning_batch_size": 4,
}


class StandInSplit:
    """One split: scans of two-part bodies whose measures follow from their sizes."""

    def __init__(self, name: str, count: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        rows, columns = np.mgrid[-1:1:150j, -1:1:109j]
        self.sizes = random.uniform(0.4, 0.8, (count, 3))
        self.scans = np.empty((count, 150, 109, 6), np.uint16)
        for index, (height, width, fat) in enumerate(self.sizes):
            depth = 1 - (rows / height) ** 2 - (columns / width / 0.7) ** 2
            attenuation = 1.5 * np.sqrt(depth.clip(0))
            for channel in range(6):
                low, phase = channel % 2, channel // 2
                counts = 200 + 2000 * (attenuation * (1 + low * (0.2 + 0.3 * fat)) + 0.6 * phase)
                self.scans[index, ..., channel] = counts + random.normal(0, 5, counts.shape)
        self.patients = [f"{name}-patient-{index}" for index in range(count)]
        self.scan_ids = [f"{name}-scan-{index}" for index in range(count)]

    def measures(self, names: Sequence[str]) -> NDArray[np.float64]:
        weights = np.random.default_rng(0).uniform(0.5, 1.5, (3, len(names)))
        return 50 * self.sizes @ weights


def open_split(part: str, split: str) -> StandInSplit:
    """The split of a cohort that is always the same."""
    count = {"train": 12, "validation": 6, "test": 8}[split]
    return StandInSplit(f"{part}-{split}", count, seed=sum(map(ord, part + split)))


def context_for(
    what: Strategy | Task,
    scratch: Path,
    *,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    factors: Mapping[str, Any] | None = None,
    report: Callable[..., None] | None = None,
    opener: Callable[[str, str], Any] = open_split,
) -> TrialContext:
    """What the engine would give to `what`."""
    return TrialContext(
        hyperparameters={**what.space.defaults(), **(hyperparameters or {})},
        factors={**getattr(what.card, "factors", {}), **(factors or {})},
        settings={**SETTINGS, **(settings or {})},
        seed=seed,
        device="cpu",
        precision="float32",
        threads=1,
        open_split=opener,
        report=report or (lambda step, steps, **values: None),
        scratch=scratch,
    )
