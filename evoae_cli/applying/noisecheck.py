"""Is an image as noisy as those that a model was trained for? What its reading may be, and what is said of another."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from evoae_cli.applying.brightnoise import STRONGEST, BrightKind
from evoae_cli.applying.noisereading import Reading
from evoae_cli.errors import UsageError
from evoae_cli.evaluation.noise import Noise, NoiseKind, parse_noise

_TEXTURE = 6.0
_SATURATION = 118.0
_LEAST, _LEAST_CLIPPED = 0.8, 0.75
_LEAST_BRIGHT = 0.75
_BRIGHT_TEXTURE: dict[BrightKind, float] = {"poisson": 0.04, "speckle": 0.06}
_CLEAN_DOTS = 0.0025


@dataclass(frozen=True)
class Trained:
    """The strengths of noise that a model was trained for, as a setting gives them; equal for one strength."""

    low: float
    high: float
    kind: NoiseKind = "gaussian"

    def __str__(self) -> str:
        if self.kind != "gaussian":
            return Noise(kind=self.kind, low=self.low, high=self.high).text
        return f"{self.low:.3g}" if self.low == self.high else f"{self.low:.3g} to {self.high:.3g}"

    @property
    def levels(self) -> tuple[float, float]:
        """The least and the most noise (`level`)."""
        least, most = sorted(level(self.kind, strength) for strength in (self.low, self.high))
        return least, most

    def told(self, *strengths: float) -> str:
        """Readings of this kind for people: `12 to 19 on the 0..255 scale`, `poisson:8.1 to poisson:12`."""
        if self.kind == "gaussian":
            return " to ".join(f"{strength:.2g}" for strength in strengths) + " on the 0..255 scale"
        short = (np.format_float_positional(one, precision=2, fractional=False, trim="-") for one in strengths)
        return " to ".join(f"{self.kind}:{strength}" for strength in short)


def level(kind: NoiseKind, strength: float) -> float:
    """How much noise a strength is: twice as much has twice the standard deviation, or twice as many dots."""
    # A quarter of the counts has twice the standard deviation.
    return float(strength**-0.5) if kind == "poisson" else strength


def trained_noise(metadata: dict[str, Any]) -> Trained | None:
    """The noise that a model was trained for; None if nothing is said of it, as where its images had noise already."""
    if "noise" not in metadata:
        # Models from before there were other kinds.
        std = metadata.get("noise_std_8bit")
        return Trained(float(std), float(std)) if isinstance(std, int | float) and std > 0 else None
    try:
        noise = parse_noise(str(metadata["noise"]))
    except UsageError:
        return None
    return Trained(noise.low, noise.high, noise.kind)


def fits(reading: Reading, trained: Trained) -> bool:
    """Whether an image of this reading may have the noise that a model was trained for.

    The limits lie between what images read that have the trained noise and those with half or twice as much, by its
    standard deviation, or with half or twice the share of black and white dots: see the limits of each kind.
    """
    if np.isnan(reading.strength):
        return True
    least, most = _limits(reading, trained)
    return least <= level(trained.kind, reading.strength) <= most


def verdict(reading: Reading, trained: Trained) -> str:
    """What to say of an image that does not fit, after its name."""
    than = "less" if level(trained.kind, reading.strength) < _limits(reading, trained)[0] else "more"
    cut = ""
    if trained.kind == "gaussian" and than == "more" and reading.strength <= trained.high:
        # Only strong noise that was cut off is more than the trained, and reads as less.
        cut = f", which cut off at black and white reads as {_clipped(trained.high):.2g} or less"
    return (
        f"its noise reads as {trained.told(reading.strength)}; this model was trained for {trained}{cut}. "
        f"With {than} noise than that the result may be {'blurred' if than == 'less' else 'noisy'}"
    )


def _limits(reading: Reading, trained: Trained) -> tuple[float, float]:
    """The levels of the least and the most noise that a fitting image reads as."""
    match trained.kind:
        case "gaussian":
            return _gaussian_limits(*trained.levels, is_clipped=reading.is_clipped)
        case "poisson" | "speckle":
            return _bright_limits(trained.kind, *trained.levels)
        case "salt-pepper":
            return _dot_limits(*trained.levels)


def _gaussian_limits(low: float, high: float, *, is_clipped: bool) -> tuple[float, float]:
    """Of Gaussian noise.

    For noise of std s in 40 photographs (481x321) they read, in units of s, as 5th percentile, median, 95th percentile:

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
    if is_clipped:
        least = _LEAST_CLIPPED * _clipped(low)
        most = np.sqrt(_clipped(high) * _clipped(2 * high))
    else:
        least, most = _LEAST * low, np.sqrt(2) * high
    return float(least), float(np.hypot(most, _TEXTURE))


def _clipped(std: float) -> float:
    """What noise of `std` reads as, about, in photographs that were clipped to 0..255."""
    return std / float(np.hypot(1, std / _SATURATION))


def _bright_limits(kind: BrightKind, low: float, high: float) -> tuple[float, float]:
    """Of Poisson and speckle noise, both by their standard deviation at white, as a share of white.

    The reading allows for clipping, and beside texture it is that of the noise, s: with s = 0.18 (poisson:30), from the
    5th to the 95th percentile of photographs, s/2 reads as 0.50 to 0.58 s, s as 0.97 to 1.05 s, 2s as 1.84 to 2.03 s.
    So the limits are 0.75 s and sqrt(2) s, with texture added in quadrature: clean photographs read as 0.002 to 0.07,
    median 0.014, for Poisson noise, and as 0.003 to 0.1, median 0.02, for speckle.

    Of 50 photographs other than those that the limits were chosen by, grey or colour, clipped or not, these shares are
    outside the limits:

        poisson    3      10     30     100          300          1000
        right      0      0      0      0            0.02         0.04
        half       1      1      1      0.96-0.98    0.72-0.80    0.42-0.44
        twice      1      1      1      1            1            1
        clean      1      1      1      1            0.92         0.78

        speckle    1      0.4    0.2    0.1          0.05         0.03
        right      0      0      0      0            0.04         0.06
        half       1      1      1      0.80-0.82    0.46-0.50    0.26-0.32
        twice      1      1      1      1            1            0.34-0.38
        clean      1      1      1      0.96         0.78         0.58
    """
    # What is trained for stronger noise than can be told apart reads as the strongest.
    least = _LEAST_BRIGHT * min(low, STRONGEST[kind])
    return least, float(np.hypot(np.sqrt(2) * high, _BRIGHT_TEXTURE[kind]))


def _dot_limits(low: float, high: float) -> tuple[float, float]:
    """Of salt and pepper, as shares of the values.

    The reading is the share D, to a tenth from 0.05 on, so the limits are D / sqrt(2) and sqrt(2) D, with 0.0025 added
    for the black and white dots of clean photographs: most have none, 95 of 100 up to 0.0033, all up to 0.0052.

    Of 50 photographs other than those that the limits were chosen by, grey or colour, rounded to 8 bits or not, these
    shares are outside the limits:

        D          0.002    0.005    0.01     0.05     0.2      0.5
        D          0.06     0.04     0        0        0        0
        D/2        0.82     0.88     0.90     1        1        1
        2D         0.10     0.98     1        1        1        (nothing is left to read)
        clean      0.90     0.94     1        1        1        1
    """
    return low / float(np.sqrt(2)), float(np.sqrt(2)) * high + _CLEAN_DOTS
