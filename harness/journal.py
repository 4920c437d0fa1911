"""The journal of a run: one event per line, on disk before anything else happens.

A line is appended and fsynced, never changed. A process that dies while it writes leaves at most one torn
last line, which readers ignore and the next writer cuts off. One process writes at a time: the lock is the
operating system's, so it goes with the process that held it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.files import canonical_json, storage_guard, utc_now
from registry.contracts import InputError

LOCK_NAME = "journal.lock"


@dataclass(frozen=True)
class History:
    """What a journal says.

    Parameters
    ----------
    events
        In the order they happened.
    damaged
        Numbers of lines that cannot be read (the torn last line is not among them): counted and reported,
        never fatal, because trial folders are what decides whether a trial is done.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    damaged: tuple[int, ...] = ()

    def of(self, event: str) -> Iterator[dict[str, Any]]:
        """The events of one kind."""
        return (entry for entry in self.events if entry["event"] == event)

    def last_failures(self) -> dict[str, str]:
        """Key to error of the trials that failed when they last ended."""
        failures: dict[str, str] = {}
        for entry in self.events:
            if entry["event"] == "failed":
                failures[entry["key"]] = entry["error"]
            elif entry["event"] == "finished":
                failures.pop(entry["key"], None)
        return failures


class Journal:
    """The writing end; a context manager that holds the run folder.

    Raises
    ------
    InputError
        If another live process runs in the same folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with storage_guard(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _take_lock(path.parent)
            try:
                self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
                _cut_torn_line(self._handle)
            except OSError:
                os.close(self._lock)
                raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, event: str, **values: Any) -> None:
        """Write one event and wait until it is on disk."""
        line = canonical_json({"event": event, "time": utc_now(), **values}) + "\n"
        with storage_guard(self.path):
            data = line.encode()
            start = os.fstat(self._handle).st_size
            try:
                while data:
                    data = data[os.write(self._handle, data) :]
                os.fsync(self._handle)
            except OSError:
                os.ftruncate(self._handle, start)
                raise

    def close(self) -> None:
        """Let another process have the folder."""
        if self._handle >= 0:
            os.close(self._handle)
            os.close(self._lock)
            self._handle = -1


def read_journal(path: Path) -> History:
    """Read a journal; an absent one is empty."""
    if not path.is_file():
        return History()
    *lines, _torn = path.read_bytes().split(b"\n")
    events: list[dict[str, Any]] = []
    damaged: list[int] = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if isinstance(entry, dict) and "event" in entry:
            events.append(entry)
        else:
            damaged.append(number)
    return History(events, tuple(damaged))


def check_free(folder: Path) -> None:
    """Raise `InputError` if a live process runs in `folder`; creates nothing."""
    if (folder / LOCK_NAME).exists():
        os.close(_take_lock(folder))


def owner(folder: Path) -> str | None:
    """The live process that runs in `folder`, in words; `None` if there is none."""
    try:
        check_free(folder)
    except InputError as error:
        return error.message.rpartition("in use by ")[2]
    return None


def _take_lock(folder: Path) -> int:
    handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(handle, 100, 0).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        raise InputError(
            f"run folder {folder} is in use by {owner}",
            mend="wait for it, stop it, or choose another --output",
        ) from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"process {os.getpid()} on {os.uname().nodename}".encode(), 0)
    return handle


def _cut_torn_line(handle: int) -> None:
    """Drop what follows the last line end, so that the next event starts on a line of its own."""
    size = os.fstat(handle).st_size
    keep = size
    while keep and os.pread(handle, 1, keep - 1) != b"\n":
        keep -= 1
    if keep < size:
        os.ftruncate(handle, keep)
