"""The exchange between the driver's thread and the Tuner's: trials go in, outcomes come out."""

from __future__ import annotations

import queue
import threading
from collections import deque
from typing import Any

#: How long the Tuner's loop waits for the driver when it has nothing else to do.
IDLE_SECONDS = 0.5


class Feed:
    """Thread-safe, and never pickled: the searcher finds it by number in this process.

    Parameters
    ----------
    warm_up
        How many warm-up trials come first. Ray reuses its worker processes, but one that finishes a short
        trial takes the pending trial that another process was starting for, and cancels that start: the
        pool would never grow. Warm-up trials wait until all of them run, so every process exists.
    group
        Under which name warm-up trials sign in.
    tracked
        Whether curves are wanted as results of their own.

    Attributes
    ----------
    ended
        (key, outcome) of each trial that is over; an exception if the Tuner ended by itself.
    """

    _feeds: dict[int, Feed] = {}  # noqa: RUF012 - shared on purpose

    def __init__(self, *, warm_up: int, group: str, tracked: bool = False) -> None:
        self.ended: queue.Queue[tuple[str, dict[str, Any]] | BaseException] = queue.Queue()
        self.number = len(self._feeds)
        self._feeds[self.number] = self
        self._condition = threading.Condition()
        self._waiting: deque[tuple[str, str, dict[str, float]]] = deque()
        self._running: dict[str, str | None] = {}
        self._closed = False
        self._warm_up = self._warm_up_left = warm_up
        self._group = group
        self._tracked = tracked

    @classmethod
    def numbered(cls, number: int) -> Feed:
        """The feed of this number."""
        return cls._feeds[number]

    def submit(self, key: str, payload: str, resources: dict[str, float]) -> None:
        """Called by the driver: run this trial with these resources, by the names that Ray gives them."""
        with self._condition:
            self._waiting.append((key, payload, resources))
            self._condition.notify_all()

    def take(self, trial_id: str) -> dict[str, Any] | None:
        """Called by the Tuner: the configuration to run as `trial_id`, `None` if there is none yet.

        Raises
        ------
        StopIteration
            If there will be no more.
        """
        with self._condition:
            if not (self._waiting or self._running or self._closed):
                self._condition.wait(IDLE_SECONDS)
            if self._closed:
                raise StopIteration
            if not self._waiting:
                return None
            if self._warm_up_left:
                self._warm_up_left -= 1
                self._running[trial_id] = None
                resources = self._waiting[0][2]
                warm_up = {"warm_up": self._warm_up, "group": self._group, "name": trial_id}
                return {**warm_up, "resources": resources}
            key, payload, resources = self._waiting.popleft()
            self._running[trial_id] = key
            return {"payload": payload, "resources": resources, "tracked": self._tracked}

    def give_back(self, trial_id: str, outcome: dict[str, Any]) -> None:
        """Called by the Tuner: `trial_id` is over."""
        with self._condition:
            key = self._running.pop(trial_id, None)
        if key is not None:
            self.ended.put((key, outcome))

    def close(self) -> bool:
        """Called by the driver: no more trials; returns whether nothing is running."""
        with self._condition:
            self._closed = True
            self._waiting.clear()
            self._condition.notify_all()
            self._feeds.pop(self.number, None) if not self._running else None
            return not self._running
