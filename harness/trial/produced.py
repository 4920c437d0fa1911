"""What the work of a trial leaves, and the files of its folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.artifacts import model_files
from harness.outputs import curves_table, exhibit_files, prediction_tables
from harness.results import result_files
from registry.contracts import Artifact, Predictions

RESULT_SCHEMA = 1


@dataclass(frozen=True)
class Produced:
    """What the work of a trial left: scores, weights, tables and pictures."""

    validation: Mapping[str, float]
    validation_score: float | None = None
    artifact: str | None = None
    predictions: Predictions | None = None
    exhibits: tuple[Any, ...] = ()
    model: Artifact | None = None


def trial_files(
    produced: Produced,
    row: Mapping[str, Any],
    *,
    spec: Mapping[str, Any],
    test_openings: int,
    curves: Iterable[tuple[int, str, float]],
) -> dict[str, bytes]:
    """The files of a trial's folder by name: result, tables, exhibits and, where one is kept, the model."""
    key = row["key"]
    result = {"schema": RESULT_SCHEMA, **row, "spec": spec, "test_openings": test_openings}
    tables = {"curves": curves_table(key, curves)}
    if produced.predictions is not None:
        tables |= prediction_tables(key, produced.predictions)
    others = exhibit_files(produced.exhibits)
    if produced.model is not None:
        others |= model_files(produced.model)
    return result_files(result, tables, others)
