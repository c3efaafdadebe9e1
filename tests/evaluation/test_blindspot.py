"""What is made of noisy images by a network that answers for pixels which it does not see."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from evoae_cli.evaluation.blindspot import REACH, cleaned, foretold


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def same(variance: float) -> Tensor:
    """Noise of one variance in all channels, [1, 1, 1]."""
    return torch.full((1, 1, 1), variance)


def answering(result: Tensor) -> Callable[[Tensor], Tensor]:
    """A network that answers with `result`, whatever it is given."""
    return lambda given: result


@pytest.mark.parametrize(("height", "width"), [(5, 5), (7, 10), (12, 8)])
def test_no_pixel_is_told_by_its_own_value(height: int, width: int) -> None:
    network = nn.Conv2d(2, 2, 5, padding=2).double()
    images = noise(1, 2, height, width).double().requires_grad_()
    output = foretold(network, images)
    assert output.shape == images.shape
    for y in range(height):
        for x in range(width):
            [gradient] = torch.autograd.grad(output[0, :, y, x].sum(), images, retain_graph=True)
            assert not gradient[0, :, y, x].any()
            assert gradient.any()


def test_a_network_that_returns_what_it_sees_gives_the_median_of_the_others() -> None:
    images = torch.full((1, 3, 16, 16), 0.25)
    images[..., 6, 9] = 1.0
    assert torch.equal(foretold(nn.Identity(), images), torch.full_like(images, 0.25))


def test_images_without_enough_pixels_go_through_as_they_are() -> None:
    images = noise(1, 1, 4, 16)
    assert torch.equal(foretold(nn.Identity(), images), images)


def test_two_independent_measurements_are_weighed_by_their_variances() -> None:
    clean, own, network_s = torch.zeros(2, 3, 64, 64), 0.4, 0.2
    noisy = own * noise(2, 3, 64, 64)
    network = answering(network_s * noise(2, 3, 64, 64, seed=1))
    error = float((cleaned(network, noisy, same(own**2)) - clean).square().mean())
    best = 1 / (1 / own**2 + 1 / network_s**2)
    assert best < error < 1.04 * best < network_s**2


def test_channels_and_images_are_weighed_each_by_its_own_noise() -> None:
    stds = torch.tensor([[0.4, 0.02], [0.02, 0.4]])[:, :, None, None]
    noisy, network = stds * noise(2, 2, 64, 64), answering(0.1 * noise(2, 2, 64, 64, seed=1))
    best = 1 / (1 / stds.square() + 1 / 0.1**2)
    for variance in (None, stds.square()):
        error = cleaned(network, noisy, variance).square().mean((2, 3), keepdim=True)
        assert (error < 1.3 * best).all()


def test_where_the_network_is_wrong_the_pixels_count_more_than_elsewhere() -> None:
    noisy, answer = 0.1 * noise(1, 3, 48, 96), torch.zeros(1, 3, 48, 96)
    answer[..., 48:] = 0.5
    output = cleaned(answering(answer), noisy, same(0.1**2))
    assert float(output[..., :28].square().mean()) < 0.003
    # The answer is wrong in brightness, not in colour: so the noise in the colours goes here too.
    wrong = output[..., 68:]
    assert float((wrong - noisy[..., 68:]).mean(1).square().mean()) < 0.001
    assert float((wrong - wrong.mean(1, keepdim=True)).square().mean()) < 0.001


def test_noise_that_nothing_is_known_of_leaves_what_is_foretold_and_no_noise_leaves_the_image() -> None:
    noisy, answer = noise(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    assert torch.equal(cleaned(answering(answer), noisy, same(math.nan)), answer)
    assert torch.allclose(cleaned(answering(answer), noisy, same(0.0)), noisy)
    # An answer that is exactly the image has no variance to divide by.
    assert torch.equal(cleaned(answering(noisy), noisy, same(0.0)), noisy)


def test_without_a_variance_it_is_that_which_the_images_seem_to_have() -> None:
    noisy, answer = 0.3 * noise(2, 3, 64, 64), torch.zeros(2, 3, 64, 64)
    found, told = cleaned(answering(answer), noisy), cleaned(answering(answer), noisy, same(0.09))
    assert float((found - told).square().mean()) < 0.01 * 0.09


def test_nothing_depends_on_pixels_beyond_the_reach() -> None:
    images = noise(1, 1, 64, 64)
    changed = images.clone()
    changed[..., 32, 32] += 50
    before, after = (cleaned(nn.Identity(), each, same(0.5)) for each in (images, changed))
    rows, columns = torch.nonzero((before != after)[0, 0], as_tuple=True)
    assert REACH / 2 < int(max((rows - 32).abs().max(), (columns - 32).abs().max())) <= REACH
