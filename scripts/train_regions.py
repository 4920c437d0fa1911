"""Train the network that divides a body into regions, on simulated subjects, and write its weights.

Run from the repository's root (about a quarter of an hour on one core)::

    python scripts/train_regions.py registry/dxa/bodycomp/data/regions.npz
    python scripts/train_regions.py registry/dxa/bodycomp/data/regions.npz --check  # only measures it

The subjects have numbers that no cohort, calibration or study uses; those that the network is checked on are
others than those it learns from. Images are mirrored, turned, shifted, stretched, blurred and disturbed, so
that the network leans on nothing that only simulated bodies or only scans without a generator's smoothness
have. The script prints the overlap with the rig's regions, and fails if a region's median is below .95.
Afterwards run ``harness bodycomp calibrate`` and ``harness bodycomp study --keep-precision``.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from registry.dxa.bodycomp import subjects
from registry.dxa.bodycomp.maps import composition_maps
from registry.dxa.bodycomp.outline import region_overlaps
from registry.dxa.bodycomp.region_network import (
    DATA_FILE,
    RegionNetwork,
    divide,
    network_inputs,
    pad_to_network,
    read_region_network,
)
from registry.dxa.cohort.manifest import write_atomically
from registry.dxa.cohort.rig import REGIONS
from registry.dxa.imaging.geometry import GRID

SUBJECTS, CHECKED = 3000, 400
EPOCHS, BATCH, RATE, DECAY, WARM_UP = 14, 8, 4e-3, 1e-3, 0.15
SEED = 20220613
LEAST_MEDIAN_OVERLAP = 0.95
UNLABELLED = -1
# What each region is in a mirror image.
MIRRORED = {
    "head": "head",
    "trunk": "trunk",
    "arm_left": "arm_right",
    "arm_right": "arm_left",
    "leg_left": "leg_right",
    "leg_right": "leg_left",
}


@dataclass(frozen=True)
class Example:
    """What a scan shows without bone, the body's pixels, and the rig's regions."""

    soft_tissue_g_cm2: npt.NDArray[np.float32]
    body: npt.NDArray[np.bool_]
    regions: npt.NDArray[np.int8]


def examples(purpose: subjects.Purpose, count: int) -> Iterator[Example]:
    """Simulate and solve subjects."""
    for number, subject in enumerate(subjects.simulate_subjects(purpose, count, implants=True), 1):
        visit = subject.visits[0]
        empty = np.zeros(visit.composition.region.shape)
        # Without an estimate under bone, which the network does not need.
        maps = composition_maps(visit.scan.codes, fat_under_bone=(empty, empty > 0))
        if maps is None:
            raise RuntimeError(f"no body in the scan of subject {number}")
        yield Example(
            maps.soft_tissue_g_cm2.astype(np.float32), maps.body, visit.composition.region.astype(np.int8)
        )
        if number % 250 == 0:
            print(f"{purpose}: {number} of {count} subjects", flush=True)


def disturbed(
    inputs: torch.Tensor, regions: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch as other bodies, scanners and generators might have made it.

    Inputs of shape (scans, 2, rows, columns), regions (scans, rows, columns).
    """

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    scans, _, rows, columns = inputs.shape
    if uniform(0, 1, 1) < 0.5:
        inputs, regions = inputs.flip(-1), regions.flip(-1)
        regions = torch.tensor([*(REGIONS.index(MIRRORED[name]) for name in REGIONS), UNLABELLED])[regions]
    angle = uniform(-0.06, 0.06, scans)
    along, across = uniform(0.92, 1.09, scans), uniform(0.92, 1.09, scans)
    # Normalised coordinates: a turn in centimetres mixes axes whose lengths differ.
    aspect = (rows * GRID.row_spacing_cm) / (columns * GRID.column_spacing_cm)
    turn = torch.zeros(scans, 2, 3)
    turn[:, 0, 0], turn[:, 0, 1] = across * angle.cos(), -aspect * angle.sin()
    turn[:, 1, 0], turn[:, 1, 1] = angle.sin() / aspect, along * angle.cos()
    turn[:, :, 2] = uniform(-0.1, 0.1, scans, 2)
    where = functional.affine_grid(turn, [scans, 1, rows, columns], align_corners=False)
    inputs = functional.grid_sample(inputs, where, align_corners=False)
    labelled = (regions[:, None] + 1).float()
    regions = functional.grid_sample(labelled, where, mode="nearest", align_corners=False)[:, 0].long() - 1
    body = inputs[:, :1] > 0.01
    if uniform(0, 1, 1) < 0.35:  # generated images are smooth
        width = 3 if uniform(0, 1, 1) < 0.7 else 5
        inputs = functional.avg_pool2d(inputs, width, 1, padding=width // 2, count_include_pad=False)
    inputs = inputs * uniform(0.94, 1.06, scans, 1, 1, 1)
    strength = torch.tensor([0.01, 0.15])[None, :, None, None] * uniform(0, 1, scans, 1, 1, 1) ** 2
    inputs = inputs + body * strength * torch.randn(inputs.shape, generator=generator)
    if uniform(0, 1, 1) < 0.2:  # what looks like fat may be wrong altogether
        wrong = uniform(-0.5, 0.5, scans, 1, 1) * (uniform(0, 1, 1) < 0.5)
        inputs[:, 1] = uniform(0, 1, scans, 1, 1) * inputs[:, 1] + body[:, 0] * wrong
    return inputs, regions


def train(count: int, epochs: int) -> RegionNetwork:
    """Train on simulated subjects."""
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    found = list(examples("regions", count))
    inputs = pad_to_network(network_inputs(np.stack([one.soft_tissue_g_cm2 for one in found])))
    regions = torch.from_numpy(np.stack([one.regions for one in found]).astype(np.int64))
    regions = pad_to_network(regions, UNLABELLED)
    network = RegionNetwork().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    steps = epochs * math.ceil(count / BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=WARM_UP)
    for epoch in range(1, epochs + 1):
        losses = []
        for chosen in torch.randperm(count, generator=generator).split(BATCH):
            batch, truth = disturbed(inputs[chosen], regions[chosen], generator)
            scores = network(batch.contiguous(memory_format=torch.channels_last))
            loss = functional.cross_entropy(scores, truth, ignore_index=UNLABELLED)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch} of {epochs}: loss {sum(losses) / len(losses):.4f}", flush=True)
    return network.eval().requires_grad_(False)


