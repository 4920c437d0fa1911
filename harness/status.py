"""How far a run is, from its folder alone: also from another shell, while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from harness.door import read_sign_of_life
from harness.journal import History, owner, read_journal
from harness.outlook import Outlook, look_ahead
from harness.request import read_request
from harness.results import RunFolder
from registry.contracts import InputError

Activity = Literal["running", "finished", "interrupted", "killed"]


@dataclass(frozen=True)
class Running:
    """A trial that was handed out and has not come back.

    Parameters
    ----------
    latest
        Its latest sign of life: step, steps and values; `None` before the first, or where it runs on a node
        that shares no folder with this one.
    """

    key: str
    label: str
    draw: int | None
    started: str
    latest: dict[str, Any] | None


@dataclass(frozen=True)
class Failed:
    """A trial that failed when it last ended."""

    key: str
    label: str
    error: str


@dataclass(frozen=True)
class RunStatus:
    """How far a run is.

    Parameters
    ----------
    process
        Who runs it, in words; `None` where nobody does.
    began
        When the latest execution started (UTC).
    retried
        How often a trial was handed out again after a lost worker or exhausted memory.
    """

    run: str
    suite: str
    command: str
    activity: Activity
    process: str | None
    began: str
    outlook: Outlook
    running: list[Running]
    failed: list[Failed]
    retried: int

    @property
    def complete(self) -> bool:
        """Whether every trial is done."""
        counts = self.outlook.counts
        return not self.failed and all(
            not count for state, count in counts.items() if state not in ("done", "cached")
        )

    @property
    def seconds(self) -> float:
        """How long ago the latest execution started."""
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(self.began)).total_seconds())


def run_status(folder: Path) -> RunStatus:
    """Read how far a run is; writes nothing.

    Raises
    ------
    InputError
        If `folder` is no run folder.
    """
    request = read_request(folder)
    run = RunFolder(folder)
    process = owner(folder)
    history = read_journal(run.journal)
    latest = latest_execution(history)
    if not latest:
        raise InputError(f"{run.journal} tells of no execution", mend=f"run `{request.command}`")
    labels = trial_labels(history)
    return RunStatus(
        run=str(folder),
        suite=request.suite.name,
        command=request.command,
        activity=_activity(latest, process),
        process=process,
        began=latest[0]["time"],
        outlook=look_ahead(request),
        running=_running(latest, run) if process else [],
        failed=[Failed(key, labels.get(key, key), error) for key, error in history.last_failures().items()],
        retried=sum(1 for _ in history.of("retried")),
    )


def latest_execution(history: History) -> list[dict[str, Any]]:
    """The events since the latest `began`, that event first; empty if there is none."""
    begins = [index for index, event in enumerate(history.events) if event["event"] == "began"]
    return history.events[begins[-1] :] if begins else []


def trial_labels(history: History) -> dict[str, str]:
    """Key to label, with the draw, of every trial that was ever handed out."""
    return {event["key"]: _label(event) for event in history.of("started")}


def _label(event: dict[str, Any]) -> str:
    draw = f" draw {event['draw']}" if event["label"].startswith("tune") else ""
    return f"{event['label']}{draw}"


def _activity(latest: list[dict[str, Any]], process: str | None) -> Activity:
    if process is not None:
        return "running"
    last = latest[-1]["event"]
    return "finished" if last == "ended" else "interrupted" if last == "interrupted" else "killed"


def _running(latest: list[dict[str, Any]], run: RunFolder) -> list[Running]:
    started = {event["key"]: event for event in latest if event["event"] == "started"}
    over = {event["key"] for event in latest if event["event"] in ("finished", "failed")}
    return [
        Running(
            key,
            event["label"],
            event["draw"],
            event["time"],
            read_sign_of_life(run.scratch / f"{key}.json"),
        )
        for key, event in started.items()
        if key not in over
    ]
