"""The amplitude of noise that grows with brightness, read where it is known."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from evoae_cli.applying.brightnoise import STRONGEST, BrightKind, amplitude


def slope(height: int = 160, width: int = 160, low: float = 0.1, high: float = 0.9) -> npt.NDArray[np.float64]:
    """From dark to bright, with an edge, on the 0..1 scale."""
    y, x = np.mgrid[:height, :width]
    return (low + (high - low) * (x / width * 0.7 + 0.3 * (y > height / 2)))[:, :, None]


def noisy(clean: npt.NDArray[np.float64], kind: BrightKind, strength: float) -> npt.NDArray[np.float64]:
    """On the 0..1 scale, not clipped, with noise of this amplitude."""
    rng = np.random.default_rng(0)
    if kind == "poisson":
        return rng.poisson(clean / strength**2) * strength**2
    return clean * (1 + strength * rng.normal(size=clean.shape))


def read(image: npt.NDArray[Any], kind: BrightKind, *, is_clipped: bool = False) -> float:
    if is_clipped:
        image = np.rint(image * 255).clip(0, 255) / 255
    return amplitude(kind, (image * 2 - 1).astype(np.float32), is_clipped=is_clipped)


@pytest.mark.parametrize("is_clipped", [False, True])
@pytest.mark.parametrize(
    ("kind", "strength"),
    [("poisson", 0.03), ("poisson", 0.18), ("poisson", 0.5), ("speckle", 0.05), ("speckle", 0.2), ("speckle", 0.8)],
)
def test_noise_reads_as_what_it_is_though_it_was_cut_off(kind: BrightKind, strength: float, is_clipped: bool) -> None:
    # To 12 %, which the strongest need that were cut off; half and twice are far from that.
    assert read(noisy(slope(), kind, strength), kind, is_clipped=is_clipped) == pytest.approx(strength, rel=0.12)


@pytest.mark.parametrize("kind", ["poisson", "speckle"])
def test_over_exposed_and_black_parts_do_not_count(kind: BrightKind) -> None:
    image = noisy(slope(), kind, 0.2)
    image[:60], image[60:90] = 1, 0
    assert read(image, kind, is_clipped=True) == pytest.approx(0.2, rel=0.1)
    # Where the scene was brighter than white, but its noise reaches below.
    assert read(noisy(slope(high=1.8), kind, 0.2), kind, is_clipped=True) == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize("kind", ["poisson", "speckle"])
def test_the_reading_stays_within_what_can_be_told_apart(kind: BrightKind) -> None:
    rng = np.random.default_rng(0)
    assert read(0.5 + 1e-4 * rng.normal(size=(64, 64, 3)), kind) == pytest.approx(0.001, rel=0.01)
    image = noisy(np.full((64, 64, 3), 0.7), kind, 2 * STRONGEST[kind])
    assert read(image, kind) == pytest.approx(STRONGEST[kind], rel=0.01)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 300, 3), (300, 1, 3), (3, 300, 1), (16, 16, 1)])
@pytest.mark.parametrize("kind", ["poisson", "speckle"])
def test_too_small_images_are_not_read(kind: BrightKind, shape: tuple[int, int, int]) -> None:
    assert np.isnan(read(np.full(shape, 0.5), kind))


@pytest.mark.parametrize("value", [0, 0.5, 1])
@pytest.mark.parametrize("kind", ["poisson", "speckle"])
def test_images_of_one_value_are_not_read(kind: BrightKind, value: float) -> None:
    assert np.isnan(read(np.full((64, 64, 3), value), kind, is_clipped=True))
