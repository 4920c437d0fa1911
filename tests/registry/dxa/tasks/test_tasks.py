from dataclasses import asdict

import numpy as np
import pytest

from registry.catalog import Catalogue
from registry.contracts import InputError, TestSplitClosedError
from registry.dxa.cohort.measures import ANTHROPOMETRY, MEASURES
from registry.dxa.tasks.anthropometry import Anthropometry, AnthropometryProbe
from registry.dxa.tasks.linear import mean_r2
from registry.dxa.tasks.reconstruction import Reconstruction
from tests.registry.dxa.stand_in import context_for, open_split

CATALOGUE = Catalogue.built_in()


def closed(part, split):
    if split == "test":
        raise TestSplitClosedError
    return open_split(part, split)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    made = {}
    for name in ("random_init", "nodxa_vae"):
        strategy = CATALOGUE.strategy(name)
        made[name] = strategy.pretrain(context_for(strategy, tmp_path_factory.mktemp(name), opener=closed))
    return made


def final(task, context, model):
    return task.predict(context, model, open_split(task.card.part, "test"))


def test_reconstruction_applies_to_parts_that_were_trained_together():
    task = Reconstruction()
    assert task.applies(CATALOGUE.strategy("dxa_vae").card) == (True, "")
    assert task.applies(CATALOGUE.strategy("imagenet").card) == (False, "ImageNet has no generator")
    assert task.applies(CATALOGUE.strategy("random_init").card) == (
        False,
        "encoder and generator of Random were not trained together",
    )


def test_reconstruction_scores_every_test_scan(tmp_path, artifacts):
    task = Reconstruction()
    context = context_for(task, tmp_path, opener=closed)
    model = task.fit(context, artifacts["nodxa_vae"])
    # An autoencoder of 4 steps is near the mean scan; its score on validation is what it gives there.
    shared = artifacts["nodxa_vae"].validation
    assert {name: model.validation[name] for name in shared} == pytest.approx(dict(shared), rel=1e-5)
    predictions = final(task, context, model)
    split = open_split("pretraining", "test")
    assert predictions.scans == split.scan_ids
    assert predictions.patients == split.patients
    for source, found in (("scores", predictions.scores), ("predictions", predictions.predictions)):
        declared = {row.key for layout in task.layouts() if layout.source == source for row in layout.rows}
        assert declared == set(found)
    assert all(values.shape == (8,) for values in predictions.scores.values())


def test_principal_components_beat_the_mean_scan(tmp_path):
    task = Reconstruction()
    context = context_for(task, tmp_path, opener=closed)
    scores = {
        name: final(task, context, task.fit_baseline(name, context)).scores for name in task.card.baselines
    }
    assert scores["pca"]["nmae"].mean() < 0.5 * scores["mean"]["nmae"].mean()


def test_the_number_of_components_is_the_best_on_validation(tmp_path):
    from registry.dxa.tasks.image_metrics import nmae  # noqa: PLC0415
    from registry.dxa.tasks.linear import PrincipalComponents  # noqa: PLC0415
    from registry.dxa.training.scans import load_scans  # noqa: PLC0415

    task = Reconstruction()
    chosen = task.fit_baseline("pca", context_for(task, tmp_path, opener=closed))
    train, validation = (load_scans(open_split("pretraining", name), 6) for name in ("train", "validation"))
    components = PrincipalComponents.fit(train, 11)
    errors = [nmae(validation, components.reconstruct(validation, count)).mean() for count in (2, 4, 8, 11)]
    assert chosen.validation["nmae"] == pytest.approx(min(errors), rel=1e-5)


def test_an_exhibit_shows_the_same_scans_for_every_model(tmp_path, artifacts):
    task = Reconstruction()
    context = context_for(task, tmp_path, opener=closed)
    split = open_split("pretraining", "test")
    arm = task.exhibits(context, task.fit(context, artifacts["nodxa_vae"]), split)
    baseline = task.exhibits(context, task.fit_baseline("mean", context), split)
    assert (
        [one.key for one in arm]
        == [one.key for one in baseline]
        == ["mean-scan-best", "mean-scan-median", "mean-scan-worst"]
    )
    from registry.dxa.tasks.image_metrics import nmae  # noqa: PLC0415
    from registry.dxa.training.scans import load_scans  # noqa: PLC0415

    true = load_scans(split, context.settings["scan_reduction"])
    order = np.argsort(nmae(true, np.broadcast_to(true.mean(0), true.shape)))
    for one, other, rank in zip(arm, baseline, (0, 4, 7), strict=True):
        assert one.facts["scan"] == other.facts["scan"] == split.scan_ids[order[rank]]
        truth, _, error = one.panels[:3]
        np.testing.assert_array_equal(truth.image, other.panels[0].image)
        difference = one.panels[1].image - truth.image
        np.testing.assert_allclose(error.image, 100 * difference / truth.image.max(), rtol=1e-4, atol=1e-4)
        assert one.panels[0].limits == one.panels[1].limits
        assert one.panels[-2].limits == one.panels[-1].limits
        assert [panel.kind for panel in one.panels].count("difference") == 6
        assert one.pixel_aspect == pytest.approx(2.18, abs=0.01)


