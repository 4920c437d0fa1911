"""The probes that choose settings of pretraining: against a ridge with leave-one-out by brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from registry.catalog import Catalogue
from registry.contracts import TestSplitClosedError
from registry.dxa.domain import DxaDomain
from registry.dxa.models.architecture import Architecture
from registry.dxa.models.encoder import ScanEncoder
from registry.dxa.models.initialization import calibrate_batch_statistics
from registry.dxa.models.vae import load_encoder
from registry.dxa.probes import PENALTIES, PROBES
from registry.dxa.tasks.anthropometry import MEASURES
from registry.dxa.tasks.reconstruction import Reconstruction
from registry.dxa.training.scans import load_scans
from tests.registry.dxa.stand_in import SETTINGS, context_for, open_split

CATALOGUE = Catalogue.built_in()


def closed(part, split):
    if split == "test":
        raise TestSplitClosedError
    return open_split(part, split)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    strategy = CATALOGUE.strategy("nodxa_vae")
    context = context_for(strategy, tmp_path_factory.mktemp("weights"), opener=closed)
    return context, strategy.pretrain(context)


def features_of(artifact):
    """Mean features of train and validation scans, by the encoder as fine-tuning starts it."""
    scans = [
        torch.from_numpy(load_scans(open_split("paired", split), SETTINGS["scan_reduction"]))
        for split in ("train", "validation")
    ]
    encoder = ScanEncoder(Architecture.of(artifact))
    load_encoder(encoder, artifact)
    calibrate_batch_statistics(encoder, scans[0])
    with torch.inference_mode():
        return [encoder(part).mean((2, 3)).double().numpy() for part in scans]


def ridge(inputs, target, penalty):
    """Slope and intercept of ridge regression, the intercept not penalised."""
    centre, middle = inputs.mean(0), target.mean()
    gram = (inputs - centre).T @ (inputs - centre) + penalty * np.eye(inputs.shape[1])
    slope = np.linalg.solve(gram, (inputs - centre).T @ (target - middle))
    return slope, middle - centre @ slope


def test_the_ridge_probe_is_a_ridge_chosen_by_leaving_one_out(pretrained):
    context, artifact = pretrained
    train, validation = features_of(artifact)
    centre, scale = train.mean(0), train.std(0)
    scale[scale == 0] = 1
    train, validation = (train - centre) / scale, (validation - centre) / scale
    targets, wanted = (open_split("paired", split).measures(MEASURES) for split in ("train", "validation"))
    expected = []
    for target, truth in zip(targets.T, wanted.T, strict=True):
        errors = []
        for penalty in PENALTIES:
            residuals = []
            for left_out in range(len(train)):
                kept = np.arange(len(train)) != left_out
                slope, intercept = ridge(train[kept], target[kept], penalty)
                residuals.append(target[left_out] - train[left_out] @ slope - intercept)
            errors.append(np.mean(np.square(residuals)))
        slope, intercept = ridge(train, target, PENALTIES[int(np.argmin(errors))])
        predicted = validation @ slope + intercept
        expected.append(1 - ((truth - predicted) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())
    score = DxaDomain().probe("ridge", context, artifact)
    assert score == pytest.approx(np.mean(expected), abs=1e-3)
    assert DxaDomain().probe("ridge", context, artifact) == score


def test_the_reconstruction_probe_is_the_task_s_own_validation_score(pretrained, tmp_path):
    context, artifact = pretrained
    task = Reconstruction()
    score = task.fit(context_for(task, tmp_path, opener=closed), artifact).validation["mean_r2"]
    assert DxaDomain().probe("reconstruction", context, artifact) == pytest.approx(score)
    assert PROBES["reconstruction"].direction == task.card.primary.direction


def test_only_the_ridge_probe_suits_arms_without_a_generator():
    assert next(iter(PROBES)) == "ridge"
    provides = CATALOGUE.strategy("imagenet").card.provides
    assert [name for name, one in PROBES.items() if one.needs <= provides] == ["ridge"]


def test_an_unknown_probe_is_refused(pretrained):
    with pytest.raises(ValueError, match="no probe 'shape'"):
        DxaDomain().probe("shape", *pretrained)
