"""What became of a trial, as far as the rest of a run needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Parameters
    ----------
    validation_score
        The task's primary metric on validation, or a pretraining's probe; selects hyperparameters.
    artifact
        Digest of the weights that a pretraining made.
    error
        Why it failed or is blocked, in one line.
    wall_seconds
        How long it took; 0 where that is not known.
    pruned_at
        The share of its steps after which a trial was stopped early; such a trial is done and has no score.
    interim_score
        The last one of a trial that was stopped early.
    """

    status: Literal["done", "failed", "blocked"]
    validation_score: float | None = None
    artifact: str | None = None
    error: str | None = None
    wall_seconds: float = 0.0
    pruned_at: float | None = None
    interim_score: float | None = None


def stopped_early(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the journal notes of a trial that was stopped early; nothing of any other."""
    if row.get("pruned_at") is None:
        return {}
    return {"pruned_at": row["pruned_at"], "interim_score": row["interim_score"]}
