"""Kept models, built again and applied to files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

from registry.contracts import InputError, Task, TrialContext
from registry.dxa.mesh.files import ENDINGS, read_mesh
from registry.dxa.models.architecture import Architecture
from registry.dxa.models.mesh_to_scan import MeshToScan, SurfaceArchitecture
from registry.dxa.models.vae import ScanVae
from registry.dxa.models.weights import load_weights
from registry.dxa.predict.files import FileSplit, Scan, read_scan
from registry.dxa.predict.kept import KeptModel
from registry.dxa.settings import DxaSettings
from registry.dxa.training.autoencoder import reconstruct
from registry.dxa.training.scans import ScanSplit, load_scans, reduce_scan

#: Tasks whose kept models make scans.
GENERATING_TASKS = ("reconstruction", "pseudo_dxa")
#: Draws of points from meshes of other topologies repeat themselves.
_SEED = 0


def scan_generator(task: str, kept: KeptModel) -> Callable[[Path], Scan] | None:
    """From a file to a generated (6, height, width) scan; `None` for tasks that generate none."""
    if task == "reconstruction":
        vae = ScanVae.from_artifact(kept.artifact)
        return lambda path: reconstruct(vae, as_trained(path, kept)[None], torch.device("cpu"))[0]
    if task == "pseudo_dxa":
        return _mesh_reader(kept)
    return None


def generated_scans(task: str, kept: KeptModel, split: ScanSplit, chosen: NDArray[np.int64]) -> Scan:
    """(n, 6, height, width) generated scans of the chosen ones of a split, as a final trial makes them.

    Raises
    ------
    InputError
        If the task generates no scans.
    """
    if task == "reconstruction":
        real = load_scans(split, settings_of(kept).scan_reduction)[chosen]
        return reconstruct(ScanVae.from_artifact(kept.artifact), real, torch.device("cpu"))
    if task == "pseudo_dxa":
        vertices = np.ascontiguousarray(split.vertices[chosen], np.float32)  # type: ignore[attr-defined]
        return _surface_model(kept).predict(vertices)
    raise InputError(f"task {task!r} generates no scans", mend=f"choose {' or '.join(GENERATING_TASKS)}")


def as_trained(path: Path, kept: KeptModel) -> Scan:
    """A scan's file as the model reads it: (6, height, width) counts, reduced as in training."""
    reduced = reduce_scan(read_scan(path), settings_of(kept).scan_reduction)
    return np.ascontiguousarray(reduced.transpose(2, 0, 1))


def settings_of(kept: KeptModel) -> DxaSettings:
    """The settings that the model was trained with."""
    return DxaSettings.model_validate(kept.settings)


def measures_of(task: Task, kept: KeptModel, paths: Sequence[Path]) -> list[dict[str, float]]:
    """What a task's own `predict` says of each file, with the model that its `restore` builds again.

    Raises
    ------
    InputError
        If the task cannot build its model again, or predicts no measures.
    """
    name = task.card.name
    split = FileSplit(paths, simulated=kept.simulated)
    with tempfile.TemporaryDirectory() as scratch:
        context = TrialContext(
            hyperparameters=kept.hyperparameters,
            factors={},
            settings=kept.settings,
            seed=kept.seed,
            device="cpu",
            precision="float32",
            threads=torch.get_num_threads(),
            open_split=_no_cohort,
            report=lambda step, steps, **values: None,
            scratch=Path(scratch),
        )
        try:
            model = task.restore(context, kept.artifact)
        except NotImplementedError as error:
            raise InputError(
                f"task {name!r} cannot build a kept model again",
                mend=f"implement restore(context, kept) in {type(task).__name__}: the FittedModel whose "
                "weights keep(context, model) handed out, which predict(context, model, split) then reads",
            ) from error
        found = task.predict(context, model, split)
    if not found.predictions:
        raise InputError(
            f"task {name!r} predicts no measures of a file, only scores against a truth that files lack",
            mend="return `predictions` in predict(); `targets` may be NaN",
        )
    columns = {name: np.asarray(values, np.float64).tolist() for name, values in found.predictions.items()}
    return [{name: values[row] for name, values in columns.items()} for row in range(len(paths))]


def _no_cohort(part: str, split: str) -> NoReturn:
    raise InputError(
        f"the task opens the {split} split of {part!r} while it predicts, and files have no cohort",
        mend="keep what predict() needs of it among the parts or the metadata of keep()",
    )


def _surface_model(kept: KeptModel) -> MeshToScan:
    surface = SurfaceArchitecture.of(kept.artifact.metadata["surface"])
    model = MeshToScan(surface, Architecture.of(kept.artifact))
    load_weights(model, kept.artifact.parts["model"], what="model")
    return model


def _mesh_reader(kept: KeptModel) -> Callable[[Path], Scan]:
    model = _surface_model(kept)

    def generate(path: Path) -> Scan:
        if path.suffix.lower() not in ENDINGS:
            raise InputError(
                f"{path} is no surface, and pseudo_dxa reads surfaces",
                mend=f"give one of {', '.join(ENDINGS)}",
            )
        torch.manual_seed(_SEED)
        return model.predict_mesh(read_mesh(path))

    return generate
