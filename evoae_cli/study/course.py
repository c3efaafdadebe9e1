"""The course of a study: the classical methods, evolution, the finalists, and one reading of test.

The store hears of a result before evolution does, and evolution is deterministic, so resuming is replaying: what is in
the store is told again, what is not is evaluated.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from evoae_cli.broker.task import TaskResult
from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.contract import Evaluation, References, Split
from evoae_cli.outcome import Outcome
from evoae_cli.strategy.evolution import Evolution, Proposal
from evoae_cli.strategy.population import rank_key
from evoae_cli.study import lines
from evoae_cli.study.best import Best, BestWriter
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.desk import Desk
from evoae_cli.study.finals import Final, rank_finals
from evoae_cli.study.requests import Requests, weights_file
from evoae_cli.study.scoreboard import Scoreboard
from evoae_cli.study.snapshot import Snapshot, State
from evoae_cli.study.store import Record, Store, kind_of


class Stopped(Exception):  # noqa: N818  (no error: somebody asked for it)
    """The study was asked to stop, and what ran has ended unless it was to stop at once."""


@dataclass
class StopFlags:
    """What signals have asked for. Set in a handler, read by the course between two results."""

    is_stopping: bool = False
    is_killed: bool = False


@dataclass
class Course:
    """Leads one study through its stages; used by one thread."""

    folder: Path
    config: StudyConfig
    requests: Requests
    store: Store
    desk: Desk
    evolution: Evolution
    board: Scoreboard
    best_writer: BestWriter
    stop: StopFlags
    say: Callable[[str, str], None]
    """Takes the kind of an event and its line."""
    warn: Callable[[str], None]
    snapshot: Callable[[], Snapshot]
    kinds: set[tuple[str, ...]] = field(default_factory=set)
    """Kinds of hardware and software seen so far."""

    def run(self) -> tuple[State, list[Final], Best]:
        """Go through all stages; returns how it ended, the ranked finalists, and the winner with its test figures.

        Raises Stopped when asked to stop, EvoaeError when it cannot go on.
        """
        self._measure("val")
        self._search()
        finals = self._finals()
        winner = self._test(finals)
        return ("exhausted" if self.evolution.is_exhausted else "done"), finals, winner

    # ---- the classical methods ----

    def _measure(self, split: Split) -> None:
        stored = self.store.meta(f"references_{split}")
        if stored is not None:
            self.board.measured(split, msgspec.convert(stored, References))
            return

        def then(found: References | str) -> None:
            if isinstance(found, str):
                self.warn(f"the classical methods could not be measured: {found}")
                return
            self.store.put_meta(**{f"references_{split}": msgspec.to_builtins(found)})
            self.board.measured(split, found)
            self.say("message", lines.references_line(found, split))

        self.desk.measure(self.requests.references(split), f"classical methods on {split}", then)

    # ---- evolution ----

    def _search(self) -> None:
        self.board.phase = "search"
        evolution = self.evolution
        while not evolution.is_finished:
            for proposal in evolution.ask():
                if proposal.source == "new":
                    self._evaluate(proposal)
            self._close_generation()
            if not evolution.is_finished and self.desk.n_open:
                self._receive()
        self.board.is_search_over = True
        if evolution.is_exhausted:
            self.say("message", "every architecture of the search space has been trained; the search ends here")

    def _evaluate(self, proposal: Proposal) -> None:
        text = proposal.genotype.text
        stored = self.store.find("search", text)
        if stored is not None:
            self._tell(proposal, stored, is_new=False)
            return

        def then(found: Evaluation, result: TaskResult) -> None:
            record = self._record(found, result, proposal.generation, proposal.number)
            self._tell(proposal, record, is_new=True)

        self.desk.evaluate(self.requests.search(text, self.board.best_fitness), text, then)

    def _tell(self, proposal: Proposal, record: Record, *, is_new: bool) -> None:
        found = record.evaluation
        self.board.evaluated(record, is_new=is_new)
        if is_new:
            self.store.append(record, self.board.meta(self.evolution))
            self.say("evaluated", lines.evaluated_line(record, self.snapshot()))
        self.evolution.tell(proposal.genotype, found.fitness, found.parameters, found.outcome)
        best = self.evolution.best
        self._keep_or_drop(found, is_best=best is not None and best.genotype == proposal.genotype)
        self._close_generation()

    def _keep_or_drop(self, found: Evaluation, *, is_best: bool) -> None:
        """Hand a new best to `best/`; drop the weights of a candidate that is none."""
        if found.weights is None:
            return
        # Not the path that was stored: a study may have been moved since.
        weights = weights_file(self.folder, "search", found.genotype, 0)
        if not is_best:
            weights.unlink(missing_ok=True)
        elif weights.exists() and self.store.meta("winner") is None:
            # Once there is a winner, trained to the end, only the next winner takes its place.
            self.best_writer.put(Best(found, weights))

    def _close_generation(self) -> None:
        """Store the search's state when a generation has ended; a replay must meet the same state again."""
        state = self.evolution.state()
        if state["generation"] <= self.board.closed_generation:
            return
        self.board.closed_generation = state["generation"]
        is_new = self.store.put_generation(state["generation"], state, self.board.meta(self.evolution))
        if all(individual.fitness == 0.0 for individual in self.evolution.population):
            raise EvoaeError(f"every candidate failed; the last one: {self.board.last_reason}")
        if is_new:
            self.say("generation", lines.generation_line(self.snapshot()))

    # ---- finalists ----

    def _finals(self) -> list[Final]:
        self.board.phase = "finalists"
        ranked = sorted(self.evolution.evaluated.values(), key=rank_key)[: self.config.finalists]
        searched = {individual.genotype.text: individual for individual in ranked if individual.fitness > 0.0}
        chosen = list(searched)
        self.board.n_finals(len(chosen) * self.config.final_seeds)
        found: list[Evaluation] = []

        def then(evaluation: Evaluation, result: TaskResult) -> None:
            record = self._record(evaluation, result, -1, chosen.index(evaluation.genotype))
            self.board.finished_final()
            self.store.append(record, self.board.meta(self.evolution))
            self.say("finalist", lines.final_line(record))
            found.append(evaluation)

        for genotype in chosen:
            for seed_index in range(self.config.final_seeds):
                stored = self.store.find("final", genotype, seed_index)
                weights = weights_file(self.folder, "final", genotype, seed_index)
                if stored is not None and (stored.evaluation.scores is None or weights.exists()):
                    self.board.finished_final()
                    found.append(stored.evaluation)
                else:
                    request = self.requests.final(genotype, seed_index)
                    self.desk.evaluate(request, f"final {genotype}", then)
        self._receive_all()
        finals = rank_finals(found, searched)
        if not finals or finals[0].fitness == 0.0:
            raise EvoaeError(f"every finalist failed; the first one: {found[0].reason if found else 'there was none'}")
        return finals

    def _test(self, finals: list[Final]) -> Best:
        """Read the test images once, for the winner, after everything has been decided on val."""
        self.board.phase = "test"
        winner = finals[0].best
        stored = self.store.find("test", winner.genotype, winner.seed_index)
        self._measure("test")
        tested: list[Evaluation] = [] if stored is None else [stored.evaluation]

        def then(found: Evaluation, result: TaskResult) -> None:
            # A reading that failed is no result: the next run reads again.
            if found.outcome is Outcome.OK:
                self.store.append(self._record(found, result, -1, 0), self.board.meta(self.evolution))
            tested.append(found)

        if stored is None:
            self.desk.evaluate(self.requests.test(winner.genotype, winner.seed_index), f"test {winner.genotype}", then)
        self._receive_all()
        if tested[0].outcome is not Outcome.OK:
            raise EvoaeError(f"the winner could not be scored on test: {tested[0].reason}")
        self.board.won(finals[0])
        weights = weights_file(self.folder, "final", winner.genotype, winner.seed_index)
        return Best(winner, weights, test=tested[0])

    # ---- plumbing ----

    def _receive_all(self) -> None:
        while self.desk.n_open:
            self._receive()

    def _receive(self) -> None:
        """Wait for one result. Raises Stopped, after what runs has ended, when the study was asked to stop."""
        while not self.stop.is_stopping:
            if self.desk.receive():
                return
        self.board.state = "stopping"
        self.say("message", "stopping: waiting for the evaluations that run; stop again to end at once")
        self._raise_if_killed()
        self.desk.drain(self._raise_if_killed)
        raise Stopped

    def _note_kind(self, found: Evaluation) -> None:
        """Warn when evaluations begin to come from another kind of hardware or software: they may not repeat."""
        if found.outcome is not Outcome.OK or found.stage == "test":
            return
        if not self.kinds:
            self.kinds |= self.store.hardware()
        kind = kind_of(found)
        if self.kinds and kind not in self.kinds:
            mixed = "; ".join(", ".join(each) for each in sorted(self.kinds | {kind}))
            self.warn(f"evaluations come from different hardware or software, so the history may not repeat: {mixed}")
        self.kinds.add(kind)

    def _raise_if_killed(self) -> None:
        if self.stop.is_killed:
            raise Stopped

    def _record(self, found: Evaluation, result: TaskResult, generation: int, number: int) -> Record:
        self.board.ended(found)
        self._note_kind(found)
        return Record(
            evaluation=found,
            generation=generation,
            number=number,
            worker=result.worker,
            attempt=result.attempt,
            run_s=result.run_s,
            finished_at=time.time(),
        )
