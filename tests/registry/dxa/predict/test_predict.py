"""Models kept as a run keeps them, found and applied again; the run folder is made by hand."""

import csv
import hashlib
import json
import shutil

import numpy as np
import polars as pl
import pytest
import trimesh
from click.testing import CliRunner
from PIL import Image

from harness.artifacts import model_files
from registry.catalog import Catalogue
from registry.contracts import DataError, InputError
from registry.dxa.bodycomp import MEASURES
from registry.dxa.predict.commands import predict
from registry.dxa.predict.kept import find_model
from tests.registry.dxa.stand_in import context_for, open_split

CATALOGUE = Catalogue.built_in()
TASKS = ("reconstruction", "anthropometry", "anthropometry_probe", "pseudo_dxa")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Task to (context, fitted model), all of one arm."""
    strategy = CATALOGUE.strategy("nodxa_vae")
    artifact = strategy.pretrain(context_for(strategy, tmp_path_factory.mktemp("pretraining")))
    fitted = {}
    for name in TASKS:
        task = CATALOGUE.task(name)
        context = context_for(task, tmp_path_factory.mktemp(name), settings={"analysed_scans": 2})
        fitted[name] = task, context, task.fit(context, artifact)
    return fitted


@pytest.fixture(scope="module")
def run(models, tmp_path_factory):
    """A run folder with one final trial per task, two for pseudo_dxa, the first of which kept nothing."""
    folder = tmp_path_factory.mktemp("run")
    rows = []
    for name, (task, context, model) in models.items():
        rows.append(row(name, f"{name}-key", seed=0, score=0.5))
        write_trial(folder, f"{name}-key", model_files(task.keep(context, model)))
    rows.append(row("pseudo_dxa", "worse", seed=1, score=0.1))
    rows.append(row("pseudo_dxa", "fraction", seed=0, score=0.9, label_fraction=0.5))
    write_trial(folder, "worse", {})
    (folder / "results").mkdir()
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / "results" / "trials.parquet")
    record = {
        "cohort": {"simulated": True},
        "domain": {"name": "dxa"},
        "suite": {"settings": models["anthropometry"][1].settings},
        "tasks": [
            {
                "name": name,
                "version": CATALOGUE.task(name).card.version,
                "primary": {"direction": "max", "label": "Mean R²"},
            }
            for name in TASKS
        ],
    }
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def row(task, key, *, seed, score, label_fraction=None):
    return {
        "key": key,
        "stage": "final",
        "status": "done",
        "task": task,
        "strategy": "nodxa_vae",
        "protocols": ["matched", "tuned"],
        "seed": seed,
        "validation_score": score,
        "hyperparameters": "{}",
        "label_fraction": label_fraction,
        "split": 0,
    }


def write_trial(run, key, files):
    folder = run / "trials" / key
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    (folder / "result.json").write_text(json.dumps({"files": digests}))


def run_predict(run, task, output, *files, extra=()):
    arguments = ["--run", str(run), "--arm", "nodxa_vae", "--task", task, "--output", str(output)]
    result = CliRunner().invoke(predict, [*map(str, files), *arguments, *extra], catch_exceptions=False)
    assert result.exit_code == 0
    with (output / "predictions.csv").open() as stream:
        return result.output, list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def scan_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("scans") / "somebody.npy"
    np.save(path, open_split("paired", "test").scans[0])
    return path


@pytest.mark.parametrize("task", ["anthropometry", "anthropometry_probe"])
def test_measures_are_those_that_the_trial_predicted(run, models, scan_file, tmp_path, task):
    output, (found,) = run_predict(run, task, tmp_path, scan_file)
    made, context, model = models[task]
    expected = made.predict(context, model, open_split("paired", "test")).predictions
    assert found.pop("file") == "somebody"
    for name, values in expected.items():
        assert float(found.pop(name)) == pytest.approx(values[0], rel=1e-5)
    assert found == {"simulated": "true"}
    assert "SIMULATED" in output
    assert "on validation: Mean R² 0.500" in output
    origin = json.loads((tmp_path / "predictions.json").read_text())
    assert (origin["simulated"], origin["task"], origin["trial"]) == (True, task, f"{task}-key")


def test_a_reconstruction_is_that_of_the_trial(run, models, scan_file, tmp_path):
    extra = ("--conventions",)
    output, (found,) = run_predict(run, "reconstruction", tmp_path, scan_file, extra=extra)
    scan = np.load(tmp_path / "somebody.npy")
    assert scan.shape == (150, 109, 6)
    image = Image.open(tmp_path / "somebody.png")
    assert image.width == 3 * 6 * 109
    assert image.text["Description"].startswith("SIMULATED. ")
    assert set(MEASURES) <= set(found)
    assert output.count("psnr_db") == 7
    assert "L=scan" in output


def test_a_surface_from_a_file_gives_the_scan_of_the_trial(run, models, tmp_path):
    split = open_split("paired", "test")
    faces = trimesh.creation.icosphere(subdivisions=3).faces
    trimesh.Trimesh(split.vertices[0], faces, process=False).export(tmp_path / "me.ply")
    _, (found,) = run_predict(run, "pseudo_dxa", tmp_path / "out", tmp_path / "me.ply")
    task, context, model = models["pseudo_dxa"]
    predictions = task.predict(context, model, split)
    assert float(found["total_mass_kg"]) == pytest.approx(
        predictions.predictions["total_mass_kg"][0], rel=1e-3
    )


def test_a_surface_of_another_topology_works_and_repeats_itself(run, tmp_path):
    trimesh.creation.capsule(height=120, radius=25).export(tmp_path / "me.obj")
    for name in ("a", "b"):
        run_predict(run, "pseudo_dxa", tmp_path / name, tmp_path / "me.obj")
    assert (tmp_path / "a" / "me.npy").read_bytes() == (tmp_path / "b" / "me.npy").read_bytes()


def test_the_best_model_on_validation_is_taken_and_label_fractions_are_not(run):
    found = find_model(run, arm="nodxa_vae", task="pseudo_dxa", protocol="tuned")
    assert (found.key, found.validation_score, found.simulated) == ("pseudo_dxa-key", 0.5, True)
    assert found.artifact.metadata["mesh_backend"]["name"] in ("torch", "kaolin")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"arm": "imagenet"}, "no final trial of arm 'imagenet'"),
        ({"arm": "nodxa_vea"}, "did you mean 'nodxa_vae'"),
        ({"task": "segmentation"}, "no task 'segmentation'"),
        ({"task": "pseudo"}, "did you mean 'pseudo_dxa'"),
        ({"seed": 7}, "seed 7"),
        ({"seed": 1}, "keeps no model"),
    ],
)
def test_what_is_not_there_is_named(run, changes, error):
    with pytest.raises(InputError, match=error):
        find_model(run, **{"arm": "nodxa_vae", "task": "pseudo_dxa", "protocol": "tuned", **changes})


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"run\.json is missing"):
        find_model(tmp_path, arm="a", task="b", protocol="tuned")


def test_damaged_weights_are_named(run):
    path = run / "trials" / "anthropometry-key" / "model.model.safetensors"
    content = path.read_bytes()
    try:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(DataError, match="corrupt"):
            find_model(run, arm="nodxa_vae", task="anthropometry", protocol="tuned")
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("content", [b"", b"not an array", None])
def test_files_that_are_no_scans_are_refused(run, tmp_path, content):
    path = tmp_path / "scan.npy"
    if content is None:
        np.save(path, np.zeros((10, 10)))
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"scan\.npy"):
        run_predict(run, "anthropometry", tmp_path / "out", path)


def test_files_of_one_name_are_refused(run, scan_file, tmp_path):
    with pytest.raises(InputError, match="several files are called 'somebody'"):
        run_predict(run, "anthropometry", tmp_path, scan_file, scan_file)


def test_a_surface_that_lies_down_is_refused(run, tmp_path):
    trimesh.creation.box(extents=(40, 150, 20)).export(tmp_path / "me.ply")
    with pytest.raises(InputError, match=r"deeper \(y\) than tall \(z\); turn it"):
        run_predict(run, "pseudo_dxa", tmp_path / "out", tmp_path / "me.ply")
    assert not (tmp_path / "out").exists()


def test_a_scan_where_a_surface_is_wanted_is_refused(run, scan_file, tmp_path):
    with pytest.raises(InputError, match="pseudo_dxa reads surfaces"):
        run_predict(run, "pseudo_dxa", tmp_path / "out", scan_file)


def test_many_files_are_not_all_printed(run, tmp_path):
    paths = [tmp_path / f"scan{number}.npy" for number in range(7)]
    for path, scan in zip(paths, open_split("paired", "test").scans, strict=False):
        np.save(path, scan)
    output, rows = run_predict(run, "anthropometry", tmp_path / "out", *paths)
    assert len(rows) == 7
    assert output.count("circumference_hip_cm") == 5
    assert "and 2 more in predictions.csv" in output


def test_a_run_of_another_domain_is_refused(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    record = json.loads((run / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({**record, "domain": {"name": "digits"}}))
    with pytest.raises(InputError, match="domain 'digits'"):
        find_model(tmp_path / "run", arm="nodxa_vae", task="pseudo_dxa", protocol="tuned")
