"""The search space: which genotypes there are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from evoae_cli.errors import GenotypeError, UsageError
from evoae_cli.genome.genotype import MAX_REDUCTIONS, MAX_REPEATS, SKIPS, Genotype, Skip
from evoae_cli.genome.layers import CONVOLUTIONS, MAX_FILTERS, MAX_KERNEL, Dropout2d, Layer


@dataclass(frozen=True)
class SearchSpace:
    """Which layers a module may hold and how many, and which values the genes round it may take.

    The default is the paper's: 4 kernels x 4 filter counts and dropout, 17 choices, and no genes. Raises UsageError for
    a space without layers, and for a value that is unknown, out of range or named twice.
    """

    kernels: tuple[int, ...] = (1, 3, 5, 7)
    filters: tuple[int, ...] = (8, 16, 32, 64)
    dropout: bool = True
    """Whether `Dropout2d` is a choice."""
    max_layers: int = 10
    kinds: tuple[str, ...] = ("conv2d",)
    """Kinds of convolutions, each with each kernel and filter count: `conv2d`, `sepconv`, `dilated`."""
    further: tuple[Layer, ...] = ()
    """Layers of your own, each with its sizes."""
    reductions: tuple[int, ...] = ()
    """How often height and width may be halved; empty where that is the study's setting, and no gene."""
    repeats: tuple[int, ...] = (1,)
    """How often a stage may repeat the module."""
    skips: tuple[Skip, ...] = ("none",)
    """What a skip from an encoder stage to its decoder stage may be; only where reductions are a gene."""
    residual: tuple[bool, ...] = (False,)
    """Whether the network may predict what to take off the image, not the image."""
    direct_skips: bool = True
    """Whether a network that predicts the image itself may have skips, too."""

    def __post_init__(self) -> None:
        bounded = (
            ("kernels", self.kernels, MAX_KERNEL),
            ("filters", self.filters, MAX_FILTERS),
            ("reductions", self.reductions, MAX_REDUCTIONS),
            ("repeats", self.repeats, MAX_REPEATS),
        )
        for name, numbers, most in bounded:
            for value in numbers:
                if not 1 <= value <= most:
                    raise UsageError(f"{name}: {value} is out of range; use 1 to {most}")
        named = (
            ("kinds", self.kinds, tuple(kind.kind for kind in CONVOLUTIONS)),
            ("skips", self.skips, SKIPS),
            ("residual", self.residual, (False, True)),
        )
        for name, chosen, known in named:
            for choice in chosen:
                if choice not in known:
                    raise UsageError(f"{name}: {choice!r} is unknown; use {', '.join(map(str, known))}")
        for name, values, _ in (*bounded, *named):
            if not values and name not in ("reductions", "kinds"):
                raise UsageError(f"the search space has no {name}; give at least one")
            if len(set(values)) < len(values):
                raise UsageError(f"{name}: {','.join(map(str, values))} names a value twice")
        if self.skips != ("none",) and not self.reductions:
            raise UsageError("skips need reductions as a gene, since each of them has one; give reductions")
        if not self.direct_skips and False in self.residual and "none" not in self.skips:
            raise UsageError("without direct_skips, networks that are not residual have none; add none to skips")
        if not self.direct_skips and self.skips != ("none",) and True not in self.residual:
            raise UsageError("without direct_skips, only residual networks have skips; add True to residual")
        if self.max_layers < 1:
            raise UsageError(f"a module of at most {self.max_layers} layers is none; allow at least 1")
        if not self.choices:
            raise UsageError("the search space has no layers; give kinds, further layers or dropout")
        self._check_further()
        if len({layer.text for layer in self.choices}) < len(self.choices):
            raise UsageError("two layers of the search space have one text; give each its own")

    def _check_further(self) -> None:
        for layer in self.further:
            if not isinstance(layer, Layer):
                raise UsageError(
                    f"further: {layer!r} is no layer; derive its class from CustomLayer and make one of it"
                )
            if not re.fullmatch(r"[^\s,/]+", layer.text):
                raise UsageError(
                    f"further: the text {layer.text!r} of a layer has a space, comma or slash; leave it out"
                )
            if type(layer).__hash__ is None:
                raise UsageError(f"further: layer {layer.text!r} can change; make its class a @dataclass(frozen=True)")

    @cached_property
    def choices(self) -> tuple[Layer, ...]:
        """Every layer there is, in one fixed order, however the settings were ordered."""
        convolutions: list[Layer] = [
            kind(kernel, count)
            for kind in CONVOLUTIONS
            if kind.kind in self.kinds
            for kernel in sorted(self.kernels)
            if kernel >= kind.min_kernel
            for count in sorted(self.filters)
        ]
        return (*convolutions, *([Dropout2d()] if self.dropout else []), *self.further)

    @cached_property
    def size(self) -> int:
        """Number of different networks; repeats of a module and modules that hold its layers as often count once."""
        n_genes: int = sum(
            (len(self.skips) if is_residual or self.direct_skips else 1) ** reductions
            for is_residual in self.residual
            for reductions in self.reductions or (0,)
        )
        return self._n_sequences * n_genes

    @cached_property
    def has_genes(self) -> bool:
        """Whether anything evolves besides the module; the paper's space has only that."""
        return any(len(values) > 1 for values in (self.reductions, self.repeats, self.skips, self.residual))

    @property
    def _n_sequences(self) -> int:
        """Number of different sequences of layers that a stage can have.

        Each is some number of times a primitive one (one that repeats nothing), which is unique; so these are counted,
        each as often as there are different products of "times in the module" and "repeats of the module".
        """
        n_primitive: dict[int, int] = {}
        for length in range(1, self.max_layers + 1):
            shorter = sum(n for divisor, n in n_primitive.items() if length % divisor == 0)
            n_primitive[length] = len(self.choices) ** length - shorter
        return sum(
            n * len({times * repeats for times in range(1, self.max_layers // length + 1) for repeats in self.repeats})
            for length, n in n_primitive.items()
        )

    def described(self) -> dict[str, list[Any]]:
        """All that a search draws from, as plain values for JSON: two spaces with one description search alike."""
        return {
            "layers": [layer.text for layer in self.choices],
            "max_layers": [self.max_layers],
            "reductions": list(self.reductions),
            "repeats": list(self.repeats),
            "skips": list(self.skips),
            "residual": list(self.residual),
            "direct_skips": [self.direct_skips],
        }

    def completed(self, genotype: Genotype) -> Genotype:
        """`genotype` with the reductions written out where they are a gene: those of the paper have the fewest."""
        if not self.reductions or genotype.reductions is not None:
            return genotype
        return replace(genotype, reductions=min(self.reductions))

    def check(self, genotype: Genotype) -> None:
        """Raise GenotypeError where `genotype` has too many layers, or a layer or gene that is not in this space."""
        n_layers = len(genotype.module)
        if n_layers > self.max_layers:
            raise GenotypeError(
                f"the module has {n_layers} layers where {self.max_layers} are allowed; "
                f"take {n_layers - self.max_layers} away or raise --max-layers"
            )
        for layer in genotype.module:
            if layer not in self.choices:
                raise GenotypeError(
                    f"layer {layer.text!r} is not in the search space ({self}); use those, or allow more"
                )
        genes: list[tuple[str, object, Sequence[object]]] = [
            ("reductions", genotype.reductions, self.reductions or (None,)),
            ("repeats", genotype.repeats, self.repeats),
            ("residual", genotype.is_residual, self.residual),
            *(("skips", skip, self.skips) for skip in genotype.skips or ("none",)),
        ]
        for name, value, allowed in genes:
            if value not in allowed:
                shown = "residual" if name == "residual" else f"{name}:{value}"
                remedy = _remedy(name, allowed)
                raise GenotypeError(f"{shown} is not in the search space; {remedy}")
        if genotype.skips and not genotype.is_residual and not self.direct_skips:
            raise GenotypeError("here only residual networks have skips; leave them out, or write /residual behind it")

    def __str__(self) -> str:
        kernels, counts = (",".join(map(str, sorted(values))) for values in (self.kernels, self.filters))
        parts = [f"kernels {kernels}, filters {counts}"] if self.kinds else []
        if self.kinds not in ((), ("conv2d",)):
            parts.append(f"kinds {','.join(self.kinds)}")
        parts += [layer.text for layer in self.further]
        return ", ".join([*parts, "dropout2d" if self.dropout else "no dropout2d"])


def _remedy(name: str, allowed: Sequence[object]) -> str:
    if list(allowed) in ([None], [False], ["none"]):
        return f"leave {name} out, or search with --space skip"
    if name == "residual":
        return "write /residual behind it"
    return f"use {', '.join(map(str, allowed))}"
