"""Kept models, built again and applied to files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from registry.contracts import Artifact, InputError
from registry.dxa.imaging import CHANNELS, GRID
from registry.dxa.mesh.files import read_mesh
from registry.dxa.models.architecture import Architecture
from registry.dxa.models.encoder import ScanEncoder
from registry.dxa.models.mesh_to_scan import MeshToScan, SurfaceArchitecture
from registry.dxa.models.vae import ScanVae
from registry.dxa.models.weights import load_weights
from registry.dxa.predict.kept import KeptModel
from registry.dxa.settings import DxaSettings
from registry.dxa.tasks.linear import Ridge
from registry.dxa.training.autoencoder import reconstruct
from registry.dxa.training.finetuning import Regressor
from registry.dxa.training.probing import RidgeOnFeatures
from registry.dxa.training.scans import reduce_scan

Scan = NDArray[np.float32]
#: Draws of points from meshes of other topologies repeat themselves.
_SEED = 0


def scan_generator(task: str, kept: KeptModel) -> Callable[[Path], Scan] | None:
    """From a file to a generated (6, height, width) scan; `None` for tasks that generate none."""
    if task == "reconstruction":
        vae = ScanVae.from_artifact(Artifact(kept.parts, kept.metadata))
        return lambda path: reconstruct(vae, read_scan(path, kept)[None], torch.device("cpu"))[0]
    if task == "pseudo_dxa":
        return _mesh_reader(kept)
    return None


def measurer(task: str, kept: KeptModel) -> Callable[[Path], Mapping[str, float]]:
    """From a scan's file to measures.

    Raises
    ------
    InputError
        If the task is none whose models can be applied here.
    """
    if task not in ("anthropometry", "anthropometry_probe"):
        raise InputError(
            f"models of task {task!r} cannot be applied to files",
            mend="choose reconstruction, anthropometry, anthropometry_probe or pseudo_dxa",
        )
    names = kept.metadata["measures"]
    architecture = Architecture.of(Artifact({}, kept.metadata))
    regressor = Regressor(ScanEncoder(architecture), torch.zeros(len(names)), torch.ones(len(names)))
    load_weights(regressor, kept.parts["model"], what="model")
    model = RidgeOnFeatures(regressor, Ridge(**kept.parts["ridge"])) if "ridge" in kept.parts else regressor
    return lambda path: dict(zip(names, model.predict(read_scan(path, kept)[None])[0].tolist(), strict=True))


def read_scan(path: Path, kept: KeptModel) -> Scan:
    """A (150, 109, 6) scan as the model reads it: (6, height, width) counts, reduced as in training.

    Raises
    ------
    InputError
        If the file is no such scan.
    """
    try:
        scan = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path} cannot be read as a scan ({error})", mend="give a .npy file of shape (150, 109, 6)"
        ) from error
    if scan.shape != (*GRID.shape, len(CHANNELS)) or scan.dtype.kind not in "uif":
        raise InputError(
            f"{path} has the shape {scan.shape} and type {scan.dtype}",
            mend=f"give counts of shape {(*GRID.shape, len(CHANNELS))}, channels {', '.join(CHANNELS)}",
        )
    if not np.isfinite(scan).all():
        raise InputError(f"{path} holds values that are not finite", mend="replace or drop this scan")
    reduced = reduce_scan(scan.astype(np.float32), settings_of(kept).scan_reduction)
    return np.ascontiguousarray(reduced.transpose(2, 0, 1))


def settings_of(kept: KeptModel) -> DxaSettings:
    """The settings that the model was trained with."""
    return DxaSettings.model_validate(kept.metadata["settings"])


def _mesh_reader(kept: KeptModel) -> Callable[[Path], Scan]:
    surface = SurfaceArchitecture.of(kept.metadata["surface"])
    model = MeshToScan(surface, Architecture.of(Artifact({}, kept.metadata)))
    load_weights(model, kept.parts["model"], what="model")

    def generate(path: Path) -> Scan:
        torch.manual_seed(_SEED)
        return model.predict_mesh(read_mesh(path))

    return generate