def test_scans_of_another_size_are_refused(tmp_path, artifacts):
    for task, name in ((Reconstruction(), "nodxa_vae"), (Anthropometry(), "random_init")):
        context = context_for(task, tmp_path, settings={"scan_reduction": 5}, opener=closed)
        with pytest.raises(InputError, match="scan_reduction"):
            task.fit(context, artifacts[name])


@pytest.mark.parametrize(("batch_norm", "rate"), [("calibrated", 1e-4), ("trained", 1e-3)])
def test_anthropometry_learns_and_keeps_its_best_epoch(tmp_path, artifacts, batch_norm, rate):
    task = Anthropometry()
    scores = []
    context = context_for(
        task,
        tmp_path,
        settings={"finetuning_epochs": 6},
        hyperparameters={"batch_norm": batch_norm, "learning_rate": rate},
        report=lambda step, steps, **values: scores.append(values.get("validation_mean_r2")),
        opener=closed,
    )
    model = task.fit(context, artifacts["random_init"])
    seen = [score for score in scores if score is not None]
    assert len(seen) == 6
    assert model.validation["mean_r2"] == max(seen)
    assert max(seen) > 0.2
    predictions = task.predict(context, model, open_split("paired", "validation"))
    stacked = [np.stack(list(table.values()), 1) for table in (predictions.targets, predictions.predictions)]
    assert mean_r2(*stacked) == pytest.approx(max(seen), abs=1e-6)


def test_earlier_stages_learn_more_slowly(tmp_path, artifacts):
    """With a decay near zero only the last stage and the head move."""
    moved = {}
    for decay in (1.0, 1e-9):
        task = Anthropometry()
        context = context_for(
            task, tmp_path / str(decay), opener=closed, hyperparameters={"layer_decay": decay}
        )
        encoder = task.fit(context, artifacts["random_init"]).state.encoder
        before = artifacts["random_init"].parts["encoder"]
        change = {
            name: np.abs(weight.detach().numpy() - before[name]).max()
            for name, weight in encoder.named_parameters()
        }
        last = {id(weight) for module in encoder.stages()[-1] for weight in module.parameters()}
        moved[decay] = [
            max(
                change[name] for name, weight in encoder.named_parameters() if (id(weight) in last) == at_last
            )
            for at_last in (False, True)
        ]
    assert min(moved[1.0]) > 1e-5
    assert moved[1e-9][0] < 1e-7
    assert moved[1e-9][1] > 1e-5


def test_stages_hold_every_parameter_once(artifacts):
    from registry.dxa.models.architecture import Architecture  # noqa: PLC0415
    from registry.dxa.models.encoder import ScanEncoder  # noqa: PLC0415

    encoder = ScanEncoder(Architecture.of(artifacts["random_init"]))
    held = [id(w) for stage in encoder.stages() for module in stage for w in module.parameters()]
    assert sorted(held) == sorted(id(w) for w in encoder.parameters())
    assert len(encoder.stages()) > 5


@pytest.mark.parametrize(("treatment", "kept"), [("frozen", True), ("calibrated", False)])
def test_frozen_statistics_are_those_that_came_with_the_weights(tmp_path, artifacts, treatment, kept):
    task = Anthropometry()
    context = context_for(task, tmp_path, opener=closed, hyperparameters={"batch_norm": treatment})
    encoder = task.fit(context, artifacts["nodxa_vae"]).state.encoder
    before = artifacts["nodxa_vae"].parts["encoder"]
    same = [
        np.array_equal(before[name], buffer.numpy())
        for name, buffer in encoder.named_buffers()
        if name.endswith("running_mean")
    ]
    assert all(same) == kept


