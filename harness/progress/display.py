"""What the driver tells whoever watches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from harness.plan import Trial
from harness.policy import Policy


class Display(Protocol):
    """What the driver tells whoever watches."""

    def note(self, text: str) -> None:
        """Say something once."""

    def cohort(self, done: int, total: int, message: str) -> None:
        """`done` of `total` steps of making the cohort are over."""

    def begin(self, policy: Policy, scratch: Path) -> None:
        """Trials are about to run; running ones give signs of life in `scratch`."""

    def working(self, slots: int) -> None:
        """So many trials run at once from now on."""

    def ended(self, trial: Trial, status: str, row: dict[str, Any]) -> None:
        """A trial is over."""

    def tick(self) -> None:
        """Some time has passed."""

    def close(self) -> None:
        """Nothing more will come."""


class SilentDisplay:
    """For tests and scripts."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def cohort(self, done: int, total: int, message: str) -> None:
        """Say nothing."""

    def begin(self, policy: Policy, scratch: Path) -> None:
        """Say nothing."""

    def working(self, slots: int) -> None:
        """Say nothing."""

    def ended(self, trial: Trial, status: str, row: dict[str, Any]) -> None:
        """Say nothing."""

    def tick(self) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Say nothing."""
