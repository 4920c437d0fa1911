"""Measure what settings of pretraining reach, on the validation scans of a suite's cohort.

Run from the repository's root; one row per strategy and seed, printed as Markdown::

    python scripts/measure_learning.py nodxa_vae --seeds 0 1 2
    python scripts/measure_learning.py nodxa_vae --set r_image_weight=0.1 encoder_rate_factor=0.05
    python scripts/measure_learning.py mean pca_16 pca_128

``--set`` takes hyperparameters, factors and settings by their names; everything else is as the suite says.
PSNR, NMAE, SSIM and R error are of the validation scans of the part ``pretraining``, through the autoencoder
and back; R2 is the mean over 15 measures of paired validation scans, by the task ``anthropometry_probe``.
Principal components are those of the train scans of ``pretraining``, and their scores are read by the same
ridge as features are. Time is the processor's, of one thread, without what the cohort takes.

The test split is never opened: strategies and tasks look through the door of the engine's learning trials.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.door import Door
from harness.files import default_cache
from harness.suite import load_suite
from registry.catalog import Catalogue
from registry.contracts import Artifact, InputError, TrialContext
from registry.contracts.context import OpenSplit
from registry.dxa.domain import DxaDomain
from registry.dxa.models.vae import ScanVae
from registry.dxa.strategies.start import PART
from registry.dxa.tasks.anthropometry import MEASURES, AnthropometryProbe
from registry.dxa.tasks.image_metrics import score_scans
from registry.dxa.tasks.linear import PrincipalComponents, Ridge, mean_r2
from registry.dxa.training.autoencoder import reconstruct
from registry.dxa.training.scans import load_measures, load_scans

COLUMNS = {"psnr_db": "PSNR, dB", "nmae": "NMAE", "ssim": "SSIM", "r_image_error": "R error"}
PENALTIES = tuple(10.0**power for power in range(-3, 5))
#: Decimals that a column is printed with, three where not named.
DECIMALS = {"psnr_db": 1, "R2": 2, "seconds": 0}
Row = dict[str, float]


@dataclass(frozen=True)
class Bench:
    """What everything is measured on, and under which settings.

    Parameters
    ----------
    open_split
        Opens train and validation of a cohort.
    settings
        All of the domain's.
    changes
        Hyperparameters and factors that differ from a strategy's own.
    """

    open_split: OpenSplit
    settings: Mapping[str, Any]
    changes: Mapping[str, Any]

    @classmethod
    def of_suite(cls, suite: str, cache: Path, changes: Mapping[str, Any]) -> Bench:
        """The cohort of a suite, made if need be."""
        declared, domain = load_suite(suite), DxaDomain()
        known = domain.check_settings(declared.settings)
        settings = domain.check_settings({**declared.settings, **_among(changes, known)})
        domain.prepare(declared.cohort, cache, workers=os.cpu_count() or 1, progress=_ignore)
        folder = domain.cohort(declared.cohort, cache).folder
        others = {name: value for name, value in changes.items() if name not in known}
        return cls(Door(domain, folder).learning_view, settings, others)

    def scans(self, part: str, split: str) -> np.ndarray:
        """Counts of one split, reduced."""
        return load_scans(self.open_split(part, split), self.settings["scan_reduction"])

    def strategy(self, name: str, seed: int) -> Row:
        """Pretrain, reconstruct and probe."""
        strategy = Catalogue.built_in().strategy(name)
        defaults, factors = strategy.space.defaults(), dict(strategy.card.factors)
        unknown = set(self.changes) - set(defaults) - set(factors)
        if unknown:
            raise InputError(
                f"strategy {name!r} has no {min(unknown)!r}",
                mend=f"choose among {', '.join([*defaults, *factors, *self.settings])}",
            )
        hyperparameters = {**defaults, **_among(self.changes, defaults)}
        started = time.process_time()
        with tempfile.TemporaryDirectory() as scratch:
            context = self.context(
                hyperparameters, {**factors, **_among(self.changes, factors)}, seed, scratch
            )
            artifact = strategy.pretrain(context)
        row = self.reconstruction(artifact) if "generator" in artifact.parts else {}
        return row | {"R2": self.probe(artifact, seed), "seconds": time.process_time() - started}

    def context(
        self, hyperparameters: Mapping[str, Any], factors: Mapping[str, Any], seed: int, scratch: str
    ) -> TrialContext:
        """What the engine gives to a trial."""
        return TrialContext(
            hyperparameters=hyperparameters,
            factors=factors,
            settings=self.settings,
            seed=seed,
            device="cpu",
            precision="float32",
            threads=1,
            open_split=self.open_split,
            report=lambda step, steps, **values: None,
            scratch=Path(scratch),
        )

    def reconstruction(self, artifact: Artifact) -> Row:
        """Scores of validation scans through the autoencoder."""
        true = self.scans(PART, "validation")
        return _image_row(true, reconstruct(ScanVae.from_artifact(artifact), true, torch.device("cpu")))

    def probe(self, artifact: Artifact, seed: int) -> float:
        """R² of a ridge on features of the encoder."""
        task = AnthropometryProbe()
        with tempfile.TemporaryDirectory() as scratch:
            context = self.context(task.space.defaults(), {}, seed, scratch)
            return task.fit(context, artifact).validation["mean_r2"]

    def components(self, count: int) -> Row:
        """So many principal components of train scans; none of them: the mean scan."""
        started = time.process_time()
        train, true = (self.scans(PART, split) for split in ("train", "validation"))
        found = PrincipalComponents.fit(train, max(count, 1))
        row = _image_row(true, found.reconstruct(true, count))
        if count:
            paired = {split: self.open_split("paired", split) for split in ("train", "validation")}
            measures = {split: load_measures(opened, MEASURES) for split, opened in paired.items()}
            scores = {split: found.scores(self.scans("paired", split), count) for split in paired}
            row["R2"] = max(
                mean_r2(
                    measures["validation"],
                    Ridge.fit(scores["train"], measures["train"], penalty).predict(scores["validation"]),
                )
                for penalty in PENALTIES
            )
        return row | {"seconds": time.process_time() - started}


def _ignore(done: int, total: int, what: str) -> None:
    """The cohort's progress, which no table shows."""