def test_the_probe_is_ridge_on_features_of_the_untouched_encoder(tmp_path, artifacts):
    from registry.dxa.training.probing import pooled_features  # noqa: PLC0415
    from registry.dxa.training.scans import load_scans  # noqa: PLC0415

    task = AnthropometryProbe()
    context = context_for(task, tmp_path, opener=closed)
    model = task.fit(context, artifacts["nodxa_vae"])
    encoder = model.state.regressor.encoder
    for name, weight in encoder.named_parameters():
        np.testing.assert_array_equal(weight.detach().numpy(), artifacts["nodxa_vae"].parts["encoder"][name])
    assert model.validation["mean_r2"] > 0.2
    scans = load_scans(open_split("paired", "train"), 6)
    features = pooled_features(model.state.regressor, scans)
    expected = model.state.ridge.predict(features)[:, 0]
    predictions = task.predict(context, model, open_split("paired", "train")).predictions
    np.testing.assert_allclose(next(iter(predictions.values())), expected)


def test_anthropometry_repeats_itself_bit_for_bit(tmp_path, artifacts):
    task = Anthropometry()
    made = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        context = context_for(task, tmp_path / name, seed=seed, opener=closed)
        made.append(final(task, context, task.fit(context, artifacts["nodxa_vae"])).predictions)
    first, again, other = (np.stack(list(table.values())) for table in made)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_baselines_of_anthropometry(tmp_path):
    task = Anthropometry()
    context = context_for(task, tmp_path, opener=closed)
    mean = task.fit_baseline("mean", context)
    predictions = final(task, context, mean).predictions
    train = open_split("paired", "train").measures([measure.name for measure in ANTHROPOMETRY])
    for column, measure in enumerate(ANTHROPOMETRY):
        np.testing.assert_allclose(predictions[measure.name], train[:, column].mean())
    assert {"pca_ridge_16", "pca_ridge_64"} <= set(task.card.baselines)
    ridge = task.fit_baseline("pca_ridge", context)
    assert ridge.validation["mean_r2"] > 0.5 > mean.validation["mean_r2"]


def test_an_unknown_baseline_is_refused(tmp_path):
    for task in (Reconstruction(), Anthropometry()):
        with pytest.raises(ValueError, match="has no baseline 'oracle'"):
            task.fit_baseline("oracle", context_for(task, tmp_path, opener=closed))


def test_rows_follow_the_papers_table():
    layout = Anthropometry().layouts()[0]
    assert [row.key for row in layout.rows] == [measure.name for measure in ANTHROPOMETRY]
    assert len(layout.rows) == 15
    assert all(MEASURES[row.key].unit == row.unit for row in layout.rows)


def test_published_values_are_those_of_the_paper():
    tables = {layout.key: layout for layout in Reconstruction().layouts()}
    image = {(v.row, v.arm): v.value for v in tables["image"].published}
    assert image["psnr_db", "nodxa_vae"] == 49.52
    assert image["psnr_db", "dxa_vae"] == 51.15
    assert image["nmae", "dxa_vae"] == 0.032
    assert len(image) == 6
    composed = {(v.row, v.statistic, v.arm): v.value for v in tables["composition"].published}
    assert composed["total_mass_kg", "rmse", "dxa_vae"] == 1.43
    assert composed["arm_bmd_g_cm2", "r2_pearson", "nodxa_vae"] == 0.49
    assert len(composed) == 13 * 2 * 2
    table = {(v.row, v.statistic, v.arm): v.value for v in Anthropometry().layouts()[0].published}
    assert table["circumference_bicep_left_cm", "r2_pearson", "imagenet"] == 0.84
    assert table["circumference_waist_cm", "rmse", "dxa_vae"] == 3.40
    assert table["volume_total_l", "r2_pearson", "nodxa_vae"] == 0.97
    assert len(table) == 15 * 2 * 3


def test_layouts_and_endpoints_name_things_that_exist():
    for task in (Reconstruction(), Anthropometry()):
        primary, *_ = layouts = task.layouts()
        assert set(task.card.primary.rows) <= {row.key for row in primary.rows}
        assert task.card.primary.statistic in {statistic.name for statistic in primary.statistics}
        assert len({layout.key for layout in layouts}) == len(layouts)
        for layout in layouts:
            assert {value.row for value in layout.published} <= {row.key for row in layout.rows}
            assert {value.statistic for value in layout.published} <= {one.name for one in layout.statistics}
            assert {value.arm for value in layout.published} <= set(CATALOGUE.strategies)
        assert asdict(primary)["footnotes"]
