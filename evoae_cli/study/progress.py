"""How far a study is and how long it will take: a pure count of what was seen."""

from dataclasses import dataclass


@dataclass
class Progress:
    """Counts evaluations and their times; estimates what is left. Times are seconds of one worker."""

    population: int
    n_generations: int
    n_finals: int
    """Finalists times final seeds."""
    final_factor: float
    """Images a finalist is trained on, per image of a candidate."""
    n_search: int = 0
    n_final: int = 0
    n_tested: int = 0
    _timed: int = 0
    _search_s: float = 0.0
    _final_s: float = 0.0
    _timed_final: int = 0
    _best_s: float | None = None

    def searched(self, run_s: float | None, *, is_best: bool) -> None:
        """A candidate was evaluated in `run_s` seconds (None: its result was in the store)."""
        self.n_search += 1
        if run_s is not None:
            self._timed += 1
            self._search_s += run_s
            if is_best:
                self._best_s = run_s

    def finished_final(self, run_s: float | None) -> None:
        """A finalist was trained in `run_s` seconds (None: its result was in the store)."""
        self.n_final += 1
        if run_s is not None:
            self._timed_final += 1
            self._final_s += run_s

    def n_expected(self, generation: int, n_open: int, is_search_over: bool) -> int:
        """Evaluations of the whole study as far as can be foreseen; Algorithm 2 gives two offspring per parent."""
        left = (
            0 if is_search_over else round(max(0, self.n_generations - generation) * self._per_generation(generation))
        )
        return self.n_search + (0 if is_search_over else n_open) + left + self.n_finals + 1

    def _per_generation(self, generation: int) -> float:
        foreseen = 2.0 * self.population
        if generation < 2:
            return foreseen
        # Cache hits grow as the population converges, so what was seen is the better guide.
        return min(foreseen, (self.n_search - self.population) / max(1, generation - 1))

    def remaining_s(self, generation: int, n_open: int, n_workers: int, is_search_over: bool) -> float | None:
        """Seconds to the end of the study; None until something was timed."""
        if not self._timed and not self._timed_final:
            return None
        mean_s = self._search_s / max(1, self._timed)
        expected = self.n_expected(generation, n_open, is_search_over)
        n_left_search = 0 if is_search_over else max(0, expected - self.n_finals - 1 - self.n_search)
        final_s = (
            self._final_s / self._timed_final
            if self._timed_final
            else (self._best_s if self._best_s is not None else mean_s) * self.final_factor
        )
        n_left_final = self.n_finals - self.n_final
        search = n_left_search * mean_s / n_workers
        # Finalists are few and long: they go in whole rounds.
        return search + -(-n_left_final // n_workers) * final_s
