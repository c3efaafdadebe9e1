"""How long a study may go on, and how many finalists that leaves time for: pure, save the clock it is given."""

import math
from collections.abc import Callable, Sequence

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


def affordable(durations: Sequence[Sequence[float]], n_workers: int, budget_s: float) -> int:
    """How many of the finalists, best first, can be trained in `budget_s`; at least one, since there must be a model.

    `durations` has the seconds of each training of each finalist.
    """
    n = len(durations)
    while n > 1 and makespan([second for each in durations[:n] for second in each], n_workers) > budget_s:
        n -= 1
    return n
