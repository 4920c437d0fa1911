"""What a strategy, a task and a domain promise; plain Python and numpy, no torch, no ray."""

from registry.contracts.errors import DataError, InputError, TestSplitClosedError

__all__ = ["DataError", "InputError", "TestSplitClosedError"]
