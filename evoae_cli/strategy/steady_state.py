"""The asynchronous search: steady-state evolution, asked once for each free worker and waiting for no generation.

search = SteadyState(space, population=10, generations=20, seed=0, keep_duplicates=False)
for proposal in search.ask():
    if proposal.source == "new":
        ...                         # on some worker; meanwhile others are asked for and told
        search.tell(proposal.genotype, fitness, parameters, Outcome.OK)
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any

from evoae_cli.draws import generator
from evoae_cli.evaluation.contract import derive_seed
from evoae_cli.genome.genotype import Genotype, parse_genotype
from evoae_cli.genome.space import SearchSpace
from evoae_cli.genome.variation import child
from evoae_cli.outcome import Outcome
from evoae_cli.strategy.population import Individual, select
from evoae_cli.strategy.search import N_BARREN, PLAIN, Aims, Proposal, ProposalCounts, Search, Source


class SteadyState(Search):
    """Evolves `population` genotypes without a barrier: every result is selected at once, (mu + 1).

    The budget is `population + 2 * population * generations` proposals, hits and rejected ones included: what the
    generational search draws on average, since Algorithm 2 gives two offspring per parent. Proposals count as
    generation 0 up to `population`, then as one more generation for every `2 * population`.

    The start is that of `Evolution` with the same seed. `keep_duplicates` concerns the start alone: no genotype is told
    twice, so the population never holds one twice. A start of fewer than `population` is followed by children at once.

    Each proposal's randomness is its own, fixed by `seed` and its number. With one genotype in flight at a time the
    history depends on the seed and the results alone; with more, also on the order in which results come.

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
        self._seed = seed
        self._budget = population + 2 * population * generations
        self._start = self._first_genotypes(generator(seed))

        # All else that changes. What is out is either in flight or, after a restart, waiting to be asked for again;
        # both are in the order of their numbers, and nothing is drawn while any wait.
        self._in_flight: dict[str, Proposal] = {}
        self._waiting: deque[Proposal] = deque()
        # Until the first result, more workers than the start has genotypes get children of the start: modules of one
        # random layer are so few that all would soon be out, and hits would use up the budget.
        self._parents: Sequence[Genotype] = self._start
        # Best fitness, and for how many closed generations it stayed the best.
        self._runs: tuple[tuple[float, int], ...] = ()
        self._n_closed = 0

    def ask(self) -> list[Proposal]:
        """One new genotype for a free worker, last in the list, after the hits and rejected ones drawn before it.

        Without a new one where the budget ends first, or `N_BARREN` were drawn since the last result; empty where that
        was so before, and while every genotype of the space is evaluated or in flight. Never empty while nothing is in
        flight and the search is not finished.
        """
        if self._waiting:
            proposal = self._waiting.popleft()
            self._in_flight[proposal.genotype.key] = proposal
            return [proposal]
        proposals: list[Proposal] = []
        while self._counts.proposed < self._budget and not self._is_all_out and self._n_barren < N_BARREN:
            proposals.append(self._draw())
            if proposals[-1].source == "new":
                break
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
        """Take the result of a genotype that `ask` proposed as new, and select at once.

        Raises ValueError, and changes nothing, for a genotype that is not in flight (never proposed, or told before)
        and for a result that no evaluation can have.
        """
        individual = Individual(genotype, fitness, parameters, outcome, operations, code)
        if genotype.key not in self._in_flight:
            raise self._not_in_flight(genotype)
        del self._in_flight[genotype.key]
        self._take(individual)

    def restore(self, state: Mapping[str, Any] | None, told: Iterable[Individual]) -> None:
        """Go on where another run ended: `told` are all its results in the order of their tells, `state` its last one.

        The state may be from just before the last results were told. What it has in flight and was not told comes first
        in `ask`, once for each call, as new and with its old number. What was drawn after it is drawn again. A result
        that is left out is forgotten; to have it evaluated again, put its number and text into `in_flight` as well.

        Raises ValueError for a search that has begun and for results that cannot be those of `state`, GenotypeError
        for a genotype in flight that is none or outside the space; then nothing has changed. No state (None) has no
        results.
        """
        if self._counts.proposed:
            raise ValueError(f"{self} has begun, so it cannot be restored")
        state = self.state() if state is None else state
        counts = ProposalCounts(
            state["proposed"], state["cache_hits"], state["in_flight_hits"], state.get("rejected", 0)
        )
        individuals = list(told)
        keys = {individual.genotype.key for individual in individuals}
        out = [(number, parse_genotype(text, self._space)) for number, text in sorted(state["in_flight"])]
        waiting = {genotype.key: self._proposal(number, genotype, "new") for number, genotype in out}
        n_waiting = len(waiting.keys() - keys)
        if len(keys) != len(individuals) or len(keys) + n_waiting > counts.new:
            raise ValueError(
                f"{len(individuals)} results, {len(keys)} of them different, and {n_waiting} in flight cannot come "
                f"from the {counts.new} genotypes that this search had proposed as new"
            )
        self._counts, self._n_barren = counts, state.get("barren", 0)
        self._waiting.extend(waiting.values())
        self._runs = tuple((fitness, n) for fitness, n in state["fitness_runs"])
        self._n_closed = sum(n for _, n in self._runs)
        self._admit([individual for individual in individuals if individual.genotype.key not in waiting])
        self._close()
        # What the state had in flight is told as it was then, one after the other: each may end a generation.
        for individual in individuals:
            if individual.genotype.key in waiting:
                self._waiting.remove(waiting[individual.genotype.key])
                self._take(individual)

    @property
    def generation(self) -> int:
        """The generation of the last proposal; 0 before the first."""
        return self._generation_of(max(self._counts.proposed - 1, 0))

    @property
    def n_in_flight(self) -> int:
        """Genotypes that `ask` of this search returned as new and that have not been told."""
        return len(self._in_flight)

    @property
    def is_finished(self) -> bool:
        """Whether no proposal will follow and none is in flight."""
        is_over = self._counts.proposed >= self._budget or self.is_exhausted
        return is_over and not self._in_flight and not self._waiting

    @property
    def n_closed(self) -> int:
        """How many generations are closed, the start included."""
        return self._n_closed

    @property
    def fitness_by_generation(self) -> tuple[float, ...]:
        """Best fitness of all told when the last result of each generation and those before it came; it never falls.

        One that comes late keeps its generation open, while results of later ones are selected already.
        """
        return tuple(chain.from_iterable(repeat(fitness, n) for fitness, n in self._runs))

    def state(self) -> dict[str, Any]:
        """What `restore` needs besides the results: plain values for JSON.

        As long as what is out, and as the best fitness has had values at the end of a generation: so short however
        long the history.
        """
        return {
            "proposed": self._counts.proposed,
            "cache_hits": self._counts.cache_hits,
            "in_flight_hits": self._counts.in_flight_hits,
            **({} if self._aims.limits is None else {"rejected": self._counts.rejected, "barren": self._n_barren}),
            "in_flight": [[one.number, one.genotype.text] for one in chain(self._in_flight.values(), self._waiting)],
            "fitness_runs": [list(run) for run in self._runs],
        }

    @property
    def _n_out(self) -> int:
        return len(self._in_flight) + len(self._waiting)

    @property
    def _is_all_out(self) -> bool:
        """Whether all that could be drawn would be a hit; nothing waits when this is asked."""
        return len(self._evaluated) + len(self._in_flight) == self._space.size

    def _draw(self) -> Proposal:
        """Make the next proposal and count it; a new one is in flight from here on."""
        number = self._counts.proposed
        if number < len(self._start):
            genotype = self._start[number]
        else:
            # A generator for each number: what a crash has lost is drawn again alike, with no generator's state stored.
            genotype = child(self._parents, self._space, generator(derive_seed(self._seed, "steady", number)))
        proposal = self._proposal(number, genotype, self._source_of(genotype))
        if proposal.source == "new":
            self._in_flight[genotype.key] = proposal
        self._count([proposal.source])
        return proposal

    def _proposal(self, number: int, genotype: Genotype, source: Source) -> Proposal:
        return Proposal(number, self._generation_of(number), genotype, source)

    def _is_in_flight(self, key: str) -> bool:
        return key in self._in_flight

    def _generation_of(self, number: int) -> int:
        """The generation of a proposal, which is also how many generations are drawn in full before it."""
        return 0 if number < self._mu else 1 + (number - self._mu) // (2 * self._mu)

    def _take(self, individual: Individual) -> None:
        """Select, and look for new ones again: other parents bring up others."""
        self._n_barren = 0
        self._admit([individual])
        self._close()

    def _admit(self, told: Sequence[Individual]) -> None:
        """Enter results into the cache and select."""
        for individual in told:
            self._enter(individual)
        # By fitness alone the best `mu` are the same in whatever parts they are told; by several objectives they are
        # not, since a crowd thins out one by one.
        objectives = self._aims.objectives
        parts = [told] if len(objectives) == 1 else [[individual] for individual in told]
        for part in parts:
            # No genotype is told twice, so there are no duplicates to keep or to drop.
            self._population = select(self._population, part, self._mu, keep_duplicates=True, objectives=objectives)
        if self._population:
            self._parents = [individual.genotype for individual in self._population]

    def _close(self) -> None:
        """Note the best fitness for the generations of which every proposal is drawn and none is out any more."""
        oldest = next(chain(self._in_flight.values(), self._waiting), None)
        n_closed = self._generation_of(oldest.number if oldest is not None else self._counts.proposed)
        if self.is_finished:
            # An exhausted space ends its last generation before that is full.
            n_closed = self.generation + 1
        best = self.best
        if best is None or n_closed <= self._n_closed:
            return
        runs, n = self._runs, n_closed - self._n_closed
        if runs and runs[-1][0] == best.fitness:
            runs, n = runs[:-1], runs[-1][1] + n
        self._runs, self._n_closed = (*runs, (best.fitness, n)), n_closed
