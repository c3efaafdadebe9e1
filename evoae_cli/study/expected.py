"""How long an evaluation will take, before it begins: from what the network costs, corrected by measured times."""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from evoae_cli.genome.genotype import Genotype
from evoae_cli.outcome import Outcome
from evoae_cli.phenotype.cost import Cost, cost
from evoae_cli.strategy.search import Proposal
from evoae_cli.study.requests import Requests
from evoae_cli.study.store import Record

_N_COSTS = 4096
_N_KINDS = 3
_CHOICES = [
    list(chosen) for n in range(1, _N_KINDS + 1) for chosen in itertools.combinations(range(_N_KINDS), n)
]  # fmt: skip


class Pace:
    """Learns what a layer, an operation and a value cost in seconds, by least squares over all that was timed.

    Errors count in relation to the time measured, so that short evaluations weigh as much as long ones, and no price is
    negative. Only sums are kept: learning and foretelling cost O(1), however long the history.
    """

    def __init__(self) -> None:
        # Of the rows `work / seconds`, which the prices should bring to 1: their products, and their sums.
        self._products: NDArray[np.float64] = np.zeros((_N_KINDS, _N_KINDS))
        self._sums: NDArray[np.float64] = np.zeros(_N_KINDS)
        self._n = 0
        self._prices: NDArray[np.float64] | None = None

    def learn(self, cost: Cost, seconds: float) -> None:
        """An evaluation of a network of this cost took so long."""
        if seconds <= 0.0:
            return
        row = _work(cost) / seconds
        self._products += np.outer(row, row)
        self._sums += row
        self._n += 1
        self._prices = None

    def seconds(self, cost: Cost) -> float | None:
        """How long it is expected to take; None before anything was timed."""
        if self._n == 0:
            return None
        if self._prices is None:
            self._prices = self._priced()
        return float(self._prices @ _work(cost))

    def _priced(self) -> NDArray[np.float64]:
        """The non-negative prices with the least error: three kinds of work have only seven sets that may count."""
        best, least = np.zeros(_N_KINDS), math.inf
        # Each kind on a scale of its own: operations are millions of times as many as layers.
        scale = 1.0 / np.sqrt(np.diag(self._products))
        products, sums = self._products * np.outer(scale, scale), self._sums * scale
        for chosen in _CHOICES:
            found, *_ = np.linalg.lstsq(products[np.ix_(chosen, chosen)], sums[chosen], rcond=1e-9)
            error = float(found @ products[np.ix_(chosen, chosen)] @ found - 2 * found @ sums[chosen])
            if np.all(found >= 0.0) and error < least:
                best, least = np.zeros(_N_KINDS), error
                best[chosen] = found
        return best * scale


class ExpectedTimes:
    """Foretells the evaluations of one study, in seconds. `given` foretells candidates in place of what is learned."""

    def __init__(self, requests: Requests, given: Callable[[str], float] | None = None) -> None:
        self._requests = requests
        self._given = given
        self._pace = Pace()
        # Each genotype is asked for when it is sent and when it comes back. Bounded: what came back is done with.
        self._cost = functools.lru_cache(maxsize=_N_COSTS)(self._computed_cost)

    def learn(self, genotype: Genotype, record: Record) -> None:
        """Take note of an evaluation of the search, whether of this run or stored."""
        if self._given is None and record.evaluation.outcome is Outcome.OK:
            self._pace.learn(self._cost(genotype), record.run_s)

    def candidate_s(self, genotype: Genotype) -> float | None:
        """How long an evaluation of the search takes; None before anything was timed."""
        return self._given(genotype.text) if self._given is not None else self._pace.seconds(self._cost(genotype))

    def finalist_s(self, genotype: Genotype) -> float | None:
        """How long a final training takes: as much more as it trains longer."""
        seconds, config = self.candidate_s(genotype), self._requests.config
        return None if seconds is None else seconds * config.final_epochs / config.epochs

    def longest_first(self, proposals: Iterable[Proposal]) -> list[Proposal]:
        """Those expected to take longest first, so that no long one is begun when all others are done.

        Before anything was timed, those of the most operations. Equal ones keep their order.
        """

        def length(proposal: Proposal) -> float:
            seconds = self.candidate_s(proposal.genotype)
            return self._cost(proposal.genotype).operations if seconds is None else seconds

        return sorted(proposals, key=length, reverse=True)

    def _computed_cost(self, genotype: Genotype) -> Cost:
        return cost(genotype, self._requests.network, self._requests.config.patch)


def makespan(durations: Sequence[float], n_workers: int) -> float:
    """Seconds until all are done when each worker takes the longest one left as soon as it is free."""
    free_at = [0.0] * n_workers
    for duration in sorted(durations, reverse=True):
        first = min(range(n_workers), key=free_at.__getitem__)
        free_at[first] += duration
    return max(free_at)


def _work(cost: Cost) -> NDArray[np.float64]:
    return np.array([cost.steps, cost.operations, cost.values], dtype=np.float64)
