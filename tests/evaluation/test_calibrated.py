import pytest
import torch
from skimage.data import astronaut
from torch import Tensor

from evoae_cli.evaluation.calibrated import references
from evoae_cli.evaluation.classical import LEAST_STD, apply, estimated_std, non_local_means, total_variation
from evoae_cli.evaluation.masking import hidden_exam
from evoae_cli.evaluation.metrics import exam_scores


def noisy(std: float, seed: int) -> Tensor:
    """Two 64x64 pieces of a photograph with white noise, [2, 3, 64, 64] on [-1, 1]."""
    pixels = torch.from_numpy(astronaut()[128:192, 160:288].copy()).permute(2, 0, 1).float() / 127.5 - 1
    clean = pixels.reshape(3, 64, 2, 64).permute(2, 0, 1, 3)
    return clean + std * torch.randn(clean.shape, generator=torch.Generator().manual_seed(seed))


def test_methods_calibrated_on_noisy_images_alone_beat_the_median_and_are_near_their_best() -> None:
    exam, training = hidden_exam(noisy(0.3, 1), 0, "val"), noisy(0.3, 2)
    found = references(exam, training)
    assert list(found) == ["wavelet", "total variation", "non-local means"]
    median = exam_scores(exam.given, exam)
    for name, method in (("total variation", total_variation), ("non-local means", non_local_means)):
        score = found[name]
        assert (score.psnr_db, score.psnr_pooled_db, score.ssim) == (None, None, None)
        assert score.fitness > median.fitness, name
        best = max(exam_scores(apply(method, exam.given, 0.3, k), exam).fitness for k in (0.6, 1.0))
        assert score.fitness > best * 0.97, name


def test_images_without_noise_are_calibrated_too() -> None:
    flat = torch.zeros(2, 1, 32, 32)
    found = references(hidden_exam(flat, 0, "val"), flat)
    assert all(score.mse < 1e-6 for score in found.values())


def test_flat_crops_among_the_training_images_tell_nothing_of_the_noise() -> None:
    exam, training = hidden_exam(noisy(0.3, 1), 0, "val"), noisy(0.3, 2)
    flat = torch.stack([torch.full((3, 64, 64), value) for value in (-1.0, 0.3)])
    assert estimated_std(torch.cat([training, flat])) == pytest.approx(estimated_std(training))
    with_flat, without = references(exam, torch.cat([training, flat])), references(exam, training)
    for name, score in with_flat.items():
        assert score.fitness == pytest.approx(without[name].fitness, rel=0.1), name


def test_of_nothing_but_flat_images_the_noise_is_the_least() -> None:
    assert estimated_std(torch.full((2, 1, 16, 16), -1.0)) == LEAST_STD
