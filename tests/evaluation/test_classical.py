import pytest
import torch
from skimage.data import astronaut, camera
from torch import Tensor

from evoae_cli.evaluation.classical import references
from evoae_cli.evaluation.metrics import scores
from evoae_cli.evaluation.objective import fixed_noise


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
    noisy = clean + fixed_noise(tuple(clean.shape), std, 0, "val")
    tune_noisy = clean + fixed_noise(tuple(clean.shape), std, 0, "train")
    found = references(clean, noisy, std, clean, tune_noisy)
    assert list(found) == ["wavelet", "total variation", "non-local means"]
    start = scores(noisy, clean)
    for name, score in found.items():
        assert score.psnr_db > start.psnr_db + 1, name
        assert score.fitness > start.fitness, name
