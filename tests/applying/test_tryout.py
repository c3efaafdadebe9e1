"""Noise that is added to try a model out, and the figures that come of it."""

import numpy as np
import pytest
import torch

from evoae_cli.applying.tryout import AddedNoise, Figures, figures, mean, parse_added_noise
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.metrics import scores
from evoae_cli.evaluation.noise import parse_noise


def test_the_noise_of_an_image_depends_on_seed_and_name_alone() -> None:
    clean = np.zeros((64, 64, 3), np.float32)
    first = parse_added_noise("gaussian:25", 0).added(clean, "a.png")
    assert np.array_equal(first, parse_added_noise("gaussian:25", 0).added(clean, "a.png"))
    assert not np.array_equal(first, parse_added_noise("gaussian:25", 1).added(clean, "a.png"))
    assert not np.array_equal(first, parse_added_noise("gaussian:25", 0).added(clean, "b.png"))
    assert float(first.std()) == pytest.approx(25 / 127.5, rel=0.02)


def test_any_noise_that_a_search_takes_can_be_added() -> None:
    clean = np.zeros((64, 64, 3), np.float32)
    stds = {float(parse_added_noise("gaussian:5-75", seed).added(clean, "a.png").std()) for seed in range(4)}
    assert len({round(std, 2) for std in stds}) > 1
    replaced = parse_added_noise("salt-pepper:0.1", 0).added(clean, "a.png")
    assert set(np.unique(replaced).tolist()) == {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("size", [(8, 9), (64, 70), (530, 20), (1100, 12)])
def test_strips_give_the_figures_of_the_whole_image(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    clean = rng.uniform(-1, 1, (*size, 3)).astype(np.float32)
    noisy = clean + rng.normal(0, 0.4, clean.shape).astype(np.float32)

    def whole(image: "np.ndarray") -> tuple[float, float]:  # type: ignore[type-arg]
        found = scores(*(torch.from_numpy(x).permute(2, 0, 1)[None] for x in (image, clean)))
        return found.psnr_db, found.ssim

    found = figures(clean, noisy, clean * 0.9)
    assert (found.noisy_psnr_db, found.noisy_ssim) == pytest.approx(whole(noisy), abs=1e-4)
    assert (found.psnr_db, found.ssim) == pytest.approx(whole(clean * 0.9), abs=1e-4)


def test_a_perfect_output_has_figures_that_a_mean_can_carry() -> None:
    clean = np.zeros((16, 16, 1), np.float32)
    perfect = figures(clean, clean + 1, clean)
    assert (perfect.psnr_db, perfect.ssim) == pytest.approx((100, 1))
    assert mean([perfect, Figures(0, 0, 0, 0)]).psnr_db == pytest.approx(50)


def test_noise_that_is_not_understood_is_refused_by_the_name_of_the_option() -> None:
    assert parse_added_noise("gaussian:25", 7) == AddedNoise(parse_noise("gaussian:25"), 7)
    with pytest.raises(UsageError, match="--add-noise 'gaussian:x'"):
        parse_added_noise("gaussian:x", 0)
