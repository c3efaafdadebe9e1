"""The vocabulary of layers: what a module is made of."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from evoae_cli.errors import GenotypeError

if TYPE_CHECKING:
    from torch import nn

MAX_KERNEL = 99
"""Pixels. Wider kernels than any image patch in use."""
MAX_FILTERS = 4096
"""One such 3x3 layer after another already takes 151 million weights (600 MB)."""
DILATION = 2
"""Distance in pixels between the weights of a dilated kernel."""


class Layer(ABC):
    """One layer of a module: a frozen value, equal to another exactly where their texts are equal.

    A layer of your own derives from `CustomLayer`.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def text(self) -> str:
        """How it is written in a genotype, as `5x5conv2d:16`: no spaces, commas or slashes."""

    @property
    def table_text(self) -> str:
        """How tables write it; the text, where they have no form of their own."""
        return self.text

    @abstractmethod
    def n_out(self, n_in: int) -> int:
        """Channels that it puts out for `n_in` channels."""


@dataclass(frozen=True, slots=True)
class _Convolution(Layer):
    """A square kernel, zero padding that keeps height and width, and a ReLU behind it."""

    kernel: int
    """Side of the kernel in weights, up to `MAX_KERNEL`."""
    filters: int
    """Channels it makes, 1 to `MAX_FILTERS`."""

    kind: ClassVar[str]
    min_kernel: ClassVar[int] = 1
    """A smaller one would be another name for the same network, or none."""

    def __post_init__(self) -> None:
        if not self.min_kernel <= self.kernel <= MAX_KERNEL:
            raise GenotypeError(
                f"layer {self.text!r}: the kernel {self.kernel} is out of range; use {self.min_kernel} to {MAX_KERNEL}"
            )
        if not 1 <= self.filters <= MAX_FILTERS:
            raise GenotypeError(f"layer {self.text!r}: {self.filters} filters are out of range; use 1 to {MAX_FILTERS}")

    @property
    def text(self) -> str:
        """As the paper writes it: `5x5conv2d:16`."""
        return f"{self.kernel}x{self.kernel}{self.kind}:{self.filters}"

    @property
    def table_text(self) -> str:
        """As the paper's tables write it: `16-5x5conv2d`."""
        return f"{self.filters}-{self.kernel}x{self.kernel}{self.kind}"

    def n_out(self, n_in: int) -> int:
        """Its filters."""
        return self.filters


class Conv2d(_Convolution):
    """The paper's convolution (section 3).

    Raises GenotypeError for a kernel or a filter count out of range, as the other convolutions do.
    """

    __slots__ = ()
    kind = "conv2d"


class SepConv2d(_Convolution):
    """A depthwise separable convolution: each channel by itself with the kernel, then 1x1 to the filters.

    About `kernel`^2 times fewer weights and operations than `Conv2d` (Chollet, *Xception*, 2017).
    """

    __slots__ = ()
    kind = "sepconv"
    min_kernel = 2


class DilatedConv2d(_Convolution):
    """A convolution whose weights lie `DILATION` pixels apart: it sees almost twice as far for the same cost."""

    __slots__ = ()
    kind = "dilated"
    min_kernel = 2


@dataclass(frozen=True, slots=True)
class Dropout2d(Layer):
    """Drops whole channels with probability 0.5 while training. It has no filter count, so it is one choice."""

    @property
    def text(self) -> str:
        """`dropout2d`."""
        return "dropout2d"

    def n_out(self, n_in: int) -> int:
        """As many as come in."""
        return n_in


class CustomLayer(Layer):
    """A layer of your own: a frozen dataclass with `text`, `n_out` and `build`, offered by a `SearchSpace`.

    Its parameters, operations and memory are measured on what `build` returns.
    """

    __slots__ = ()

    @abstractmethod
    def build(self, n_in: int) -> "nn.Module":
        """The network's part: [n, n_in, h, w] -> [n, n_out(n_in), h, w], for any h and w, its activation included.

        Random weights come from torch's global generator.
        """


CONVOLUTIONS: tuple[type[_Convolution], ...] = (Conv2d, SepConv2d, DilatedConv2d)
"""Every built-in kind of convolution."""

# At most 6 digits: more is no layer that a person meant, and Python refuses to read numbers of thousands of digits.
_CONVOLUTION = re.compile(
    rf"([0-9]{{1,6}})\s*x\s*([0-9]{{1,6}})\s*({'|'.join(kind.kind for kind in CONVOLUTIONS)})"
    r"(?:\s*:\s*([0-9]{1,6}))?",
    re.ASCII,
)
_DROPOUT = re.compile(r"dropout2d(\s*:.*)?", re.ASCII)
_KIND_OF = {kind.kind: kind for kind in CONVOLUTIONS}


def parse_layer(text: str) -> Layer:
    """Read one built-in layer, as `5x5conv2d:16` or `dropout2d`. Raises GenotypeError that names it and the remedy."""
    shown = repr(text if len(text) <= 40 else text[:37] + "...")
    if match := _DROPOUT.fullmatch(text):
        if match[1]:
            raise GenotypeError(f"layer {shown}: dropout has no filter count; write dropout2d")
        return Dropout2d()
    match = _CONVOLUTION.fullmatch(text)
    if match is None:
        raise GenotypeError(f"unknown layer {shown}; write a convolution as 3x3conv2d:16 or dropout as dropout2d")
    height, width, kind = int(match[1]), int(match[2]), match[3]
    if height != width:
        raise GenotypeError(f"layer {shown}: the kernel {height}x{width} is not square; use {height}x{height}")
    if match[4] is None:
        raise GenotypeError(f"layer {shown} has no filter count; write it as {height}x{width}{kind}:16")
    return _KIND_OF[kind](height, int(match[4]))
