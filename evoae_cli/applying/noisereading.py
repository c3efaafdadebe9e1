"""The noise that an image seems to have, read from the image alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evoae_cli.applying.brightnoise import amplitude
from evoae_cli.evaluation.noise import NoiseKind
from evoae_cli.evaluation.noiselevel import channel_stds

Pixels = npt.NDArray[Any]

_SIDE = 2048
"""Larger images are read from a mosaic of this side."""
_N_CUTS = 4
"""Along each side of the mosaic. Few large cuts: at their borders there is a jump, which is none of the noise."""
_STEP = 1 / 255
"""Half a step of 8 bits, on the [-1, 1] scale: what is so near to black or white is as good as there."""
_MARGIN = 0.2
"""On the [-1, 1] scale. What is so near to black or white may have been there in the clean image."""
_FEWEST_PLACES = 256
"""Of fewer the share of black and white dots is a matter of chance, and nothing is said."""


@dataclass(frozen=True)
class Reading:
    """The noise of an image, taken to be of one kind."""

    strength: float
    """As a setting gives it for this kind (`Noise`); NaN if nothing can be said. Of Gaussian noise it is what
    `skimage.restoration.estimate_sigma` says, the mean over the channels."""
    is_clipped: bool
    """Whether no value lies beyond the limits of the scale, so that noise was, or may have been, cut off there."""


def read_noise(pixels: Pixels, to_signal: Callable[[Pixels], Pixels], kind: NoiseKind = "gaussian") -> Reading:
    """The noise of an image [H, W, C], which `to_signal` brings to the [-1, 1] scale of a model."""
    part = to_signal(_mosaic(pixels))
    is_clipped = bool(np.abs(part).max() <= 1 + 1e-6)
    match kind:
        case "gaussian":
            strength = float(channel_stds(part).mean()) * 127.5
        case "poisson":
            strength = amplitude(kind, part, is_clipped=is_clipped) ** -2
        case "speckle":
            strength = amplitude(kind, part, is_clipped=is_clipped)
        case "salt-pepper":
            strength = share_of_dots(part)
    return Reading(strength, is_clipped)


def noise_stds(pixels: Pixels, to_signal: Callable[[Pixels], Pixels]) -> Pixels:
    """The standard deviation of the Gaussian noise in each channel of an image on the [-1, 1] scale, [C]."""
    return channel_stds(to_signal(_mosaic(pixels)))


def share_of_dots(signal: Pixels) -> float:
    """The share of values of an image [H, W, C] on [-1, 1] that salt and pepper took; NaN if it cannot be seen.

    Only those values are counted of whose eight neighbours at most three are near black and at most three near white:
    there the clean image is likely to be neither. As the value itself has no part in that, the share of black and white
    among them is the share that was replaced, whatever it is; over-exposed and black areas do not count.
    """
    n_dots = n_places = 0
    for channel in np.moveaxis(signal, 2, 0):
        is_open = (_neighbours(channel <= _MARGIN - 1) <= 3) & (_neighbours(channel >= 1 - _MARGIN) <= 3)
        n_places += int(np.count_nonzero(is_open))
        n_dots += int(np.count_nonzero(is_open & (np.abs(channel[1:-1, 1:-1]) >= 1 - _STEP)))
    return n_dots / n_places if n_places >= _FEWEST_PLACES else float("nan")


def _neighbours(is_so: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """How many of the eight neighbours are so, of all but the outermost values: [H, W] -> [H - 2, W - 2]."""
    height, width = (max(side - 2, 0) for side in is_so.shape)
    count = np.zeros((height, width), np.uint8)
    for row in range(3):
        for column in range(3):
            if (row, column) != (1, 1):
                count += is_so[row : row + height, column : column + width]
    return count


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
