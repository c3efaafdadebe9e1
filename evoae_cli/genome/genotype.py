"""The genotype: what evolves, how it is written, and what is valid."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from evoae_cli.errors import GenotypeError
from evoae_cli.genome.layers import Layer, parse_layer

if TYPE_CHECKING:
    from evoae_cli.genome.space import SearchSpace

Skip = Literal["none", "add", "concat"]
"""How the features of an encoder stage join the decoder's at the same resolution: not at all, added, or beside them."""
SKIPS: tuple[Skip, ...] = get_args(Skip)

MAX_REDUCTIONS = 8
MAX_REPEATS = 10


@dataclass(frozen=True, slots=True, repr=False)
class Genotype:
    """An autoencoder's design: the module that encoder and decoder share (section 3), and genes for what is round it.

    The paper's genotypes are those whose genes have their defaults. Raises GenotypeError for a module without layers
    and for genes that no network can have. Whether it lies in a search space is a question of its own
    (`SearchSpace.check`), so that a stored model can be read without its space.
    """

    module: tuple[Layer, ...]
    reductions: int | None = None
    """How often height and width are halved; None leaves it to the study's setting, as the paper does."""
    repeats: int = 1
    """How often each stage repeats the module, each time with weights of its own."""
    skips: tuple[Skip, ...] = ()
    """One for each stage of the encoder, finest resolution first; empty where all are `none`."""
    is_residual: bool = False
    """Whether the network predicts what to take off the image (the noise), not the image itself."""
    text: str = field(init=False, compare=False)
    """The paper's form, `5x5conv2d:16,3x3conv2d:32`, and behind it the genes that differ from the paper's, as in
    `3x3conv2d:16/reductions:2/repeats:2/skips:concat,none/residual`. `parse_genotype` reads it. Made once: selection
    sorts by it."""
    key: str = field(init=False, compare=False)
    """Names the network in the cache: equal exactly where two genotypes make equal networks. A module repeated twice
    is the same network as one that holds its layers twice, so the key writes the repeats out."""

    def __post_init__(self) -> None:
        if not self.module:
            raise GenotypeError("the module is empty; give at least one layer, as 3x3conv2d:16")
        if self.reductions is not None and not 1 <= self.reductions <= MAX_REDUCTIONS:
            raise GenotypeError(f"reductions:{self.reductions} is out of range; use 1 to {MAX_REDUCTIONS}")
        if not 1 <= self.repeats <= MAX_REPEATS:
            raise GenotypeError(f"repeats:{self.repeats} is out of range; use 1 to {MAX_REPEATS}")
        if self.skips and len(self.skips) != self.reductions:
            of_them = "a genotype without reductions" if self.reductions is None else f"{self.reductions} reductions"
            raise GenotypeError(
                f"skips:{','.join(self.skips)} has {len(self.skips)} skips for {of_them}; "
                "write one for each, as reductions:2/skips:concat,none"
            )
        if all(skip == "none" for skip in self.skips):
            object.__setattr__(self, "skips", ())
        genes = self._genes()
        module = ",".join(layer.text for layer in self.module)
        repeats = [f"repeats:{self.repeats}"] if self.repeats > 1 else []
        object.__setattr__(self, "text", "/".join([module, *genes[:1], *repeats, *genes[1:]]))
        object.__setattr__(self, "key", "/".join([",".join([module] * self.repeats), *genes]))

    def _genes(self) -> list[str]:
        """The texts of all genes but the repeats; the first is that of the reductions, where they are a gene."""
        reductions = [] if self.reductions is None else [f"reductions:{self.reductions}"]
        skips = [f"skips:{','.join(self.skips)}"] if self.skips else []
        return [*reductions, *skips, *(["residual"] if self.is_residual else [])]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers of one stage: the module, as often as it is repeated."""
        return self.module * self.repeats

    def skips_of(self, reductions: int) -> tuple[Skip, ...]:
        """One skip for each of `reductions` stages, finest first, also where all are `none`."""
        none: tuple[Skip, ...] = ("none",)
        return self.skips or none * reductions

    @property
    def table_text(self) -> str:
        """The form of the paper's tables, `64-5x5conv2d - 64-3x3conv2d`, with the genes behind it."""
        module = " - ".join(layer.table_text for layer in self.module)
        return "/".join([module, *self.text.split("/")[1:]])

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Genotype {self.text}>"


def parse_genotype(text: str, space: "SearchSpace | None" = None, *, further: Iterable[Layer] = ()) -> Genotype:
    """Read the text of a genotype, `5x5conv2d:16,3x3conv2d:32,dropout2d/reductions:2/skips:concat,none`.

    Spaces between the parts do not matter. `further` are layers besides the built-in ones; a space brings its own, and
    has the reductions written out where they are a gene. Raises GenotypeError, naming the part and the remedy, for text
    that describes no genotype, or one outside `space`.
    """
    genotype = _parse(text, further if space is None else space.further)
    if space is not None:
        genotype = space.completed(genotype)
        space.check(genotype)
    return genotype


def n_layers(text: str) -> int:
    """Layers in the module of the genotype that `text` describes, without looking at what they are."""
    return text.partition("/")[0].count(",") + 1


def _parse(text: str, further: Iterable[Layer]) -> Genotype:
    module, *genes = text.split("/")
    if not module.strip():
        raise GenotypeError("the module is empty; give at least one layer, as 3x3conv2d:16")
    layers = {layer.text: layer for layer in further}
    parts = [part.strip() for part in module.split(",")]
    if "" in parts:
        position = parts.index("") + 1
        raise GenotypeError(f"layer {position} is empty; a comma stands between two layers, as 5x5conv2d:16,dropout2d")
    parsed = tuple(layers[part] if part in layers else parse_layer(part) for part in parts)
    values = _parse_genes(genes)
    return Genotype(
        parsed,
        reductions=_parse_number("reductions", values["reductions"]) if "reductions" in values else None,
        repeats=_parse_number("repeats", values["repeats"]) if "repeats" in values else 1,
        skips=_parse_skips(values["skips"]) if "skips" in values else (),
        is_residual="residual" in values,
    )


_GENES = ("reductions", "repeats", "skips", "residual")
_EXAMPLE = "3x3conv2d:16/reductions:2/repeats:2/skips:concat,none/residual"


def _parse_genes(parts: list[str]) -> dict[str, str]:
    """What is written behind each gene's name."""
    values: dict[str, str] = {}
    for part in parts:
        name, colon, value = (piece.strip() for piece in part.partition(":"))
        if name not in _GENES or (name == "residual") == bool(colon):
            raise GenotypeError(f"gene {part.strip()[:40]!r} is not understood; write them as in {_EXAMPLE}")
        if name in values:
            raise GenotypeError(f"{name} is given twice; give it once, as in {_EXAMPLE}")
        values[name] = value
    return values


def _parse_number(name: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII):
        raise GenotypeError(f"{name}:{text[:40]} is no whole number; write it as {name}:2")
    return int(text)


def _parse_skips(text: str) -> tuple[Skip, ...]:
    names = [name.strip() for name in text.split(",")]
    skips = tuple(skip for name in names for skip in SKIPS if skip == name)
    if len(skips) < len(names):
        unknown = next(name for name in names if name not in SKIPS)
        raise GenotypeError(f"skip {unknown[:40]!r} is unknown; use none, add or concat, as skips:concat,none")
    return skips
