"""The process in which a checked strategy or task works: a worker's, and watched.

`python -m harness.conformance.worker REQUEST ANSWER` reads payloads of trials, executes them as every
worker does, and writes the outcomes with what it saw. It sees every file that Python opens, and every
attempt to open a closed split; files opened by compiled libraries are out of its sight, so the test files
are not there either.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from harness.door import CLOSED_SPLIT_EVENT, ProgressLog
from harness.trial import execute
from registry.contracts.domain import is_test_file

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
_SYSTEM_FOLDERS = (Path("/dev"), Path("/proc"), Path("/sys"))


class Watch:
    """An audit hook that remembers what a trial should not have done.

    Parameters
    ----------
    cohort
        The folder whose test files are closed; `None` where the engine itself may open them.
    writable
        Folders in which files may be written.
    """

    def __init__(self, cohort: Path | None, writable: list[Path]) -> None:
        self.seen: dict[str, list[str]] = {"test_files": [], "closed_splits": [], "written": []}
        self._cohort = cohort
        self._writable = (*writable, *_SYSTEM_FOLDERS)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take in one audit event; never raises, so that nothing behaves otherwise than it would."""
        if event == "open" and isinstance(arguments[0], str | bytes):
            self._opened(Path(os.path.abspath(os.fsdecode(arguments[0]))), arguments[2])  # noqa: PTH100
        elif event == CLOSED_SPLIT_EVENT:
            self.seen["closed_splits"].append("{}: {}".format(*arguments))

    def _opened(self, path: Path, flags: Any) -> None:
        cohort = self._cohort
        if cohort is not None and path.is_relative_to(cohort) and is_test_file(path.relative_to(cohort)):
            self.seen["test_files"].append(str(path))
        if isinstance(flags, int) and flags & _WRITING and not self._may_write(path):
            self.seen["written"].append(str(path))

    def _may_write(self, path: Path) -> bool:
        return "__pycache__" in path.parts or any(path.is_relative_to(folder) for folder in self._writable)


class _LastReport(ProgressLog):
    """Ends the process half-way, as a lost machine would: without a chance to tidy up."""

    reports = 0

    def __call__(self, step: int, steps: int, **values: float) -> None:
        """Record, then end the process if half of the steps are done and it is not the first report."""
        super().__call__(step, steps, **values)
        self.reports += 1
        if self.reports > 1 and 2 * step >= steps:
            os.kill(os.getpid(), signal.SIGKILL)


def _run_clock_fast() -> None:
    """Let an hour pass at every look at the clock: checkpoints that are due now and then are due always."""
    hours = itertools.count()
    real = time.monotonic
    time.monotonic = lambda: real() + 3600.0 * next(hours)


def children_of(process: int) -> list[str]:
    """Command lines of the living children of a process, as far as the system shows them.

    Python's own helpers of `multiprocessing` stay until the process ends and do no work; they are left out.
    """
    found = []
    for listing in Path(f"/proc/{process}/task").glob("*/children"):
        for child in listing.read_text().split():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                if words and "multiprocessing." not in words:
                    found.append(words)
    return found


def main(request_file: Path, answer_file: Path) -> None:
    """Execute the payloads of the request and write the answer."""
    request = json.loads(request_file.read_text())
    cohort = Path(request["closed_cohort"]) if request["closed_cohort"] else None
    watch = Watch(cohort, [Path(folder) for folder in request["writable"]])
    sys.addaudithook(watch)
    if request["interrupt"]:
        _run_clock_fast()
    log = _LastReport if request["interrupt"] else ProgressLog
    outcomes = [execute(payload, log=log) for payload in request["payloads"]]
    watch.seen["left_running"] = children_of(os.getpid())
    answer_file.write_text(json.dumps({"outcomes": outcomes, "seen": watch.seen}, default=str))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
