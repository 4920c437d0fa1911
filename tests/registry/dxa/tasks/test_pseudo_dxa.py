from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh

from harness.outputs import exhibit_files, prediction_tables
from registry.catalog import Catalogue
from registry.contracts import InputError, TestSplitClosedError
from registry.dxa.mesh.files import Mesh
from registry.dxa.tasks.composition import MEASURES, TRUE
from registry.dxa.tasks.linear import mean_r2
from registry.dxa.tasks.pseudo_dxa import PseudoDxa
from registry.dxa.tasks.shape_model import LinearGenerator, ShapeRegression
from registry.dxa.training.generation import target_latents, train_generation
from registry.dxa.training.scans import load_scans
from tests.registry.dxa.stand_in import context_for, open_split

CATALOGUE = Catalogue.built_in()


def closed(part, split):
    if split == "test":
        raise TestSplitClosedError
    return open_split(part, split)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    made = {}
    for name in ("random_init", "dxa_vae"):
        strategy = CATALOGUE.strategy(name)
        made[name] = strategy.pretrain(context_for(strategy, tmp_path_factory.mktemp(name), opener=closed))
    return made


def fit(tmp_path, artifact, seen=None, settings=None, **arguments):
    settings = {"analysed_scans": 2, **(settings or {})}
    report = None
    if seen is not None:
        report = lambda step, steps, **values: seen.append(values)  # noqa: E731
    task = PseudoDxa()
    context = context_for(task, tmp_path, opener=closed, report=report, settings=settings, **arguments)
    return task, context, task.fit(context, artifact)


def test_it_applies_to_whatever_has_a_generator():
    task = PseudoDxa()
    assert task.applies(CATALOGUE.strategy("imagenet").card) == (False, "ImageNet has no generator")
    for name in ("random_init", "nodxa_vae", "dxa_vae"):
        assert task.applies(CATALOGUE.strategy(name).card) == (True, "")


def test_it_predicts_what_its_tables_declare(tmp_path, artifacts):
    task, context, model = fit(tmp_path, artifacts["dxa_vae"])
    assert {"mean_r2", "nmae", "psnr_db"} <= set(model.validation)
    predictions = task.predict(context, model, open_split("paired", "test"))
    for source, found in (("scores", predictions.scores), ("predictions", predictions.predictions)):
        declared = {row.key for layout in task.layouts() if layout.source == source for row in layout.rows}
        assert declared == set(found)
    exhibits = task.exhibits(context, model, open_split("paired", "test"))
    assert [exhibit.key for exhibit in exhibits] == ["mean-scan-best", "mean-scan-median", "mean-scan-worst"]
    frames = prediction_tables("k", predictions)  # what the engine makes of it
    assert frames["predictions"]["scan"].n_unique() == 2
    assert frames["scores"]["scan"].n_unique() == 8
    assert set(exhibit_files(exhibits)) == {"exhibits.json", "exhibits.npz"}


def test_latents_are_learned_where_the_arm_has_some(tmp_path, artifacts):
    seen = []
    fit(tmp_path / "a", artifacts["dxa_vae"], seen)
    assert [set(values) - {"loss"} for values in seen[:3]] == 3 * [{"latent"}]
    assert {"latent", "perceptual", "r_image", "kl"} <= set(seen[3])
    assert len(seen) == 6
    untrained = []
    fit(tmp_path / "b", artifacts["random_init"], untrained)
    assert len(untrained) == 3
    assert not {"latent", "r_image"} & set(untrained[0])


def test_target_latents_are_those_of_the_arms_encoder(artifacts):
    from registry.dxa.models.vae import ScanVae  # noqa: PLC0415

    scans = torch.from_numpy(load_scans(open_split("paired", "train"), 6))
    vae = ScanVae.from_artifact(artifacts["dxa_vae"]).eval()
    with torch.inference_mode():
        expected = vae.encode(scans)[0]
    torch.testing.assert_close(target_latents(artifacts["dxa_vae"], scans), expected)
    assert target_latents(artifacts["random_init"], scans) is None
    alone = replace(artifacts["dxa_vae"], parts={"generator": artifacts["dxa_vae"].parts["generator"]})
    assert target_latents(alone, scans) is None


