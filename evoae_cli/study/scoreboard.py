"""What a study shows of itself: written by the study's thread, read by views in any thread.

Every attribute is replaced whole by the one writer, so a reader sees the old value or the new one, never a half.
"""

import time
from pathlib import Path
from typing import Any

import msgspec

from evoae_cli.engine.protocol import Engine
from evoae_cli.evaluation.contract import Evaluation, References, Split
from evoae_cli.outcome import Outcome
from evoae_cli.strategy.search import Search
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.finals import Final
from evoae_cli.study.front import Frontier, row_key, row_of
from evoae_cli.study.progress import Progress, Running
from evoae_cli.study.snapshot import ArchitectureRow, Counts, Phase, Snapshot, State
from evoae_cli.study.store import Record, Store
from evoae_cli.study.timelimit import TimeLimit

_N_BEST = 5
_CLOSING_S = 10.0
"""What is taken to follow the finalists (the classical methods on test, pictures) until it was measured on val."""
_FAILURES = (Outcome.DIVERGED, Outcome.OOM, Outcome.TIMEOUT, Outcome.CRASHED)


class Scoreboard:
    """The state of a running study as people and the store's meta values want it."""

    def __init__(self, folder: Path, config: StudyConfig, store: Store, engine: Engine) -> None:
        self.state: State = "running"
        self.phase: Phase = "preparing"
        self.is_search_over = False
        self.best_fitness = 0.0
        self.last_reason = ""
        self.limit: TimeLimit | None = None
        """How long this run may take, once it has begun."""
        self.closing_s = 0.0 if store.meta("references_test") is not None else _CLOSING_S
        """Seconds that the end of the study takes once the finalists are trained."""
        self._folder = folder
        self._config = config
        self._engine = engine
        self._started_at = time.monotonic()
        self._active_before_s: float = store.meta("active_s", 0.0)
        before = store.meta("counts", {})
        self._lost_before = int(before.get("lost_leases", 0))
        self._late_before = int(before.get("late_results", 0))
        self._outcomes = {outcome: store.outcomes().get(str(outcome), 0) for outcome in _FAILURES}
        self._n_trained = 0
        self._references: References | None = None
        self._best_db: float | None = None
        self._best: tuple[ArchitectureRow, ...] = ()
        self._frontier = Frontier(config.objectives)
        self._progress = Progress(
            population=config.population,
            n_generations=config.generations,
            n_finals=config.n_finals,
            final_factor=config.final_epochs / config.epochs,
            is_steady=config.mode == "async",
        )

    @property
    def n_workers(self) -> int:
        """How many workers there are to be now; people may change it at any time."""
        return self._engine.view().n_workers

    @property
    def n_hands(self) -> int:
        """How many evaluations can run at once, on this host and on others that help."""
        return self._engine.view().n_hands

    def measured(self, split: Split, found: References, took_s: float | None = None) -> None:
        """The classical methods were measured, in `took_s` if now; the screen compares with those on validation."""
        if split == "val":
            self._references = found
        if took_s is not None:
            # Test holds other images, but about as many.
            self.closing_s = took_s if split == "val" else 0.0

    def evaluated(self, record: Record, *, is_new: bool) -> None:
        """A candidate was evaluated, now (`is_new`) or in an earlier run."""
        found = record.evaluation
        self._progress.searched(record.run_s if is_new else None, is_best=found.fitness > self.best_fitness)
        self._rank(found)

    def _rank(self, found: Evaluation) -> None:
        """Count a training of what the study is about, and list it if it is among the best."""
        self._n_trained += 1
        is_best = found.fitness > self.best_fitness
        if found.scores is None:
            self.last_reason = f"{found.genotype}: {found.outcome} ({found.reason})"
            return
        if (row := row_of(found)) is not None:
            self._best = tuple(sorted([*self._best, row], key=row_key)[:_N_BEST])
            self._frontier.add(row)
        if is_best:
            self.best_fitness = found.fitness
            self._best_db = found.scores.psnr_db

    def ended(self, found: Evaluation) -> None:
        """An evaluation of any stage ended now."""
        if found.outcome in self._outcomes:
            self._outcomes[found.outcome] += 1

    def n_finals(self, n: int) -> None:
        """So many final trainings there will be."""
        self._progress.n_finals = n

    def finished_final(self, found: Evaluation) -> None:
        """A finalist, or the one architecture, was trained, now or in an earlier run."""
        self._progress.n_final += 1
        if self._config.is_training:
            self._rank(found)

    def won(self, final: Final) -> None:
        """The winner is known and its test figures are read."""
        self._progress.n_tested = 1
        if final.best.scores is not None:
            self._best_db = final.best.scores.psnr_db

    def counts(self, evolution: Search) -> Counts:
        """What became of all proposals and tasks so far, earlier runs included."""
        proposals, view = evolution.counts, self._engine.view()
        return Counts(
            proposed=proposals.proposed,
            trained=self._n_trained,
            cache_hits=proposals.cache_hits,
            in_flight_hits=proposals.in_flight_hits,
            rejected=proposals.rejected,
            lost_leases=self._lost_before + view.n_lost_leases,
            late_results=self._late_before + view.n_late_results,
            **{str(outcome): n for outcome, n in self._outcomes.items()},
        )

    def meta(self, evolution: Search) -> dict[str, Any]:
        """The values that are stored together with an evaluation."""
        return {"counts": msgspec.to_builtins(self.counts(evolution)), "active_s": round(self._active_s(), 3)}

    @property
    def front(self) -> list[str]:
        """Genotypes of the candidates that none dominates, the fittest first; none with one objective."""
        return [row.genotype for row in self._frontier.rows]

    def snapshot(self, evolution: Search, n_open: int) -> Snapshot:
        """The study at this moment."""
        progress, references, view = self._progress, self._references, self._engine.view()
        running = [Running(worker.running_s, worker.progress) for worker in view.workers if worker.task]
        place = (self._generation(evolution), n_open)
        return Snapshot(
            study=str(self._folder),
            objective=self._config.objective,
            state=self.state,
            phase=self.phase,
            seed=self._config.seed,
            generation=evolution.generation,
            n_generations=self._config.generations,
            n_done=progress.n_search + progress.n_final + progress.n_tested,
            n_expected=progress.n_expected(*place, self.is_search_over),
            share=1.0 if self.phase == "finished" else progress.share(*place, self.is_search_over, running),
            elapsed_s=self._active_s(),
            remaining_s=self._remaining_s(*place, running),
            baseline="noisy" if self._config.objective == "denoise" else "constant image",
            baseline_db=references.baseline.psnr_db if references else None,
            best_db=self._best_db,
            references={
                name: scores.psnr_db
                for name, scores in (references.methods if references else {}).items()
                if scores.psnr_db is not None
            },
            workers=view.workers,
            helpers=view.helpers,
            best=self._best,
            objectives=self._config.objectives,
            front=self._frontier.rows,
            fitness_by_generation=evolution.fitness_by_generation,
            counts=self.counts(evolution),
            is_training=self._config.is_training,
        )

    def _generation(self, evolution: Search) -> float:
        """How far it is, as `Progress` counts."""
        if not self._progress.is_steady:
            return evolution.generation
        return (evolution.counts.proposed - self._config.population) / (2 * self._config.population)

    def _remaining_s(self, generation: float, n_open: int, running: list[Running]) -> float | None:
        if self.state != "running" or self.phase == "finished":
            return None
        expected_s = self._progress.remaining_s(generation, n_open, self.n_hands, self.is_search_over, running)
        if self.limit is None or expected_s is None or self.is_search_over:
            return expected_s
        return max(0.0, min(expected_s, self.limit.left_s))

    def _active_s(self) -> float:
        return self._active_before_s + time.monotonic() - self._started_at - self._engine.view().paused_s
