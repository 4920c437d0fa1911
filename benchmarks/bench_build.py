"""A cohort of 2,000 subjects on two cores: seconds, and the same bytes after a kill with other workers.

``make benchmark-cohort`` runs it; it takes some minutes and 1 GB of disk.
"""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registry.dxa.cohort.build import build_cohort
from registry.dxa.cohort.specification import CohortSpecification

SUBJECTS = 2_000
LONGEST_SECONDS = 300.0
TABLE = {
    "seed": 20,
    "second_visit_share": 0.0,
    "pretraining": {"scans": SUBJECTS // 2},
    "paired": {"scans": SUBJECTS // 2},
}
BUILD = """
import sys
from pathlib import Path
from benchmarks.bench_build import TABLE
from registry.dxa.cohort.build import build_cohort
from registry.dxa.cohort.specification import CohortSpecification

if __name__ == "__main__":
    build_cohort(CohortSpecification.read(TABLE, "benchmark"), Path(sys.argv[1]), workers=int(sys.argv[2]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path)


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as stream:
            found[str(path.relative_to(folder))] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def _processor_seconds() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in usage)


def _killed_half_way(target: Path, chunks: int) -> int:
    """Build with one worker, kill it without warning when half is done, and say how many chunks stayed."""
    arguments = [sys.executable, "-c", BUILD, str(target), "1"]
    with subprocess.Popen(arguments, start_new_session=True) as process:  # noqa: S603 - our own text
        finished = target.with_name(f"{target.name}.partial") / "chunks"
        while len(list(finished.glob("*.npz"))) < chunks // 2:
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    return len(list(finished.glob("*.npz")))


@pytest.mark.slow
def test_two_thousand_subjects(benchmark: Any, folder: Path) -> None:
    specification = CohortSpecification.read(TABLE, "benchmark")
    steps: list[tuple[int, int, str]] = []
    before = _processor_seconds()
    benchmark.pedantic(
        lambda: build_cohort(
            specification, folder / "once", workers=2, progress=lambda *step: steps.append(step)
        ),
        rounds=1,
        iterations=1,
    )
    expected = _digests(folder / "once")
    assert (steps[0][0], steps[-1][:2]) == (0, (SUBJECTS, SUBJECTS))
    assert [done for done, *_ in steps] == sorted(done for done, *_ in steps)
    benchmark.extra_info |= {
        "processor_seconds": round(_processor_seconds() - before, 1),
        "load_of_the_machine": os.getloadavg()[0],
        "progress_reports": len(steps),
        "megabytes": round(sum(path.stat().st_size for path in folder.rglob("*.npy")) / 1e6),
    }
    shutil.rmtree(folder / "once")
    benchmark.extra_info["chunks_kept"] = _killed_half_way(folder / "again", SUBJECTS // 8)
    resumed = time.perf_counter()
    build_cohort(specification, folder / "again", workers=3)
    benchmark.extra_info["resumed_seconds"] = round(time.perf_counter() - resumed, 1)
    assert _digests(folder / "again") == expected
    assert benchmark.stats.stats.max < LONGEST_SECONDS
