"""How strong the noise of an image is that grows with its brightness: Poisson and speckle noise.

The standard deviation of such noise differs from place to place, and where it is cut off at white it falls again. So
each place is compared with what noise of some strength would have where it is so bright, and the strength is sought
under which half of the places have less.
"""

from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

BrightKind = Literal["poisson", "speckle"]

STRONGEST: dict[BrightKind, float] = {"poisson": 1.0, "speckle": 2.0}
"""Largest amplitudes that are told apart: of stronger noise that was cut off, most values are black or white."""
_WEAKEST = 1e-3
"""Smallest amplitude: the rounding to 8 bits has as much. Poisson noise of a million counts."""
_N_STEPS = 16
"""Halvings of the span between them, in logarithms: to 0.01 %."""

_BLOCK = 4
"""Side of the blocks of coefficients whose mean is the brightness: 8 pixels, whose mean has an eighth of the noise."""
_DARK, _WHITE = 0.01, 0.8
"""On the 0..1 scale. Darker, a step of 8 bits is as large as the noise; brighter, much of it may have been cut off: in
20 photographs with three times the light noise read as 0.73 to 1.2 of what it was, with 0.98 as 0.5 to 1."""
_NOTHING = 1e-5
"""Less detail than any noise leaves is that of parts that were masked, or cut off whole: they have no reading."""
_N_PLACES = 2**14
"""The median of so many is off by 1 %."""
_FEWEST_PLACES = 256
"""Of fewer the median is off by 7 % and more, and nothing is said."""

_QUARTILE = NormalDist().inv_cdf(0.75)
"""The median of the absolute values of normal noise of standard deviation 1."""
_BRIGHTNESS = np.linspace(0, 3, 301)
"""Of clean values. Above 1 are the over-exposed ones, and those of images that are not cut off."""
_DRAWS = np.array([NormalDist().inv_cdf((k + 0.5) / 128) for k in range(128)])
_DRAWS /= _DRAWS.std()
"""Normal noise of standard deviation 1, as values that are equally likely."""


def amplitude(kind: BrightKind, signal: Pixels, *, is_clipped: bool) -> float:
    """The standard deviation at white of the noise of an image [H, W, C] on [-1, 1], as a share of white.

    `is_clipped` says that values were cut off at black and white. The result lies between 0.001 and the `STRONGEST` of
    the kind; it is NaN if the image is small, or nearly all of it is black, white or even. Fine texture raises it.
    """
    details, brightness = _places(signal)
    is_usable = (details > _NOTHING) & (brightness > _DARK)
    is_usable &= brightness < (_WHITE if is_clipped else _BRIGHTNESS[-1])
    if np.count_nonzero(is_usable) < 2 * _FEWEST_PLACES:
        return float("nan")
    details, brightness = details[is_usable], brightness[is_usable]
    # In the brighter half the noise stands out most from texture.
    is_bright = brightness >= np.median(brightness)
    details, brightness = details[is_bright], brightness[is_bright]
    every = -(-len(details) // _N_PLACES)
    details, brightness = details[::every], brightness[::every]
    low, high = np.log(_WEAKEST), np.log(STRONGEST[kind])
    for _ in range(_N_STEPS):
        middle = (low + high) / 2
        stds = _stds(kind, float(np.exp(middle)), brightness, is_clipped=is_clipped)
        if np.mean(details > _QUARTILE * stds) > 0.5:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))


def _places(signal: Pixels) -> tuple[Floats, Floats]:
    """At places all over the image [H, W, C], on the 0..1 scale: detail as large as noise makes it; the brightness."""
    import pywt

    details, brightness = [np.empty(0)], [np.empty(0)]
    for channel in np.moveaxis(signal, 2, 0):
        # The wavelet of `estimate_sigma`. Its finest diagonal coefficients have the standard deviation of the noise.
        coarse, (_, _, diagonal) = pywt.dwt2((channel + 1) / 2, "db2")
        height, width = (side // _BLOCK for side in coarse.shape)
        whole = (slice(height * _BLOCK), slice(width * _BLOCK))
        blocks = coarse[whole].reshape(height, _BLOCK, width, _BLOCK)
        # A coarse coefficient is twice the mean of its pixels.
        means = np.broadcast_to(blocks.mean(axis=(1, 3), keepdims=True) / 2, blocks.shape)
        details.append(np.abs(diagonal[whole]).ravel())
        brightness.append(means.ravel())
    return np.concatenate(details), np.concatenate(brightness)


def _stds(kind: BrightKind, strength: float, brightness: Floats, *, is_clipped: bool) -> Floats:
    """Standard deviation of noise of an amplitude, where the image with its noise has this mean brightness."""
    clean = _BRIGHTNESS[:, None]  # [clean values, draws]
    if kind == "speckle":
        values = clean * (1 + strength * _DRAWS)
    else:
        expected = clean / strength**2
        # Quantiles of the Poisson distribution by those of the normal one (Cornish and Fisher 1938). The second term
        # goes to nothing where next to no counts are expected.
        skew = np.minimum(np.sqrt(expected), 1) * (_DRAWS**2 - 1) / 6
        counts = np.rint(expected + np.sqrt(expected) * _DRAWS + skew)
        values = np.maximum(counts, 0) * strength**2
    if is_clipped:
        values = values.clip(0, 1)
    stds: Floats = np.interp(brightness, values.mean(axis=1), values.std(axis=1))
    return stds
