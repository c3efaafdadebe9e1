"""Individuals, their order, and (mu + lambda) selection: by fitness alone, or by several objectives."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Literal, get_args

from evoae_cli.genome.genotype import Genotype
from evoae_cli.outcome import Outcome
from evoae_cli.strategy.pareto import Point, crowding, fronts

ObjectiveName = Literal["fitness", "parameters", "operations", "code"]
"""Fitness is to be large, the others, which are costs, are to be small."""
OBJECTIVES: tuple[ObjectiveName, ...] = get_args(ObjectiveName)
FITNESS_ALONE: tuple[ObjectiveName, ...] = ("fitness",)


@dataclass(frozen=True, slots=True)
class Individual:
    """A genotype that has been evaluated.

    Raises ValueError for a fitness that is negative or no finite number, for a failed evaluation with a fitness above
    0, and for a negative cost.
    """

    genotype: Genotype
    fitness: float
    """1 / MSE, higher is better; 0 for a failed evaluation."""
    parameters: int
    """Trainable numbers of its network; 0 where a failed evaluation never knew them."""
    outcome: Outcome
    operations: int = 0
    """Multiply-accumulates of one forward pass over one image; needed where they are an objective."""
    code: int = 0
    """Numbers in the code of one image; needed where they are an objective."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.fitness < math.inf:
            raise ValueError(f"fitness {self.fitness} of {self.genotype} is not a finite number of 0 or more")
        if self.outcome is not Outcome.OK and self.fitness > 0.0:
            raise ValueError(f"{self.genotype} ended as {self.outcome}, so its fitness must be 0, not {self.fitness}")
        if (least := min(self.parameters, self.operations, self.code)) < 0:
            raise ValueError(f"{self.genotype} cannot have a cost of {least}")


def preference(fitness: float, parameters: int, text: str) -> tuple[float, int, str]:
    """Sorts the best first: higher fitness, then fewer parameters, then the text; no two genotypes are equal in it."""
    return -fitness, parameters, text


def rank_key(individual: Individual) -> tuple[float, int, str]:
    """The `preference` of an individual."""
    return preference(individual.fitness, individual.parameters, individual.genotype.text)


def point_of(individual: Individual, objectives: Sequence[ObjectiveName]) -> Point:
    """Where an individual stands, every objective to be made small: fitness with its sign turned."""
    return tuple(-individual.fitness if name == "fitness" else getattr(individual, name) for name in objectives)


def select(
    parents: Iterable[Individual],
    offspring: Iterable[Individual],
    n: int,
    *,
    keep_duplicates: bool,
    objectives: Sequence[ObjectiveName] = FITNESS_ALONE,
) -> tuple[Individual, ...]:
    """The best `n` of parents and offspring, fittest first: (mu + lambda), so the fittest is never lost.

    With `keep_duplicates` equal genotypes each take a place, as in the paper's list. Without it each genotype takes
    one, and where there are fewer than `n` of them all are kept.

    With several `objectives` they are kept front after front, and of the first front that does not fit those that
    stand least crowded (NSGA-II, section III-C); failed evaluations only where there is nothing else.
    """
    ranked = sorted([*parents, *offspring], key=rank_key)
    if not keep_duplicates:
        first_of: dict[str, Individual] = {}
        for individual in ranked:
            first_of.setdefault(individual.genotype.key, individual)
        ranked = list(first_of.values())
    if len(objectives) > 1 and len(ranked) > n:
        ranked = sorted(_least_crowded(ranked, n, objectives), key=rank_key)
    return tuple(ranked[:n])


def spread(
    individuals: Iterable[Individual], n: int, objectives: Sequence[ObjectiveName] = FITNESS_ALONE
) -> list[Individual]:
    """At most `n` of those with a fitness, the fittest first: the fittest ones, or, with several `objectives`, those of
    the first front that stand least crowded; fewer where the front is shorter.
    """
    good = (individual for individual in individuals if individual.fitness > 0.0)
    if len(objectives) == 1:
        return nsmallest(n, good, key=rank_key)
    ranked = sorted(good, key=rank_key)
    points = [point_of(individual, objectives) for individual in ranked]
    first = [ranked[i] for i in fronts(points)[0]] if ranked else []
    return _by_distance(first, objectives)[:n]


def _least_crowded(ranked: Sequence[Individual], n: int, objectives: Sequence[ObjectiveName]) -> list[Individual]:
    good = [individual for individual in ranked if individual.fitness > 0.0]
    kept: list[Individual] = []
    for front in fronts([point_of(individual, objectives) for individual in good]):
        if len(kept) == n:
            break
        members = [good[i] for i in front]
        is_too_long = len(kept) + len(members) > n
        kept += _by_distance(members, objectives)[: n - len(kept)] if is_too_long else members
    return [*kept, *ranked[len(good) :][: n - len(kept)]]


def _by_distance(ranked: Sequence[Individual], objectives: Sequence[ObjectiveName]) -> list[Individual]:
    """The members of one front, those that stand least crowded first, but before all others the fittest."""
    distances = crowding([point_of(individual, objectives) for individual in ranked])
    order = sorted(range(len(ranked)), key=lambda i: (i > 0, -distances[i], i))
    return [ranked[i] for i in order]