@pytest.mark.parametrize(("share", "moved"), [(1.0, False), (0.0, True)])
def test_a_frozen_generator_stays_as_it_was(tmp_path, artifacts, share, moved):
    artifact = artifacts["dxa_vae"]
    _, _, model = fit(tmp_path, artifact, hyperparameters={"frozen_share": share})
    before = artifact.parts["generator"]
    after = model.state.generator.state_dict()
    assert any(not np.array_equal(before[name], after[name].numpy()) for name in before) == moved


@pytest.mark.parametrize("encoder", ["pointnet2", "pointnet"])
def test_it_learns(tmp_path, artifacts, encoder):
    seen = []
    settings = {"point_encoder": encoder, "mesh_points": 64, "alignment_steps": 120, "generation_steps": 2}
    fit(tmp_path, artifacts["dxa_vae"], seen, settings)
    latent = [values["latent"] for values in seen]
    assert latent[0] == pytest.approx(1.0, abs=0.7)  # knows the mean latent
    assert np.mean(latent[-30:]) < 0.9 * np.mean(latent[:10])


def test_a_killed_training_resumes_to_the_same_scans(tmp_path, artifacts, monkeypatch):
    from registry.dxa.training import loop  # noqa: PLC0415

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    made = []
    for die in (False, True):

        def report(step, steps, die=die, **values):
            if die and step == 5:  # between the two stages' losses
                raise KeyboardInterrupt

        task = PseudoDxa()
        folder = tmp_path / str(die)
        if die:
            with pytest.raises(KeyboardInterrupt):
                task.fit(context_for(task, folder, opener=closed, report=report), artifacts["dxa_vae"])
        model = task.fit(context_for(task, folder, opener=closed), artifacts["dxa_vae"])
        made.append(model.state.predict(open_split("paired", "validation").vertices))
    np.testing.assert_array_equal(*made)


def test_equal_seeds_give_equal_scans(tmp_path, artifacts):
    made = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train = open_split("paired", "train")
        context = context_for(PseudoDxa(), tmp_path / name, seed=seed, opener=closed)
        model = train_generation(context, artifacts["dxa_vae"], train.vertices, load_scans(train, 6))
        made.append(model.predict(open_split("paired", "validation").vertices))
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_a_mesh_of_the_known_topology_takes_the_fast_path(tmp_path, artifacts):
    _, _, model = fit(tmp_path, artifacts["dxa_vae"])
    split = open_split("paired", "validation")
    faces = trimesh.creation.icosphere(subdivisions=3).faces
    (fast,) = model.state.predict(split.vertices[:1])
    np.testing.assert_allclose(model.state.predict_mesh(Mesh(split.vertices[0], faces)), fast, rtol=1e-5)
    moved = Mesh(split.vertices[0] + np.float32(37.0), faces)
    np.testing.assert_allclose(model.state.predict_mesh(moved), fast, rtol=1e-3, atol=0.5)


def test_a_mesh_of_another_topology_is_sampled_by_area(tmp_path, artifacts):
    _, _, model = fit(tmp_path, artifacts["dxa_vae"], settings={"mesh_points": 64})
    split = open_split("paired", "validation")
    sphere = trimesh.creation.icosphere(subdivisions=4)  # the same solids, four times the faces
    half_lengths = (100 * split.sizes[0, [1, 2, 0]]).astype(np.float32)
    other = Mesh((sphere.vertices * half_lengths).astype(np.float32), sphere.faces)
    torch.manual_seed(0)
    clouds = model.state.clouds(other)
    assert clouds.shape[1:] == (64, 3)
    on_the_surface = (clouds * model.state.surface.scale_cm / torch.from_numpy(half_lengths)).norm(dim=-1)
    assert float((on_the_surface - 1).abs().max()) < 0.01
    gaps = torch.cdist(clouds, clouds) + 9 * torch.eye(64)
    assert float(gaps.amin(-1).min()) > 0.2 * float(gaps.amin(-1).max())  # no two points close together
    torch.manual_seed(0)
    first = model.state.predict_mesh(other)
    torch.manual_seed(0)
    np.testing.assert_array_equal(first, model.state.predict_mesh(other))
    assert first.shape == (6, 25, 19)
    with pytest.raises(InputError, match="642 vertices"):
        model.state.predict(other.vertices[None])


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["pointnet2", "pointnet"])
def test_every_vertex_of_a_body_can_be_read(tmp_path, artifacts, encoder):
    """The size that the paper works at: all vertices, 20 steps."""
    from registry.dxa.cohort.bodies import body_model  # noqa: PLC0415

    split = open_split("paired", "train")
    mean = body_model().mean_cm[: body_model().vertices]
    vertices = (mean[None] * (0.7 + 0.5 * split.sizes[:, None])).astype(np.float32)
    settings = {
        "mesh_points": 0,
        "point_encoder": encoder,
        "point_width": 32,
        "alignment_steps": 18,
        "generation_steps": 2,
        "generation_batch_size": 2,
    }
    seen = []
    report = lambda step, steps, **values: seen.append(values)  # noqa: E731
    rate = {"learning_rate": 5e-4}
    context = context_for(
        PseudoDxa(), tmp_path, opener=closed, settings=settings, report=report, hyperparameters=rate
    )
    model = train_generation(context, artifacts["dxa_vae"], vertices, load_scans(split, 6))
    assert model.surface.points == vertices.shape[1] > 10_000
    assert len(seen) == 20
    assert all(np.isfinite(list(values.values())).all() for values in seen)


