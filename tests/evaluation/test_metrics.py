import math

import pytest
import torch
from skimage.metrics import structural_similarity

from evoae_cli.evaluation.metrics import MAX_PSNR_DB, scores, ssim


def test_hand_computed_mse_fitness_and_both_psnrs() -> None:
    clean = torch.zeros(2, 1, 16, 16)
    output = torch.zeros(2, 1, 16, 16)
    output[0] = 0.2  # MSE 0.04 on [-1, 1], 0.01 on [0, 1]: 20 dB
    output[1] = 0.02  # MSE 0.0004, 0.0001 on [0, 1]: 40 dB
    found = scores(output, clean)
    assert found.mse == pytest.approx((0.04 + 0.0004) / 2)
    assert found.fitness == pytest.approx(1 / 0.0202)
    assert found.psnr_db == pytest.approx(30.0, abs=1e-4)
    assert found.psnr_pooled_db == pytest.approx(-10 * math.log10(0.00505), abs=1e-4)


def test_psnr_clips_the_output_and_mse_does_not() -> None:
    clean = torch.ones(1, 1, 16, 16)
    found = scores(clean + 1, clean)
    assert found.mse == 1.0
    assert found.psnr_db == MAX_PSNR_DB
    assert found.ssim == pytest.approx(1.0)


def test_fitness_is_0_for_an_output_of_nan() -> None:
    found = scores(torch.full((1, 1, 16, 16), math.nan), torch.zeros(1, 1, 16, 16))
    assert math.isnan(found.mse)
    assert found.fitness == 0.0


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("strength", [0.02, 0.3])
def test_ssim_equals_scikit_image_s(channels: int, strength: float) -> None:
    generator = torch.Generator().manual_seed(channels)
    smooth = torch.nn.functional.interpolate(
        torch.rand(3, channels, 6, 6, generator=generator), (40, 33), mode="bilinear"
    )
    other = (smooth + strength * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)
    theirs = [
        structural_similarity(
            a.numpy(),
            b.numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1,
            channel_axis=0,
        )
        for a, b in zip(smooth.double(), other.double(), strict=True)
    ]
    assert ssim(smooth, other).tolist() == pytest.approx(theirs, abs=1e-5)


def test_ssim_of_flat_bright_images_does_not_drown_in_rounding() -> None:
    flat = torch.full((1, 3, 24, 24), 0.97)
    assert float(ssim(flat, flat)) == pytest.approx(1.0, abs=1e-5)


def test_images_smaller_than_the_window_have_an_ssim_too() -> None:
    image = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert float(ssim(image, image)) == pytest.approx(1.0, abs=1e-5)
    assert float(ssim(image, 1 - image)) < 0.5


def test_scores_do_not_depend_on_how_many_images_stand_beside() -> None:
    clean, output = torch.rand(2, 20, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    alone = [scores(output[i : i + 1], clean[i : i + 1]) for i in range(20)]
    together = scores(output, clean)
    assert together.psnr_db == pytest.approx(sum(s.psnr_db for s in alone) / 20, abs=1e-4)
    assert together.ssim == pytest.approx(sum(s.ssim for s in alone) / 20, abs=1e-6)
    assert together.mse == pytest.approx(sum(s.mse for s in alone) / 20, rel=1e-6)
