"""Where trials run: in this process, on Ray Tune, or simulated; all behind one seam."""

from harness.executors.base import Event, Executor, WorkersUnavailableError

__all__ = ["Event", "Executor", "WorkersUnavailableError"]
