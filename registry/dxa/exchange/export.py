"""Real and generated scans of a run in one blinded pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from registry.contracts import InputError
from registry.contracts.context import OpenRun
from registry.dxa.bodycomp.blinding import BlindedFolder, writing
from registry.dxa.exchange.key import Entry, Export, Role, folder_of, write_key
from registry.dxa.predict.apply import generated_scans, require_generating, settings_of, task_of
from registry.dxa.predict.kept import kept_trials
from registry.dxa.tasks.composition import MEASURES, chosen_scans, to_scanner_grid, truth_of
from registry.dxa.training.scans import ScanSplit, load_scans

#: Real scans of the train split, by default: enough for a mean, few for who measures them.
TRAINING_SCANS = 20


@dataclass(frozen=True)
class Chosen:
    """Which scans are handed over.

    Parameters
    ----------
    arms, protocols, seeds
        Whose final trials generate; empty: all.
    scans
        At most so many test scans, evenly spaced among those that the run analysed.
    training_scans
        Real scans of the train split.
    """

    arms: Sequence[str] = ()
    protocols: Sequence[str] = ()
    seeds: Sequence[int] = ()
    scans: int | None = None
    training_scans: int = TRAINING_SCANS


@dataclass(frozen=True)
class HandedOver:
    """How many scans of each role, of how many trials, and where the key is."""

    real: int
    generated: int
    training: int
    trials: int
    key: Path


def export_run(
    run: Path,
    folder: Path,
    *,
    task: str,
    open_run: OpenRun,
    chosen: Chosen | None = None,
    name: str | None = None,
    generator: np.random.Generator | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> HandedOver:
    """Write the scans of a task to hand over, and the key that stays in the run.

    Scans are those that the run's own analyser judged: generated from the models that the run kept, and real
    ones, all on the scanner's grid. The test split is opened, once, and that is counted.

    Parameters
    ----------
    run
        A finished run that kept its models.
    folder
        New, outside of the run.
    task
        One that generates scans.
    open_run
        The engine's door to the data of a finished run.
    name
        Of this export; the task's unless given. A run holds one export of a name.
    generator
        Draws blinded ids; the system's randomness unless given.
    progress
        Called with trials done and in all.

    Raises
    ------
    InputError
        If the task generates no scans, models were not kept, there is an export of this name already, or the
        folder exists or is inside the run; before the test split is opened.
    DataError
        If a file of the run or the cohort is damaged, or the disk is full.
    """
    chosen = chosen or Chosen()
    require_generating(task)
    trials = kept_trials(run, task=task, arms=chosen.arms, protocols=chosen.protocols, seeds=chosen.seeds)
    key = _free_key(run, folder, name or task)
    kept = trials[0].read()
    settings, trained_for = settings_of(kept), task_of(task, kept)
    part = trials[0].part
    open_split = open_run(run, f"scans of task {task} for measurement by other software, export {key.name}")
    with BlindedFolder(folder, kept.grid, generator) as pool:
        entries: list[Entry] = []

        def add(
            role: Role, split: ScanSplit, index: npt.NDArray[np.int64], scans: Any, trial: str = ""
        ) -> None:
            for number, scan in zip(index.tolist(), scans, strict=True):
                blinded = pool.add(to_scanner_grid(scan, settings.scan_reduction, kept.grid))
                entries.append(Entry(blinded, role, trial, split.patients[number], split.scan_ids[number]))

        train = open_split(part, "train")
        index = chosen_scans(len(train.scan_ids), chosen.training_scans)
        add("training", train, index, load_scans(train, settings.scan_reduction)[index])
        test = open_split(part, "test")
        analysed = chosen_scans(len(test.scan_ids), settings.analysed_scans)
        index = analysed[chosen_scans(len(analysed), chosen.scans)]
        add("real", test, index, load_scans(test, settings.scan_reduction)[index])
        for done, trial in enumerate(trials):
            progress(done, len(trials))
            add("generated", test, index, generated_scans(trained_for, trial.read(), test, index), trial.key)
        progress(len(trials), len(trials))
        export = Export(
            task=task,
            part=part,
            simulated=bool(test.simulated),
            exported=datetime.now(UTC).isoformat(timespec="seconds"),
            trials=tuple(trial.key for trial in trials),
            training_truth=_training_truth(train),
        )
        with writing(key):
            write_key(key, export, entries)
        pool.finish(simulated=export.simulated)
    count = {role: sum(entry.role == role for entry in entries) for role in ("real", "generated", "training")}
    return HandedOver(**count, trials=len(trials), key=key)


def _free_key(run: Path, folder: Path, name: str) -> Path:
    """Where the key goes; nothing of this name is there yet, and what is handed over holds no key."""
    key = folder_of(run, name)
    if key.exists():
        raise InputError(
            f"{key} exists: scans of this run were handed over under this name, and a second key would make "
            "what comes back ambiguous",
            mend="import what came back, give another --name, or delete it to export anew",
        )
    if folder.resolve().is_relative_to(run.resolve()):
        raise InputError(
            f"{folder} is inside the run, where the key and the results are", mend="choose a folder outside"
        )
    return key


def _training_truth(train: ScanSplit) -> dict[str, float]:
    truth = truth_of(train)
    return {} if truth is None else dict(zip(MEASURES, np.nanmean(truth, axis=0).tolist(), strict=True))
