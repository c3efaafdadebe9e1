"""The noise that scikit-image sees in an image, without a word of its own on the screen: warnings are errors here."""

import numpy as np
import pytest

from evoae_cli.evaluation.noiselevel import channel_stds


@pytest.mark.parametrize("value", [0.0, 10 / 255, 0.5, 1.0])
def test_a_flat_channel_has_no_noise_or_none_that_is_known_and_the_others_have_theirs(value: float) -> None:
    image = np.random.default_rng(0).normal(0.5, 0.1, (64, 64, 3)).astype(np.float32)
    image[..., 1] = value
    first, flat, last = channel_stds(image)
    assert np.isnan(flat) or flat < 1e-12
    assert (first, last) == (pytest.approx(0.1, rel=0.1), pytest.approx(0.1, rel=0.1))


@pytest.mark.parametrize("shape", [(8, 1, 3), (8, 2, 3), (2, 8, 1), (8, 3, 1), (3, 3, 3), (4, 4, 2)])
def test_narrow_images_are_read_as_any_others(shape: tuple[int, int, int]) -> None:
    stds = channel_stds(np.random.default_rng(0).normal(0.5, 0.1, shape))
    assert stds.shape == shape[2:]
    assert np.isnan(stds).all() == (min(shape[:2]) == 1)
