"""A tiny cohort in memory: smooth bodies of random size, for tests of learning that need no real scans."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from registry.contracts import Strategy, Task, TrialContext
from registry.dxa.imaging import GRID
from registry.dxa.imaging.scanner import Scanner

#: Coarse scans (25 x 19 pixels), one tiny pass over the data.
SETTINGS = {
    "scan_reduction": 6,
    "latent_size": 8,
    "pretraining_steps": 4,
    "pretraining_batch_size": 4,
    "finetuning_epochs": 2,
    "finetuning_batch_size": 4,
    "mesh_points": 32,
    "point_width": 8,
    "alignment_steps": 3,
    "generation_steps": 3,
    "generation_batch_size": 4,
}


class StandInSplit:
    """One split: phantoms of ellipses before a real scanner's beam; measures follow from their sizes."""

    def __init__(self, name: str, count: int, seed: int) -> None:
        self.simulated = True
        self.calibration = None
        self.grid = GRID
        self.sizes, self.scans = _phantoms(count, seed)
        self.patients = [f"{name}-patient-{index}" for index in range(count)]
        self.scan_ids = [f"{name}-scan-{index}" for index in range(count)]

    @property
    def vertices(self) -> NDArray[np.float32]:
        """Surfaces of one topology in cm: spheres as high, wide and deep as the sizes say."""
        half_lengths = 100 * self.sizes[:, None, [1, 2, 0]]
        return (_sphere().vertices * half_lengths).astype(np.float32)

    def measures(self, names: Sequence[str]) -> NDArray[np.float64]:
        weights = np.random.default_rng(0).uniform(0.5, 1.5, (3, len(names)))
        return 50 * self.sizes @ weights


@functools.cache
def _sphere() -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions=3)


@functools.cache
def _phantoms(count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.uint16]]:
    """Sizes of phantoms (height, width, fatness) and their scans: trunk, legs and arms of fat, lean, bone."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1:1:150j, -1:1:109j]
    sizes = random.uniform(0.4, 0.8, (count, 3))
    densities = np.zeros((count, 150, 109, 3))
    for density, (height, width, fatness) in zip(densities, sizes, strict=True):
        across = np.abs(columns)
        trunk = 1 - (rows / height) ** 2 - (across / width / 0.6) ** 2
        trunk[(rows > 0.1) & (across < 0.16)] = 0  # between the legs
        arm = 1 - ((rows + 0.1) / height / 0.6) ** 2 - ((across - 0.8 * width - 0.12) / 0.12) ** 2
        tissue = 18 * np.sqrt(trunk.clip(0)) + (4 + 4 * width) * np.sqrt(arm.clip(0))
        bone = ((arm > 0.4) | ((trunk > 0.2) & (np.abs(across - 0.1 - 0.2 * width) < 0.06))) * (0.5 + height)
        density[..., 0] = 0.4 * fatness * tissue
        density[..., 1] = (1 - 0.4 * fatness) * tissue
        density[..., 2] = np.where(tissue > 0, bone, 0)
    return sizes, np.stack([Scanner().scan(one, random).codes for one in densities])


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
