"""A time limit on importing a plug-in, so that one that hangs is a message and not a command that hangs."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

from registry.contracts import InputError

#: How long importing one plug-in may take, in seconds; passed on to workers.
IMPORT_SECONDS_VARIABLE = "HARNESS_IMPORT_SECONDS"
DEFAULT_SECONDS = 60.0
#: Code that catches everything meets the limit again after so many seconds.
_AGAIN_SECONDS = 1.0


class ImportTimeout(BaseException):
    """An import took longer than it may."""


@contextlib.contextmanager
def import_limit() -> Iterator[None]:
    """Raise `ImportTimeout` inside the block once it has taken too long.

    Works through the process's interval timer and leaves that, and what it is answered by, as they were.
    Only the main thread can be interrupted: elsewhere, and on systems without such timers, nothing happens.
    Compiled code that does not come back to Python is not interrupted either.

    Raises
    ------
    InputError
        If the limit that the environment sets is no time.
    """
    seconds = _seconds()
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "setitimer"):
        yield
        return

    def give_up(number: int, frame: FrameType | None) -> None:
        raise ImportTimeout(f"it took longer than {seconds:g} s")

    handler = signal.signal(signal.SIGALRM, give_up)
    began = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:  # someone else's: what is due by now comes at once
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 1e-6), interval)


def _seconds() -> float:
    text = os.environ.get(IMPORT_SECONDS_VARIABLE)
    if not text:
        return DEFAULT_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise InputError(
            f"{IMPORT_SECONDS_VARIABLE} = {text!r} is no time", mend="give seconds above 0, or unset it"
        )
    return seconds
