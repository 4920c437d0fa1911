"""The script behind the tables of what settings reach."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

from registry.contracts import InputError, TestSplitClosedError
from registry.dxa.settings import DxaSettings
from registry.dxa.training.scans import load_scans
from tests.registry.dxa.stand_in import SETTINGS, open_split

SCRIPTS = Path(__file__).parents[4] / "scripts"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("measure_learning")


def closed(part, split):
    if split == "test":
        raise TestSplitClosedError
    return open_split(part, split)


def bench(script, **changes):
    return script.Bench(closed, DxaSettings(**SETTINGS).model_dump(), changes)


def test_components_reconstruct_as_those_of_another_library(script):
    train, validation = (load_scans(open_split("pretraining", name), 6) for name in ("train", "validation"))
    flat = train.reshape(len(train), -1).astype(float)
    for count in (0, 4):
        row = bench(script).components(count)
        made = np.tile(flat.mean(0), (len(validation), 1))
        if count:
            known = PCA(count, svd_solver="full").fit(flat)
            made = known.inverse_transform(known.transform(validation.reshape(len(validation), -1)))
        nmae = np.abs(made.reshape(validation.shape) - validation).sum((1, 2, 3)) / validation.sum((1, 2, 3))
        assert row["nmae"] == pytest.approx(nmae.mean(), rel=1e-4)
        assert ("R2" in row) == bool(count)


def test_a_row_is_of_the_settings_that_were_asked_for(script):
    """The weight of a term reaches the loss, so the weights that come out are others; seeds do the same."""
    plain, again = (bench(script).strategy("vae_pixel", 0) for _ in range(2))
    changed = bench(script, kl_weight=1.0).strategy("vae_pixel", 0)
    scores = [name for name in plain if name != "seconds"]
    assert set(scores) == {"psnr_db", "nmae", "ssim", "r_image_error", "R2"}
    assert [plain[name] for name in scores] == [again[name] for name in scores]
    assert all(plain[name] != changed[name] for name in scores)


def test_a_strategy_without_a_generator_has_no_reconstructions(script):
    assert set(bench(script).strategy("imagenet", 0)) == {"R2", "seconds"}


def test_a_name_that_nothing_has_is_refused(script):
    with pytest.raises(InputError, match=r"strategy 'vae_pixel' has no 'kl_wait'; choose among .*kl_weight"):
        bench(script, kl_wait=1.0).strategy("vae_pixel", 0)


def test_values_are_read_as_toml_words_without_quotes(script):
    assert script._changes(["a=1e-4", "b=published", "c=true", "d=3"]) == {
        "a": 1e-4,
        "b": "published",
        "c": True,
        "d": 3,
    }
