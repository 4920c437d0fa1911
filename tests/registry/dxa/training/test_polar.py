import pytest
import torch
from torch import nn

from registry.dxa.training.polar import PolarMomentum, polar_factor


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (5, 5), (1, 4)])
def test_the_polar_factor_is_that_of_the_singular_value_decomposition(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    torch.testing.assert_close(polar_factor(matrix), left @ right, atol=1e-5, rtol=1e-4)


def test_what_a_matrix_does_not_have_stays_out():
    """A rank-one matrix has one direction, a matrix of zeros none."""
    one = torch.outer(torch.tensor([3.0, 0.0, 4.0]), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(polar_factor(one), one / 5, atol=1e-4, rtol=0)
    assert not polar_factor(torch.zeros(2, 3)).any()


def test_the_first_step_moves_every_direction_alike():
    weight = nn.Parameter(torch.zeros(8, 2))
    weight.grad = torch.tensor([[100.0, 0.0], [0.0, 0.01], *[[0.0, 0.0]] * 6])
    PolarMomentum([weight], lr=0.1).step()
    expected = torch.zeros(8, 2)
    expected[0, 0] = expected[1, 1] = -0.1 * 2  # the root of 8 / 2
    torch.testing.assert_close(weight.detach(), expected, atol=1e-5, rtol=0)


def test_decay_shrinks_the_matrix_by_its_share_of_the_rate():
    weight = nn.Parameter(torch.eye(3))
    weight.grad = torch.zeros(3, 3)
    PolarMomentum([weight], lr=0.1, weight_decay=2.0).step()
    torch.testing.assert_close(weight.detach(), 0.8 * torch.eye(3))


def test_an_ill_conditioned_map_is_learned_where_adam_is_still_at_its_first_direction():
    """Inputs whose singular values fall from 1 to 0.03, each optimiser at the better of two rates."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(16, 16, generator=generator))[0] for _ in range(2))
    inputs = (left * torch.logspace(0, -1.5, 16)) @ right

    def left_over(make):
        weight = nn.Parameter(torch.zeros(16, 16))
        optimizer = make(weight)
        for step in range(100):
            optimizer.param_groups[0]["lr"] *= 1 if step < 50 else 0.93
            optimizer.zero_grad()
            (weight @ inputs - inputs).square().sum().backward()
            optimizer.step()
        return float((weight.detach() - torch.eye(16)).norm())

    polar = min(left_over(lambda w, rate=rate: PolarMomentum([w], lr=rate)) for rate in (0.03, 0.1))
    adam = min(left_over(lambda w, rate=rate: torch.optim.Adam([w], lr=rate)) for rate in (0.03, 0.1))
    assert polar < 0.5 * adam


def test_a_resumed_optimiser_goes_on_as_one_that_was_never_interrupted():
    def steps(weight, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            (weight @ torch.arange(6.0).reshape(3, 2) - 1).square().sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    whole = nn.Parameter(torch.randn(4, 3))
    cut = nn.Parameter(whole.detach().clone())
    optimizer = PolarMomentum([whole], lr=0.01)
    steps(whole, optimizer, 6)
    first = PolarMomentum([cut], lr=0.01)
    steps(cut, first, 3)
    second = PolarMomentum([cut], lr=0.01)
    second.load_state_dict(first.state_dict())
    steps(cut, second, 3)
    assert torch.equal(whole, cut)


def test_only_matrices_are_stepped():
    with pytest.raises(ValueError, match="a parameter has 1 axes"):
        PolarMomentum([nn.Parameter(torch.zeros(3))], lr=0.1)
