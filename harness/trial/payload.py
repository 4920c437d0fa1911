"""What a worker is told of a trial: names, paths and numbers, never data or weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.resources import TrialResources
from harness.specs import TrialSpec

Payload = Mapping[str, Any]


def make_payload(
    spec: TrialSpec,
    *,
    arm: str,
    run: Path,
    cache: Path,
    cohort_folder: Path,
    test_folder: Path | None = None,
    plugins: tuple[str, ...],
    artifact: str | None,
    draw: int | None,
    protocols: list[str],
    resources: TrialResources,
    threads: int,
    execution: Mapping[str, Any],
    bracket: Mapping[str, Any] | None = None,
    keep_model: bool = False,
    restore_from: Path | None = None,
) -> dict[str, Any]:
    """Everything a worker must be told to run `spec`.

    Parameters
    ----------
    cohort_folder, test_folder
        Where train and validation are, and for final trials alone where the test split is.
    execution
        Settings that decide nothing, as the suite has them; they stand at their defaults in `spec`.
    bracket
        Of a tuning trial that may be stopped early: the folder where it meets the others of its cell, the
        rungs and the reduction.
    keep_model
        Whether a final model's weights stay in the trial's folder.
    restore_from
        Where a final model is taken from instead of being fitted; for the checks of what a task keeps.
    """
    return {
        "key": spec.key,
        "spec": spec.as_dict(),
        "arm": arm,
        "run": str(run),
        "cache": str(cache),
        "cohort_folder": str(cohort_folder),
        "test_folder": None if test_folder is None else str(test_folder),
        "plugins": list(plugins),
        "artifact": artifact,
        "draw": draw,
        "protocols": protocols,
        "resources": resources.as_dict(),
        "device": resources.device,
        "threads": threads,
        "execution": dict(execution),
        "bracket": None if bracket is None else dict(bracket),
        "keep_model": keep_model,
        "restore_from": None if restore_from is None else str(restore_from),
    }
