"""What every search speaks, and what searches share: proposals, their counts, the start."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from numpy.random import Generator

from evoae_cli.genome.genotype import Genotype
from evoae_cli.genome.space import SearchSpace
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


class Search(ABC):
    """A search that is asked for genotypes and told their results; who leads it owns the loop, threads and files.

    Raises ValueError for a population below 1 or a negative number of generations.
    """

    def __init__(self, space: SearchSpace, *, population: int, generations: int, keep_duplicates: bool) -> None:
        if population < 1 or generations < 0:
            raise ValueError(f"no evolution with a population of {population} and {generations} generations")
        self._space = space
        self._mu = population
        self._n_generations = generations
        self._keep_duplicates = keep_duplicates
        # What every search changes; each adds what is its own.
        self._evaluated: dict[str, Individual] = {}
        self._population: tuple[Individual, ...] = ()
        self._counts = ProposalCounts()

    @abstractmethod
    def ask(self) -> list[Proposal]:
        """What to evaluate next, hits included; an empty list where results must come first, and at the end."""

    @abstractmethod
    def tell(self, genotype: Genotype, fitness: float, parameters: int, outcome: Outcome) -> None:
        """Take the result of a genotype that `ask` proposed as new.

        Raises ValueError, and changes nothing, for a genotype that is not in flight (never proposed, or told before)
        and for a result that no evaluation can have.
        """

    @property
    @abstractmethod
    def generation(self) -> int:
        """How far the search is; 0, the start, before the first `ask`."""

    @property
    @abstractmethod
    def is_finished(self) -> bool:
        """Whether no proposal will follow and none is in flight."""

    @property
    @abstractmethod
    def best(self) -> Individual | None:
        """The best of all told so far; None before the first."""

    @property
    @abstractmethod
    def n_closed(self) -> int:
        """How many generations are closed, the start included."""

    @property
    @abstractmethod
    def fitness_by_generation(self) -> tuple[float, ...]:
        """Best fitness after each closed generation; it never falls."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What a later run needs besides the results: plain values for JSON."""

    @property
    @abstractmethod
    def _n_out(self) -> int:
        """New genotypes that were proposed and not told."""

    @property
    def is_exhausted(self) -> bool:
        """Whether every genotype of the space has been evaluated."""
        return len(self._evaluated) == self._space.size

    @property
    def population(self) -> tuple[Individual, ...]:
        """Those that the last selection kept, best first; empty before the first one."""
        return self._population

    @property
    def evaluated(self) -> Mapping[str, Individual]:
        """The cache: every individual told, by its genotype's key, in the order of tells. A live, read-only view."""
        return MappingProxyType(self._evaluated)

    @property
    def counts(self) -> ProposalCounts:
        """Proposals so far."""
        return self._counts

    def __repr__(self) -> str:
        best = f"best {self.best.fitness:.4g}" if self.best is not None else "no best yet"
        end = " exhausted" if self.is_exhausted else " finished" if self.is_finished else ""
        return (
            f"<{type(self).__name__}{end} generation {self.generation} of {self._n_generations}, {self._n_out} in "
            f"flight, {len(self._evaluated)} evaluated, {best}>"
        )

    def _first_genotypes(self, rng: Generator) -> list[Genotype]:
        """The start: as many modules of one random layer as the population has places.

        With `keep_duplicates` drawn independently (the paper's list); without it distinct, so in a space of few layers
        there may be fewer.
        """
        if self._keep_duplicates:
            return [random_genotype(self._space, rng) for _ in range(self._mu)]
        return distinct_genotypes(self._mu, self._space, rng)

    def _not_in_flight(self, genotype: Genotype) -> ValueError:
        """The error for a result that no proposal waits for."""
        why = "has been told before" if genotype.key in self._evaluated else "was never proposed"
        return ValueError(f"{genotype} {why}; nothing was changed")
