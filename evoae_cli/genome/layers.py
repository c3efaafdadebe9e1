"""The vocabulary of layers, and the search space: which layers there are, and how many a module may have."""

from dataclasses import dataclass
from functools import cached_property

from evoae_cli.errors import GenotypeError, UsageError

MAX_KERNEL = 99
"""Pixels. Wider kernels than any image patch in use."""
MAX_FILTERS = 4096
"""One such 3x3 layer after another already takes 151 million weights (600 MB)."""


@dataclass(frozen=True, slots=True)
class Conv2d:
    """A convolution with a square kernel, zero padding that keeps height and width, and a ReLU after it.

    Raises GenotypeError for a kernel or a filter count out of range.
    """

    kernel: int
    """Side of the kernel in pixels, 1 to `MAX_KERNEL`."""
    filters: int
    """Channels it makes, 1 to `MAX_FILTERS`."""

    def __post_init__(self) -> None:
        if not 1 <= self.kernel <= MAX_KERNEL:
            raise GenotypeError(f"layer {self.text!r}: the kernel {self.kernel} is out of range; use 1 to {MAX_KERNEL}")
        if not 1 <= self.filters <= MAX_FILTERS:
            raise GenotypeError(f"layer {self.text!r}: {self.filters} filters are out of range; use 1 to {MAX_FILTERS}")

    @property
    def text(self) -> str:
        """As the paper writes it: `5x5conv2d:16`."""
        return f"{self.kernel}x{self.kernel}conv2d:{self.filters}"

    @property
    def table_text(self) -> str:
        """As the paper's tables write it: `16-5x5conv2d`."""
        return f"{self.filters}-{self.kernel}x{self.kernel}conv2d"


@dataclass(frozen=True, slots=True)
class Dropout2d:
    """Drops whole channels with probability 0.5 while training. It has no filter count, so it is one choice."""

    @property
    def text(self) -> str:
        """`dropout2d`."""
        return "dropout2d"

    @property
    def table_text(self) -> str:
        """`dropout2d`."""
        return "dropout2d"


Layer = Conv2d | Dropout2d


@dataclass(frozen=True)
class SearchSpace:
    """Which layers a module may hold, and how many.

    The default is the paper's: 4 kernels x 4 filter counts and dropout, 17 choices. Raises UsageError for a space
    without layers, and for a value that is out of range or named twice.
    """

    kernels: tuple[int, ...] = (1, 3, 5, 7)
    filters: tuple[int, ...] = (8, 16, 32, 64)
    dropout: bool = True
    """Whether `Dropout2d` is a choice."""
    max_layers: int = 10

    def __post_init__(self) -> None:
        for name, values, most in (("kernels", self.kernels, MAX_KERNEL), ("filters", self.filters, MAX_FILTERS)):
            if not values:
                raise UsageError(f"the search space has no {name}; give at least one")
            for value in values:
                if not 1 <= value <= most:
                    raise UsageError(f"{name}: {value} is out of range; use 1 to {most}")
            if len(set(values)) < len(values):
                raise UsageError(f"{name}: {','.join(map(str, values))} names a value twice")
        if self.max_layers < 1:
            raise UsageError(f"a module of at most {self.max_layers} layers is none; allow at least 1")

    @cached_property
    def choices(self) -> tuple[Layer, ...]:
        """Every layer there is, in one fixed order, however the settings were ordered."""
        convolutions = [Conv2d(kernel, count) for kernel in sorted(self.kernels) for count in sorted(self.filters)]
        return (*convolutions, Dropout2d()) if self.dropout else tuple(convolutions)

    @cached_property
    def size(self) -> int:
        """Number of genotypes: the modules of 1 to `max_layers` layers."""
        return sum(len(self.choices) ** n_layers for n_layers in range(1, self.max_layers + 1))

    def __str__(self) -> str:
        kernels, counts = (",".join(map(str, sorted(values))) for values in (self.kernels, self.filters))
        return f"kernels {kernels}, filters {counts}, {'dropout2d' if self.dropout else 'no dropout2d'}"
