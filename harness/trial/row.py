"""A trial's row of `trials.parquet`, as far as it is known before the work."""

from __future__ import annotations

from typing import Any

from harness.files import utc_now
from harness.measure import processor_name
from harness.trial.payload import Payload


def new_row(payload: Payload) -> dict[str, Any]:
    """Everything that the payload says; the outcome is that of a trial that failed, until it is known."""
    spec = payload["spec"]
    hyperparameters = "pretraining_hyperparameters" if spec["stage"] == "pretrain" else "hyperparameters"
    return {
        "key": payload["key"],
        "strategy": payload["arm"] or None,
        **{name: spec[name] for name in ("stage", "baseline", "task", "seed", "pretraining_seed")},
        "protocols": payload["protocols"],
        "draw": payload["draw"],
        "status": "failed",
        "error": None,
        "hyperparameters": spec[hyperparameters],
        "validation_score": None,
        "validation": {},
        "pruned_at": None,
        "interim_score": None,
        "started": utc_now(),
        "finished": None,
        "device": payload["device"],
        "threads": payload["threads"],
        "processor": processor_name(),
        "cached": False,
        "artifact": payload["artifact"],
        "label_fraction": spec.get("label_fraction"),
        "label_draw": spec.get("label_draw"),
    }
