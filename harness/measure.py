"""What a trial costs, and the state of a process that must be the same for every trial it runs."""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np


@dataclass
class Cost:
    """Seconds and bytes of one trial; filled in when the block under `measured` ends, however it ends."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0


@contextlib.contextmanager
def measured(cost: Cost) -> Iterator[None]:
    """Measure the block: wall and processor time, and the largest resident memory within it."""
    _reset_peak_memory()
    wall, cpu = time.perf_counter(), _cpu_seconds()
    try:
        yield
    finally:
        cost.wall_seconds = time.perf_counter() - wall
        cost.cpu_seconds = _cpu_seconds() - cpu
        cost.peak_memory_bytes = _peak_memory_bytes()


@contextlib.contextmanager
def prepared_process(*, seed: int, threads: int, libraries: Sequence[str]) -> Iterator[None]:
    """Seed every generator, bound the threads and ask for determinism; free accelerator memory afterwards.

    A process runs many trials: whatever one left behind must not reach the next.

    Parameters
    ----------
    libraries
        Modules whose state has to be set before a trial imports them itself (`torch`).
    """
    for name in libraries:
        importlib.import_module(name)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for code that still draws from the global generator
    with _limited_threads(threads):
        torch = sys.modules.get("torch")
        if torch is not None:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.manual_seed(seed)
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(True, warn_only=True)
            torch.backends.cudnn.benchmark = False
        yield
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


@contextlib.contextmanager
def _limited_threads(threads: int) -> Iterator[None]:
    """Bound the pools of the linear algebra libraries, where the package that can do so is there."""
    try:
        threadpoolctl = importlib.import_module("threadpoolctl")
    except ImportError:
        yield
        return
    with threadpoolctl.threadpool_limits(threads):
        yield


def _cpu_seconds() -> float:
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _reset_peak_memory() -> None:
    """Start the kernel's high-water mark anew; without it (not Linux) the mark is the process's."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory_bytes() -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@lru_cache(maxsize=1)
def processor_name() -> str:
    """What the machine calls its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
