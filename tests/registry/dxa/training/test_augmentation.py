import pytest
import torch

from registry.contracts import InputError
from registry.dxa.training.augmentation import (
    augment,
    mask_patches,
    move,
    require_kind,
    shuffle_boxes,
)

SCANS = torch.rand(6, 6, 50, 36, generator=torch.Generator().manual_seed(0)) * 1000


def test_the_same_random_numbers_give_the_same_scans_and_leave_the_clean_ones():
    clean = SCANS.clone()
    torch.manual_seed(3)
    once = augment(SCANS)
    torch.manual_seed(3)
    assert torch.equal(augment(SCANS), once)
    torch.manual_seed(4)
    assert not torch.equal(augment(SCANS), once)
    assert torch.equal(SCANS, clean)


def test_shuffling_keeps_the_values_of_every_channel_and_touches_four_or_more():
    torch.manual_seed(0)
    shuffled = shuffle_boxes(SCANS)
    assert torch.equal(shuffled.flatten(2).sort().values, SCANS.flatten(2).sort().values)
    touched = (shuffled != SCANS).flatten(2).any(2).sum(1)
    assert touched.min() >= 4
    # Nothing moves outside a box of half the height at most.
    changed = (shuffled != SCANS).any(3)
    assert int(changed.sum(2).max()) <= 25


def test_moving_shifts_turns_and_zooms_no_more_than_is_published():
    """A disc in the middle keeps its place within the largest shift, its area within the largest zoom."""
    rows, columns = torch.meshgrid(torch.arange(150.0), torch.arange(109.0), indexing="ij")
    disc = ((rows - 74.5) ** 2 + (columns - 54) ** 2 < 20**2).float().expand(64, 6, 150, 109)
    torch.manual_seed(0)
    moved = move(disc)[:, 0]
    area = moved.sum((1, 2)) / disc[0, 0].sum()
    down = (moved * rows).sum((1, 2)) / moved.sum((1, 2)) - 74.5
    across = (moved * columns).sum((1, 2)) / moved.sum((1, 2)) - 54
    assert 1 / 1.11 < float(area.min()) < 0.95
    assert 1.05 < float(area.max()) < 1.11
    assert 0.06 * 109 < float(across.abs().max()) < 0.085 * 109
    assert float(down.abs().max()) < 0.015 * 150
    # The bar of a cross ends up at no more than five degrees.
    bar = (columns.sub(54).abs() < 3).float().expand(64, 6, 150, 109)
    turned = move(bar)[:, 0]
    centres = (turned * columns).sum(2) / turned.sum(2).clamp(min=1e-6)
    slope = ((centres[:, 110] - centres[:, 40]) / 70).abs()
    assert 0.06 < float(slope.max()) < 0.0885


def test_masking_hides_the_asked_part_of_the_patches_in_all_channels():
    torch.manual_seed(0)
    blank = torch.full(SCANS.shape[1:], -1.0)
    masked = mask_patches(SCANS, blank, 0.6)
    hidden = masked == -1
    assert torch.equal(hidden.all(1), hidden.any(1))
    share = hidden[:, 0].float().mean((1, 2))
    assert 0.5 < float(share.min()) < float(share.max()) < 0.7
    assert torch.equal(masked[~hidden], SCANS[~hidden])


def test_an_unknown_augmentation_is_refused():
    require_kind("published")
    with pytest.raises(InputError, match="'augmentation' = 'heavy' is not known"):
        require_kind("heavy")