def test_the_linear_shape_model_recovers_a_linear_law():
    generator = np.random.default_rng(0)
    shapes = generator.normal(size=(60, 3))
    vertices = (shapes @ generator.normal(size=(3, 30))).reshape(60, 10, 3).astype(np.float32)
    values = shapes @ generator.normal(size=(3, 4)) + 5
    regression = ShapeRegression.fit(vertices[:40], values[:40], vertices[40:50], values[40:50])
    assert mean_r2(values[50:], regression.predict(vertices[50:])) > 0.999


def test_the_linear_generator_recovers_scans_that_follow_from_shape():
    generator = np.random.default_rng(0)
    shapes = generator.normal(size=(60, 3))
    vertices = (shapes @ generator.normal(size=(3, 30))).reshape(60, 10, 3).astype(np.float32)
    scans = (1000 + 100 * shapes @ generator.normal(size=(3, 6 * 8))).reshape(60, 6, 2, 4).astype(np.float32)
    parts = [(vertices[a:b], scans[a:b]) for a, b in ((0, 40), (40, 50))]
    made = LinearGenerator.fit(16, *parts).predict(vertices[50:])
    assert np.abs(made - scans[50:]).mean() < 0.02 * np.abs(scans[50:] - scans.mean(0)).mean()
    mean = LinearGenerator.fit(0, *parts).predict(vertices[50:])
    np.testing.assert_allclose(mean[0], scans[:40].mean(0), rtol=1e-5)


def test_baselines_predict_the_same_measures(tmp_path):
    task = PseudoDxa()
    context = context_for(task, tmp_path, opener=closed, settings={"analysed_scans": 4})
    found = {name: task.fit_baseline(name, context) for name in task.card.baselines}
    test = open_split("paired", "test")
    predicted = {name: task.predict_baseline(name, context, model, test) for name, model in found.items()}
    for predictions in predicted.values():
        judged = np.isfinite(predictions.targets["total_fat_kg"])
        assert judged.sum() == 4
        for name in (*MEASURES, TRUE + MEASURES[0], "closure_kg"):
            np.testing.assert_allclose(predictions.targets[name], predicted["mean"].targets[name])
        assert prediction_tables("k", predictions)["predictions"].height
    assert not predicted["shape_model"].scores
    assert predicted["shape_pca_16"].scores["nmae"].mean() < predicted["mean"].scores["nmae"].mean()
    with pytest.raises(ValueError, match="no baseline 'oracle'"):
        task.fit_baseline("oracle", context)


def test_published_values_are_those_of_the_paper():
    tables = {layout.key: layout for layout in PseudoDxa().layouts()}
    image = {(v.row, v.arm): v.value for v in tables["image"].published}
    assert image["psnr_db", "dxa_vae"] == 38.49
    composed = {(v.row, v.statistic, v.arm): v for v in tables["composition"].published}
    assert composed["total_mass_kg", "r2_pearson", "dxa_vae"].value == 0.90
    assert len(composed) == 52
    suspect = [key for key, value in composed.items() if value.note]
    assert suspect == [("total_lean_kg", "rmse", "nodxa_vae")]
