"""The conformance suite: whether a strategy or task keeps its contract, tried on tiny data."""

from harness.conformance.examination import examine
from harness.conformance.finding import Finding

__all__ = ["Finding", "examine"]
