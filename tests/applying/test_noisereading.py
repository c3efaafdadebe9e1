"""Readings of an image's noise: the share of black and white dots, and what is said of all kinds."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evoae_cli.applying.noisereading import noise_stds, read_noise, share_of_dots
from evoae_cli.evaluation.noise import NoiseKind


def to_signal(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return (pixels / 127.5 - 1).astype(np.float32)


def dotted(clean: npt.NDArray[Any], share: float) -> npt.NDArray[Any]:
    """`clean` on the 0..255 scale with black and white dots."""
    drawn = np.random.default_rng(0).random(clean.shape)
    return np.where(drawn < share / 2, 0, np.where(drawn >= 1 - share / 2, 255, clean))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.8])
def test_the_share_of_dots_is_read_however_many_there_are(share: float) -> None:
    y, x = np.mgrid[:128, :160]
    clean = (128 + 80 * np.sin(x / 20) * np.cos(y / 30))[:, :, None].repeat(3, axis=2)
    assert share_of_dots(to_signal(dotted(clean, share))) == pytest.approx(share, rel=0.08)


def test_over_exposed_and_black_parts_are_no_dots() -> None:
    clean = np.full((128, 160, 1), 128)
    clean[:60], clean[60:100, :80] = 255, 0
    assert share_of_dots(to_signal(clean)) < 0.001
    assert share_of_dots(to_signal(dotted(clean, 0.05))) == pytest.approx(0.05, rel=0.1)


def test_values_near_black_and_white_are_no_dots() -> None:
    grainy = np.random.default_rng(0).choice([1, 128, 254], size=(64, 64, 1))
    assert share_of_dots(to_signal(grainy)) == 0


@pytest.mark.parametrize("value", [0, 255])
def test_where_all_is_black_or_white_no_dots_can_be_seen(value: int) -> None:
    assert np.isnan(share_of_dots(to_signal(np.full((64, 64, 1), value))))


@pytest.mark.parametrize("kind", ["gaussian", "poisson", "salt-pepper", "speckle"])
def test_a_line_of_pixels_has_no_reading(kind: NoiseKind) -> None:
    for shape in ((1, 300, 3), (300, 1, 3), (1, 1, 1)):
        assert np.isnan(read_noise(np.full(shape, 100), to_signal, kind).strength)


@pytest.mark.parametrize(
    ("kind", "strength", "noise"),
    [
        ("poisson", 30.0, lambda rng, x: rng.poisson(x / 255 * 30) / 30 * 255),
        ("speckle", 0.2, lambda rng, x: x * (1 + 0.2 * rng.normal(size=x.shape))),
        ("salt-pepper", 0.1, lambda rng, x: np.where(rng.random(x.shape) < 0.1, 255, x)),
    ],
)
def test_a_large_image_reads_from_parts_as_it_does_whole(kind: NoiseKind, strength: float, noise: Any) -> None:
    clean = np.linspace(40, 220, 2500)[:, None, None].repeat(300, axis=1)
    image = noise(np.random.default_rng(0), clean)
    seen: list[int] = []

    def counted(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        seen.append(len(pixels))
        return to_signal(pixels)

    assert read_noise(image, counted, kind).strength == pytest.approx(strength, rel=0.06)
    assert seen == [2048]


def test_noise_is_taken_for_clipped_where_no_value_lies_beyond_the_scale() -> None:
    inside, beyond = np.full((16, 16, 1), 255.0), np.full((16, 16, 1), 256.0)
    assert [read_noise(image, to_signal).is_clipped for image in (inside, beyond)] == [True, False]


def test_each_channel_has_a_standard_deviation_of_its_own() -> None:
    noise = np.random.default_rng(0).normal(128, 1, (128, 128, 2)) * [1, 3] - [0, 256]
    assert noise_stds(noise, to_signal) * 127.5 == pytest.approx([1, 3], rel=0.05)
