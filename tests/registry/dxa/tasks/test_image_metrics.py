import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio
from torchmetrics.functional.image import structural_similarity_index_measure

from registry.dxa.imaging.r_image import r_image
from registry.dxa.tasks.image_metrics import nmae, psnr_db, r_image_error, score_scans, ssim


@pytest.fixture
def pair():
    generator = np.random.default_rng(0)
    true = generator.uniform(200, 12_000, (3, 6, 40, 30)).astype(np.float32)
    return true, true + generator.normal(0, 300, true.shape).astype(np.float32)


def test_psnr_equals_scikit_image(pair):
    expected = [peak_signal_noise_ratio(a, b, data_range=16383) for a, b in zip(*pair, strict=True)]
    np.testing.assert_allclose(psnr_db(*pair), expected, rtol=1e-6)


def test_psnr_worked_by_hand():
    """An error of 163.83 counts everywhere is one percent of the range: 40 dB."""
    true = np.full((1, 6, 12, 12), 1000, np.float32)
    assert psnr_db(true, true + np.float32(163.83))[0] == pytest.approx(40.0, abs=1e-3)
    assert psnr_db(true, true)[0] == np.inf


def test_ssim_equals_torchmetrics_away_from_the_border(pair):
    """The two libraries treat borders alike when both leave out the half window of five pixels."""
    ours = ssim(*pair)
    for index in range(3):
        true, made = (torch.from_numpy(images[index : index + 1]).double() for images in pair)
        _, whole = structural_similarity_index_measure(
            made, true, data_range=16383.0, sigma=1.5, kernel_size=11, return_full_image=True
        )
        assert ours[index] == pytest.approx(float(whole[..., 5:-5, 5:-5].mean()), abs=2e-4)


def test_nmae_is_the_sum_of_errors_over_the_sum_of_counts():
    true = np.array([[[[100.0, 300.0]]]], np.float32)
    assert nmae(true, true + np.array([10.0, -30.0], np.float32))[0] == pytest.approx(0.1)


def test_r_error_counts_body_pixels_only():
    true = np.full((1, 6, 1, 2), 200.0, np.float32)
    true[0, 0::2, 0, 0], true[0, 1::2, 0, 0] = 1200.0, 1600.0  # (1400 + 800) / (1000 + 800)
    made = true.copy()
    made[0, 1::2, 0, 0] += 180.0  # R changes by 180 / 1800
    made[0, :, 0, 1] += 5000.0  # not the body
    assert r_image_error(true, made)[0] == pytest.approx(0.1)


def test_r_error_of_a_perfect_or_empty_scan_is_zero(pair):
    assert r_image_error(pair[0], pair[0]).tolist() == [0.0, 0.0, 0.0]
    empty = np.full((1, 6, 4, 4), 200.0, np.float32)
    assert r_image_error(empty, empty + 5)[0] == 0.0


def test_every_score_is_one_finite_number_per_scan(pair):
    wild = np.random.default_rng(1).uniform(-1e5, 1e5, pair[0].shape).astype(np.float32)
    for values in score_scans(pair[0], wild).values():
        assert values.shape == (3,)
        assert np.isfinite(values).all()


def test_the_loss_and_the_exhibits_mean_the_same_body(pair):
    from registry.dxa.losses.ratios import body_mask as loss_mask  # noqa: PLC0415
    from registry.dxa.tasks.image_metrics import body_mask  # noqa: PLC0415

    true = pair[0].copy()
    true[0, 0, :, :15] = 400.0
    ours = body_mask(true)
    np.testing.assert_array_equal(ours, loss_mask(torch.from_numpy(true))[:, 0].numpy())
    shown = r_image(true.transpose(0, 2, 3, 1), background=-1.0)
    np.testing.assert_array_equal(ours, shown != -1.0)
