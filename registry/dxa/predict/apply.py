"""Kept models, built again and applied to files."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

from registry.catalog import Catalogue
from registry.contracts import InputError, Task, TrialContext
from registry.dxa.mesh.files import ENDINGS, read_mesh, require_upright
from registry.dxa.models.mesh_to_scan import MeshToScan
from registry.dxa.predict.files import FileSplit, Scan, read_scan
from registry.dxa.predict.kept import KeptModel
from registry.dxa.settings import DxaSettings
from registry.dxa.training.autoencoder import reconstruct
from registry.dxa.training.scans import ScanSplit, load_scans, reduce_scan

#: Tasks whose kept models make scans.
GENERATING_TASKS = ("reconstruction", "pseudo_dxa")
#: Draws of points from meshes of other topologies repeat themselves.
_SEED = 0


def generator_of(task: Task, kept: KeptModel) -> Callable[[Path], Scan] | None:
    """From a file to a generated (6, height, width) scan; `None` for tasks that generate none."""
    name = task.card.name
    if name not in GENERATING_TASKS:
        return None
    with _context(kept) as context:
        model = task.restore(context, kept.artifact).state
    if name == "reconstruction":
        return lambda path: reconstruct(model, as_trained(path, kept)[None], torch.device("cpu"))[0]
    return lambda path: _scan_of_surface(model, path)


def generated_scans(task: Task, kept: KeptModel, split: ScanSplit, chosen: NDArray[np.int64]) -> Scan:
    """(n, 6, height, width) generated scans of the chosen ones of a split, as a final trial makes them.

    Raises
    ------
    InputError
        If the task generates no scans.
    """
    with _context(kept) as context:
        model = task.restore(context, kept.artifact).state
    if task.card.name == "reconstruction":
        real = load_scans(split, settings_of(kept).scan_reduction)[chosen]
        return reconstruct(model, real, torch.device("cpu"))
    require_generating(task.card.name)
    vertices = np.ascontiguousarray(split.vertices[chosen], np.float32)  # type: ignore[attr-defined]
    scans: Scan = model.predict(vertices)
    return scans


def require_generating(task: str) -> None:
    """Refuse a task that generates no scans."""
    if task not in GENERATING_TASKS:
        raise InputError(f"task {task!r} generates no scans", mend=f"choose {' or '.join(GENERATING_TASKS)}")


def task_of(name: str, kept: KeptModel, plugins: Sequence[str] = ()) -> Task:
    """The task that the model was trained for, in the version of then.

    Raises
    ------
    InputError
        If it is not registered, or has changed since.
    """
    catalogue = Catalogue.load(plugins)
    if name not in catalogue.tasks:
        raise InputError(
            f"task {name!r} is none of this package", mend="give the plug-in that declares it: --plugin FILE"
        )
    task = catalogue.task(name)
    if task.card.version != kept.task_version:
        raise InputError(
            f"the model was trained for version {kept.task_version} of task {name!r}, this is version "
            f"{task.card.version}",
            mend="run the suite again, or apply the model with the code that trained it",
        )
    return task


def as_trained(path: Path, kept: KeptModel) -> Scan:
    """A scan's file as the model reads it: (6, height, width) counts, reduced as in training."""
    reduced = reduce_scan(read_scan(path, kept.grid), settings_of(kept).scan_reduction)
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
    split = FileSplit(paths, simulated=kept.simulated, grid=kept.grid)
    with _context(kept) as context:
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


@contextlib.contextmanager
def _context(kept: KeptModel) -> Iterator[TrialContext]:
    """What the task was given when it trained the model, without a cohort."""
    with tempfile.TemporaryDirectory() as scratch:
        yield TrialContext(
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


def _no_cohort(part: str, split: str) -> NoReturn:
    raise InputError(
        f"the task opens the {split} split of {part!r} while it predicts, and files have no cohort",
        mend="keep what predict() needs of it among the parts or the metadata of keep()",
    )


def _scan_of_surface(model: MeshToScan, path: Path) -> Scan:
    if path.suffix.lower() not in ENDINGS:
        raise InputError(
            f"{path} is no surface, and pseudo_dxa reads surfaces", mend=f"give one of {', '.join(ENDINGS)}"
        )
    mesh = read_mesh(path)
    require_upright(mesh, path)
    torch.manual_seed(_SEED)
    return model.predict_mesh(mesh)
