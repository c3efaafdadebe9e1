"""How long a study may go on, and which finalists that leaves time for: pure, save the clock it is given."""

import math
from collections.abc import Callable, Iterable, Sequence

from evoae_cli.study.expected import makespan

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


def affordable(trainings: Iterable[Sequence[float]], n_workers: int, budget_s: float, n: int) -> list[int]:
    """Which finalists, at most `n`, can be trained in `budget_s`; of none at all the shortest: there must be a model.

    `trainings` has the seconds of each training of each finalist, the best one first. A better one goes before; one
    that takes too long is passed over, since it must not cost the time of all others.
    """
    chosen: list[int] = []
    taken: list[float] = []
    shortest, least = None, math.inf
    for i, seconds in enumerate(trainings):
        if len(chosen) == n:
            break
        if makespan([*taken, *seconds], n_workers) <= budget_s:
            chosen.append(i)
            taken += seconds
        elif makespan(seconds, n_workers) < least:
            shortest, least = i, makespan(seconds, n_workers)
    return [shortest] if shortest is not None and not chosen else chosen
