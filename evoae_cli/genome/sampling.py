"""Random genotypes, drawn without evolution: what it is compared with (section 5, Tables 1 and 2)."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from numpy.random import Generator

from evoae_cli.draws import draw, one_of, sample
from evoae_cli.genome.genes import random_genes
from evoae_cli.genome.genotype import Genotype
from evoae_cli.genome.space import SearchSpace

_N_TRIES = 1000
"""Draws after which a length is taken to have nothing new: one genotype in a hundred that is new is then missed once
in 20,000 times."""

Admits = Callable[[Genotype], bool]
"""Whether a genotype may be trained."""


def uniform_lengths(n: int, space: SearchSpace, rng: Generator) -> list[int]:
    """Numbers of layers of `n` modules, U{1..`max_layers`}: the paper's random search (section 5)."""
    return [1 + draw(space.max_layers, rng) for _ in range(n)]


def uniform_genotypes(
    n: int, space: SearchSpace, rng: Generator, admits: Admits = lambda genotype: True
) -> list[Genotype]:
    """`n` genotypes with the lengths of `uniform_lengths`, otherwise as `random_genotypes` has them.

    Where no more of a length are found another length is drawn. There are fewer only where none has more.
    """
    found: list[Genotype] = []
    left = list(range(1, space.max_layers + 1))
    lengths = uniform_lengths(n, space, rng)
    while lengths:
        further = random_genotypes(lengths, space, rng, admits, known=found)
        found += further
        there, wanted = Counter(len(genotype.module) for genotype in further), Counter(lengths)
        left = [length for length in left if there[length] == wanted[length]]
        lengths = [one_of(left, rng) for _ in range(n - len(found))] if left else []
    return found


def random_genotypes(
    lengths: Iterable[int],
    space: SearchSpace,
    rng: Generator,
    admits: Admits = lambda genotype: True,
    known: Iterable[Genotype] = (),
) -> list[Genotype]:
    """One genotype for each of `lengths`: so many layers, each uniform over the space's choices, and random genes.

    No network comes twice or is among `known`, and none that is not admitted. A length of which no more are found has
    none.
    """
    there = {genotype.key for genotype in known}
    found: list[Genotype] = []
    for length in lengths:
        for _ in range(_N_TRIES):
            module = tuple(one_of(space.choices, rng) for _ in range(length))
            genotype = Genotype(module, **random_genes(space, rng))
            if genotype.key not in there and admits(genotype):
                there.add(genotype.key)
                found.append(genotype)
                break
    return found


def one_layer_genotypes(space: SearchSpace) -> list[Genotype]:
    """Every network of the space whose module has one layer, with all values of the genes; each once."""
    found: dict[str, Genotype] = {}
    for layer, genes in itertools.product(space.choices, _all_genes(space)):
        genotype = Genotype((layer,), **genes)
        found.setdefault(genotype.key, genotype)
    return list(found.values())


def some_of(genotypes: list[Genotype], n: int, rng: Generator) -> list[Genotype]:
    """All of them where there are at most `n`, else `n` random ones; in their order."""
    if len(genotypes) <= n:
        return genotypes
    return [genotypes[i] for i in sorted(sample(len(genotypes), n, rng))]


def _all_genes(space: SearchSpace) -> Iterator[dict[str, Any]]:
    """Every set of genes, as arguments of `Genotype`."""
    for reductions, repeats, is_residual in itertools.product(
        space.reductions or (None,), space.repeats, space.residual
    ):
        choices = space.skips if is_residual or space.direct_skips else ("none",)
        for skips in itertools.product(choices, repeat=reductions or 0):
            yield {"reductions": reductions, "repeats": repeats, "skips": skips, "is_residual": is_residual}
