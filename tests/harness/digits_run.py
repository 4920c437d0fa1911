"""Runs of the digits domain, for tests of the engine."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import polars as pl

from harness.cli import main
from harness.executors.inline import InlineExecutor
from harness.progress import SilentDisplay
from harness.request import Request
from harness.run import Finished, run_suite
from harness.suite import load_suite, parse_suite

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "tests" / "domains" / "digits.py"
SUITE = ROOT / "tests" / "domains" / "digits.toml"


def digits_request(
    folder: Path, *, plugins: tuple[Path, ...] = (), output: str = "run", **tables: Any
) -> Request:
    """A small request; `tables` replace tables of the suite."""
    table = load_suite(str(SUITE)).as_table()
    suite = parse_suite(
        {**table, "budget": {"draws": 2}, "cohort": {"patients": 20}, **tables}, source="test"
    )
    return Request(
        suite=suite,
        plugins=tuple(str(path) for path in (PLUGIN, *plugins)),
        output=folder / output,
        cache=folder / "cache",
    )


def run_inline(request: Request) -> Finished:
    return run_suite(request, InlineExecutor(), SilentDisplay())


def tables(run: Path) -> dict[str, pl.DataFrame]:
    return {path.stem: pl.read_parquet(path) for path in sorted((run / "results").glob("*.parquet"))}


def numbers(run: Path) -> dict[str, pl.DataFrame]:
    """The tables without what differs between two equal runs: times, memory, where weights came from."""
    found = tables(run)
    volatile = ["started", "finished", "wall_seconds", "cpu_seconds", "peak_memory_bytes", "cached"]
    found["trials"] = found["trials"].drop(volatile)
    found["search"] = found["search"].drop("seconds")
    return {name: frame.sort(frame.columns[0], maintain_order=True) for name, frame in found.items()}


def journal(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]


def environment(**variables: str) -> Mapping[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "160", **variables}


def command(folder: Path, *arguments: str, suite: str = str(SUITE), executor: str = "inline") -> list[str]:
    """`harness run-all` on digits."""
    return [
        *(sys.executable, "-m", "harness", "run-all", "--suite", suite, "--plugin", str(PLUGIN)),
        *("--output", str(folder / "run"), "--cache", str(folder / "cache"), "--no-report"),
        *("--executor", executor, *arguments),
    ]


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in this process, as if it were one of its own."""
    handler = signal.getsignal(signal.SIGTERM)
    output, errors, status = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(output), redirect_stderr(errors):
        try:
            main(list(arguments))
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            signal.signal(signal.SIGTERM, handler)
    return subprocess.CompletedProcess(list(arguments), status, output.getvalue(), errors.getvalue())
