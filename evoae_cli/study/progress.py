"""How far a study is and how long it will take: a pure count of what was seen.

Where a `generation` is asked for, it is the one that is open, all of whose proposals are made; for an asynchronous
search (`is_steady`) it is the proposals made after the start, as a number of generations: 0 when the start is drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Running:
    """A task that a worker runs now."""

    running_s: float
    progress: float
    """Share that is done, 0 to 1."""


@dataclass
class Progress:
    """Counts evaluations and their times; estimates what is left. Times are seconds of one worker."""

    population: int
    n_generations: int
    n_finals: int
    """Finalists times final seeds."""
    final_factor: float
    """Images a finalist is trained on, per image of a candidate."""
    is_steady: bool = False
    n_search: int = 0
    n_final: int = 0
    n_tested: int = 0
    _n_timed: int = 0
    _search_s: float = 0.0
    _best_s: float | None = None

    def searched(self, run_s: float | None, *, is_best: bool) -> None:
        """A candidate was evaluated in `run_s` seconds (None: its result was in the store)."""
        self.n_search += 1
        if run_s is not None:
            self._n_timed += 1
            self._search_s += run_s
            if is_best:
                self._best_s = run_s

    def n_expected(self, generation: float, n_open: int, is_search_over: bool) -> int:
        """Evaluations of the whole study as far as can be foreseen; Algorithm 2 gives two offspring per parent."""
        return self._n_search_expected(generation, n_open, is_search_over) + self.n_finals + 1

    def share(self, generation: float, n_open: int, is_search_over: bool, running: Sequence[Running]) -> float:
        """Share of the study's training that is done, 0 to 1; a finalist weighs as much as its images do."""
        n_search = self._n_search_expected(generation, n_open, is_search_over)
        whole = n_search + self.final_factor * self.n_finals
        under_way = sum(task.progress for task in running) * (self.final_factor if is_search_over else 1.0)
        done = self.n_search + self.final_factor * self.n_final + under_way
        return min(1.0, done / whole) if whole else 0.0

    def remaining_s(
        self, generation: float, n_open: int, n_workers: int, is_search_over: bool, running: Sequence[Running]
    ) -> float | None:
        """Seconds to the end of the study; None until something was timed, or a running task tells its pace."""
        paced = [task for task in running if task.progress > 0.05]
        rests = [task.running_s * (1.0 - task.progress) / task.progress for task in paced]
        if not self._n_timed and not rests:
            return None
        mean_s = self._search_s / self._n_timed if self._n_timed else 0.0
        final_s = (self._best_s if self._best_s is not None else mean_s) * self.final_factor
        if not self._n_timed and is_search_over:
            # Without a search only those that run tell how long they take.
            final_s = sum(task.running_s / task.progress for task in paced) / len(paced)
        n_waiting = max(0, self._n_search_expected(generation, n_open, is_search_over) - self.n_search)
        n_finals = self.n_finals - self.n_final
        if is_search_over:
            n_finals -= min(n_finals, len(running))
        else:
            n_waiting -= min(n_waiting, len(running))
        untold_s = (len(running) - len(rests)) * (final_s if is_search_over else mean_s)
        search_s = n_waiting * mean_s / n_workers
        # Finalists are few and long: they go in whole rounds, and what runs now ends with its longest.
        now_s = max(max(rests, default=0.0), (sum(rests) + untold_s) / n_workers)
        return now_s + search_s + -(-n_finals // n_workers) * final_s

    def _n_search_expected(self, generation: float, n_open: int, is_search_over: bool) -> int:
        if is_search_over:
            return self.n_search
        left = max(0, self.n_generations - generation) * self._per_generation(generation, n_open)
        return self.n_search + n_open + round(left)

    def _per_generation(self, generation: float, n_open: int) -> float:
        foreseen = 2.0 * self.population
        n_whole = generation if self.is_steady else generation - 1
        if n_whole < 1:
            return foreseen
        # Cache hits grow as the population converges, so what was seen is the better guide.
        n_seen = self.n_search + n_open * self.is_steady - self.population
        return min(foreseen, max(0.0, n_seen / n_whole))
