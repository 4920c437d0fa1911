"""What the error of a trial says: which memory ran out, and its last line."""

from __future__ import annotations

import traceback
from typing import Literal


def exhausted_memory(error: BaseException) -> Literal["host", "gpu"] | None:
    """Which memory ran out, if that is what `error` says; torch has its own ways to say it."""
    text = str(error)
    if type(error).__name__ == "OutOfMemoryError" or "CUDA out of memory" in text:
        return "gpu"
    if isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate memory" in text:
        return "host"
    return None


def last_line(error: BaseException) -> str:
    """The kind of an error and its message, without what led to it."""
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
