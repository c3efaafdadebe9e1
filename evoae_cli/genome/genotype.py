"""The genotype: what evolves, how it is written, and what is valid."""

import re
from dataclasses import dataclass, field

from evoae_cli.errors import GenotypeError
from evoae_cli.genome.layers import Conv2d, Dropout2d, Layer, SearchSpace

# At most 6 digits: more is no layer that a person meant, and Python refuses to read numbers of thousands of digits.
_CONVOLUTION = re.compile(r"([0-9]{1,6})\s*x\s*([0-9]{1,6})\s*conv2d(?:\s*:\s*([0-9]{1,6}))?", re.ASCII)
_DROPOUT = re.compile(r"dropout2d(\s*:.*)?", re.ASCII)


@dataclass(frozen=True, slots=True, repr=False)
class Genotype:
    """An autoencoder's design: the module, an ordered list of layers that encoder and decoder share (section 3).

    Raises GenotypeError for a module without layers. Whether it lies in a search space is a question of its own
    (`check_in_space`), so that a stored model can be read without its space.
    """

    module: tuple[Layer, ...]
    text: str = field(init=False, compare=False)
    """The paper's form, `5x5conv2d:16,3x3conv2d:32`, which `parse_genotype` reads. Made once: selection sorts by it."""

    def __post_init__(self) -> None:
        if not self.module:
            raise GenotypeError("the module is empty; give at least one layer, as 3x3conv2d:16")
        object.__setattr__(self, "text", ",".join(layer.text for layer in self.module))

    @property
    def table_text(self) -> str:
        """The form of the paper's tables: `64-5x5conv2d - 64-3x3conv2d`."""
        return " - ".join(layer.table_text for layer in self.module)

    @property
    def key(self) -> str:
        """Names this genotype in the cache, the store and the seeds: equal exactly where two genotypes are equal."""
        return self.text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Genotype {self.text}>"


def parse_genotype(text: str, space: SearchSpace | None = None) -> Genotype:
    """Read the paper's form, `5x5conv2d:16,3x3conv2d:32,dropout2d`; spaces between the parts do not matter.

    Raises GenotypeError, naming the layer and the remedy, for text that describes no genotype or one outside `space`.
    """
    if not text.strip():
        raise GenotypeError("the module is empty; give at least one layer, as 3x3conv2d:16")
    parts = [part.strip() for part in text.split(",")]
    genotype = Genotype(tuple(_parse_layer(part, position) for position, part in enumerate(parts, start=1)))
    if space is not None:
        check_in_space(genotype, space)
    return genotype


def check_in_space(genotype: Genotype, space: SearchSpace) -> None:
    """Raise GenotypeError where `genotype` has too many layers for `space`, or a layer that is none of its choices."""
    n_layers = len(genotype.module)
    if n_layers > space.max_layers:
        raise GenotypeError(
            f"the module has {n_layers} layers where {space.max_layers} are allowed; "
            f"take {n_layers - space.max_layers} away or raise --max-layers"
        )
    for layer in genotype.module:
        if layer not in space.choices:
            raise GenotypeError(f"layer {layer.text!r} is not in the search space ({space})")


def _parse_layer(text: str, position: int) -> Layer:
    if not text:
        raise GenotypeError(f"layer {position} is empty; a comma stands between two layers, as 5x5conv2d:16,dropout2d")
    shown = repr(text if len(text) <= 40 else text[:37] + "...")
    if match := _DROPOUT.fullmatch(text):
        if match[1]:
            raise GenotypeError(f"layer {shown}: dropout has no filter count; write dropout2d")
        return Dropout2d()
    match = _CONVOLUTION.fullmatch(text)
    if match is None:
        raise GenotypeError(f"unknown layer {shown}; write a convolution as 3x3conv2d:16 or dropout as dropout2d")
    height, width = int(match[1]), int(match[2])
    if height != width:
        raise GenotypeError(f"layer {shown}: the kernel {height}x{width} is not square; use {height}x{height}")
    if match[3] is None:
        raise GenotypeError(f"layer {shown} has no filter count; write it as {height}x{width}conv2d:16")
    return Conv2d(height, int(match[3]))
