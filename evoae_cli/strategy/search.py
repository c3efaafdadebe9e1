"""What every search speaks, and what searches share: proposals, their counts, the start."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from numpy.random import Generator

from evoae_cli.genome.genotype import Genotype
from evoae_cli.genome.layers import SearchSpace
from evoae_cli.genome.variation import distinct_genotypes, random_genotype
from evoae_cli.outcome import Outcome
from evoae_cli.strategy.population import Individual

Source = Literal["new", "cache", "in_flight"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """One genotype that variation brought up. Only a `new` one is to be evaluated and told."""

    number: int
    """Counts all proposals of the search, from 0."""
    generation: int
    genotype: Genotype
    source: Source
    """`cache`: its fitness is known. `in_flight`: proposed as new earlier, and its result is still to come."""


@dataclass(frozen=True, slots=True)
class ProposalCounts:
    """How many proposals there were. What is neither kind of hit was, or is being, evaluated."""

    proposed: int = 0
    cache_hits: int = 0
    in_flight_hits: int = 0


class Search(Protocol):
    """A search that is asked for genotypes and told their results; who leads it owns the loop, threads and files."""

    def ask(self) -> list[Proposal]:
        """What to evaluate next, hits included; an empty list where results must come first, and at the end."""

    def tell(self, genotype: Genotype, fitness: float, parameters: int, outcome: Outcome) -> None:
        """Take the result of a genotype that `ask` proposed as new.

        Raises ValueError, and changes nothing, for a genotype that is not in flight (never proposed, or told before)
        and for a result that no evaluation can have.
        """

    @property
    def generation(self) -> int:
        """How far the search is; 0, the start, before the first `ask`."""

    @property
    def is_finished(self) -> bool:
        """Whether no proposal will follow and none is in flight."""

    @property
    def is_exhausted(self) -> bool:
        """Whether every genotype of the space has been evaluated."""

    @property
    def population(self) -> tuple[Individual, ...]:
        """Those that selection kept, best first."""

    @property
    def best(self) -> Individual | None:
        """The best of all told so far; None before the first."""

    @property
    def evaluated(self) -> Mapping[str, Individual]:
        """The cache: every individual told, by its genotype's key, in the order of tells. A live, read-only view."""

    @property
    def counts(self) -> ProposalCounts:
        """Proposals so far."""

    @property
    def n_closed(self) -> int:
        """How many generations are closed, the start included."""

    @property
    def fitness_by_generation(self) -> tuple[float, ...]:
        """Best fitness after each closed generation; it never falls."""

    def state(self) -> dict[str, Any]:
        """What a later run needs besides the results: plain values for JSON."""


def check_lengths(population: int, generations: int) -> None:
    """Raise ValueError for a population below 1 or a negative number of generations."""
    if population < 1 or generations < 0:
        raise ValueError(f"no evolution with a population of {population} and {generations} generations")


def first_genotypes(space: SearchSpace, population: int, rng: Generator, *, keep_duplicates: bool) -> list[Genotype]:
    """The start: `population` modules of one random layer.

    With `keep_duplicates` drawn independently (the paper's list); without it distinct, so in a space of few layers
    there may be fewer.
    """
    if keep_duplicates:
        return [random_genotype(space, rng) for _ in range(population)]
    return distinct_genotypes(population, space, rng)


def not_in_flight(genotype: Genotype, evaluated: Mapping[str, Individual]) -> ValueError:
    """The error for a result that no proposal waits for."""
    why = "has been told before" if genotype.key in evaluated else "was never proposed"
    return ValueError(f"{genotype} {why}; nothing was changed")


def repr_of(search: Search, n_generations: int, n_in_flight: int) -> str:
    """How far a search is, in one line for people."""
    best = f"best {search.best.fitness:.4g}" if search.best is not None else "no best yet"
    end = " exhausted" if search.is_exhausted else " finished" if search.is_finished else ""
    return (
        f"<{type(search).__name__}{end} generation {search.generation} of {n_generations}, {n_in_flight} in flight, "
        f"{len(search.evaluated)} evaluated, {best}>"
    )
