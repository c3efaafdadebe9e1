"""Telling independent noise from noise that neighbouring pixels share, on real photographs."""

import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy.ndimage import convolve, gaussian_filter
from skimage.data import astronaut, chelsea, coffee

from evoae_cli.evaluation.correlation import CORRELATED, _chosen, coarse_over_fine, images_of
from evoae_cli.evaluation.imagefile import LabelledImage, write_image_file

Pixels = npt.NDArray[Any]


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def photographs() -> list[Pixels]:
    return [image.astype(np.float64) for image in (astronaut(), chelsea(), coffee())]


def eight_bit(x: Pixels) -> Pixels:
    return x.clip(0, 255).round().astype(np.uint8)


def white(x: Pixels, std: float = 25) -> Pixels:
    return x + rng().normal(0, std, x.shape)


def blurred(x: Pixels) -> Pixels:
    noise = gaussian_filter(rng().normal(0, 1, x.shape), (0.7, 0.7, 0))
    return x + noise * (25 / noise.std())


def through_jpeg(x: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(eight_bit(white(x))).save(file, "JPEG", quality=85)
    return np.asarray(Image.open(file))


def demosaicked(x: Pixels) -> Pixels:
    """The noise of a sensor with one colour per pixel, interpolated for the others."""
    noise, mosaic = rng().normal(0, 25, x.shape[:2]), np.zeros(x.shape)
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[row::2, column::2, channel] = noise[row::2, column::2]
    green = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
    other = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
    spread = [convolve(mosaic[..., i], green if i == 1 else other, mode="mirror") for i in range(3)]
    return x + np.stack(spread, -1)


INDEPENDENT = {
    "white": white,
    "weak": lambda x: white(x, 5),
    "clipped": lambda x: eight_bit(white(x, 75)),
    "grey": lambda x: white(x[..., :1]),
    "grey in three channels": lambda x: np.repeat(eight_bit(white(x[..., :1])), 3, -1),
    "poisson": lambda x: rng().poisson(x / 255 * 30) / 30,
    "16 bit": lambda x: (white(x).clip(0, 255) * 257).astype(np.uint16),
}
SHARED = {
    "blurred": blurred,
    "clipped and blurred": lambda x: eight_bit(blurred(x)),
    "jpeg": through_jpeg,
    "demosaicked": demosaicked,
}


@pytest.mark.parametrize("kind", INDEPENDENT)
def test_independent_noise_is_as_strong_in_coarse_detail_as_in_fine(kind: str) -> None:
    ratio = coarse_over_fine(INDEPENDENT[kind](x) for x in photographs())  # type: ignore[no-untyped-call]
    assert ratio is not None
    assert ratio < CORRELATED * 0.8


@pytest.mark.parametrize("kind", SHARED)
def test_noise_that_neighbours_share_lacks_the_fine_detail(kind: str) -> None:
    ratio = coarse_over_fine(SHARED[kind](x) for x in photographs())
    assert ratio is not None
    assert ratio > CORRELATED * 2


def test_nothing_is_said_of_too_few_pixels_or_of_images_without_any_noise() -> None:
    assert coarse_over_fine([]) is None
    assert coarse_over_fine([white(astronaut()[:64, :64].astype(float))]) is None
    assert coarse_over_fine([np.full((7, 900, 3), 5.0)]) is None
    assert coarse_over_fine([np.full((512, 512, 3), 200, np.uint8)] * 5) is None


def test_memory_does_not_grow_with_the_images() -> None:
    image = eight_bit(white(astronaut()[..., :1].astype(np.float64)))
    peaks = []
    for n_images in (10, 200):
        tracemalloc.start()
        ratio = coarse_over_fine([image] * n_images)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert ratio == pytest.approx(1.0, abs=0.1)
    assert peaks[1] < peaks[0] * 1.1


def test_the_squares_that_are_looked_at_come_from_all_images_in_proportion() -> None:
    grids = [np.full((rows, 200, 8, 8, 1), value) for value, rows in ((1, 300), (2, 100), (3, 1))]
    chosen = _chosen(grids)
    counts = [int((chosen[:, 0, 0, 0] == value).sum()) for value in (1, 2, 3)]
    assert counts == [pytest.approx(40_000 * rows / 401, abs=1) for rows in (300, 100, 1)]


def test_images_are_taken_from_the_file_as_they_were_stored(tmp_path: Path) -> None:
    given = [rng().integers(0, 255, (20, 30 + i, 3)).astype(np.uint8) for i in range(4)]
    labelled = [LabelledImage(str(i), "val" if i == 1 else "train", image) for i, image in enumerate(given)]
    file = write_image_file(labelled, low=(0.0,) * 3, high=(255.0,) * 3, source="made", cache=tmp_path)
    found = list(images_of(file, "train"))
    assert [np.array_equal(a, b) for a, b in zip(found, [given[0], given[2], given[3]], strict=True)] == [True] * 3
