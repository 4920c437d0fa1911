"""`harness predict` for tasks that a plug-in registers: through the task's own restore and predict."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import trimesh
from click.testing import CliRunner
from safetensors.numpy import load

from harness.artifacts import model_files
from harness.cli.new import new
from registry.catalog import Catalogue
from registry.contracts import Artifact, InputError
from registry.dxa.predict.commands import predict
from registry.dxa.predict.files import FileSplit, read_scan
from tests.registry.dxa.predict.test_predict import row, write_trial
from tests.registry.dxa.stand_in import SETTINGS, context_for, open_split

PLUGIN = '''
import numpy as np

from registry.contracts import Artifact, FittedModel, Predictions, PrimaryEndpoint, Row, Statistic
from registry.contracts import TableLayout, Task, task
from registry.dxa.training.scans import load_measures, load_scans

PRIMARY = PrimaryEndpoint("mean_r2", "R² of brightness", "max", "r2", ("brightness",))


class Brightness(Task):
    """Twice the mean count of a scan; learned from nothing, the factor is kept."""

    def fit(self, context, artifact):
        return FittedModel({"factor": np.array([2.0])}, {"mean_r2": 0.5})

    def predict(self, context, model, split):
        scans = load_scans(split, 1)
        found = model.state["factor"][0] * scans.mean((1, 2, 3), dtype=np.float64)
        targets = load_measures(split, ["brightness"])[:, 0]
        return Predictions(split.patients, split.scan_ids, {"brightness": targets}, {"brightness": found})

    def layouts(self):
        rows = (Row("brightness", "Brightness"),)
        return (TableLayout("b", "b", "predictions", rows, (Statistic("r2", "R²", "max"),)),)


DECLARED = {"needs": {"encoder"}, "domain": "dxa", "part": "paired", "primary": PRIMARY, "trains": False}


@task("brightness", version="3", **DECLARED)
class Kept(Brightness):
    def keep(self, context, model):
        return Artifact({"factor": model.state}, {})

    def restore(self, context, kept):
        return FittedModel(dict(kept.parts["factor"]), {})


@task("forgetful", **DECLARED)
class Forgetful(Brightness):
    def keep(self, context, model):
        return Artifact({"factor": model.state}, {})


@task("scores_alone", **DECLARED)
class ScoresAlone(Kept):
    def predict(self, context, model, split):
        return Predictions(split.patients, split.scan_ids, scores={"s": np.zeros(len(split.scan_ids))})


@task("reads_train", **DECLARED)
class ReadsTrain(Kept):
    def predict(self, context, model, split):
        context.open_split("paired", "train")


@task("surfaces", **DECLARED)
class Surfaces(Kept):
    def predict(self, context, model, split):
        found = np.ptp(split.vertices[..., 2], axis=1).astype(np.float64)
        return Predictions(split.patients, split.scan_ids, {"h": found * np.nan}, {"height_cm": found})
'''
TASKS = ("brightness", "forgetful", "scores_alone", "reads_train", "surfaces")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "brightness.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture(scope="module")
def run(plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a kept model of every task."""
    folder = tmp_path_factory.mktemp("run")
    catalogue = Catalogue.load([str(plugin)])
    rows, versions = [], {}
    for name in TASKS:
        task = catalogue.task(name)
        context = context_for(task, tmp_path_factory.mktemp(name))
        rows.append(row(name, f"{name}-key", seed=0, score=0.5))
        kept = task.keep(context, task.fit(context, None))
        write_trial(folder, f"{name}-key", model_files(kept))
        versions[name] = task.card.version
    (folder / "results").mkdir()
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / "results" / "trials.parquet")
    record = {
        "cohort": {"simulated": False},
        "domain": {"name": "dxa"},
        "suite": {"settings": SETTINGS},
        "tasks": [
            {"name": name, "version": versions[name], "primary": {"direction": "max", "label": "R²"}}
            for name in TASKS
        ],
    }
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("scans")
    paths = [folder / "ann.npy", folder / "bob.npy"]
    for path, scan in zip(paths, open_split("paired", "test").scans, strict=False):
        np.save(path, scan)
    return paths


