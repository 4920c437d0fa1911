import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from registry.dxa.imaging.r_image import r_image
from registry.dxa.tasks.image_metrics import (
    ImageConvention,
    body_mask,
    nmae,
    psnr_db,
    r_image_error,
    score_channels,
    score_scans,
    ssim,
    sweep_conventions,
)


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


@pytest.mark.parametrize(
    ("window", "arguments"),
    [("gaussian", {"gaussian_weights": True, "sigma": 1.5}), ("uniform", {"win_size": 7})],
)
def test_ssim_equals_scikit_image(pair, window, arguments):
    expected = [
        structural_similarity(
            true, made, data_range=16383, channel_axis=0, use_sample_covariance=False, **arguments
        )
        for true, made in zip(*(images.astype(np.float64) for images in pair), strict=True)
    ]
    np.testing.assert_allclose(ssim(*pair, ImageConvention(window=window)), expected, atol=1e-6)


def test_each_choice_of_a_convention_by_its_definition(pair):
    true, made = pair
    true[:, 0, :, :15] = 300.0  # the left half is no body
    inside = np.broadcast_to(body_mask(true)[:, None], true.shape)
    square, absolute = np.square(made - true, dtype=np.float64), np.abs(made - true).astype(np.float64)
    for n in range(3):
        by_channel = -10 * np.log10(square[n].mean((1, 2)) / 16383**2)
        assert psnr_db(true, made, ImageConvention(pooling="channel"))[n] == pytest.approx(by_channel.mean())
        in_body = -10 * np.log10(square[n][inside[n]].mean() / 16383**2)
        assert psnr_db(true, made, ImageConvention(region="body"))[n] == pytest.approx(in_body)
        peak = float(true[n].max())
        own_range = -10 * np.log10(square[n].mean() / peak**2)
        assert psnr_db(true, made, ImageConvention(data_range="scan"))[n] == pytest.approx(own_range)
        for denominator, total in (
            ("counts", true[n].sum()),
            ("attenuation", (true[n] - 200.0).sum()),
            ("range", 16383 * true[n].size),
        ):
            found = nmae(true, made, ImageConvention(denominator=denominator))[n]
            assert found == pytest.approx(absolute[n].sum() / total, rel=1e-5)


def test_the_sweep_changes_one_choice_at_a_time(pair):
    swept = sweep_conventions(*pair)
    declared = ImageConvention().key.split()
    assert len(swept) == 7
    assert [sum(a != b for a, b in zip(key.split(), declared, strict=True)) for key in swept] == [0] + 6 * [1]
    assert swept[ImageConvention().key]["psnr_db"] == pytest.approx(psnr_db(*pair).mean())
    assert len({scores["psnr_db"] for scores in swept.values()}) > 2


def test_channels_and_phases_average_to_the_whole(pair):
    by_part, whole = score_channels(*pair), score_scans(*pair)
    phases = [by_part[f"r_image_error.{phase}"] for phase in ("air", "bone", "tissue")]
    np.testing.assert_allclose(np.mean(phases, axis=0), whole["r_image_error"])
    assert by_part["nmae.bone_lo"] == pytest.approx(nmae(pair[0][:, 3:4], pair[1][:, 3:4]))


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


def test_scoring_in_blocks_changes_no_bit(pair, monkeypatch):
    whole = score_scans(*pair)
    monkeypatch.setattr("registry.dxa.tasks.image_metrics._BLOCK", 2)
    for name, values in score_scans(*pair).items():
        np.testing.assert_array_equal(values, whole[name])
    assert all(values.shape == (0,) for values in score_scans(pair[0][:0], pair[1][:0]).values())


def test_the_loss_and_the_exhibits_mean_the_same_body(pair):
    from registry.dxa.losses.ratios import body_mask as loss_mask  # noqa: PLC0415

    true = pair[0].copy()
    true[0, 0, :, :15] = 400.0
    ours = body_mask(true)
    np.testing.assert_array_equal(ours, loss_mask(torch.from_numpy(true))[:, 0].numpy())
    shown = r_image(true.transpose(0, 2, 3, 1), background=-1.0)
    np.testing.assert_array_equal(ours, shown != -1.0)
