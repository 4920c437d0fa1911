"""The exchange between the driver's thread and the Tuner's: trials go in, outcomes come out."""

from __future__ import annotations

import math
import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

#: How long the Tuner's loop waits for the driver when it has nothing else to do.
IDLE_SECONDS = 0.5


class Feed:
    """Thread-safe, and never pickled: the searcher finds it by number in this process.

    Parameters
    ----------
    slots
        How many trials that are given so much fit at once where nothing runs. Ray reuses its worker processes
        for trials of the same resources, but one that finishes a short trial takes the pending trial that
        another process was starting for, and cancels that start: the pool would never grow. So warm-up trials
        come before the first trials of each shape and wait until all of them run: every process exists.
    trials
        How many trials there are at most; no more warm-up trials come before the first shape.
    group
        Under which name warm-up trials sign in, with the number of their shape.
    tracked
        Whether curves are wanted as results of their own.

    Attributes
    ----------
    ended
        (key, outcome) of each trial that is over; an exception if the Tuner ended by itself.
    """

    _feeds: dict[int, Feed] = {}  # noqa: RUF012 - shared on purpose

    def __init__(
        self, *, slots: Callable[[Mapping[str, float]], int], trials: int, group: str, tracked: bool = False
    ) -> None:
        self.ended: queue.Queue[tuple[str, dict[str, Any]] | BaseException] = queue.Queue()
        self.number = len(self._feeds)
        self._feeds[self.number] = self
        self._condition = threading.Condition()
        self._waiting: deque[tuple[str, str, dict[str, float]]] = deque()
        self._running: dict[str, tuple[str | None, dict[str, float]]] = {}
        self._closed = False
        self._slots = slots
        self._trials = trials
        self._warm: list[dict[str, float]] = []
        self._warm_up: dict[str, Any] = {}
        self._warm_up_left = 0
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
            key, payload, resources = self._waiting[0]
            if not self._warm_up_left and resources not in self._warm:
                self._begin_warm_up(resources)
            if self._warm_up_left:
                self._warm_up_left -= 1
                self._running[trial_id] = (None, self._warm_up["resources"])
                return {**self._warm_up, "name": trial_id}
            self._waiting.popleft()
            self._running[trial_id] = (key, resources)
            return {"payload": payload, "resources": resources, "tracked": self._tracked}

    def _begin_warm_up(self, resources: dict[str, float]) -> None:
        """Warm-up trials of this shape, as many as fit beside what runs; later, if that is fewer than two.

        Before the first shape nothing runs, and the others of its kind may still be on their way here.
        """
        alike = sum(waiting == resources for _, _, waiting in self._waiting) if self._warm else self._trials
        taken = sum(_places(running, resources) for _, running in self._running.values())
        count = min(self._slots(resources) - taken, alike)
        if count < 2 and self._warm:
            return
        group = f"{self._group}-{len(self._warm)}"
        self._warm.append(resources)
        self._warm_up = {"warm_up": count, "group": group, "resources": resources}
        self._warm_up_left = count if count > 1 else 0

    def give_back(self, trial_id: str, outcome: dict[str, Any]) -> None:
        """Called by the Tuner: `trial_id` is over."""
        with self._condition:
            key, _ = self._running.pop(trial_id, (None, {}))
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


def _places(running: Mapping[str, float], shape: Mapping[str, float]) -> int:
    """How many trials of this shape one that runs keeps from running, at most and on whatever node."""
    return math.ceil(max((running.get(name, 0) / amount for name, amount in shape.items()), default=0) - 1e-9)
