"""Threads that work ahead change when a batch is made, and nothing else."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from registry.dxa.strategies.masked_autoencoder import MaskedAutoencoder
from registry.dxa.strategies.vicreg import VicReg
from registry.dxa.training.loader import Batch, made_ahead
from registry.dxa.training.loop import Group, Recipe, train
from tests.registry.dxa.stand_in import context_for

INPUTS = torch.rand(20, 3, generator=torch.Generator().manual_seed(0))
INDICES = np.array([4, 1, 7])


def jitter(indices, random):
    return INPUTS[torch.from_numpy(indices)] + torch.rand(len(indices), 3, generator=random)


def loaders():
    return [thread for thread in threading.enumerate() if thread.name.startswith("loader")]


@pytest.mark.parametrize("workers", [0, 1, 3, 9])
@pytest.mark.parametrize("steps", [range(0), range(2, 3), range(7)])
def test_every_step_comes_once_and_in_order(workers, steps):
    assert list(made_ahead(lambda step: step, steps, workers)) == list(steps)
    assert not loaders()


def test_so_many_threads_work_at_once_and_no_further_ahead():
    together, started = threading.Barrier(3, timeout=30), []

    def make(step):
        started.append(step)
        if step < 3:
            together.wait()  # three steps at once, or an error
        return step

    ahead = made_ahead(make, range(10), 3)
    assert next(ahead) == 0
    assert max(started) <= 3
    assert list(ahead) == list(range(1, 10))


def test_an_error_comes_where_its_step_does_and_no_thread_stays():
    def make(step):
        if step == 2:
            raise ValueError("step 2")
        return step

    ahead = made_ahead(make, range(5), 2)
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(ValueError, match="step 2"):
        next(ahead)
    assert not loaders()


def test_who_stops_early_leaves_no_thread():
    ahead = made_ahead(lambda step: step, range(100), 2)
    next(ahead)
    assert loaders()
    ahead.close()
    assert not loaders()


def test_a_batch_draws_what_torch_draws_by_the_same_seed():
    """So a training is the same whether it augments a scan itself or finds it augmented."""
    batch = Batch.of(INDICES, 5, jitter)
    torch.manual_seed(5)
    assert torch.equal(batch.seen, INPUTS[INDICES] + torch.rand(3, 3))
    following = torch.rand(4)
    torch.set_rng_state(batch.random_state)
    assert torch.equal(torch.rand(4), following)
    assert Batch.of(INDICES, 5).seen.tolist() == INDICES.tolist()


def trained(scratch, workers, report=lambda step, steps, **values: None):
    """Weights of a small network after steps that draw in the view and, by dropout, after it."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    train(
        context_for(VicReg(), scratch, settings={"loader_workers": workers}, report=report),
        module,
        [Group(list(module.parameters()), 1e-2)],
        Recipe(steps=9, batch_size=4),
        examples=len(INPUTS),
        losses=lambda batch: {"square": module(batch.seen).square().mean()},
        view=jitter,
    )
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


class KilledError(Exception):
    pass


@pytest.mark.parametrize("workers", [1, 2])
def test_training_is_the_same_bit_for_bit_however_many_threads_load_resumed_or_not(
    tmp_path, workers, monkeypatch
):
    monkeypatch.setattr("registry.dxa.training.loop.CHECKPOINT_SECONDS", 0.0)

    def killed(step, steps, **values):
        if step == 5:
            raise KilledError

    alone = trained(tmp_path / "alone", 0)
    assert torch.equal(trained(tmp_path / "helped", workers), alone)
    with pytest.raises(KilledError):
        trained(tmp_path / "cut", workers, report=killed)
    assert not loaders()
    assert torch.equal(trained(tmp_path / "cut", workers), alone)


@pytest.mark.parametrize("strategy", [MaskedAutoencoder(), VicReg()], ids=lambda one: one.card.name)
def test_strategies_that_draw_views_come_out_the_same(tmp_path, strategy):
    parts = []
    for workers in (0, 2):
        context = context_for(strategy, tmp_path / str(workers), settings={"loader_workers": workers})
        parts.append(strategy.pretrain(context).parts["encoder"])
    assert all(np.array_equal(parts[0][name], parts[1][name]) for name in parts[0])


@pytest.mark.gpu
def test_on_a_gpu_views_come_through_pinned_memory():
    batch = Batch.of(INDICES, 5, jitter, pin=True)
    assert batch.seen.is_pinned()
    assert torch.equal(batch.seen.to("cuda", non_blocking=True).cpu(), Batch.of(INDICES, 5, jitter).seen)
