"""How long a study may go on, and which finalists that leaves time for: pure, save the clock it is given."""

import math
from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

from evoae_cli.study.expected import makespan

_LEAST_SHARE = 0.25
"""Of a training: with less of it, what the search has found out says little."""
_MOST_LOOKED_AT = 100
"""Finalists that are looked at for some of which enough can be trained."""
_FINAL_SHARE = 0.5
"""Of the whole time, what finalists may take at most: a search that leaves all of it to them finds little to train."""


class TimeLimit:
    """The time that a run was given, from its construction on; None for no limit. `clock` tells seconds."""

    def __init__(self, limit_s: float | None, clock: Callable[[], float]) -> None:
        self._limit_s = math.inf if limit_s is None else limit_s
        self._clock = clock
        self._started_at = clock()

    @property
    def is_set(self) -> bool:
        """Whether there is a limit."""
        return self._limit_s < math.inf

    @property
    def left_s(self) -> float:
        """Seconds that are left; below 0 when it is over."""
        return self._limit_s - (self._clock() - self._started_at)

    @property
    def finals_s(self) -> float:
        """The most that is kept for the finalists while the search goes on."""
        return self._limit_s * _FINAL_SHARE


class Trainings(NamedTuple):
    """What it takes to train a finalist to the end."""

    seconds: tuple[float, ...]
    """Of each of its trainings that is not whole."""
    done: float = 0.0
    """The share to which all of these were trained before."""


class Afforded(NamedTuple):
    """A finalist that is trained in the time that there is."""

    rank: int
    """0 for the best."""
    share: float
    """Of its training to the final budget: 1 where that is trained whole."""
    seconds: tuple[float, ...]
    """What its trainings then take."""


def affordable(finalists: Iterable[Trainings], n_workers: int, budget_s: float, n: int) -> list[Afforded]:
    """Which finalists, at most `n`, are trained in `budget_s`, and how much of their trainings; the best come first.

    Where the best cannot all be trained to the end, each of their trainings gets the same time: a good architecture
    after half of its training beats a worse one after all of it. One of which not even `_LEAST_SHARE` can be trained is
    passed over. If that is so of all, the shortest is trained so far: there must be a model.
    """
    ranked = list(islice(finalists, max(n, _MOST_LOOKED_AT)))
    best = ranked[:n]
    if makespan([second for each in best for second in each.seconds], n_workers) <= max(0.0, budget_s):
        return [Afforded(rank, 1.0, each.seconds) for rank, each in enumerate(best)]
    each_s = max(0.0, budget_s) / -(-sum(len(each.seconds) for each in best) // n_workers)
    shares = [max(each.done, min(1.0, each_s / max(each.seconds)) if each.seconds else 1.0) for each in ranked]
    chosen = [rank for rank, share in enumerate(shares) if share >= _LEAST_SHARE][:n]
    if not chosen:
        chosen = [min(range(len(ranked)), key=lambda rank: max(ranked[rank].seconds))]
        shares[chosen[0]] = _LEAST_SHARE
    return [Afforded(rank, shares[rank], _remaining(ranked[rank], shares[rank])) for rank in chosen]


def _remaining(trainings: Trainings, share: float) -> tuple[float, ...]:
    """Seconds of the trainings to this share; they begin anew, unless they have come as far before."""
    return () if share <= trainings.done else tuple(share * second for second in trainings.seconds)
