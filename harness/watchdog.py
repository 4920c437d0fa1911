"""A trial's time limit, and the file that keeps what it prints."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

from harness.files import utc_now

#: How long after its limit a trial may still react before its process is ended.
GRACE_SECONDS = 10.0


class TimeLimitReachedError(BaseException):
    """Raised in a trial at its time limit; no `Exception`, so that no plug-in catches it unawares."""


@contextlib.contextmanager
def time_limit(
    seconds: float | None, *, last_words: Path | None, grace_seconds: float = GRACE_SECONDS
) -> Iterator[None]:
    """End the block after `seconds`.

    At the limit an exception is raised inside the block. Code that does not let it through (a loop in a
    library, a caught exception) has `grace_seconds` more; then its process is ended from outside Python.

    Parameters
    ----------
    seconds
        `None`: no limit.
    last_words
        Where the stacks of all threads are written before the process is ended; the file's presence tells
        whoever finds the process gone that it was the time limit. `None` never ends the process.

    Raises
    ------
    TimeLimitReachedError
        At the limit.
    """
    if seconds is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        if last_words is not None:
            stack.enter_context(_end_process_after(seconds + grace_seconds, last_words))
        if threading.current_thread() is threading.main_thread():
            stack.enter_context(_raise_after(seconds))
        yield


def killed_by_time_limit(last_words: Path) -> str | None:
    """The stacks that a process left that was ended at its time limit; `None` if none was."""
    with contextlib.suppress(OSError):
        text = last_words.read_text(errors="replace")
        return text or None
    return None


@contextlib.contextmanager
def _end_process_after(seconds: float, last_words: Path) -> Iterator[None]:
    """Faulthandler's timer runs outside Python: it fires where a library holds the interpreter's lock too."""
    last_words.parent.mkdir(parents=True, exist_ok=True)
    with last_words.open("w") as file:
        faulthandler.dump_traceback_later(seconds, exit=True, file=file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            last_words.unlink(missing_ok=True)


@contextlib.contextmanager
def _raise_after(seconds: float) -> Iterator[None]:
    def ring(_: int, __: FrameType | None) -> NoReturn:
        raise TimeLimitReachedError(f"time limit of {seconds:g} s reached")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def printed_to(log: Path, title: str) -> Iterator[None]:
    """Append what the block prints, in Python or in a library, to `log`, after a line with `title`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    kept = []
    sys.stdout.flush()
    sys.stderr.flush()
    with log.open("ab") as file:
        file.write(f"=== {title}, {utc_now()}, process {os.getpid()} on {socket.gethostname()}\n".encode())
        file.flush()
        for descriptor in (1, 2):
            kept.append((descriptor, os.dup(descriptor)))
            os.dup2(file.fileno(), descriptor)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in kept:
                os.dup2(original, descriptor)
                os.close(original)
