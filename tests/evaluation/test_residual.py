import pytest
import torch
from skimage.data import astronaut
from torch import Tensor
from torch.nn.functional import avg_pool2d

from evoae_cli.evaluation.residual import residual_of


def photograph() -> Tensor:
    return torch.from_numpy(astronaut()[100:356, 100:356].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def white(std: float = 0.2) -> Tensor:
    return std * torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))


def test_white_noise_that_was_taken_away_whole_has_no_structure() -> None:
    found = residual_of(photograph() + white(), photograph())
    assert found.neighbours == pytest.approx(0, abs=0.01)
    assert found.edges == pytest.approx(0, abs=0.02)


def test_noise_that_neighbours_share_is_seen_in_the_residual() -> None:
    shared = avg_pool2d(white(), 2, 1, padding=1)[..., :256, :256]
    assert residual_of(photograph() + shared, photograph()).neighbours > 0.3


def test_blurred_detail_is_seen_as_correlation_of_neighbours_and_with_edges() -> None:
    blurred = avg_pool2d(photograph(), 7, 1, padding=3, count_include_pad=False)
    found = residual_of(photograph() + white(0.1), blurred)
    assert found.neighbours > 0.2
    assert found.edges > 0.2


def test_nothing_taken_away_has_no_structure_either() -> None:
    found = residual_of(torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16))
    assert (found.neighbours, found.edges, found.share) == (0.0, 0.0, None)


def test_how_much_of_the_noise_was_taken_away_is_seen() -> None:
    noisy = photograph() + white()
    assert residual_of(noisy, photograph()).share == pytest.approx(1.0, abs=0.05)
    assert residual_of(noisy, noisy - 0.3 * white()).share == pytest.approx(0.3, abs=0.02)


def test_a_black_image_among_the_noisy_ones_does_not_hide_how_much_was_taken_away() -> None:
    black = torch.full((1, 3, 256, 256), -1.0)
    noisy, clean = torch.cat([photograph() + white(), black]), torch.cat([photograph(), black])
    assert residual_of(noisy, clean).share == pytest.approx(0.5**0.5, abs=0.05)
