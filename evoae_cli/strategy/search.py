"""What every search speaks, and what searches share: aims, proposals, their counts, the start."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from numpy.random import Generator

from evoae_cli.draws import draw
from evoae_cli.genome.genotype import Genotype
from evoae_cli.genome.space import SearchSpace
from evoae_cli.genome.variation import distinct_genotypes, random_genotype, smallest_genotypes
from evoae_cli.outcome import Outcome
from evoae_cli.strategy.limits import Limits
from evoae_cli.strategy.population import FITNESS_ALONE, Individual, ObjectiveName, rank_key

Source = Literal["new", "cache", "in_flight", "rejected"]

N_BARREN = 5000
"""Proposals in a row without a new genotype after which a search with limits ends: how many genotypes are within them
is not known. One that a proposal had a chance of 1 in 500 to be is then missed in 1 of 20,000 searches."""
_N_MINIMAL = 4096
"""Most minimal genotypes among which those within the limits are looked for."""


@dataclass(frozen=True)
class Aims:
    """What a search is after: by what it selects, what a candidate may cost, and what is known to be good."""

    objectives: tuple[ObjectiveName, ...] = FITNESS_ALONE
    limits: Limits | None = None
    known: tuple[Genotype, ...] = ()
    """Come first in the start; different ones, in the space and within the limits."""


PLAIN = Aims()
"""Fitness alone, without limits, from random genotypes."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One genotype that variation brought up. Only a `new` one is to be evaluated and told."""

    number: int
    """Counts all proposals of the search, from 0."""
    generation: int
    genotype: Genotype
    source: Source
    """`cache`: its fitness is known. `in_flight`: proposed as new earlier, and its result is still to come.
    `rejected`: beyond a limit, so it is never evaluated."""


@dataclass(frozen=True, slots=True)
class ProposalCounts:
    """How many proposals there were. What is neither a hit nor rejected was, or is being, evaluated."""

    proposed: int = 0
    cache_hits: int = 0
    in_flight_hits: int = 0
    rejected: int = 0

    @property
    def new(self) -> int:
        """Proposals that were new."""
        return self.proposed - self.cache_hits - self.in_flight_hits - self.rejected

    def after(self, sources: Sequence[Source]) -> "ProposalCounts":
        """The counts when proposals of these sources have followed."""
        return ProposalCounts(
            self.proposed + len(sources),
            self.cache_hits + sources.count("cache"),
            self.in_flight_hits + sources.count("in_flight"),
            self.rejected + sources.count("rejected"),
        )


class Search(ABC):
    """A search that is asked for genotypes and told their results; who leads it owns the loop, threads and files.

    Raises ValueError for a population below 1 or of fewer places than genotypes are known, a negative number of
    generations, and objectives without fitness; UsageError where nothing to start from is within the limits.
    """

    def __init__(
        self, space: SearchSpace, *, population: int, generations: int, keep_duplicates: bool, aims: Aims
    ) -> None:
        if population < 1 or generations < 0 or len(aims.known) > population or "fitness" not in aims.objectives:
            raise ValueError(
                f"no evolution with a population of {population}, {generations} generations, {len(aims.known)} known "
                f"genotypes and objectives {aims.objectives}"
            )
        self._space = space
        self._mu = population
        self._n_generations = generations
        self._keep_duplicates = keep_duplicates
        self._aims = aims
        # What every search changes; each adds what is its own.
        self._evaluated: dict[str, Individual] = {}
        self._population: tuple[Individual, ...] = ()
        self._counts = ProposalCounts()
        self._best: Individual | None = None
        self._n_barren = 0

    @abstractmethod
    def ask(self) -> list[Proposal]:
        """What to evaluate next, hits included; an empty list where results must come first, and at the end."""

    @abstractmethod
    def tell(
        self,
        genotype: Genotype,
        fitness: float,
        parameters: int,
        outcome: Outcome,
        *,
        operations: int = 0,
        code: int = 0,
    ) -> None:
        """Take the result of a genotype that `ask` proposed as new; `operations` and `code` where they are objectives.

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
    def best(self) -> Individual | None:
        """The fittest of all told so far, also within an open generation; None before the first."""
        return self._best

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
        """Whether every genotype of the space has been evaluated; with limits also whether nothing new within them came
        up in the last `N_BARREN` proposals.
        """
        return len(self._evaluated) == self._space.size or (self._n_barren >= N_BARREN and not self._n_out)

    @property
    def population(self) -> tuple[Individual, ...]:
        """Those that the last selection kept, fittest first; empty before the first one."""
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
        """The start: what is known, then modules of one random layer for the other places of the population.

        With `keep_duplicates` these are drawn independently (the paper's list); without it distinct, so in a space of
        few layers there may be fewer. Those beyond a limit give way to random ones within it. Raises UsageError where
        there is none.
        """
        known, limits, n = self._aims.known, self._aims.limits, self._mu - len(self._aims.known)
        if self._keep_duplicates:
            drawn = [random_genotype(self._space, rng) for _ in range(n)]
        else:
            drawn = _others(distinct_genotypes(self._mu, self._space, rng), known)[:n]
        if limits is None or all(map(limits.admits, drawn)):
            return [*known, *drawn]
        admitted = [genotype for genotype in drawn if limits.admits(genotype)]
        minimal = distinct_genotypes(_N_MINIMAL, self._space, rng)
        if self._space.has_genes:
            # Their genes are random; those that cost least may be all that the limits admit.
            minimal += _others(smallest_genotypes(self._space), minimal)
        substitutes = [genotype for genotype in minimal if limits.admits(genotype)]
        if not (known or admitted or substitutes):
            raise limits.nothing_admitted(minimal)
        if not self._keep_duplicates:
            return [*known, *admitted, *_others(substitutes, [*known, *admitted])][: self._mu]
        if substitutes:
            admitted += [substitutes[draw(len(substitutes), rng)] for _ in range(n - len(admitted))]
        return [*known, *admitted]

    def _source_of(self, genotype: Genotype) -> Source:
        """What becomes of a genotype that is proposed now."""
        if genotype.key in self._evaluated:
            return "cache"
        if self._is_in_flight(genotype.key):
            return "in_flight"
        limits = self._aims.limits
        return "new" if limits is None or limits.admits(genotype) else "rejected"

    def _count(self, sources: Sequence[Source]) -> None:
        """Note proposals that were made."""
        self._counts = self._counts.after(sources)
        if self._aims.limits is not None:
            self._n_barren = 0 if "new" in sources else self._n_barren + len(sources)

    def _enter(self, individual: Individual) -> None:
        """Take a result into the cache."""
        self._evaluated[individual.genotype.key] = individual
        if self._best is None or rank_key(individual) < rank_key(self._best):
            self._best = individual

    @abstractmethod
    def _is_in_flight(self, key: str) -> bool:
        """Whether this genotype was proposed as new and not told."""

    def _not_in_flight(self, genotype: Genotype) -> ValueError:
        """The error for a result that no proposal waits for."""
        why = "has been told before" if genotype.key in self._evaluated else "was never proposed"
        return ValueError(f"{genotype} {why}; nothing was changed")


def _others(genotypes: Sequence[Genotype], known: Sequence[Genotype]) -> list[Genotype]:
    """Those of `genotypes` that are other networks than `known`."""
    keys = {genotype.key for genotype in known}
    return [genotype for genotype in genotypes if genotype.key not in keys]
