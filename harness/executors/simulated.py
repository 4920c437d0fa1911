"""Recorded or declared durations on a virtual clock: scheduling, resume and failures in milliseconds."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.executors.base import Event
from harness.resources import TrialResources
from harness.retries import Room

Payload = Mapping[str, Any]


class SimulatedExecutor:
    """Pretends to run trials on `slots` workers.

    Parameters
    ----------
    seconds
        How long a trial takes.
    outcome
        What it returns.
    slots
        How many run at once.
    room
        The most that one trial may ask for.

    Attributes
    ----------
    clock
        Virtual seconds since the start.
    busy_seconds
        Sum of all durations that have ended.
    log
        (start, end, key) of every trial that has ended.
    """

    def __init__(
        self,
        seconds: Callable[[Payload], float],
        outcome: Callable[[Payload], Mapping[str, Any]],
        slots: int = 2,
        room: Room | None = None,
    ) -> None:
        self.capacity = self.slots = slots
        self.room = room or Room()
        self.clock = 0.0
        self.busy_seconds = 0.0
        self.log: list[tuple[float, float, str]] = []
        self._seconds = seconds
        self._outcome = outcome
        self._queue: deque[Payload] = deque()
        self._running: list[tuple[float, int, float, Payload]] = []
        self._count = 0

    @property
    def utilisation(self) -> float:
        """Busy share of all slots from the first start to the last end."""
        return self.busy_seconds / (self.clock * self.capacity) if self.clock else 1.0

    def start(self, trials: int, shapes: Sequence[TrialResources] = ()) -> None:
        """Nothing to get ready."""

    def submit(self, payload: Payload) -> None:
        """Start a trial on a free slot, or queue it."""
        self._queue.append(payload)
        self._fill()

    def next_event(self, timeout_seconds: float) -> Event | None:
        """Advance the clock to the next end."""
        if not self._running:
            return None
        self.clock, _, started, payload = heapq.heappop(self._running)
        self.busy_seconds += self.clock - started
        self.log.append((started, self.clock, payload["key"]))
        self._fill()
        return Event(payload["key"], self._outcome(payload))

    def stop(self) -> None:
        """Forget everything that runs or waits."""
        self._queue.clear()
        self._running.clear()

    def _fill(self) -> None:
        while self._queue and len(self._running) < self.capacity:
            payload = self._queue.popleft()
            self._count += 1
            end = self.clock + self._seconds(payload)
            heapq.heappush(self._running, (end, self._count, self.clock, payload))
