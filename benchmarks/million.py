"""A run folder with a million result rows, for benchmarks of reading, computing and writing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl

from reports.frame import TABLES
from tests.reports.declared import layouts
from tests.reports.records import Records

MEASURES = 15


def write_million(folder: Path, *, patients: int = 111, arms: int = 6, seeds: int = 50) -> Path:
    """Write a run whose predictions have 2 x arms x seeds x patients x 15 rows: a million by default.

    Both protocols have trials of their own; there is one scan per patient and no exhibit.
    """
    records = Records(patients=patients, exhibits=False, failures=False)
    names = [f"arm_{index}" for index in range(arms)]
    records.titles = {name: name for name in names}
    rows = [f"measure_{index:02d}" for index in range(MEASURES)]
    rng = np.random.default_rng(0)
    targets = 50 + 10 * rng.normal(size=(patients, MEASURES))
    keys, predictions = [], []
    for place, name in enumerate(names):
        for protocol in ("matched", "tuned"):
            for seed in range(seeds):
                keys.append(
                    records.trial(
                        stage="final",
                        strategy=name,
                        task="anthropometry",
                        protocols=[protocol],
                        seed=seed % 10,
                        pretraining_seed=seed // 10,
                        validation_score=0.8,
                    )
                )
                noise = rng.normal(size=targets.shape) + 0.3 * rng.normal(size=MEASURES)
                predictions.append(targets + (4 + 0.3 * place) * noise)
    per_trial = patients * MEASURES
    frame = pl.DataFrame(
        {
            "key": np.repeat(keys, per_trial),
            "patient": np.tile(np.repeat([f"p{i:05d}" for i in range(patients)], MEASURES), len(keys)),
            "scan": np.tile(np.repeat([f"s{i:05d}" for i in range(patients)], MEASURES), len(keys)),
            "measure": np.tile(np.tile(rows, patients), len(keys)),
            "target": np.tile(targets.ravel(), len(keys)),
            "prediction": np.concatenate([one.ravel() for one in predictions]),
            "fallback": None,
        },
        schema=TABLES["predictions"],
    )
    (folder / "results").mkdir(parents=True)
    frame.write_parquet(folder / "results" / "predictions.parquet")
    pl.DataFrame(records.trials, schema=TABLES["trials"]).write_parquet(folder / "results" / "trials.parquet")
    layout = layouts()["anthropometry"][0]
    layout["rows"] = [
        {"key": row, "label": row, "group": "", "unit": "cm", "direction": None} for row in rows
    ]
    layout["published"] = []
    (folder / "layouts.json").write_text(json.dumps({"anthropometry": [layout]}))
    meta = records.run()
    meta["tasks"] = [{**task, "baselines": []} for task in meta["tasks"] if task["name"] == "anthropometry"]
    (folder / "run.json").write_text(json.dumps(meta))
    return folder
