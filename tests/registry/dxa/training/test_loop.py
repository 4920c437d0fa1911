import pickle

import numpy as np
import pytest
import torch
from torch import nn

from registry.contracts import DataError, InputError, TrialContext
from registry.dxa.training.checkpoint import FILE_NAME, load_checkpoint, save_checkpoint
from registry.dxa.training.compute import prepare
from registry.dxa.training.loop import (
    DivergedError,
    Group,
    Recipe,
    Selection,
    Trained,
    batch_indices,
    train,
)

RECIPE = Recipe(steps=12, batch_size=4)
INPUTS = torch.from_numpy(np.random.default_rng(0).normal(size=(20, 3))).float()


def trial(scratch, seed=0, report=lambda step, steps, **values: None, **changes):
    known = {
        "hyperparameters": {},
        "factors": {},
        "settings": {},
        "seed": seed,
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
        "open_split": None,
        "report": report,
        "scratch": scratch,
    }
    return TrialContext(**{**known, **changes})


def fit(context, *, scale=1.0, selection=None):
    """Train a small network with dropout, so that random numbers matter."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    chosen = selection(module) if selection else None
    trained = train(
        context,
        module,
        [Group(list(module.parameters()), 1e-2)],
        RECIPE,
        examples=len(INPUTS),
        losses=lambda batch: {"square": scale * module(INPUTS[batch.seen]).square().mean()},
        selection=chosen,
    )
    return {name: value.clone() for name, value in module.state_dict().items()}, trained


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def saves_every_step(monkeypatch):
    monkeypatch.setattr("registry.dxa.training.loop.CHECKPOINT_SECONDS", 0.0)


class KilledError(Exception):
    pass


def killed_at(last):
    def report(step, steps, **values):
        if step == last:
            raise KilledError

    return report


@pytest.mark.parametrize("last", [1, 5, 11])
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, last, saves_every_step):
    whole, _ = fit(trial(tmp_path / "whole"))
    with pytest.raises(KilledError):
        fit(trial(tmp_path / "cut", report=killed_at(last)))
    steps = []
    resumed, _ = fit(
        trial(tmp_path / "cut", report=lambda step, steps_, **values: steps.append(step)),
    )
    assert same(whole, resumed)
    assert steps[0] == max(last, 1)  # killed while reporting `last`, before that step was saved


def test_equal_seeds_give_equal_weights_and_others_do_not(tmp_path):
    first, _ = fit(trial(tmp_path / "a", seed=3))
    again, _ = fit(trial(tmp_path / "b", seed=3))
    other, _ = fit(trial(tmp_path / "c", seed=4))
    assert same(first, again)
    assert not same(first, other)


def test_selection_ends_with_the_weights_that_scored_best(tmp_path):
    seen = []

    def selection(module):
        def evaluate():
            seen.append({name: value.clone() for name, value in module.state_dict().items()})
            return {"score": [1.0, 3.0, 2.0][len(seen) - 1]}

        return Selection(evaluate, "score", "max", every=4)

    weights, trained = fit(trial(tmp_path), selection=selection)
    assert trained == Trained(steps=12, kept_step=8, scores={"score": 3.0})
    assert same(weights, seen[1])
    assert not same(weights, seen[2])


def test_the_best_weights_survive_an_interruption(tmp_path, saves_every_step):
    def selection(values):
        return lambda module: Selection(lambda: {"score": values.pop(0)}, "score", "min", every=3)

    whole, best = fit(trial(tmp_path / "whole"), selection=selection([2.0, 1.0, 5.0, 6.0]))
    with pytest.raises(KilledError):
        fit(
            trial(tmp_path / "cut", report=killed_at(8)),
            selection=selection([2.0, 1.0]),
        )
    resumed, again = fit(trial(tmp_path / "cut"), selection=selection([5.0, 6.0]))
    assert best == again == Trained(steps=12, kept_step=6, scores={"score": 1.0})
    assert same(whole, resumed)


def test_a_diverging_loss_ends_the_trial_and_says_where(tmp_path):
    with pytest.raises(DivergedError, match="term 'square' of the loss is nan at step 1"):
        fit(trial(tmp_path), scale=float("nan"))


def test_an_exploding_loss_ends_the_trial_and_keeps_its_last_checkpoint(tmp_path, saves_every_step):
    scales = iter([1.0, 1.0, 1.0, 1e6])
    torch.manual_seed(1)
    module = nn.Linear(3, 1)
    with pytest.raises(
        DivergedError, match=r"the loss is .* at step 4, .* the last checkpoint is that of step 3"
    ):
        train(
            trial(tmp_path),
            module,
            [Group(list(module.parameters()), 1e-3)],
            RECIPE,
            examples=len(INPUTS),
            losses=lambda batch: {"square": next(scales) * module(INPUTS[batch.seen]).square().mean()},
        )
    kept = load_checkpoint(tmp_path, torch.device("cpu"))
    assert kept["step"] == 3
    assert all(torch.isfinite(value).all() for value in kept["module"].values())


@pytest.mark.parametrize(("patience", "evaluations"), [(None, 6), (1, 3), (2, 4), (5, 6)])
def test_training_ends_after_evaluations_without_a_better_score(tmp_path, patience, evaluations):
    scores = [1.0, 3.0, 2.0, 2.5, 2.0, 1.0]
    seen = []

    def selection(module):
        def evaluate():
            seen.append(scores[len(seen)])
            return {"score": seen[-1]}

        return Selection(evaluate, "score", "max", every=2, patience=patience)

    _, kept = fit(trial(tmp_path), selection=selection)
    assert len(seen) == evaluations
    assert kept == Trained(steps=2 * evaluations, kept_step=4, scores={"score": 3.0})


def test_every_term_is_reported_on_its_own(tmp_path):
    seen = []
    fit(trial(tmp_path, report=lambda step, steps, **values: seen.append((step, steps, values))))
    assert [step for step, _, _ in seen] == list(range(1, 13))
    assert all(steps == 12 and values["loss"] == values["square"] for _, steps, values in seen)


def test_an_epoch_shows_every_example_once_in_an_order_of_its_own():
    epochs = [[batch_indices(12, 4, 3 * epoch + step, seed=5) for step in range(3)] for epoch in range(2)]
    for epoch in epochs:
        assert sorted(np.concatenate(epoch)) == list(range(12))
    assert not np.array_equal(np.concatenate(epochs[0]), np.concatenate(epochs[1]))


def test_more_scans_per_step_than_there_are_is_all_of_them():
    assert sorted(batch_indices(3, 8, 7, seed=0)) == [0, 1, 2]


def test_the_learning_rate_warms_up_and_decays_to_its_floor():
    recipe = Recipe(steps=100, batch_size=1, warmup=0.2, final=0.1)
    rates = [recipe.rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(1 / 20)
    assert max(rates) == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)


def test_a_torn_checkpoint_is_an_error_that_names_the_file(tmp_path):
    save_checkpoint(tmp_path, {"step": 1, "tensor": torch.zeros(1000)})
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=f"{path} cannot be read"):
        load_checkpoint(tmp_path, torch.device("cpu"))


def test_a_checkpoint_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    with (tmp_path / FILE_NAME).open("wb") as file:
        pickle.dump({"step": 1, "evil": Evil()}, file, protocol=2)
    with pytest.raises(DataError, match="cannot be read"):
        load_checkpoint(tmp_path, torch.device("cpu"))
    assert not (tmp_path / "ran").exists()


def test_no_temporary_file_stays_behind(tmp_path):
    save_checkpoint(tmp_path, {"step": 1})
    save_checkpoint(tmp_path, {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert load_checkpoint(tmp_path, torch.device("cpu")) == {"step": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"precision": "float8"}, "'float8' is not known"), ({"device": "cuda"}, "'cuda' was asked for")],
)
def test_what_the_machine_cannot_do_is_refused(tmp_path, changes, message):
    if torch.cuda.is_available() and "device" in changes:
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(InputError, match=message):
        prepare(trial(tmp_path, **changes))


@pytest.mark.parametrize("asked", [{"precision": "bfloat16"}, {"settings": {"precision": "bfloat16"}}])
def test_bfloat16_trains_near_float32(tmp_path, asked):
    exact, _ = fit(trial(tmp_path / "a"))
    short, _ = fit(trial(tmp_path / "b", **asked))
    for name, value in exact.items():
        assert torch.allclose(value, short[name], atol=0.05)
    assert not same(exact, short)


@pytest.mark.parametrize("explodes", [False, True])
def test_a_loss_of_other_terms_has_units_of_its_own(tmp_path, explodes):
    """Latents first, scans in summed units later: a larger loss is none that has exploded."""
    parameter, seen = nn.Parameter(torch.ones(1)), []

    def losses(batch):
        seen.append(len(seen))
        if len(seen) <= 3:
            return {"latent": parameter.square().sum()}
        scale = 1e6 * (1e4 if explodes and len(seen) == 6 else 1)
        return {"latent": parameter.square().sum(), "scan": scale * parameter.square().sum()}

    def run():
        module = nn.ParameterList([parameter])
        train(trial(tmp_path), module, [Group([parameter], 1e-3)], RECIPE, examples=20, losses=losses)

    if explodes:
        with pytest.raises(DivergedError, match=r"at step 6, it began with .*e\+05"):
            run()
    else:
        run()
        assert len(seen) == RECIPE.steps
