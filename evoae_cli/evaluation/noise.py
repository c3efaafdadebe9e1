"""Noise: which kind, and how strong; its spelling for settings and its description for people. Free of torch."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from evoae_cli.errors import UsageError

NoiseKind = Literal["gaussian", "poisson", "salt-pepper", "speckle"]

MAX_GAUSSIAN = 1000
"""Largest standard deviation of Gaussian noise, on the 0..255 scale: nothing of an image is left under it."""
N_FIXED = 5
"""Strengths out of a range at which val and test are corrupted: the ends, the middle, and one between each."""


class _Kind(NamedTuple):
    example: str
    meaning: str
    low: float
    high: float


# Bounds: beyond them nothing of an image is left, or the noise is less than a step of 16-bit pixels.
_KINDS: dict[NoiseKind, _Kind] = {
    "gaussian": _Kind("gaussian:25", "standard deviation on the 0..255 scale", 0.0, MAX_GAUSSIAN),
    "poisson": _Kind("poisson:30", "counts expected at white", 0.0, 1e6),
    "salt-pepper": _Kind("salt-pepper:0.1", "share of the values replaced", 0.0, 1.0),
    "speckle": _Kind("speckle:0.2", "standard deviation as a share of each value", 0.0, 10.0),
}
_NUMBER = r"\s*\+?([0-9]*\.?[0-9]+\.?(?:[eE][-+]?[0-9]+)?)\s*"
_SPELLING = re.compile(rf"({'|'.join(_KINDS)}):{_NUMBER}(?:-{_NUMBER})?")

EXAMPLES = f"{', '.join(kind.example for kind in _KINDS.values())}, or a range as gaussian:5-75"


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """Noise of one kind, whose strength is drawn for each image uniformly from `low` to `high` (equal: one strength).

    What the strength is: for `gaussian`, the standard deviation on the 0..255 scale; for `poisson`, the counts expected
    at white; for `salt-pepper`, the share of values replaced by black or white; for `speckle`, the standard deviation
    of the factor round 1 by which each value is multiplied.
    """

    kind: NoiseKind
    low: float
    high: float

    @property
    def is_range(self) -> bool:
        """Whether the strength differs from image to image."""
        return self.low != self.high

    @property
    def text(self) -> str:
        """As a setting spells it, exactly: `gaussian:25`, `poisson:10-50`; `parse_noise` reads it back."""
        return f"{self.kind}:{_exactly(self.low)}" + (f"-{_exactly(self.high)}" if self.is_range else "")

    @property
    def std(self) -> float | None:
        """Standard deviation on the [-1, 1] scale of Gaussian noise of one strength; None for any other noise."""
        return self.low / 127.5 if self.kind == "gaussian" and not self.is_range else None

    @property
    def strengths(self) -> tuple[float, ...]:
        """The fixed strengths of val and test, evenly spaced over the range; patch i has number i modulo their count.

        One where there is no range.
        """
        if not self.is_range:
            return (self.low,)
        step = (self.high - self.low) / (N_FIXED - 1)
        return (self.low, *(self.low + step * i for i in range(1, N_FIXED - 1)), self.high)

    def describe(self) -> str:
        """The noise for people: `gaussian, standard deviation 73.6 on 0..255 (variance 0.333 on [-1, 1])`."""
        strength = self._span(1.0)
        match self.kind:
            case "gaussian":
                variance = self._span(1 / 127.5, 2)
                return f"gaussian, standard deviation {strength} on 0..255 (variance {variance} on [-1, 1])"
            case "poisson":
                return f"poisson, {strength} counts expected at white"
            case "salt-pepper":
                return f"salt-pepper, {self._span(100.0)} % of the values black or white"
            case "speckle":
                return f"speckle, standard deviation {strength} as a share of each value"

    def _span(self, factor: float, power: int = 1) -> str:
        low, high = (f"{(end * factor) ** power:.3g}" for end in (self.low, self.high))
        return f"{low} to {high}" if self.is_range else low


def parse_noise(text: str) -> Noise:
    """Read `gaussian:25`, `gaussian:5-75`, `poisson:30`, `salt-pepper:0.1` or `speckle:0.2`. Raises UsageError."""
    spelling = _SPELLING.fullmatch(text)
    if spelling is None:
        raise UsageError(f"--noise {text!r} is not understood; write {EXAMPLES}")
    name, first, last = spelling.groups()
    kind: NoiseKind = next(kind for kind in _KINDS if kind == name)
    about, low = _KINDS[kind], float(first)
    high = low if last is None else float(last)
    if not (about.low < low <= about.high and about.low < high <= about.high):
        raise UsageError(
            f"--noise {text!r} is out of range; {kind} takes the {about.meaning}, above 0 and at most "
            f"{_exactly(about.high)}, as {about.example}"
        )
    if low > high:
        raise UsageError(f"--noise {text!r} is no range; give the lower strength first, as gaussian:5-75")
    return Noise(kind=kind, low=low, high=high)


def gaussian(std: float) -> Noise:
    """Gaussian noise of one standard deviation `std` on the [-1, 1] scale."""
    return Noise(kind="gaussian", low=std * 127.5, high=std * 127.5)


def describe_noise(noise: Noise | None) -> str:
    """The noise for people; `none` where none is added."""
    return "none" if noise is None else noise.describe()


def strength_texts(strengths: Sequence[float]) -> list[str]:
    """Strengths to show and to name figures by: `73.6`; with more digits than four where only these tell them apart."""
    texts: list[str] = []
    for digits in range(4, 18):
        texts = [f"{strength:.{digits}g}" for strength in strengths]
        if len(set(texts)) == len(set(strengths)):
            break
    return texts


def _exactly(value: float) -> str:
    """The shortest text that reads back as this very number: `25`, `0.1`."""
    return repr(float(value)).removesuffix(".0")
