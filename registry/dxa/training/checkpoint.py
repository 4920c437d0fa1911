"""Checkpoints: one file, replaced in one step, read without unpickling code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from registry.contracts import DataError

FILE_NAME = "checkpoint.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` to `folder`, so that a reader finds the old file or the new one, never a part of it."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{FILE_NAME}.{os.getpid()}"
    try:
        with temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / FILE_NAME)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """Read the checkpoint of `folder`; `None` where there is none.

    Raises
    ------
    DataError
        If the file is no checkpoint.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        raise DataError(
            f"checkpoint {path} cannot be read: {error}", mend="delete it; the trial then starts again"
        ) from error
    if not isinstance(state, dict) or "step" not in state:
        raise DataError(f"{path} is no checkpoint", mend="delete it; the trial then starts again")
    return state
