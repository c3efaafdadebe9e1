"""Individuals, their order, and (mu + lambda) selection."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from evoae_cli.genome.genotype import Genotype
from evoae_cli.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Individual:
    """A genotype that has been evaluated.

    Raises ValueError for a fitness that is negative or no finite number, for a failed evaluation with a fitness above
    0, and for a negative parameter count.
    """

    genotype: Genotype
    fitness: float
    """1 / MSE, higher is better; 0 for a failed evaluation."""
    parameters: int
    """Trainable numbers of its network; 0 where a failed evaluation never knew them."""
    outcome: Outcome

    def __post_init__(self) -> None:
        if not 0.0 <= self.fitness < math.inf:
            raise ValueError(f"fitness {self.fitness} of {self.genotype} is not a finite number of 0 or more")
        if self.outcome is not Outcome.OK and self.fitness > 0.0:
            raise ValueError(f"{self.genotype} ended as {self.outcome}, so its fitness must be 0, not {self.fitness}")
        if self.parameters < 0:
            raise ValueError(f"{self.genotype} cannot have {self.parameters} parameters")


def rank_key(individual: Individual) -> tuple[float, int, str]:
    """Sorts the best first: higher fitness, then fewer parameters, then the text; no two genotypes are equal in it."""
    return -individual.fitness, individual.parameters, individual.genotype.text


def select(
    parents: Iterable[Individual], offspring: Iterable[Individual], n: int, *, keep_duplicates: bool
) -> tuple[Individual, ...]:
    """The best `n` of parents and offspring, best first: (mu + lambda), so the best is never lost.

    With `keep_duplicates` equal genotypes each take a place, as in the paper's list. Without it each genotype takes
    one, and where there are fewer than `n` of them all are kept.
    """
    ranked = sorted([*parents, *offspring], key=rank_key)
    if not keep_duplicates:
        first_of: dict[str, Individual] = {}
        for individual in ranked:
            first_of.setdefault(individual.genotype.key, individual)
        ranked = list(first_of.values())
    return tuple(ranked[:n])
