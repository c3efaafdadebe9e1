"""Readings of noise in drawn scenes with known noise, and which of them are warned of."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evoae_cli.applying.noisecheck import Trained, fits, read_noise, trained_noise, verdict


def scene(height: int = 128, width: int = 160, channels: int = 3) -> npt.NDArray[np.float64]:
    """Slopes, edges and some texture, 0..255."""
    y, x = np.mgrid[:height, :width] / 128
    grey = 90 + 60 * np.sin(3 * x + y) + 40 * (np.hypot(x - 0.6, y - 0.5) < 0.3) + 8 * np.sin(40 * x * y)
    return np.repeat(grey[:, :, None], channels, axis=2)


def noisy(std: float, *, is_clipped: bool, seed: int = 0, **shape: int) -> npt.NDArray[Any]:
    clean = scene(**shape)
    image = clean + np.random.default_rng(seed).normal(0, std, clean.shape)
    return np.rint(image).clip(0, 255) if is_clipped else image


def to_signal(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return pixels / 127.5 - 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("is_clipped", [False, True])
@pytest.mark.parametrize("std", [15, 25, 50, 75])
def test_only_other_noise_than_the_trained_is_warned_of(std: float, is_clipped: bool, channels: int) -> None:
    def is_fine(strength: float) -> bool:
        image = noisy(strength, is_clipped=is_clipped, channels=channels)
        return fits(read_noise(image, to_signal), Trained(std, std))

    assert [is_fine(strength) for strength in (std, 0, std / 2, std * 2)] == [True, False, False, False]


def test_a_range_of_trained_noise_is_fine_throughout_and_not_beyond() -> None:
    trained = Trained(10, 50)
    readings = [read_noise(noisy(std, is_clipped=False), to_signal) for std in (10, 25, 50, 0, 4, 110)]
    assert [fits(reading, trained) for reading in readings] == [True, True, True, False, False, False]
    assert str(trained) == "10 to 50"


def test_the_verdict_names_both_strengths_and_what_to_expect() -> None:
    weak, strong = (read_noise(noisy(std, is_clipped=False), to_signal) for std in (5, 90))
    assert "trained for 25" in verdict(weak, Trained(25, 25))
    assert "blurred" in verdict(weak, Trained(25, 25))
    assert "noisy" in verdict(strong, Trained(25, 25))


def test_noise_that_was_cut_off_is_more_than_the_trained_though_it_reads_as_less() -> None:
    trained = Trained(120, 120)
    reading = read_noise(noisy(300, is_clipped=True), to_signal)
    assert not fits(reading, trained)
    assert reading.std < 120
    assert "trained for 120, which cut off at black and white reads as 84 or less. With more noise" in verdict(
        reading, trained
    )
    weak = read_noise(noisy(40, is_clipped=True), to_signal)
    assert "With less noise" in verdict(weak, trained)


def test_a_large_image_reads_from_parts_as_it_does_whole() -> None:
    reading = read_noise(noisy(25, is_clipped=False, height=2500, width=300, channels=1), to_signal)
    assert reading.std == pytest.approx(25, rel=0.03)


def test_a_line_of_pixels_has_no_reading_and_is_not_warned_of() -> None:
    assert fits(read_noise(np.zeros((1, 9, 3)), to_signal), Trained(25, 25))


@pytest.mark.parametrize(
    ("metadata", "trained"),
    [
        ({"noise_std_8bit": 25.0}, Trained(25, 25)),
        ({"noise": "gaussian:25", "noise_std_8bit": 9.0}, Trained(25, 25)),
        ({"noise": "gaussian:5-75"}, Trained(5, 75)),
        ({"noise": "poisson:30", "noise_std_8bit": 9.0}, None),
        ({"noise": "noisy-only"}, None),
        ({"noise": None, "noise_std_8bit": 9.0}, None),
        ({"noise_std_8bit": 0.0}, None),
        ({"noise": "gaussian:lots"}, None),
        ({}, None),
    ],
)
def test_only_gaussian_noise_of_known_strength_is_checked(metadata: dict[str, Any], trained: Trained | None) -> None:
    assert trained_noise(metadata) == trained
