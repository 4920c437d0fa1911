"""When fine-tuning ends, and which epoch is kept: scores are those that the test says."""

import numpy as np
import pytest
import torch

from registry.dxa.strategies.random_init import RandomInit
from registry.dxa.tasks.anthropometry import MEASURES, Anthropometry
from registry.dxa.training.finetuning import LabelledScans, finetune
from registry.dxa.training.scans import load_measures, load_scans
from tests.registry.dxa.stand_in import SETTINGS, context_for, open_split

SCORES = (0.1, 0.3, 0.2, 0.25, 0.9, 0.1)
STEPS_PER_EPOCH = 3


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Initial weights, labelled train and validation scans."""

    def labelled(split):
        opened = open_split("paired", split)
        return LabelledScans(load_scans(opened, SETTINGS["scan_reduction"]), load_measures(opened, MEASURES))

    strategy = RandomInit()
    artifact = strategy.pretrain(context_for(strategy, tmp_path_factory.mktemp("start")))
    return artifact, labelled("train"), labelled("validation")


def fit(scratch, start, patience, *, scores=SCORES, **changes):
    """The model, and the validation predictions of each epoch."""
    seen, told = [], iter(scores)

    def score(true, predicted):
        seen.append(predicted)
        return next(told)

    settings = {"finetuning_epochs": len(SCORES), "finetuning_patience": patience}
    context = context_for(Anthropometry(), scratch, settings=settings, **changes)
    return finetune(context, *start, score), seen


@pytest.fixture(scope="module")
def impatient(tmp_path_factory, start):
    return fit(tmp_path_factory.mktemp("whole"), start, 2)


@pytest.mark.parametrize(("patience", "epochs", "kept"), [(1, 3, 2), (3, 6, 5)])
def test_it_ends_when_patience_does_and_keeps_the_best_epoch(tmp_path, start, patience, epochs, kept):
    model, seen = fit(tmp_path, start, patience)
    assert len(seen) == epochs
    assert model.validation == {"mean_r2": SCORES[kept - 1], "epochs": epochs, "kept_epoch": kept}
    np.testing.assert_array_equal(model.state.predict(start[2].scans), seen[kept - 1])


def test_without_patience_every_epoch_is_trained_and_those_before_an_end_are_the_same(
    tmp_path, start, impatient
):
    model, seen = fit(tmp_path, start, None)
    assert model.validation == {"mean_r2": 0.9, "epochs": 6, "kept_epoch": 5}
    assert len(impatient[1]) == 4
    for one, other in zip(impatient[1], seen, strict=False):
        np.testing.assert_array_equal(one, other)


class KilledError(Exception):
    pass


def test_interrupted_while_it_waits_for_a_better_epoch_it_ends_at_the_same_one(
    tmp_path, start, impatient, monkeypatch
):
    last = 3 * STEPS_PER_EPOCH + 2  # in the fourth epoch; the third was no better than the second

    def report(step, steps, **values):
        if step == last - 1:
            monkeypatch.setattr("registry.dxa.training.loop.CHECKPOINT_SECONDS", 0.0)
        if step == last:
            raise KilledError

    with pytest.raises(KilledError):
        fit(tmp_path, start, 2, report=report)
    resumed, seen = fit(tmp_path, start, 2, scores=SCORES[3:])
    assert len(seen) == 1
    assert resumed.validation == impatient[0].validation == {"mean_r2": 0.3, "epochs": 4, "kept_epoch": 2}
    for one, other in zip(impatient[0].state.parameters(), resumed.state.parameters(), strict=True):
        assert torch.equal(one, other)
