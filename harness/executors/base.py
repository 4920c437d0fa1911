"""The seam between what to run and where: submit a payload, wait for the next event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.resources import TrialResources
from harness.retries import Room
from registry.contracts import InputError


class WorkersUnavailableError(InputError):
    """The executor cannot start or has lost its workers for good."""


@dataclass(frozen=True)
class Event:
    """The end of one trial.

    Parameters
    ----------
    outcome
        What `harness.trial.execute` returned; a worker that was lost gives `status` `lost` (or
        `out_of_memory` where that is known to be why) and `error`.
    """

    key: str
    outcome: Mapping[str, Any]


class Executor(Protocol):
    """Runs trials; knows nothing of plans, selection or dependencies."""

    @property
    def capacity(self) -> int:
        """How many trials may be submitted and not yet over at one time."""

    @property
    def slots(self) -> int:
        """How many trials run at once; known once started."""

    @property
    def room(self) -> Room:
        """The most that one trial may ask for; known once started."""

    def start(self, trials: int, shapes: Sequence[TrialResources] = ()) -> None:
        """Get ready to run about `trials` trials of these shapes; called once, before the first `submit`."""

    def submit(self, payload: Mapping[str, Any]) -> None:
        """Run a trial as soon as there is room."""

    def next_event(self, timeout_seconds: float) -> Event | None:
        """Wait for the next trial to end; `None` if none did in time."""

    def stop(self) -> None:
        """Give everything back; running trials are abandoned."""
