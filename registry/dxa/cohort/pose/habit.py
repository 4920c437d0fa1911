"""How much of the way somebody lies is their own, and how much is the scan's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr


@dataclass(frozen=True)
class Habit:
    """Normal numbers that are partly a person's own and partly a scan's.

    Parameters
    ----------
    person
        Draws how this person lies; must start anew for each of their scans.
    scan
        Draws how they lie this time.
    share
        Standard deviation between scans of one person over that between all scans.
    """

    person: np.random.Generator
    scan: np.random.Generator
    share: float

    def normal(self, mean: float = 0.0, spread: float = 1.0) -> float:
        """Draw from a normal distribution that is the same over all people whatever the share."""
        own, this = self.person.normal(), self.scan.normal()
        return float(mean + spread * (np.sqrt(1.0 - self.share**2) * own + self.share * this))

    def uniform(self) -> float:
        """Draw from 0 to 1, evenly."""
        return float(ndtr(self.normal()))
