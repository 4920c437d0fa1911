"""A run folder with kept models, made by hand from the stand-in cohort; its models have learned little."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import polars as pl
import pytest

from harness.artifacts import model_files
from harness.outputs import prediction_tables
from registry.catalog import Catalogue
from registry.contracts import FittedModel, Predictions
from registry.dxa.models.mesh_to_scan import MeshToScan
from registry.dxa.models.vae import ScanVae
from registry.dxa.settings import DxaSettings
from registry.dxa.tasks.composition import MEASURES, TRUE
from tests.registry.dxa.stand_in import context_for, open_split

CATALOGUE = Catalogue.built_in()
ARMS = ("nodxa_vae", "dxa_vae")
#: Trial to task, arm, protocols and final seed.
TRIALS = {
    "a" * 64: ("reconstruction", "nodxa_vae", ["matched", "tuned"], 0),
    "b" * 64: ("reconstruction", "dxa_vae", ["tuned"], 0),
    "c" * 64: ("reconstruction", "dxa_vae", ["matched"], 0),
    "d" * 64: ("pseudo_dxa", "dxa_vae", ["matched", "tuned"], 0),
}


@dataclass
class Door:
    """The engine's door as the command line hands it out."""

    opened: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, folder, purpose):
        def opener(part, split):
            self.opened.append((part, split))
            return open_split(part, split)

        return opener


@pytest.fixture
def door():
    return Door()


@pytest.fixture(scope="session")
def artifact(tmp_path_factory):
    strategy = CATALOGUE.strategy("nodxa_vae")
    return strategy.pretrain(context_for(strategy, tmp_path_factory.mktemp("pretraining")))


@pytest.fixture(scope="session")
def models(artifact, tmp_path_factory):
    """Trial to (task, context, model): generators that differ by a factor in their weights."""
    made = {}
    for number, (key, (name, *_)) in enumerate(TRIALS.items()):
        task = CATALOGUE.task(name)
        context = context_for(task, tmp_path_factory.mktemp("trial"), settings={"analysed_scans": 6})
        generator = {name: (1 + 0.02 * number) * value for name, value in artifact.parts["generator"].items()}
        changed = replace(artifact, parts={**artifact.parts, "generator": generator})
        if name == "reconstruction":
            state = ScanVae.from_artifact(changed)
        else:
            vertices = open_split("paired", "train").vertices
            state = MeshToScan.from_artifact(changed, DxaSettings(**context.settings), vertices)
            state.eval()
        made[key] = task, context, FittedModel(state, {})
    return made


@pytest.fixture
def run(models, tmp_path):
    return write_run(tmp_path / "run", models)


def write_run(folder, models):
    """What the engine leaves behind, as far as exchange and report read it."""
    rows, tables = [], []
    for key, (name, arm, protocols, seed) in TRIALS.items():
        task, context, model = models[key]
        rows.append(
            {
                "key": key, "stage": "final", "strategy": arm, "baseline": None, "task": name,
                "protocols": protocols, "draw": 0, "seed": seed, "pretraining_seed": 0, "status": "done",
                "error": None, "hyperparameters": "{}", "validation_score": 0.5, "validation": "{}",
                "started": "", "finished": "", "wall_seconds": 1.0, "cpu_seconds": 1.0,
                "peak_memory_bytes": 1, "device": "cpu", "threads": 1, "cached": False, "artifact": "f",
            }
        )  # fmt: skip
        trial = folder / "trials" / key
        trial.mkdir(parents=True)
        files = model_files(task.keep(context, model))
        for file, content in files.items():
            (trial / file).write_bytes(content)
        digests = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
        (trial / "result.json").write_text(json.dumps({"files": digests}))
        tables.append(prediction_tables(key, _predictions(task.card.part))["predictions"])
    (folder / "results").mkdir()
    pl.DataFrame(rows).write_parquet(folder / "results" / "trials.parquet")
    pl.concat(tables).write_parquet(folder / "results" / "predictions.parquet")
    names = sorted({trial[0] for trial in TRIALS.values()})
    layouts = {name: [asdict(layout) for layout in CATALOGUE.task(name).layouts()] for name in names}
    (folder / "layouts.json").write_text(json.dumps(layouts))
    record = {
        "schema": 1,
        "suite": {
            "name": "s", "title": "S", "settings": models["a" * 64][1].settings, "reference_arms": [ARMS[0]],
        },
        "domain": {"name": "dxa", "title": "DXA"},
        "cohort": {"fingerprint": "f" * 64, "simulated": True, "description": "", "sizes": {}, "overlap": []},
        "arms": [{"name": name, "title": name, "origin": "built-in"} for name in ARMS],
        "tasks": [
            {
                "name": name, "title": name, "part": CATALOGUE.task(name).card.part, "baselines": [],
                "version": CATALOGUE.task(name).card.version,
                "primary": asdict(CATALOGUE.task(name).card.primary),
            }
            for name in names
        ],
        "cells": [], "claims": "artifact", "status": {"state": "complete"}, "provenance": {},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def _predictions(part):
    """Records of a trial: zero predicted; the truth is the cohort's."""
    split = open_split(part, "test")
    truth = dict(zip(MEASURES, split.measures(MEASURES).T, strict=True))
    targets = {**truth, **{TRUE + name: values for name, values in truth.items()}}
    zeros = {name: np.zeros(len(split.scan_ids)) for name in targets}
    return Predictions(list(split.patients), list(split.scan_ids), targets, zeros)
