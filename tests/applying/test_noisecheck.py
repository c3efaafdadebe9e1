"""Readings of noise in drawn scenes with known noise, and which of them are warned of."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evoae_cli.applying.noisecheck import Trained, fits, trained_noise, verdict
from evoae_cli.applying.noisereading import Reading, read_noise
from evoae_cli.evaluation.noise import NoiseKind


def scene(height: int = 128, width: int = 160, channels: int = 3) -> npt.NDArray[np.float64]:
    """Slopes, edges and some texture, 0..255."""
    y, x = np.mgrid[:height, :width] / 128
    grey = 90 + 60 * np.sin(3 * x + y) + 40 * (np.hypot(x - 0.6, y - 0.5) < 0.3) + 8 * np.sin(40 * x * y)
    return np.repeat(grey[:, :, None], channels, axis=2)


def noisy(
    strength: float, *, is_clipped: bool, kind: NoiseKind = "gaussian", seed: int = 0, **shape: int
) -> npt.NDArray[Any]:
    clean, rng = scene(**shape), np.random.default_rng(seed)
    match kind:
        case "gaussian":
            image = clean + rng.normal(0, strength, clean.shape)
        case "poisson":
            image = rng.poisson(clean / 255 * strength) / strength * 255
        case "speckle":
            image = clean * (1 + strength * rng.normal(size=clean.shape))
        case "salt-pepper":
            drawn = rng.random(clean.shape)
            image = np.where(drawn < strength / 2, 0, np.where(drawn > 1 - strength / 2, 255, clean))
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


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("is_clipped", [False, True])
@pytest.mark.parametrize(
    ("kind", "strength", "half", "twice"),
    [
        ("poisson", 5, 20, 1.25),
        ("poisson", 30, 120, 7.5),
        ("poisson", 100, 400, 25),
        ("speckle", 0.1, 0.05, 0.2),
        ("speckle", 0.3, 0.15, 0.6),
        ("speckle", 0.8, 0.4, 1.6),
        ("salt-pepper", 0.02, 0.01, 0.04),
        ("salt-pepper", 0.1, 0.05, 0.2),
        ("salt-pepper", 0.4, 0.2, 0.8),
    ],
)
def test_noise_of_other_kinds_is_warned_of_if_it_is_half_or_twice_the_trained(
    kind: NoiseKind, strength: float, half: float, twice: float, is_clipped: bool, channels: int
) -> None:
    trained = Trained(strength, strength, kind)

    def said(image: npt.NDArray[Any]) -> str:
        reading = read_noise(image, to_signal, kind)
        return "" if fits(reading, trained) else verdict(reading, trained)

    noise = [noisy(each, is_clipped=is_clipped, kind=kind, channels=channels) for each in (strength, half, twice)]
    right, less, more = map(said, noise)
    assert right == ""
    assert "blurred" in less
    assert "blurred" in said(scene(channels=channels))
    assert "noisy" in more


@pytest.mark.parametrize(
    ("trained", "fine", "other"),
    [
        (Trained(10, 50, "poisson"), (10, 25, 50), (2.5, 200)),
        (Trained(0.1, 0.4, "speckle"), (0.1, 0.2, 0.4), (0.05, 0.8)),
        (Trained(0.05, 0.3, "salt-pepper"), (0.05, 0.2, 0.3), (0.02, 0.5)),
    ],
)
def test_ranges_of_other_kinds_are_fine_throughout_and_not_beyond(
    trained: Trained, fine: tuple[float, ...], other: tuple[float, ...]
) -> None:
    images = [noisy(strength, is_clipped=True, kind=trained.kind) for strength in (*fine, *other)]
    found = [fits(read_noise(image, to_signal, trained.kind), trained) for image in images]
    assert found == [True] * len(fine) + [False] * len(other)


@pytest.mark.parametrize("kind", ["poisson", "speckle"])
def test_noise_that_is_too_strong_to_be_told_apart_is_not_taken_for_other_noise(kind: NoiseKind) -> None:
    strength = 0.5 if kind == "poisson" else 5
    image = noisy(strength, is_clipped=True, kind=kind)
    assert fits(read_noise(image, to_signal, kind), Trained(strength, strength, kind))


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


def test_the_verdict_on_other_kinds_spells_both_as_settings_do() -> None:
    assert verdict(Reading(8.123, is_clipped=True), Trained(30, 30, "poisson")) == (
        "its noise reads as poisson:8.1; this model was trained for poisson:30. "
        "With more noise than that the result may be noisy"
    )
    assert verdict(Reading(123456.0, is_clipped=True), Trained(10, 50, "poisson")) == (
        "its noise reads as poisson:120000; this model was trained for poisson:10-50. "
        "With less noise than that the result may be blurred"
    )
    assert "salt-pepper:0; this model was trained for salt-pepper:0.1. With less" in verdict(
        Reading(0.0, is_clipped=True), Trained(0.1, 0.1, "salt-pepper")
    )


def test_noise_that_was_cut_off_is_more_than_the_trained_though_it_reads_as_less() -> None:
    trained = Trained(120, 120)
    reading = read_noise(noisy(300, is_clipped=True), to_signal)
    assert not fits(reading, trained)
    assert reading.strength < 120
    assert "trained for 120, which cut off at black and white reads as 84 or less. With more noise" in verdict(
        reading, trained
    )
    weak = read_noise(noisy(40, is_clipped=True), to_signal)
    assert "With less noise" in verdict(weak, trained)


def test_a_large_image_reads_from_parts_as_it_does_whole() -> None:
    reading = read_noise(noisy(25, is_clipped=False, height=2500, width=300, channels=1), to_signal)
    assert reading.strength == pytest.approx(25, rel=0.03)


@pytest.mark.parametrize("kind", ["gaussian", "poisson", "speckle", "salt-pepper"])
def test_images_that_have_no_reading_are_not_warned_of(kind: NoiseKind) -> None:
    for image in (np.zeros((1, 9, 3)), np.zeros((9, 1, 1))):
        assert fits(read_noise(image, to_signal, kind), Trained(0.3, 0.3, kind))


@pytest.mark.parametrize(
    ("metadata", "trained"),
    [
        ({"noise_std_8bit": 25.0}, Trained(25, 25)),
        ({"noise": "gaussian:25", "noise_std_8bit": 9.0}, Trained(25, 25)),
        ({"noise": "gaussian:5-75"}, Trained(5, 75)),
        ({"noise": "poisson:30", "noise_std_8bit": None}, Trained(30, 30, "poisson")),
        ({"noise": "poisson:10-50"}, Trained(10, 50, "poisson")),
        ({"noise": "speckle:0.2"}, Trained(0.2, 0.2, "speckle")),
        ({"noise": "salt-pepper:0.1"}, Trained(0.1, 0.1, "salt-pepper")),
        ({"noise": "noisy-only"}, None),
        ({"noise": None, "noise_std_8bit": 9.0}, None),
        ({"noise_std_8bit": 0.0}, None),
        ({"noise": "gaussian:lots"}, None),
        ({}, None),
    ],
)
def test_only_noise_of_known_kind_and_strength_is_checked(metadata: dict[str, Any], trained: Trained | None) -> None:
    assert trained_noise(metadata) == trained
