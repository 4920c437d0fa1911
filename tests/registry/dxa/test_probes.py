import dataclasses

import numpy as np
import pytest

from registry.catalog import Catalogue
from registry.contracts import TestSplitClosedError
from registry.dxa.domain import DxaDomain
from tests.registry.dxa.stand_in import StandInSplit, context_for, open_split

CATALOGUE = Catalogue.built_in()


def closed(part, split):
    if split == "test":
        raise TestSplitClosedError
    if part == "paired":
        return StandInSplit(split, {"train": 60, "validation": 20}[split], seed=len(split))
    return open_split(part, split)


def shuffled(part, split):
    """Labels of train scans go to other scans."""
    opened = closed(part, split)
    if split == "train":
        opened.sizes = opened.sizes[np.random.default_rng(1).permutation(len(opened.sizes))]
    return opened


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    strategy = CATALOGUE.strategy("random_init")
    context = context_for(strategy, tmp_path_factory.mktemp("probe"), opener=closed)
    return context, strategy.pretrain(context)


def test_the_ridge_probe_learns_measures_from_frozen_features_and_nothing_from_shuffled_ones(made):
    context, artifact = made
    domain = DxaDomain()
    found = domain.probe("ridge_mean_r2", context, artifact)
    assert 0.3 < found <= 1
    assert domain.probe("ridge_mean_r2", context, artifact) == found
    other = dataclasses.replace(context, open_split=shuffled)
    assert domain.probe("ridge_mean_r2", other, artifact) < 0.2


def test_the_reconstruction_probe_is_the_error_of_the_untrained_autoencoder(made):
    """An untrained generator draws the mean scan, whatever it is given."""
    from registry.dxa.training.scans import load_scans  # noqa: PLC0415

    context, artifact = made
    found = DxaDomain().probe("reconstruction_nmae", context, artifact)
    mean = load_scans(open_split("pretraining", "train"), 6).mean(0)
    true = load_scans(open_split("pretraining", "validation"), 6)
    error = np.abs(true - mean).sum((1, 2, 3)) / true.sum((1, 2, 3))
    assert found == pytest.approx(error.mean(), rel=0.1)


def test_probes_need_what_they_read():
    probes = DxaDomain.probes
    assert probes["ridge_mean_r2"].needs == {"encoder"}
    assert probes["reconstruction_nmae"].needs == {"encoder", "generator"}
    assert next(iter(probes)) == "ridge_mean_r2"
