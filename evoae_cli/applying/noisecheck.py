"""Is an image as noisy as those that a model was trained for? A reading of its noise, and what it may be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evoae_cli.errors import UsageError
from evoae_cli.evaluation.noise import parse_noise
from evoae_cli.evaluation.noiselevel import channel_stds

Pixels = npt.NDArray[Any]

_SIDE = 2048
"""Larger images are read from a mosaic of this side."""
_N_CUTS = 4
"""Along each side of the mosaic. Few large cuts: at their borders there is a jump, which is none of the noise."""
_TEXTURE = 6.0
_SATURATION = 118.0
_LEAST, _LEAST_CLIPPED = 0.8, 0.75


@dataclass(frozen=True)
class Reading:
    """The noise of an image, by `skimage.restoration.estimate_sigma`."""

    std: float
    """Standard deviation on the 0..255 scale, the mean over the channels."""
    is_clipped: bool
    """Whether no value lies beyond the limits of the scale, so that noise was, or may have been, cut off there."""


@dataclass(frozen=True)
class Trained:
    """The strengths of Gaussian noise that a model was trained for, on the 0..255 scale; equal for one strength."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.3g}" if self.low == self.high else f"{self.low:.3g} to {self.high:.3g}"


def trained_noise(metadata: dict[str, Any]) -> Trained | None:
    """The noise that a model was trained for; None for another kind than Gaussian, or if nothing is said of it."""
    if "noise" not in metadata:
        # Models from before there were other kinds.
        std = metadata.get("noise_std_8bit")
        return Trained(float(std), float(std)) if isinstance(std, int | float) and std > 0 else None
    try:
        noise = parse_noise(str(metadata["noise"]))
    except UsageError:
        return None
    return Trained(noise.low, noise.high) if noise.kind == "gaussian" else None


def read_noise(pixels: Pixels, to_signal: Callable[[Pixels], Pixels]) -> Reading:
    """The noise of an image [H, W, C], which `to_signal` brings to the [-1, 1] scale of a model."""
    part = to_signal(_mosaic(pixels))
    return Reading(float(channel_stds(part).mean()) * 127.5, is_clipped=bool(np.abs(part).max() <= 1 + 1e-6))


def noise_stds(pixels: Pixels, to_signal: Callable[[Pixels], Pixels]) -> Pixels:
    """As `read_noise`, the standard deviation of each channel on the [-1, 1] scale, [C]."""
    return channel_stds(to_signal(_mosaic(pixels)))


def fits(reading: Reading, trained: Trained) -> bool:
    """Whether an image of this reading may have the noise that a model was trained for.

    The limits lie between what images read that have the trained noise and those with half or twice as much. For
    noise of std s in 40 photographs (481x321) they read, in units of s, as 5th percentile, median, 95th percentile:

        not clipped, s = 10:   s/2 0.54 0.62 1.01   s 1.02 1.09 1.38   2s 2.00 2.05 2.24
        not clipped, s = 25:   s/2 0.51 0.53 0.63   s 0.99 1.02 1.08   2s 1.98 1.99 2.03
        clipped, 8 bit, 25:    s/2 0.47 0.53 0.61   s 0.87 0.99 1.04   2s 1.59 1.77 1.90
        clipped, 8 bit, 74:    s/2 0.42 0.47 0.49   s 0.75 0.82 0.89   2s 1.21 1.26 1.33

    Without clipping a reading is s or more, so the limits are 0.8 s and sqrt(2) s, with 6 added in quadrature for
    texture (the clean photographs read 0.8 to 8.3, median 2.2). Clipped noise reads about
    r(s) = s / sqrt(1 + (s/118)^2), and the limits are 0.75 r(s) and the geometric mean of r(s) and r(2s).

    Of 50 other noise draws in photographs, clipped or not, grey or colour, these shares are outside the limits:

        s          5            10           15           25           50, 74, 120
        s          0.08         0.02         0 to 0.02    0 to 0.02    0 to 0.02
        s/2        0.32-0.48    0.74-0.76    0.92-0.96    0.98-1       1
        2s         0.96-1       0.98-1       0.98-1       0.98-1       0.98-1
        clean      0.70-0.72    0.92         0.98         1            1

    Noise below 10 cannot be told from fine texture; the few that fail above it are photographs largely over-exposed.
    """
    if np.isnan(reading.std):
        return True
    least, most = _limits(reading, trained)
    return least <= reading.std <= most


def _limits(reading: Reading, trained: Trained) -> tuple[float, float]:
    """The least and the most that a fitting image reads as: see `fits`."""
    if reading.is_clipped:
        least = _LEAST_CLIPPED * _clipped(trained.low)
        most = np.sqrt(_clipped(trained.high) * _clipped(2 * trained.high))
    else:
        least, most = _LEAST * trained.low, np.sqrt(2) * trained.high
    return float(least), float(np.hypot(most, _TEXTURE))


def verdict(reading: Reading, trained: Trained) -> str:
    """What to say of an image that does not fit, after its name."""
    than = "less" if reading.std < _limits(reading, trained)[0] else "more"
    cut = ""
    if than == "more" and reading.std <= trained.high:
        # Only strong noise that was cut off is more than the trained, and reads as less.
        cut = f", which cut off at black and white reads as {_clipped(trained.high):.2g} or less"
    return (
        f"its noise reads as {reading.std:.2g} on the 0..255 scale; this model was trained for {trained}{cut}. "
        f"With {than} noise than that the result may be {'blurred' if than == 'less' else 'noisy'}"
    )


def _clipped(std: float) -> float:
    """What noise of `std` reads as, about, in photographs that were clipped to 0..255."""
    return std / float(np.hypot(1, std / _SATURATION))


def _mosaic(pixels: Pixels) -> Pixels:
    """The image itself, or of a large one parts from everywhere, so that the reading takes bounded memory and time."""
    rows, columns = (_cuts(size) for size in pixels.shape[:2])
    return np.asarray(pixels[rows[:, None], columns])


def _cuts(size: int) -> npt.NDArray[np.int64]:
    if size <= _SIDE:
        return np.arange(size)
    length = _SIDE // _N_CUTS
    starts = np.linspace(0, size - length, _N_CUTS).astype(np.int64)
    return (starts[:, None] + np.arange(length)).ravel()
