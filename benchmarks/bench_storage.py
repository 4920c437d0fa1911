"""Batches from a packed split against one `.npy` per scan: throughput, and memory of a process of its own.

Scans are cheap repeats of a few, which neither way of storage can notice. 16,002 scans, the size of the
original cohort, take 3.1 GB for each side: ``pytest benchmarks/bench_storage.py -m slow`` runs them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.dxa.cohort.packing import write_npy
from registry.dxa.imaging.channels import CHANNELS
from registry.dxa.imaging.geometry import GRID

BATCH, BATCHES = 8, 60
SIZES = [500, pytest.param(16_002, marks=pytest.mark.slow)]

# Reads random batches and prints seconds and kilobytes: peak of anonymous memory (the process's own; mapped
# pages belong to the file and can be dropped at any time) and of everything resident.
READER = """
import json, sys, time
from pathlib import Path
import numpy as np

side, folder, scans, batch, batches = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:])
order = np.random.default_rng(0).integers(0, scans, (batches, batch))

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

before, peak = status("RssAnon"), 0
start = time.perf_counter()
if side == "single":
    path = str(folder / "single" / "{:05d}.npy")
    read = lambda index: np.load(path.format(index), allow_pickle=False).astype(np.float32)
else:
    whole = np.load(folder / "scans.npy", mmap_mode="r", allow_pickle=False)
    read = lambda index: np.asarray(whole[index], np.float32)
if side == "training":  # what a training keeps of its scans, reduced
    from types import SimpleNamespace
    from registry.dxa.training.scans import load_scans
    reduced = load_scans(SimpleNamespace(scans=whole, scan_ids=range(scans)), 2)
    start, read = time.perf_counter(), lambda index: reduced[index]
for indices in order:
    values = np.stack([read(index) for index in indices])
    peak = max(peak, status("RssAnon"))
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "anonymous_kb": peak - before, "resident_kb": status("VmHWM")}))
"""


@pytest.fixture(scope="module", params=SIZES)
def stored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, int]]:
    scans: int = request.param
    folder = tmp_path_factory.mktemp(f"stored-{scans}")
    some = np.random.default_rng(0).integers(200, 9000, (16, *GRID.shape, len(CHANNELS)), dtype=np.uint16)
    write_npy(folder / "scans.npy", (some[n % 16][None] for n in range(scans)), scans)
    (folder / "single").mkdir()
    for number in range(scans):
        np.save(folder / "single" / f"{number:05d}.npy", some[number % 16])
    yield folder, scans
    shutil.rmtree(folder)


def _reader(side: str, folder: Path, scans: int) -> Callable[[], dict[str, float]]:
    arguments = [side, str(folder), str(scans), str(BATCH), str(BATCHES)]

    def read() -> dict[str, float]:
        done = subprocess.run(  # noqa: S603 - our own text
            [sys.executable, "-c", READER, *arguments], capture_output=True, text=True, check=True
        )
        found: dict[str, float] = json.loads(done.stdout)
        return found

    return read


@pytest.mark.parametrize("side", ["packed", "single", "training"])
def test_batches(benchmark: Any, stored: tuple[Path, int], side: str) -> None:
    folder, scans = stored
    read = _reader(side, folder, scans)
    if side != "training":
        read()  # the first pass reads from the disk
    found = benchmark.pedantic(read, rounds=1 if side == "training" else 3, iterations=1)
    benchmark.extra_info |= {
        "scans_per_second": round(BATCH * BATCHES / found["seconds"]),
        "anonymous_mb": round(found["anonymous_kb"] / 1024, 1),
        "resident_mb": round(found["resident_kb"] / 1024, 1),
    }
    # Batches need a few megabytes of their own; a training keeps small cohorts in memory, never large ones.
    assert found["anonymous_kb"] < (64 if side != "training" else 600) * 1024
