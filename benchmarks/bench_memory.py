"""Pretraining on 500 and on 16,002 scans: memory of a process of its own, and throughput.

The library's own entry trains for some steps, with a validation split of a tenth of the scans; what differs
is how many scans there are and how they are kept: packed, or one ``.npy`` each. Scans are repeats of a few.
16,002 scans, the size of the original cohort, take 3.4 GB for each side:
``pytest benchmarks/bench_memory.py -m "" --benchmark-only`` runs them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest

from registry.dxa.cohort.packing import write_npy
from tests.registry.dxa.stand_in import StandInSplit

STEPS = 24
SIZES = [500, pytest.param(16_002, marks=pytest.mark.slow)]
# Whatever the number of scans. Scans of a split, and what is made of them, stay in memory up to 512 MB each.
LARGEST_MB = {"load": 600, "train": 600, "validate": 1200}

# Trains and prints what it took: megabytes of anonymous memory (the process's own; mapped pages belong to
# files and can be dropped at any time) at its peak, in three phases, and the seconds of each.
TRAINING = """
import json, sys, threading, time
from dataclasses import dataclass, field
from pathlib import Path
import numpy as np

side, folder, steps = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])

def anonymous_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

class Files:
    # One .npy per scan, read when it is asked for.
    def __init__(self, folder):
        self.paths = sorted(folder.glob("*.npy"))
        first = np.load(self.paths[0], mmap_mode="r")
        self.ndim, self.shape, self.dtype = 4, (len(self.paths), *first.shape), first.dtype
    def __len__(self):
        return len(self.paths)
    def __iter__(self):
        return (np.load(path, allow_pickle=False) for path in self.paths)

@dataclass
class Single:
    scans: Files
    simulated: bool = True
    calibration: None = None
    scan_ids: range = range(0)

def open_split(part, split):
    place = folder / part / split
    return Single(Files(place / "single")) if side == "single" else Split(place, part, split, True)

from registry.contracts import TrialContext
from registry.dxa.strategies import start as beginning
from registry.dxa.cohort.store import Split
from registry.dxa.settings import DxaSettings
from registry.dxa.strategies.vae import NoDxaVae
from registry.dxa.training.autoencoder import train_autoencoder

peaks, marks, phase, running = {}, [], "load", True

def watch():
    while running:
        peaks[phase] = max(peaks.get(phase, 0.0), anonymous_mb())
        time.sleep(0.01)

def report(step, total, **values):
    global phase
    marks.append(time.perf_counter())
    phase = "validate" if step == total else "train"

load, seconds = beginning.load_scans, []

def timed(*arguments):
    begin = time.perf_counter()
    scans = load(*arguments)
    seconds.append(time.perf_counter() - begin)
    return scans

beginning.load_scans = timed
strategy = NoDxaVae()
context = TrialContext(
    hyperparameters=strategy.space.defaults(), factors=dict(strategy.card.factors),
    settings=DxaSettings(pretraining_steps=steps).model_dump(), seed=0, device="cpu", precision="float32",
    threads=1, open_split=open_split, report=report, scratch=folder / "scratch",
)
(folder / "scratch").mkdir(exist_ok=True)
watcher = threading.Thread(target=watch)
before = anonymous_mb()
watcher.start()
artifact = train_autoencoder(context)
end, running = time.perf_counter(), False
watcher.join()
print(json.dumps({
    "start_mb": before, "peak_mb": peaks, "load_seconds": seconds[0],
    "step_seconds": (marks[-1] - marks[0]) / (len(marks) - 1), "validate_seconds": end - marks[-1],
    "psnr_db": artifact.validation["psnr_db"],
}))
"""


@pytest.fixture(scope="module", params=SIZES)
def stored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, int]]:
    scans: int = request.param
    folder = tmp_path_factory.mktemp(f"trained-{scans}")
    some = StandInSplit("some", 16, seed=0).scans
    for split, count in (("train", scans), ("validation", scans // 10)):
        place = folder / "pretraining" / split
        (place / "single").mkdir(parents=True)
        write_npy(place / "scans.npy", (some[n % 16][None] for n in range(count)), count)
        for number in range(count):
            np.save(place / "single" / f"{number:05d}.npy", some[number % 16])
        names = [f"{split}-{number}" for number in range(count)]
        polars.DataFrame({"patient": names, "scan_id": names}).write_parquet(place / "subjects.parquet")
    yield folder, scans
    shutil.rmtree(folder)


@pytest.mark.parametrize("side", ["packed", "single"])
def test_memory_of_a_pretraining(benchmark: Any, stored: tuple[Path, int], side: str) -> None:
    folder, scans = stored

    def train() -> dict[str, Any]:
        done = subprocess.run(  # noqa: S603 - our own text
            [sys.executable, "-c", TRAINING, side, str(folder), str(STEPS)],
            capture_output=True,
            text=True,
            check=True,
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    found = benchmark.pedantic(train, rounds=1, iterations=1)
    taken = {phase: round(peak - found["start_mb"]) for phase, peak in found["peak_mb"].items()}
    benchmark.extra_info |= {
        **{f"{phase}_mb": megabytes for phase, megabytes in taken.items()},
        "loaded_scans_per_second": round(scans / found["load_seconds"]),
        "trained_scans_per_second": round(8 / found["step_seconds"], 1),
        "validated_scans_per_second": round(scans / 10 / found["validate_seconds"]),
    }
    assert all(taken[phase] < most for phase, most in LARGEST_MB.items()), taken
