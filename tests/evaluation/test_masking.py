"""What hiding pixels does to noisy images."""

import numpy as np
import pytest
import torch

from evoae_cli.evaluation.masking import hidden_exam, hide


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noisy(n: int, height: int, width: int) -> torch.Tensor:
    return torch.randn(n, 3, height, width, generator=seeded(0))


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_one_pixel_of_each_square_is_hidden_and_the_others_stay(memory_format: torch.memory_format) -> None:
    images = noisy(3, 16, 24).contiguous(memory_format=memory_format)
    before = images.clone()
    given, mask = hide(images, seeded())
    assert torch.equal(images, before)
    assert given.is_contiguous(memory_format=memory_format)
    squares = mask.view(3, 4, 4, 6, 4).sum((2, 4))
    assert torch.equal(squares, torch.ones(3, 4, 6, dtype=torch.int64))
    assert torch.equal(given != images, mask.expand_as(images))


def test_every_place_of_a_square_is_hidden_equally_often() -> None:
    _, mask = hide(torch.zeros(400, 1, 16, 16), seeded())
    by_place = mask.view(400, 4, 4, 4, 4).sum((0, 1, 3)).float()
    assert by_place.sum() == 400 * 16
    assert (by_place / 400).tolist() == [pytest.approx([1.0] * 4, abs=0.2)] * 4


@pytest.mark.parametrize(("height", "width"), [(16, 16), (9, 14), (5, 5)])
def test_what_stands_for_a_hidden_pixel_is_the_median_of_those_round_it_and_tells_nothing_of_itself(
    height: int, width: int
) -> None:
    images = noisy(2, height, width)
    given, mask = hide(images, seeded())
    for image, _, y, x in mask.nonzero().tolist():
        # Beyond an edge the other side counts twice.
        rows = [y + down if 0 <= y + down < height else y - down for down in range(-2, 3)]
        columns = [x + right if 0 <= x + right < width else x - right for right in range(-2, 3)]
        around = images[image][:, rows][:, :, columns].flatten(1)
        around = torch.cat((around[:, :12], around[:, 13:]), 1)
        assert given[image, :, y, x].tolist() == pytest.approx(np.median(around.numpy(), 1).tolist(), abs=1e-6)
    changed = torch.where(mask, images + 100, images)
    again, _ = hide(changed, seeded())
    own = given[mask.expand_as(given)] - again[mask.expand_as(given)]
    # Other hidden pixels may stand near, but at most a few of 24 do, so a median moves by little.
    assert own.abs().max() < 10


def test_the_exam_hides_the_same_pixels_for_one_study_and_split_alone() -> None:
    images = noisy(4, 32, 32)
    first = hidden_exam(images, 3, "val")
    with torch.random.fork_rng():
        torch.manual_seed(9)
        again = hidden_exam(images, 3, "val")
    assert first.mask is not None
    assert again.mask is not None
    assert torch.equal(first.given, again.given)
    assert torch.equal(first.mask, again.mask)
    for other in (hidden_exam(images, 3, "test"), hidden_exam(images, 4, "val")):
        assert other.mask is not None
        assert not torch.equal(first.mask, other.mask)


def test_few_small_images_are_looked_at_more_often_with_other_pixels_hidden() -> None:
    exam = hidden_exam(noisy(3, 32, 32), 0, "val")
    assert exam.mask is not None
    assert len(exam.given) == len(exam.target) == len(exam.mask) == 12
    assert torch.equal(exam.target[0], exam.target[3])
    assert not torch.equal(exam.mask[0], exam.mask[1])
    # The views of the first images do not depend on how many follow.
    fewer = hidden_exam(noisy(3, 32, 32)[:2], 0, "val")
    assert torch.equal(fewer.given, exam.given[:8])


def test_many_images_are_looked_at_once() -> None:
    assert len(hidden_exam(torch.zeros(50, 1, 128, 128), 0, "val").given) == 50
