"""A run with a million result rows to its page, against a plain pandas pass over the same rows.

The reference reads the rows and computes r2 per trial and measure, without any interval, test or page. Times,
the ratio and the peak memory of a process of its own are kept with the benchmark (`extra_info`); the budget
for reading, computing and writing is 10 s and 2 GB.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.million import write_million

SHAPES = {
    "many trials": {"patients": 111, "arms": 6, "seeds": 50},
    "many patients": {"patients": 5_600, "arms": 3, "seeds": 2},
}

CHILD = """
import resource, sys, time
from pathlib import Path
started = time.perf_counter()
import reports
reports.build_report(Path(sys.argv[1]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(time.perf_counter() - started, time.process_time(), peak / 1e6)
"""


def build(folder: Path) -> tuple[float, float, float]:
    """Seconds (imports too), processor seconds and peak GB of a process that writes the report."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(  # noqa: S603  this Python
        [sys.executable, "-c", CHILD, str(folder)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    seconds, processor, gigabytes = map(float, done.stdout.split())
    return seconds, processor, gigabytes


def plain(folder: Path) -> pd.Series:
    """r2 of every trial and measure, as one would write it down first."""
    rows = pd.read_parquet(folder / "results" / "predictions.parquet")

    def r2(one: pd.DataFrame) -> float:
        error = ((one["prediction"] - one["target"]) ** 2).sum()
        return float(1 - error / ((one["target"] - one["target"].mean()) ** 2).sum())

    return rows.groupby(["key", "measure"])[["target", "prediction"]].apply(r2)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_million_rows(benchmark: Any, tmp_path: Path, shape: str) -> None:
    folder = write_million(tmp_path / "run", **SHAPES[shape])
    started = time.perf_counter()
    plain(folder)
    reference = time.perf_counter() - started
    seconds, processor, gigabytes = benchmark.pedantic(build, (folder,), rounds=1)
    benchmark.extra_info |= {
        "seconds": seconds,
        "processor_seconds": processor,
        "gigabytes": gigabytes,
        "ratio_to_plain_pass": seconds / reference,
    }
    assert (folder / "report.html").stat().st_size < 8_000_000
