"""Variation: how new genotypes come from old ones (Algorithms 2 and 3).

A gene that the search space does not let vary takes no draw, so the paper's space evolves as the paper says.

Every random decision is one call of `draw`, and takes exactly one 64-bit word of PCG64; so a seed means the same search
with every version of numpy.
"""

from collections.abc import Sequence
from dataclasses import replace

from numpy.random import Generator

from evoae_cli.draws import draw, one_of
from evoae_cli.genome.genes import crossed, mutated, random_genes
from evoae_cli.genome.genotype import Genotype, Skip
from evoae_cli.genome.layers import Layer
from evoae_cli.genome.space import SearchSpace


def random_genotype(space: SearchSpace, rng: Generator) -> Genotype:
    """A minimal genotype: one random layer (section 3: evolution starts small and grows), with random genes."""
    return Genotype((one_of(space.choices, rng),), **random_genes(space, rng))


def distinct_genotypes(n: int, space: SearchSpace, rng: Generator) -> list[Genotype]:
    """`n` minimal genotypes, no two with the same layer, in random order; fewer where the space has fewer layers."""
    layers = list(space.choices)
    return [
        Genotype((layers.pop(draw(len(layers), rng)),), **random_genes(space, rng)) for _ in range(min(n, len(layers)))
    ]


def smallest_genotypes(space: SearchSpace) -> list[Genotype]:
    """Each layer by itself with each number of reductions, and with the other genes at what costs least.

    That is the fewest repeats, and no skips; where the space has no such choice, one kind of skip at all stages. What
    residual output costs depends on the objective, so both are there. More
    reductions make the code smaller and all else larger, so none of them is the smallest in every way. Of one-layer
    networks of the built-in layers, one of these has the fewest parameters, operations or code values.
    """
    skips: tuple[Skip, ...] = ("none",) if "none" in space.skips else space.skips
    return [
        Genotype((layer,), reductions, min(space.repeats), (skip,) * (reductions or 0), is_residual)
        for layer in space.choices
        for reductions in space.reductions or (None,)
        for skip in skips
        for is_residual in space.residual
    ]


def mutate(genotype: Genotype, space: SearchSpace, rng: Generator) -> Genotype:
    """Append a random layer with probability 1/2 while there is room, else replace a random layer (Algorithm 3).

    The new layer may equal the one it replaces, so a mutated genotype may equal its parent: it then is a cache hit.
    Where genes vary, one of them is changed instead with probability 1/2.
    """
    if space.has_genes and _is_heads(rng):
        return mutated(genotype, space, rng)
    module = genotype.module
    if len(module) < space.max_layers and _is_heads(rng):
        return replace(genotype, module=(*module, one_of(space.choices, rng)))
    position = draw(len(module), rng)
    return replace(genotype, module=(*module[:position], one_of(space.choices, rng), *module[position + 1 :]))


def crossover(first: Genotype, second: Genotype, space: SearchSpace, rng: Generator) -> Genotype:
    """`first[:i1] + second[i2:]`, cut to the maximum length; i1 in 0..n1, i2 in 0..n2, every pair as likely.

    The ends are cut points too: without them no child could have one layer. The one pair that would leave the child
    empty, (0, n2), is numbered last and left out of the draw, which is the same as drawing again. Each gene that varies
    comes from either parent.
    """
    n1, n2 = len(first.module), len(second.module)
    pair = draw((n1 + 1) * (n2 + 1) - 1, rng)
    i1, i2 = n1 - pair // (n2 + 1), pair % (n2 + 1)
    module: tuple[Layer, ...] = (first.module[:i1] + second.module[i2:])[: space.max_layers]
    return Genotype(module, **crossed(first, second, space, rng))


def offspring(parents: Sequence[Genotype], space: SearchSpace, rng: Generator) -> list[Genotype]:
    """One round of variation (Algorithm 2); `parents` are left as they are.

    For each parent p another one, o, is drawn; each is mutated with probability 1/2, and the two as they then are make
    a child. p and o join the offspring only if mutated. A parent without another crosses with itself. Between 1 and 3
    genotypes for each parent, equal ones included. Raises ValueError where there are no parents.
    """
    _check_any(parents)
    return [created for position in range(len(parents)) for created in _of_pair(position, parents, space, rng)]


def child(parents: Sequence[Genotype], space: SearchSpace, rng: Generator) -> Genotype:
    """One genotype with the distribution of those that `offspring` makes (Algorithm 2); `parents` are left as they are.

    A pair there brings one crossover and, on average, one mutated parent; so this is either with probability 1/2. Each
    parent is as often p as o, so the mutated one comes from a random parent. Raises ValueError where there are no
    parents.
    """
    _check_any(parents)
    position = draw(len(parents), rng)
    if _is_heads(rng):
        return mutate(parents[position], space, rng)
    return _of_pair(position, parents, space, rng)[-1]


def _of_pair(position: int, parents: Sequence[Genotype], space: SearchSpace, rng: Generator) -> list[Genotype]:
    """What the parent at `position` and another one bring: those that were mutated, and last their crossover."""
    p, o = parents[position], parents[_another(position, len(parents), rng)]
    created: list[Genotype] = []
    mated: list[Genotype] = []
    for parent in (p, o):
        is_mutated = _is_heads(rng)
        mated.append(mutate(parent, space, rng) if is_mutated else parent)
        if is_mutated:
            created.append(mated[-1])
    return [*created, crossover(mated[0], mated[1], space, rng)]


def _check_any(parents: Sequence[Genotype]) -> None:
    if not parents:
        raise ValueError("variation needs at least one parent")


def _another(position: int, n: int, rng: Generator) -> int:
    """A random position of `n` other than `position`, where there is one."""
    if n == 1:
        return position
    drawn = draw(n - 1, rng)
    return drawn if drawn < position else drawn + 1


def _is_heads(rng: Generator) -> bool:
    return draw(2, rng) == 1
