import pytest
import torch
from skimage.data import astronaut, camera, chelsea
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor

from evoae_cli.evaluation import classical
from evoae_cli.evaluation.classical import Level, apply, non_local_means, references, total_variation
from evoae_cli.evaluation.metrics import scores
from evoae_cli.evaluation.noise import gaussian, parse_noise
from evoae_cli.evaluation.objective import fixed_noisy, noise_levels


def photograph(channels: int) -> Tensor:
    """Two 64x64 pieces of a photograph, [2, C, 64, 64] on [-1, 1]."""
    pixels = torch.from_numpy(camera()[..., None] if channels == 1 else astronaut())[128:192, 160:288]
    if channels == 2:
        pixels = pixels[..., :2]
    return pixels.permute(2, 0, 1).reshape(channels, 64, 2, 64).permute(2, 0, 1, 3).float() / 127.5 - 1


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("std", [0.1, 0.577])
def test_every_classical_method_beats_the_noisy_images_for_any_number_of_channels(channels: int, std: float) -> None:
    clean = photograph(channels)
    noisy = fixed_noisy(clean, gaussian(std), 0, "val")
    tune_noisy = fixed_noisy(clean, gaussian(std), 0, "train")
    found = references(clean, noisy, [Level(clean, tune_noisy, std)])
    assert list(found) == ["wavelet", "total variation", "non-local means"]
    start = scores(noisy, clean)
    for name, score in found.items():
        assert score.psnr_db > start.psnr_db + 1, name
        assert score.fitness > start.fitness, name


def patches() -> Tensor:
    """Four 96x96 pieces of photographs, smooth and textured, [4, 3, 96, 96] on [-1, 1]."""
    pieces = [image[i : i + 96, j : j + 96] for image, i, j in PIECES]
    return torch.stack([torch.from_numpy(piece.copy()).permute(2, 0, 1).float() / 127.5 - 1 for piece in pieces])


PIECES = ((astronaut(), 64, 176), (astronaut(), 300, 40), (chelsea(), 80, 120), (chelsea(), 190, 330))


@pytest.mark.parametrize("std", [0.1, 0.577])
def test_tuned_total_variation_and_non_local_means_are_close_to_the_best_of_a_finer_grid(std: float) -> None:
    clean = patches()
    noisy = fixed_noisy(clean, gaussian(std), 0, "val")
    found = references(clean, noisy, [Level(clean, fixed_noisy(clean, gaussian(std), 0, "train"), std)])
    for name, method, strengths in (
        ("total variation", total_variation, [0.4 + 0.1 * step for step in range(17)]),
        ("non-local means", non_local_means, [0.2 + 0.1 * step for step in range(12)]),
    ):
        reached = [scores(apply(method, noisy, std, strength), clean).psnr_db for strength in strengths]
        assert found[name].psnr_db > max(reached) - 0.2, name
        assert max(reached) not in (reached[0], reached[-1]), f"{name}: the grid is too narrow to judge by"


def test_total_variation_is_not_stopped_before_it_has_converged() -> None:
    clean, std = patches(), 0.577
    noisy = fixed_noisy(clean, gaussian(std), 0, "val")

    def converged(image: classical.Pixels, std: float, strength: float) -> classical.Pixels:
        cleaned: classical.Pixels = denoise_tv_chambolle(  # type: ignore[no-untyped-call]
            image, weight=strength * std, eps=1e-9, max_num_iter=1000, channel_axis=-1
        )
        return cleaned

    for strength in (0.9, 1.1):
        ours, best = (scores(apply(method, noisy, std, strength), clean) for method in (total_variation, converged))
        assert ours.psnr_db > best.psnr_db - 0.05


def test_each_image_is_cleaned_as_suits_its_own_strength() -> None:
    clean, stds = photograph(1), (0.08, 0.7)
    levels = [Level(clean, fixed_noisy(clean, gaussian(std), 0, "train"), std) for std in stds]
    # The first image carries the low strength, the second the high one.
    noisy = torch.stack([fixed_noisy(clean, gaussian(std), 0, "val")[i] for i, std in enumerate(stds)])
    found = references(clean, noisy, levels)
    for name, method in (("total variation", total_variation), ("non-local means", non_local_means)):
        for std in stds:
            one_for_all = scores(apply(method, noisy, std, 0.9), clean).psnr_db
            assert found[name].psnr_db > one_for_all + 1, name


@pytest.mark.parametrize("text", ["poisson:30", "salt-pepper:0.1", "speckle:0.5"])
def test_the_classical_methods_know_the_standard_deviation_of_any_noise(text: str) -> None:
    clean, noise = photograph(1), parse_noise(text)
    [level] = [Level(*level) for level in noise_levels(clean, noise, torch.Generator().manual_seed(1))]
    noisy = fixed_noisy(clean, noise, 0, "val")
    assert level.std == pytest.approx(float((noisy - clean).square().mean().sqrt()), rel=0.1)
    found = references(clean, noisy, [level])
    start = scores(noisy, clean)
    assert all(score.psnr_db > start.psnr_db + 1 for score in found.values())
