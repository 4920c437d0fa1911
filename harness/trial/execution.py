"""Running a trial in whatever process: its outcome is returned, never raised."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.door import ProgressLog
from harness.results import read_result
from harness.trial.attempt import Attempt, TrialLog
from harness.trial.payload import Payload
from harness.watchdog import TimeLimitReachedError, printed_to, time_limit


def execute(
    payload: Payload, *, expendable: bool = False, log: Callable[[Path], TrialLog] = ProgressLog
) -> dict[str, Any]:
    """Run one trial and write its folder.

    Parameters
    ----------
    expendable
        Whether this process is a worker's: what the trial prints goes to its log, and a trial that ignores
        its time limit takes the process with it.
    log
        Makes the log that the trial reports to, from the path of its sign of life.

    Returns
    -------
    dict
        `key`, `status` (`done`, `failed`, `out_of_memory`, or `storage` where the disk took no more), the
        trial's `row`, `test_openings`, and for failures `error` and `traceback`. An exception in a strategy
        or task is a failure of the trial, never of the worker.
    """
    attempt = Attempt(payload, log)
    if attempt.run.trial(payload["key"]).is_dir():  # a worker that outlived its driver was faster
        row = read_result(attempt.run.trial(payload["key"]))
        return {"key": payload["key"], "status": "done", "row": row, "test_openings": row["test_openings"]}
    printed, last_words = attempt.run.log(payload["key"]), attempt.run.last_words(payload["key"])
    try:
        with (
            printed_to(printed, attempt.spec.label) if expendable else contextlib.nullcontext(),
            time_limit(
                payload["resources"]["time_limit_seconds"], last_words=last_words if expendable else None
            ),
        ):
            attempt.work()
    except (Exception, SystemExit, TimeLimitReachedError) as error:
        return attempt.failure(error)
    return {
        "key": payload["key"],
        "status": "done",
        "row": attempt.row,
        "test_openings": attempt.test_openings,
    }
