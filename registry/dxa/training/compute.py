"""Where and how a trial computes: device, threads, number format, random numbers."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager

import torch

from registry.contracts import InputError, TrialContext

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def prepare(context: TrialContext) -> torch.device:
    """Set threads and determinism for this trial and return its device.

    A worker process is used for many trials, so nothing may be left as the last one set it.

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
    torch.set_num_threads(context.threads)
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    torch.manual_seed(context.seed)
    return device


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
