"""The paper's generational search (Algorithm 1), spoken to by ask and tell: it owns no loop, thread or file.

evolution = Evolution(space, population=10, generations=20, seed=0, keep_duplicates=True)
while not evolution.is_finished:
    for proposal in evolution.ask():
        if proposal.source == "new":
            evolution.tell(proposal.genotype, fitness, parameters, Outcome.OK)
"""

import copy
from typing import Any

from evoae_cli.draws import generator
from evoae_cli.genome.genotype import Genotype
from evoae_cli.genome.space import SearchSpace
from evoae_cli.genome.variation import offspring
from evoae_cli.outcome import Outcome
from evoae_cli.strategy.population import Individual, select
from evoae_cli.strategy.search import PLAIN, Aims, Proposal, Search


class Evolution(Search):
    """Evolves `population` genotypes: generation 0, the evaluated start, then exactly `generations` rounds.

    The start is `population` modules of one random layer; with `keep_duplicates` drawn independently (the paper's
    list), without it distinct, so in a space of few layers the start may be smaller than `population`. `aims` may put
    known genotypes before them, name more objectives than fitness, and set limits to what a candidate costs.

    A generation closes when its last new genotype is told, at once if it has none; `ask` then opens the next. So each
    call of `ask` or `tell` closes at most one. The history depends on the seed and on what is told, never on the order
    of tells within a generation; fewer `generations` give a prefix of it.

    Raises what `Search` raises.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        population: int,
        generations: int,
        seed: int,
        keep_duplicates: bool,
        aims: Aims = PLAIN,
    ) -> None:
        super().__init__(
            space, population=population, generations=generations, keep_duplicates=keep_duplicates, aims=aims
        )

        # All else that changes. A generation is open while any of its genotypes are in flight: those to be told.
        # `_proposed` holds all of its genotypes but those that were rejected.
        self._rng = generator(seed)
        self._generation = -1
        self._proposed: list[Genotype] = []
        self._in_flight: set[str] = set()
        self._fitness_by_generation: list[float] = []
        self._boundary = self._snapshot()
        self._start = self._first_genotypes(self._rng)

    def ask(self) -> list[Proposal]:
        """Open the next generation and return its proposals; an empty list while one is open, and at the end.

        A generation of hits and rejected ones alone is already closed when its proposals are returned.
        """
        if self._in_flight or self.is_finished:
            return []
        self._generation += 1
        proposals = [self._proposal(position, genotype) for position, genotype in enumerate(self._varied())]
        self._proposed = [proposal.genotype for proposal in proposals if proposal.source != "rejected"]
        self._count([proposal.source for proposal in proposals])
        if not self._in_flight:
            self._close()
        return proposals

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
        """Take the result of a genotype that `ask` proposed as new, and close the generation if it was the last.

        Raises ValueError, and changes nothing, for a genotype that is not in flight (never proposed, or told before)
        and for a result that no evaluation can have.
        """
        individual = Individual(genotype, fitness, parameters, outcome, operations, code)
        key = genotype.key
        if key not in self._in_flight:
            raise self._not_in_flight(genotype)
        self._in_flight.remove(key)
        self._enter(individual)
        if not self._in_flight:
            self._close()

    @property
    def generation(self) -> int:
        """The generation that is open, else the last one closed; 0, the start, before the first `ask`."""
        return max(self._generation, 0)

    @property
    def is_finished(self) -> bool:
        """Whether no proposal will follow and none is in flight."""
        return not self._in_flight and (self._generation >= self._n_generations or self.is_exhausted)

    @property
    def n_closed(self) -> int:
        """How many generations are closed, the start included."""
        return len(self._fitness_by_generation)

    @property
    def fitness_by_generation(self) -> tuple[float, ...]:
        """Best fitness in the population after each closed generation; it never falls."""
        return tuple(self._fitness_by_generation)

    def state(self) -> dict[str, Any]:
        """The search as it was when the last generation closed: plain values for JSON, which a replay must meet again.

        `generation` is -1 before the start has been evaluated. `generator` holds the 128-bit numbers of PCG64 as texts,
        since many readers of JSON take no integer that long.
        """
        return copy.deepcopy(self._boundary)

    @property
    def _n_out(self) -> int:
        return len(self._in_flight)

    def _varied(self) -> list[Genotype]:
        """The genotypes of the generation that opens."""
        if self._generation > 0:
            return offspring([parent.genotype for parent in self._population], self._space, self._rng)
        return self._start

    def _proposal(self, position: int, genotype: Genotype) -> Proposal:
        """The proposal at a place of the generation; a new one is in flight from here on."""
        source = self._source_of(genotype)
        if source == "new":
            self._in_flight.add(genotype.key)
        return Proposal(self._counts.proposed + position, self._generation, genotype, source)

    def _is_in_flight(self, key: str) -> bool:
        return key in self._in_flight

    def _close(self) -> None:
        """Select among parents and offspring, these in the order of proposals: the order of tells leaves no trace."""
        created = [self._evaluated[genotype.key] for genotype in self._proposed]
        self._population = select(
            self._population,
            created,
            self._mu,
            keep_duplicates=self._keep_duplicates,
            objectives=self._aims.objectives,
        )
        self._proposed = []
        self._fitness_by_generation.append(self._population[0].fitness)
        self._boundary = self._snapshot()

    def _snapshot(self) -> dict[str, Any]:
        words = self._rng.bit_generator.state["state"]
        return {
            "generation": self._generation,
            "generator": {"kind": "PCG64", "state": str(words["state"]), "inc": str(words["inc"])},
            "population": [individual.genotype.key for individual in self._population],
            "n_evaluated": len(self._evaluated),
            "proposed": self._counts.proposed,
            "cache_hits": self._counts.cache_hits,
            "in_flight_hits": self._counts.in_flight_hits,
            # Only where there are limits: without them the states are those of studies from before there were any.
            **({} if self._aims.limits is None else {"rejected": self._counts.rejected}),
        }
