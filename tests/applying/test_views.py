"""The mean over turned and mirrored views of an image."""

import numpy as np
import pytest
import torch
from denoisers import make_image, make_model
from torch import Tensor

from evoae_cli.applying.apply import denoise_array
from evoae_cli.applying.views import VIEWS, check_views, in_views
from evoae_cli.errors import UsageError

IMAGE = torch.rand((2, 3, 5, 7), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("n", VIEWS)
def test_every_view_is_another_one_and_comes_back_as_it_was(n: int) -> None:
    seen: list[Tensor] = []

    def clean(x: Tensor) -> Tensor:
        seen.append(x)
        return x

    assert torch.allclose(in_views(clean, n)(IMAGE), IMAGE)
    assert len(seen) == n
    assert sum(a.shape == b.shape and torch.equal(a, b) for a in seen for b in seen) == n


@pytest.mark.parametrize("n", VIEWS)
def test_what_depends_on_how_an_image_lies_averages_out(n: int) -> None:
    """Moving to the right by a pixel becomes moving to as many sides as there are."""

    def moved(x: Tensor) -> Tensor:
        return x.roll(1, 3)

    ways = {1: [(1, 3)], 2: [(1, 3), (-1, 3)]}.get(n, [(1, 3), (-1, 3), (1, 2), (-1, 2)])
    expected = torch.stack([IMAGE.roll(step, axis) for step, axis in ways]).mean(0)
    assert torch.allclose(in_views(moved, n)(IMAGE), expected)


def test_a_denoiser_cleans_in_views() -> None:
    model = make_model()
    image = make_image((16, 24, 3))
    once, twice = denoise_array(model, image), denoise_array(model, image, views=2)
    turned = np.rot90(denoise_array(model, np.ascontiguousarray(np.rot90(image, 2))), 2)
    assert not np.array_equal(once, twice)
    # Both were rounded to whole values.
    assert np.abs(twice - (once.astype(float) + turned) / 2).max() <= 1.01


def test_one_that_learnt_from_noisy_images_does_so_too() -> None:
    model = make_model(settings={"noisy_only": True})
    image = make_image((16, 24, 3))
    once, twice = denoise_array(model, image), denoise_array(model, image, views=2)
    assert twice.shape == once.shape
    assert not np.array_equal(once, twice)


@pytest.mark.parametrize("n", [0, 3, 16, -1])
def test_other_numbers_of_views_are_refused(n: int) -> None:
    with pytest.raises(UsageError, match=f"--views {n} cannot be; use 1, 2 "):
        check_views(n)
    with pytest.raises(UsageError, match="views"):
        denoise_array(make_model(), make_image((16, 16, 3)), views=n)
