"""Find a trial of a run by what a person knows of it, and what is known of its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.journal import read_journal
from harness.request import read_request
from harness.results import RunFolder
from harness.status import trial_labels
from registry.contracts import InputError

#: How many candidates an error lists.
CANDIDATES = 8


@dataclass(frozen=True)
class TrialLog:
    """What is kept of one trial's words.

    Parameters
    ----------
    state
        `done`, `failed`, or `not over`.
    error, traceback
        Of its last failure.
    path
        The file with what it printed; `None` where there is none.
    """

    key: str
    label: str
    state: str
    error: str | None
    traceback: str | None
    path: Path | None


def all_logs(folder: Path) -> list[TrialLog]:
    """Every trial of a run that was ever handed out, in that order.

    Raises
    ------
    InputError
        If `folder` is no run folder.
    """
    read_request(folder)
    run = RunFolder(folder)
    history = read_journal(run.journal)
    failures, finished = history.last_failures(), run.finished_keys()
    tracebacks = {event["key"]: event.get("traceback") for event in history.of("failed")}
    return [
        TrialLog(
            key,
            label,
            "failed" if key in failures else "done" if key in finished else "not over",
            failures.get(key),
            tracebacks.get(key) if key in failures else None,
            path if (path := run.log(key)).is_file() else None,
        )
        for key, label in trial_labels(history).items()
    ]


def find_log(folder: Path, trial: str) -> TrialLog:
    """The one trial whose key begins with `trial`, or whose label has it.

    Raises
    ------
    InputError
        If there is none, or more than one; lists them.
    """
    logs = all_logs(folder)
    found = [log for log in logs if log.label == trial] or [
        log for log in logs if log.key.startswith(trial) or trial in log.label
    ]
    if len(found) == 1:
        return found[0]
    listed = "".join(f"\n  {log.key[:8]}  {log.label}" for log in (found or logs)[:CANDIDATES])
    more = max(0, len(found or logs) - CANDIDATES)
    listed += f"\n  and {more} more" if more else ""
    what = f"{len(found)} trials match {trial!r}" if found else f"no trial matches {trial!r}"
    raise InputError(f"{what} in {folder}", mend=f"give the beginning of a key or more of a label:{listed}")
