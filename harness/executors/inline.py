"""One trial after another in this process: for debugging with a breakpoint, and for tests."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from harness.executors.base import Event
from harness.remote import execute_remotely
from harness.resources import TrialResources
from harness.retries import Room
from harness.trial import execute


class InlineExecutor:
    """Runs each trial when its event is asked for."""

    capacity = slots = 1
    room = Room()  # one process: nothing is set aside, so nothing larger can be given

    def __init__(self) -> None:
        self._queue: deque[Mapping[str, Any]] = deque()

    def start(self, trials: int, shapes: Sequence[TrialResources] = ()) -> None:
        """Nothing to get ready."""

    def submit(self, payload: Mapping[str, Any]) -> None:
        """Queue a trial."""
        self._queue.append(payload)

    def next_event(self, timeout_seconds: float) -> Event | None:
        """Run the oldest queued trial to its end, however long that takes."""
        if not self._queue:
            return None
        payload = self._queue.popleft()
        outcome = execute_remotely(payload) if "storage" in payload else execute(payload)
        return Event(payload["key"], outcome)

    def stop(self) -> None:
        """Forget what is queued."""
        self._queue.clear()