def write_weights(network: RegionNetwork, path: Path) -> None:
    """Write the weights in half precision."""
    buffer = io.BytesIO()
    weights = {
        name: values.contiguous().numpy().astype(np.float16)
        for name, values in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    np.savez_compressed(buffer, **weights)
    write_atomically(path, buffer.getvalue())


def overlaps(network: RegionNetwork, count: int) -> npt.NDArray[np.float64]:
    """Intersection over union with the rig's regions, shape (subjects, 6)."""
    result = []
    for example in examples("regions_check", count):
        regions = divide(example.soft_tissue_g_cm2, example.body, network=network)
        result.append(region_overlaps(regions, example.regions))
    return np.array(result)


def main() -> int:
    """Train, write and check."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", type=Path, help=f"usually registry/dxa/bodycomp/{DATA_FILE}")
    parser.add_argument("--check", action="store_true", help="only measure the file as it is")
    parser.add_argument("--subjects", type=int, default=SUBJECTS)
    parser.add_argument("--checked", type=int, default=CHECKED)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    arguments = parser.parse_args()
    if not arguments.check:
        write_weights(train(arguments.subjects, arguments.epochs), arguments.output)
    found = overlaps(read_region_network(io.BytesIO(arguments.output.read_bytes())), arguments.checked)
    medians = np.median(found, axis=0)
    for name, median, least in zip(REGIONS, medians, found.min(axis=0), strict=True):
        print(f"{name:10} median overlap {median:.3f}, least {least:.3f}")
    return int(medians.min() < LEAST_MEDIAN_OVERLAP)


if __name__ == "__main__":
    sys.exit(main())