def apply(run: Path, task: str, output: Path, files: list[Path], *extra: str) -> str:
    arguments = ["--run", str(run), "--arm", "nodxa_vae", "--task", task, "--output", str(output), *extra]
    done = CliRunner().invoke(predict, [*map(str, files), *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_a_plug_in_s_model_is_applied_to_scans(
    run: Path, plugin: Path, scans: list[Path], tmp_path: Path
) -> None:
    output = apply(run, "brightness", tmp_path, scans, "--plugin", str(plugin))
    with (tmp_path / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [found["file"] for found in rows] == ["ann", "bob"]
    for found, path in zip(rows, scans, strict=True):
        assert float(found["brightness"]) == pytest.approx(2 * np.load(path).mean(), rel=1e-5)
    assert "SIMULATED" not in output


def test_a_plug_in_s_model_is_applied_to_surfaces(run: Path, plugin: Path, tmp_path: Path) -> None:
    surface = tmp_path / "me.ply"
    trimesh.creation.box(extents=(40, 20, 150)).export(surface)
    apply(run, "surfaces", tmp_path / "out", [surface], "--plugin", str(plugin))
    with (tmp_path / "out" / "predictions.csv").open() as stream:
        (found,) = csv.DictReader(stream)
    assert float(found["height_cm"]) == pytest.approx(150.0)


@pytest.mark.parametrize(
    ("task", "message", "mend"),
    [
        ("forgetful", "cannot build a kept model again", "implement restore"),
        ("scores_alone", "predicts no measures", "return `predictions`"),
        ("reads_train", "opens the train split", "keep()"),
    ],
)
def test_what_a_task_has_to_implement_is_said(  # noqa: PLR0917 - fixtures
    run: Path, plugin: Path, scans: list[Path], tmp_path: Path, task: str, message: str, mend: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        apply(run, task, tmp_path / "out", scans, "--plugin", str(plugin))
    assert mend in caught.value.mend
    assert not (tmp_path / "out").exists()


def test_a_task_of_a_plug_in_that_is_not_given_is_named(run: Path, scans: list[Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'brightness' is none of this package") as caught:
        apply(run, "brightness", tmp_path, scans)
    assert "--plugin" in caught.value.mend


def test_a_model_of_another_version_of_the_task_is_refused(
    run: Path, plugin: Path, scans: list[Path], tmp_path: Path
) -> None:
    changed = tmp_path / "changed.py"
    changed.write_text(plugin.read_text().replace('version="3"', 'version="4"'))
    with pytest.raises(InputError, match="trained for version 3 of task 'brightness', this is version 4"):
        apply(run, "brightness", tmp_path / "out", scans, "--plugin", str(changed))


def test_files_are_a_split_without_truth(scans: list[Path], tmp_path: Path) -> None:
    split = FileSplit(scans, simulated=True)
    assert split.scans.shape == (2, 150, 109, 6)
    assert split.scan_ids == split.patients == ["ann", "bob"]
    assert np.isnan(split.measures(["a", "b"])).all()
    with pytest.raises(InputError, match=r"me\.ply is a surface, and this task reads scans"):
        read_scan(tmp_path / "me.ply")
    with pytest.raises(InputError, match="does not exist"):
        read_scan(tmp_path / "nobody.npy")
    trimesh.creation.box(extents=(40, 20, 150)).export(tmp_path / "a.ply")
    trimesh.creation.icosphere(radius=80).export(tmp_path / "b.ply")
    with pytest.raises(InputError, match="different numbers of vertices: 8, 642"):
        _ = FileSplit([tmp_path / "a.ply", tmp_path / "b.ply"], simulated=True).vertices


def test_the_task_that_is_written_for_a_newcomer_can_be_kept_and_restored(tmp_path: Path) -> None:
    done = CliRunner().invoke(new, ["task", "my_own", "--folder", str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    task = Catalogue.load([str(tmp_path / "my_own.py")]).task("my_own")
    start = Catalogue.built_in().strategy("random_init")
    artifact = start.pretrain(context_for(start, tmp_path))
    context = context_for(task, tmp_path)
    model, split = task.fit(context, artifact), open_split("paired", "test")
    files = model_files(task.keep(context, model))
    parts = {name.split(".")[1]: load(content) for name, content in files.items() if name != "model.json"}
    restored = task.restore(context, Artifact(parts, json.loads(files["model.json"])))
    for name, values in task.predict(context, model, split).predictions.items():
        np.testing.assert_array_equal(task.predict(context, restored, split).predictions[name], values)
