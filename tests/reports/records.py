"""A synthetic run folder that follows docs/records.md, for tests of everything that reads one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from reports.frame import TABLES
from tests.reports.declared import MEASURES, layouts, run_json

NOISE = {"imagenet": 0.55, "nodxa_vae": 0.5, "dxa_vae": 0.3, "mean": 1.0, "pca_ridge": 0.45}
TITLES = {"imagenet": "ImageNet", "nodxa_vae": "noDXA-VAE", "dxa_vae": "DXA-VAE"}


@dataclass
class Records:
    """What the folder holds; change a field to make another run.

    `noise` is the SD of the prediction error in SDs of the target, per entry. Entries in `guessing` predict
    without looking; those in `unanalysable` make no prediction for this share of the largest people.
    """

    patients: int = 60
    scans_per_patient: int = 1
    seeds: tuple[int, ...] = (100, 101)
    titles: dict[str, str] = field(default_factory=lambda: dict(TITLES))
    noise: dict[str, float] = field(default_factory=lambda: dict(NOISE))
    draws: int = 4
    pretraining_draws: int = 1
    simulated: bool = True
    exhibits: bool = True
    failures: bool = True
    guessing: tuple[str, ...] = ()
    unanalysable: dict[str, float] = field(default_factory=dict)
    trials: list[dict[str, Any]] = field(default_factory=list)
    predictions: list[pl.DataFrame] = field(default_factory=list)
    scores: list[pl.DataFrame] = field(default_factory=list)
    curves: list[pl.DataFrame] = field(default_factory=list)
    selections: list[dict[str, Any]] = field(default_factory=list)
    search: list[dict[str, Any]] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        """Write the run folder and return it."""
        (folder / "results").mkdir(parents=True)
        self._pretraining()
        for task in ("reconstruction", "anthropometry"):
            self._tuning(task)
            self._finals(task, folder)
        frames = {
            "trials": pl.DataFrame(self.trials, schema=TABLES["trials"]),
            "predictions": pl.concat(self.predictions),
            "scores": pl.concat(self.scores),
            "curves": pl.concat(self.curves),
            "selections": pl.DataFrame(self.selections, schema=TABLES["selections"]),
            "search": pl.DataFrame(self.search, schema=TABLES["search"]),
        }
        for name, frame in frames.items():
            frame.write_parquet(folder / "results" / f"{name}.parquet")
        (folder / "layouts.json").write_text(json.dumps(layouts()))
        (folder / "run.json").write_text(json.dumps(self.run(), indent=1))
        return folder

    def trial(self, **values: Any) -> str:
        """Add one row of trials.parquet and return its key."""
        row = {
            "strategy": None,
            "baseline": None,
            "task": None,
            "protocols": [],
            "draw": None,
            "seed": 0,
            "pretraining_seed": None,
            "status": "done",
            "error": None,
            "hyperparameters": "{}",
            "validation_score": None,
            "validation": "{}",
            "started": "2024-05-01T10:00:00Z",
            "finished": "2024-05-01T10:01:30Z",
            "wall_seconds": 90.0 if values["stage"] == "pretrain" else 12.5,
            "cpu_seconds": 88.0,
            "peak_memory_bytes": 800_000_000,
            "device": "cpu",
            "threads": 1,
            "cached": False,
            "artifact": "f" * 64 if values.get("strategy") else None,
            "label_fraction": None,
            "label_draw": None,
            "split": 0,
            **values,
        }
        row["key"] = hashlib.sha256(repr(sorted(row.items(), key=lambda item: item[0])).encode()).hexdigest()
        self.trials.append(row)
        return str(row["key"])

    def _pretraining(self) -> None:
        self._search_pretraining()
        for arm in self.titles:
            key = self.trial(stage="pretrain", strategy=arm, pretraining_seed=7, wall_seconds=240.0)
            steps = np.arange(0, 200, 10)
            self.curves.append(
                pl.DataFrame(
                    {"key": key, "step": steps, "name": "validation_loss", "value": np.exp(-steps / 60)},
                    schema=TABLES["curves"],
                )
            )

    def _searched(self, task: str | None, arm: str, draws: int, failed: int = 0, **changes: Any) -> None:
        """A row of search.parquet."""
        self.search.append(
            {
                "task": task,
                "strategy": arm,
                "protocols": ["matched", "tuned"],
                "split": 0,
                "method": "random",
                "budget_draws": draws,
                "draws": draws,
                "done": draws - failed,
                "failed": failed,
                "pruned": 0,
                "blocked": 0,
                "seconds": 12.5 * draws,
                "full_trials": float(draws),
                "boundary": [],
                **changes,
            }
        )

    def _search_pretraining(self) -> None:
        """Settings of all arms' pretraining but the first's; `matched` keeps the last's `tilt` at default."""
        for arm in list(self.titles)[1:] if self.pretraining_draws > 1 else ():
            own = arm == list(self.titles)[-1]
            tried = [
                {"rate": 0.1 * (draw + 1)} | ({"tilt": float(draw)} if own else {})
                for draw in range(self.pretraining_draws)
            ]
            matched = tried[-1] | ({"tilt": 0.0} if own else {})
            for draw, setting in [*enumerate(tried), *([(len(tried) - 1, matched)] if own else [])]:
                score = 0.5 + setting["rate"] + 0.01 * setting.get("tilt", 0.0)
                self.trial(
                    stage="pretrain",
                    strategy=arm,
                    draw=draw,
                    pretraining_seed=7,
                    hyperparameters=json.dumps(setting),
                    validation_score=score,
                    validation=json.dumps({"probe_r2": score, "loss": 3.0}),
                )
            at_end = ["rate at its high end"]
            self._searched(None, arm, self.pretraining_draws, boundary=at_end)
            for protocol, setting in (("matched", matched), ("tuned", tried[-1])):
                score = 0.5 + setting["rate"] + 0.01 * setting.get("tilt", 0.0)
                self.selections.append(
                    {
                        "protocol": protocol,
                        "strategy": arm,
                        "draw": len(tried) - 1,
                        "validation_score": score if setting in tried else None,
                        "hyperparameters": json.dumps(setting),
                        "reason": f"best by the rule of {protocol}",
                        "split": 0,
                        "boundary": at_end,
                    }
                )

    def applies(self, arm: str, task: str) -> bool:
        return not (task == "reconstruction" and arm == "imagenet")

    def _tuning(self, task: str) -> None:
        if task == "reconstruction":
            return
        rng = np.random.default_rng(1)
        rates = 10 ** rng.uniform(-4, -2, self.draws)
        for arm in self.titles:
            for draw, rate in enumerate(rates):
                failed = self.failures and arm == "nodxa_vae" and draw == 1
                score = 1 - self.noise[arm] ** 2 - 0.04 * abs(np.log10(rate) + 3)
                self.trial(
                    stage="tune",
                    strategy=arm,
                    task=task,
                    draw=draw,
                    pretraining_seed=7,
                    hyperparameters=json.dumps({"learning_rate": rate, "freeze": bool(draw % 2)}),
                    validation_score=None if failed else score,
                    status="failed" if failed else "done",
                    error="FloatingPointError: the loss is not finite at step 12" if failed else None,
                )
            self._searched(
                task, arm, self.draws, int(self.failures and arm == "nodxa_vae" and self.draws > 1)
            )
            for protocol in ("matched", "tuned"):
                best = 0 if protocol == "matched" else int(np.argmin(np.abs(np.log10(rates) + 3)))
                self.selections.append(
                    {
                        "task": task,
                        "protocol": protocol,
                        "strategy": arm,
                        "draw": best,
                        "validation_score": 1 - self.noise[arm] ** 2,
                        "mean_rank": 1.5 if protocol == "matched" else None,
                        "label_fraction": None,
                        "label_draw": None,
                        "split": 0,
                        "hyperparameters": json.dumps(
                            {"learning_rate": rates[best], "freeze": bool(best % 2)}
                        ),
                        "reason": f"best by the rule of {protocol}",
                    }
                )

    def _finals(self, task: str, folder: Path) -> None:
        for baseline in ("mean", "pca_ridge") if task == "anthropometry" else ("mean",):
            key = self.trial(
                stage="final", baseline=baseline, task=task, protocols=["matched", "tuned"], seed=None
            )
            self._results(key, task, baseline, 0)
        for arm in self.titles:
            if not self.applies(arm, task):
                continue
            served = [["matched", "tuned"]] if task == "reconstruction" else [["matched"], ["tuned"]]
            for protocols in served:
                for seed in self.seeds if task == "anthropometry" else (None,):
                    failed = self.failures and (arm, seed, protocols) == (
                        "nodxa_vae",
                        self.seeds[-1],
                        ["tuned"],
                    )
                    key = self.trial(
                        stage="final",
                        strategy=arm,
                        task=task,
                        protocols=protocols,
                        seed=seed,
                        pretraining_seed=7,
                        validation_score=1 - self.noise[arm] ** 2 + 0.02,
                        status="failed" if failed else "done",
                        error="MemoryError: <b>batch</b> of 64 does not fit" if failed else None,
                    )
                    if not failed:
                        self._results(key, task, arm, seed or 0, "tuned" in protocols)
                        if self.exhibits and seed in (None, self.seeds[0]):
                            self._exhibits(folder / "trials" / key, task, arm)

    def _results(
        self,
        key: str,
        task: str,
        entry: str,
        seed: int,
        tuned: bool = False,
        *,
        split: int = 0,
        harder: float = 1.0,
    ) -> None:
        """Test results of a trial; `harder` multiplies the noise, `split` draws other patients."""
        truth = np.random.default_rng([3, split] if split else 3)
        own = np.random.default_rng([seed, tuned, *entry.encode()])
        suffix = f"_{split}" if split else ""
        scans = [f"s{i:04d}{suffix}" for i in range(self.patients * self.scans_per_patient)]
        patients = [f"p{i // self.scans_per_patient:04d}{suffix}" for i in range(len(scans))]
        size = truth.normal(size=len(scans))
        noise = self.noise[entry] * (0.95 if tuned else 1.0) * harder
        if task == "reconstruction":
            for metric, centre, spread in (
                ("psnr_db", 40 - 12 * noise, 2.0),
                ("nmae", 0.03 + 0.05 * noise, 0.005),
            ):
                value = centre + spread * size + 0.3 * spread * own.normal(size=len(scans))
                self.scores.append(
                    pl.DataFrame(
                        {"key": key, "patient": patients, "scan": scans, "metric": metric, "value": value},
                        schema=TABLES["scores"],
                    )
                )
            return
        for index, measure in enumerate(MEASURES):
            scale, mean = 3.0 + index, 30.0 + 10 * index
            target = mean + scale * (0.9 * size + 0.44 * truth.normal(size=len(scans)))
            error = noise * scale * own.normal(size=len(scans)) + 0.02 * scale * own.normal()
            guessed = entry == "mean" or entry in self.guessing
            prediction = mean + (0.0 if entry == "mean" else error) if guessed else target + error
            prediction = np.where(self._missing(entry, size), np.nan, prediction + np.zeros(len(scans)))
            self.predictions.append(
                pl.DataFrame(
                    {
                        "key": key,
                        "patient": patients,
                        "scan": scans,
                        "measure": measure,
                        "target": target,
                        "prediction": pl.Series(prediction).fill_nan(None),
                        "fallback": mean + 0.1 * scale if entry in self.unanalysable else None,
                    },
                    schema=TABLES["predictions"],
                )
            )

    def _missing(self, entry: str, size: np.ndarray) -> np.ndarray:
        share = self.unanalysable.get(entry, 0.0)
        return size > np.quantile(size, 1 - share) if share else np.zeros(len(size), dtype=bool)

    def _exhibits(self, folder: Path, task: str, arm: str) -> None:
        if task != "reconstruction":
            return
        folder.mkdir(parents=True)
        height, width = 150, 109
        y, x = np.mgrid[0:height, 0:width]
        rng = np.random.default_rng(len(arm))
        listed, arrays = [], {}
        for number, name in enumerate(("median", "hardest")):
            truth = np.exp(-((x - 54) ** 2) / (400 + 100 * number) - ((y - 75) ** 2) / 3000) * 1.6
            truth = truth * (1 + 0.2 * np.sin(y / 6))
            error = self.noise[arm] * 0.1 * rng.normal(size=truth.shape) * truth
            arrays |= {f"{name}_truth": truth, f"{name}_output": truth + error, f"{name}_error": error}
            panels = [
                ("Scan", f"{name}_truth", "gray", "log attenuation", [0, 2]),
                ("Reconstruction", f"{name}_output", "gray", "log attenuation", [0, 2]),
                ("Error", f"{name}_error", "difference", "log attenuation", [-0.2, 0.2]),
            ]
            listed.append(
                {
                    "key": name,
                    "title": f"{name.capitalize()} test scan",
                    "rule": f"the {name} scan by the mean attenuation of the truth, which no arm influences",
                    "pixel_aspect": 1.27,
                    "facts": {
                        "PSNR": f"{40 - 12 * self.noise[arm]:.1f} dB",
                        "body mass": "61 kg",
                        "scan": f"SCAN-{number}",
                        "Patient": "PERSON-7",
                    },
                    "panels": [
                        {"label": label, "array": array, "kind": kind, "unit": unit, "limits": limits}
                        for label, array, kind, unit, limits in panels
                    ],
                }
            )
        np.savez_compressed(folder / "exhibits.npz", **{k: v.astype(np.float32) for k, v in arrays.items()})
        (folder / "exhibits.json").write_text(json.dumps(listed))

    def run(self) -> dict[str, Any]:
        """run.json."""
        return run_json(self)