def _image_row(true: np.ndarray, made: np.ndarray) -> Row:
    return {name: float(values.mean()) for name, values in score_scans(true, made).items()}


def _among(changes: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if name in names}


def _changes(texts: list[str]) -> dict[str, Any]:
    """NAME=VALUE, the value as TOML writes it, words without quotes too."""
    changes = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            changes[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            changes[name] = value
    return changes


def _line(name: str, seed: str, row: Row) -> str:
    keys = [*COLUMNS, "R2", "seconds"]
    values = [f"{row[key]:.{DECIMALS.get(key, 3)}f}" if key in row else "" for key in keys]
    return f"| {name} | {seed} | {' | '.join(values)} |"


def main() -> None:
    """Print the table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="NAME", help="a strategy, mean, or pca_N")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", dest="changes")
    parser.add_argument("--suite", default="quick")
    parser.add_argument("--cache", type=Path, default=default_cache())
    asked = parser.parse_args()
    bench = Bench.of_suite(asked.suite, asked.cache, _changes(asked.changes))
    print(f"| {' | '.join(['', 'seed', *COLUMNS.values(), 'R²', 'seconds'])} |\n|{'---|' * 8}", flush=True)
    for name in asked.names:
        if name == "mean" or name.startswith("pca_"):
            count = 0 if name == "mean" else int(name.removeprefix("pca_"))
            print(_line(name, "", bench.components(count)), flush=True)
            continue
        for seed in asked.seeds:
            print(_line(name, str(seed), bench.strategy(name, seed)), flush=True)


if __name__ == "__main__":
    main()
