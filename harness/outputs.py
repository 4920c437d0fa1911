"""What a trial leaves, in the form that records have: long tables, pictures as arrays without pickle."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.files import canonical_json
from harness.results import table
from registry.contracts import Exhibit, Predictions

if TYPE_CHECKING:
    import polars


def curves_table(key: str, curves: Iterable[tuple[int, str, float]]) -> polars.DataFrame:
    """Learning curves in long form."""
    return table(
        "curves",
        ({"key": key, "step": step, "name": name, "value": value} for step, name, value in curves),
    )


def prediction_tables(key: str, predictions: Predictions) -> dict[str, polars.DataFrame]:
    """Per-scan records in long form: `predictions` and `scores`.

    A prediction that could not be made (NaN) becomes null beside its fallback; a scan without a target leaves
    no record of that measure.

    Raises
    ------
    ValueError
        If lengths differ, a number is not finite, or there is nothing; names the measure and the count.
    """
    patients, scans = list(predictions.patients), list(predictions.scans)
    _check_predictions(predictions, patients, scans)
    measured_rows = (
        {
            "key": key,
            "patient": patient,
            "scan": scan,
            "measure": name,
            "target": target,
            "prediction": None if math.isnan(prediction) else prediction,
            "fallback": predictions.fallbacks.get(name),
        }
        for name, values in predictions.predictions.items()
        for patient, scan, target, prediction in zip(
            patients, scans, predictions.targets[name], values, strict=True
        )
        if not math.isnan(target)
    )
    score_rows = (
        {"key": key, "patient": patient, "scan": scan, "metric": name, "value": value}
        for name, values in predictions.scores.items()
        for patient, scan, value in zip(patients, scans, values, strict=True)
    )
    return {"predictions": table("predictions", measured_rows), "scores": table("scores", score_rows)}


def _check_predictions(predictions: Predictions, patients: Sequence[str], scans: Sequence[str]) -> None:
    repeated = next((scan for scan, count in Counter(scans).items() if count > 1), None)
    if repeated is not None:
        raise ValueError(f"scan {repeated!r} is there twice")
    columns = [("target", predictions.targets), ("prediction", predictions.predictions)]
    if set(predictions.targets) != set(predictions.predictions):
        raise ValueError("targets and predictions name different measures")
    if not (predictions.predictions or predictions.scores):
        raise ValueError("the task predicted nothing: neither measures nor scores")
    for kind, arrays in (*columns, ("score", predictions.scores)):
        for name, values in arrays.items():
            if not len(values) == len(patients) == len(scans):
                raise ValueError(
                    f"{kind} {name!r} has {len(values)} values, there are {len(patients)} patient and "
                    f"{len(scans)} scan keys"
                )
            bad = sum(
                not (math.isfinite(value) or (math.isnan(value) and _may_miss(predictions, kind, name, row)))
                for row, value in enumerate(values)
            )
            if bad:
                raise ValueError(f"{kind} {name!r} is not finite for {bad} of {len(values)} scans")
    for name, fallback in predictions.fallbacks.items():
        if name not in predictions.predictions or not math.isfinite(fallback):
            raise ValueError(f"fallback {name!r} = {fallback}: no finite number for a predicted measure")


def _may_miss(predictions: Predictions, kind: str, name: str, row: int) -> bool:
    """Whether a NaN means something: no target, or a prediction that could not be made and has a fallback."""
    if kind == "target":
        return True
    return kind == "prediction" and (
        name in predictions.fallbacks or math.isnan(predictions.targets[name][row])
    )


def exhibit_files(exhibits: Sequence[Exhibit]) -> dict[str, bytes]:
    """`exhibits.json` and `exhibits.npz`; nothing where there are no pictures.

    Raises
    ------
    ValueError
        If a picture is not two-dimensional.
    """
    if not exhibits:
        return {}
    arrays: dict[str, Any] = {}
    described = []
    for index, exhibit in enumerate(exhibits):
        panels = []
        for place, panel in enumerate(exhibit.panels):
            image = np.asarray(panel.image, dtype=np.float32)
            if image.ndim != 2:
                raise ValueError(
                    f"panel {panel.label!r} of exhibit {exhibit.key!r} has shape {image.shape}, "
                    "not (height, width)"
                )
            name = f"exhibit{index}_panel{place}"
            arrays[name] = image
            panels.append(
                {
                    "label": panel.label,
                    "kind": panel.kind,
                    "unit": panel.unit,
                    "limits": [float(limit) for limit in panel.limits],
                    "array": name,
                }
            )
        described.append(
            {
                "key": exhibit.key,
                "title": exhibit.title,
                "rule": exhibit.rule,
                "pixel_aspect": float(exhibit.pixel_aspect),
                "facts": dict(exhibit.facts),
                "panels": panels,
            }
        )
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return {"exhibits.json": canonical_json(described).encode(), "exhibits.npz": buffer.getvalue()}
