"""What the synthetic run says about itself: `run.json`, and the tables that its tasks declare."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from registry.contracts.tables import PublishedValue, Row, Statistic, TableLayout

if TYPE_CHECKING:
    from tests.reports.records import Records

MEASURES = ("Bicep Left", "Bicep Right", "Calf Left", "Hip", "Waist", "Torso")

#: Least significant changes of the rows that have one.
CHANGES = {"Hip": 1.5, "Torso": 3.0}


def run_json(records: Records) -> dict[str, Any]:
    """run.json."""
    failed = sum(row["status"] == "failed" for row in records.trials)
    primary = {"direction": "max", "rows": []}
    return {
        "schema": 1,
        "suite": {
            "name": "quick",
            "title": "Pretraining for imaging, in a quarter of an hour",
            "description": "Three ways to pretrain, two tasks, one small simulated cohort.",
            "domain": "toy",
            "strategies": list(records.titles),
            "tasks": ["reconstruction", "anthropometry"],
            "seeds": {"draws": 11, "pretraining": [7], "tuning": 0, "final": list(records.seeds)},
            "budget": {"draws": records.draws},
            "reference_arms": ["imagenet", "nodxa_vae"],
            "settings": {"backbone": "tiny", "steps": 200},
            "cohort": {"patients": records.patients},
        },
        "domain": {"name": "toy", "title": "Toy images"},
        "cohort": {
            "overlap": [{"first": "paired train", "second": "paired test", "patients": 0}],
            "fingerprint": "ab" * 32,
            "simulated": records.simulated,
            "description": "Simulated bodies and scans.",
            "sizes": {
                "unlabelled": {
                    "train": {"patients": 400, "scans": 400},
                    "validation": {"patients": 40, "scans": 40},
                },
                "paired": {
                    "train": {"patients": 200, "scans": 200},
                    "validation": {"patients": 50, "scans": 50},
                    "test": {
                        "patients": records.patients,
                        "scans": records.patients * records.scans_per_patient,
                    },
                },
            },
        },
        "arms": [
            {
                "name": name,
                "title": title,
                "summary": f"What {name} does, in one sentence.",
                "provides": ["encoder"] if name == "imagenet" else ["encoder", "generator"],
                "parent": "nodxa_vae" if name == "dxa_vae" else None,
                "changes": {"r_image_weight": 0.05} if name == "dxa_vae" else {},
                "factors": {"kl_weight": 1e-4},
                "version": "1",
                "origin": "built-in",
                "citation": "",
                "licence": "Apache-2.0",
            }
            for name, title in records.titles.items()
        ],
        "tasks": [
            {
                "name": "reconstruction",
                "title": "Reconstruction",
                "summary": "Give the scan back.",
                "part": "paired",
                "primary": {
                    **primary,
                    "metric": "psnr_db",
                    "label": "PSNR",
                    "statistic": "mean",
                    "rows": ["psnr_db"],
                },
                "trains": False,
                "baselines": ["mean"],
                "space": {},
                "version": "1",
            },
            {
                "name": "anthropometry",
                "title": "Anthropometry",
                "summary": "Predict body measures from the scan.",
                "part": "paired",
                "primary": {**primary, "metric": "mean_r2", "label": "mean r²", "statistic": "r2"},
                "trains": True,
                "baselines": ["mean", "pca_ridge"],
                "space": {
                    "learning_rate": "log-uniform from 0.0001 to 0.01",
                    "freeze": "one of true, false",
                },
                "version": "1",
            },
        ],
        "cells": [
            {
                "strategy": arm,
                "task": task,
                "applicable": records.applies(arm, task),
                "reason": "" if records.applies(arm, task) else f"{records.titles[arm]} has no generator",
            }
            for arm in records.titles
            for task in ("reconstruction", "anthropometry")
        ],
        "claims": "artifact",
        "status": {
            "state": "incomplete" if failed else "complete",
            "done": len(records.trials) - failed,
            "failed": failed,
            "blocked": 0,
            "missing": 0,
        },
        "provenance": {
            "versions": {"python": "3.11.7", "torch": "2.6.0"},
            "platform": "Linux",
            "processor": "x86_64, 2 cores",
            "device": "cpu",
            "command": "harness run-all --suite quick",
            "started": "2024-05-01T09:58:00Z",
            "finished": "2024-05-01T10:12:00Z",
            "wall_seconds": 840.0,
            "test_openings": 11,
            "determinism": ["Same seeds on the same machine give the same numbers."],
        },
    }


def layouts() -> dict[str, list[dict[str, Any]]]:
    """layouts.json, through the contract's own classes."""
    published = [
        PublishedValue("Hip", "r2_pearson", "imagenet", 0.88),
        PublishedValue("Hip", "r2_pearson", "dxa_vae", 0.93, note="suspect: repeats another row"),
        PublishedValue("Waist", "r2_pearson", "SomeoneElse", 0.5),
    ]
    anthropometry = TableLayout(
        key="table3",
        title="Anthropometric measures",
        source="predictions",
        rows=tuple(
            Row(name, name, "Circumference" if i < 5 else "Volume", "cm" if i < 5 else "L")
            for i, name in enumerate(MEASURES)
        ),
        statistics=(
            Statistic("r2", "r²", "max"),
            Statistic("r2_pearson", "Pearson r²", "max"),
            Statistic("rmse", "RMSE", "min"),
            Statistic("bias", "Bias", None),
        ),
        convention="r² = 1 - SSE/SST over test scans",
        published=tuple(published),
        published_source="Example et al. 2022, Table 3",
        footnotes=("Published values come from other people's scans.",),
        least_significant_changes=dict(CHANGES),
    )
    reconstruction = TableLayout(
        key="table1",
        title="Image quality",
        source="scores",
        rows=(
            Row("psnr_db", "PSNR", unit="dB", direction="max"),
            Row("nmae", "NMAE", direction="min"),
        ),
        statistics=(Statistic("mean", "mean over scans", None, 3),),
        convention="PSNR[raw, L=1, image mean]",
    )
    return {"reconstruction": [asdict(reconstruction)], "anthropometry": [asdict(anthropometry)]}
