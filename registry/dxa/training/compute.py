"""Where and how a trial computes: device, threads, number format, random numbers."""

from __future__ import annotations

import ctypes
import hashlib
import sys
from contextlib import AbstractContextManager

import torch

from registry.contracts import InputError, TrialContext

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
#: Parameters of glibc's mallopt (malloc.h), and sizes that no block of a step reaches; its numbers are ints.
_TRIM_THRESHOLD, _MAP_THRESHOLD = -1, -3
_KEPT_BYTES = 2**31 - 1
_MAPPED_BYTES = (2**30, 2**25)  # older versions take no more than the second


def prepare(context: TrialContext) -> torch.device:
    """Set threads and determinism for this trial and return its device.

    A worker process is used for many trials, so nothing may be left as the last one set it; memory that the
    last one freed goes back to the system.

    Raises
    ------
    InputError
        If the device or the number format is not available here.
    """
    if context.precision not in PRECISIONS:
        raise InputError(
            f"precision {context.precision!r} is not known", mend=f"choose one of {', '.join(PRECISIONS)}"
        )
    device = torch.device(context.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' was asked for, none was found", mend="use the device 'cpu'")
    keep_freed_memory()
    torch.set_num_threads(context.threads)
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    torch.manual_seed(context.seed)
    return device


def keep_freed_memory() -> None:
    """Let the C library keep what one step frees for the next one, instead of handing it to the system.

    A step on the CPU takes and frees some hundred megabytes in large blocks. By itself glibc maps many of
    them anew, and the system clears every page again: up to a third of a step, differently at each. What an
    earlier trial in this process left free is given back first. Other C libraries stay as they are.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        return
    library.malloc_trim(0)
    library.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
    any(library.mallopt(_MAP_THRESHOLD, size) for size in _MAPPED_BYTES)


def autocast(context: TrialContext) -> AbstractContextManager[None]:
    """The context in which networks run in the number format of the trial or of its settings."""
    return torch.autocast(
        torch.device(context.device).type,
        dtype=torch.bfloat16,
        enabled="bfloat16" in {context.precision, context.settings.get("precision")},
    )


def derived_seed(seed: int, *names: object) -> int:
    """A seed for one purpose, independent of those for every other one.

    Examples
    --------
    >>> derived_seed(1, "order", 0) == derived_seed(1, "order", 1)
    False
    """
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")
