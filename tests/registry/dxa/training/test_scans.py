import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import block_reduce

from registry.contracts import DataError
from registry.dxa.settings import DxaSettings
from registry.dxa.training.scans import load_measures, load_scans, reduce_scan
from tests.registry.dxa.stand_in import StandInSplit


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_whole_blocks_equal_those_of_a_second_library(reduction, rows, columns, seed):
    scan = np.random.default_rng(seed).uniform(0, 16383, (rows * reduction, columns * reduction, 6))
    scan = scan.astype(np.float32)
    expected = block_reduce(scan, (reduction, reduction, 1), np.mean)
    np.testing.assert_allclose(reduce_scan(scan, reduction), expected, rtol=1e-5)


def test_an_incomplete_block_averages_the_pixels_that_it_has():
    scan = np.arange(9, dtype=np.float32).reshape(3, 3, 1)
    np.testing.assert_allclose(reduce_scan(scan, 2)[..., 0], [[2.0, 3.5], [6.5, 8.0]])


@pytest.mark.parametrize("reduction", [1, 2, 3, 6])
def test_scans_have_the_declared_size_and_keep_their_counts(reduction):
    split = StandInSplit("s", 2, seed=0)
    scans = load_scans(split, reduction)
    assert scans.shape == (2, 6, *DxaSettings(scan_reduction=reduction).scan_size)
    assert scans.dtype == np.float32
    whole = split.scans[:, :144, :108].astype(float)
    height, width = 144 // reduction, 108 // reduction
    np.testing.assert_allclose(scans[:, :, :height, :width].mean((2, 3)), whole.mean((1, 2)), rtol=1e-5)


def test_a_scan_with_a_missing_value_is_named():
    split = StandInSplit("s", 3, seed=0)
    split.scans = split.scans.astype(np.float32)
    split.scans[1, 10, 10, 3] = np.nan
    with pytest.raises(DataError, match="'s-scan-1' holds values that are not numbers"):
        load_scans(split, 2)


@pytest.mark.parametrize(
    ("scans", "message"),
    [
        (np.zeros((2, 150, 108, 6), np.uint16), r"\(2, 150, 108, 6\)"),
        (np.zeros((2, 150, 109, 6), complex), "complex128"),
        (np.zeros((0, 150, 109, 6), np.uint16), "no scans"),
    ],
)
def test_scans_of_a_wrong_kind_are_refused(scans, message):
    split = StandInSplit("s", 1, seed=0)
    split.scans = scans
    with pytest.raises(DataError, match=message):
        load_scans(split, 2)


def test_a_missing_measure_is_named():
    split = StandInSplit("s", 3, seed=0)
    values = split.measures(["waist", "hip"])
    values[2, 1] = np.nan
    split.measures = lambda names: values
    with pytest.raises(DataError, match="measure 'hip' of scan 's-scan-2' is missing"):
        load_measures(split, ["waist", "hip"])


def test_many_scans_are_mapped_and_the_same(monkeypatch):
    split = StandInSplit("s", 5, seed=0)
    expected = load_scans(split, 2)
    monkeypatch.setattr("registry.dxa.training.scans.LARGEST_IN_MEMORY_BYTES", 1000)
    mapped = load_scans(split, 2)
    assert isinstance(mapped, np.memmap)
    assert not isinstance(expected, np.memmap)
    np.testing.assert_array_equal(mapped, expected)
    tensor = torch.from_numpy(mapped)
    np.testing.assert_array_equal(tensor[torch.tensor([3, 1])].numpy(), expected[[3, 1]])
