"""Draws the architectures of a protocol."""

from evoae_cli.baseline.protocols import Protocol, Spent
from evoae_cli.draws import generator
from evoae_cli.evaluation.contract import derive_seed
from evoae_cli.genome.genotype import Genotype
from evoae_cli.genome.sampling import Admits, one_layer_genotypes, random_genotypes, some_of, uniform_genotypes
from evoae_cli.genome.space import SearchSpace


def architectures(
    protocol: Protocol, n: int, spent: Spent | None, space: SearchSpace, admits: Admits, seed: int
) -> list[Genotype]:
    """What a protocol trains, at most `n`, or with `spent` as many as the search did; all different and admitted.

    There may be fewer: a space may not have so many.
    """
    rng = generator(derive_seed(seed, "random baseline", protocol))
    if spent is not None:
        n = len(spent.lengths)
    if protocol == "one-layer":
        return some_of([genotype for genotype in one_layer_genotypes(space) if admits(genotype)], n, rng)
    if protocol == "lengths":
        assert spent is not None
        return random_genotypes(spent.lengths, space, rng, admits)
    return uniform_genotypes(n, space, rng, admits)
