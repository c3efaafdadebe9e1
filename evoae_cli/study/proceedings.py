"""What all stages of a study share: they send evaluations out, take results in, keep records, and heed a stop."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evoae_cli.broker.task import TaskResult
from evoae_cli.evaluation.contract import Evaluation, EvaluationRequest
from evoae_cli.genome.genotype import Genotype
from evoae_cli.outcome import Outcome
from evoae_cli.strategy.search import Search
from evoae_cli.strategy.steady_state import SteadyState
from evoae_cli.study import lines
from evoae_cli.study.best import BestWriter
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.desk import Desk
from evoae_cli.study.expected import ExpectedTimes
from evoae_cli.study.forgetting import SEARCH_STATE
from evoae_cli.study.requests import Requests, weights_file
from evoae_cli.study.scoreboard import Scoreboard
from evoae_cli.study.snapshot import Snapshot
from evoae_cli.study.store import Record, Store, kind_of
from evoae_cli.study.timelimit import TimeLimit, Trainings


class Stopped(Exception):  # noqa: N818  (no error: somebody asked for it)
    """The study was asked to stop, and what ran has ended unless it was to stop at once."""


@dataclass
class StopFlags:
    """What signals and orders have asked for. Set by others, read by the course between two results."""

    is_stopping: bool = False
    is_killed: bool = False
    resizes: deque[int] = field(default_factory=deque)
    """Numbers of workers that were asked for, until the diary has them."""


@dataclass
class Proceedings:
    """The course's means; used by one thread."""

    folder: Path
    config: StudyConfig
    requests: Requests
    store: Store
    desk: Desk
    evolution: Search
    board: Scoreboard
    best_writer: BestWriter
    stop: StopFlags
    limit: TimeLimit
    expected: ExpectedTimes
    say: Callable[[str, str], None]
    """Takes the kind of an event and its line."""
    warn: Callable[[str], None]
    snapshot: Callable[[], Snapshot]
    kinds: set[tuple[str, ...]] = field(default_factory=set)
    """Kinds of hardware and software seen so far."""
    _arrived: list[tuple[Record, Callable[[Record], None]]] = field(default_factory=list)

    def evaluate(
        self, request: EvaluationRequest, name: str, generation: int, number: int, then: Callable[[Record], None]
    ) -> None:
        """Send an evaluation out, under its time limit; `then` gets its record, once that is in the store.

        Only a scoring of weights that failed is not stored: it is no result, so the next run scores again. Raises
        Stopped like `receive`.
        """
        if self.stop.is_stopping:
            self.drain()

        def arrive(found: Evaluation, result: TaskResult) -> None:
            record = Record(
                evaluation=found,
                generation=generation,
                number=number,
                worker=result.worker,
                attempt=result.attempt,
                run_s=result.run_s,
                finished_at=time.time(),
            )
            self._arrived.append((record, then))

        self.desk.evaluate(request, name, arrive, timeout_s=self.config.timeout_s(request.recipe.epochs))

    def stored_final(self, genotype: str, seed_index: int, share: float = 1.0) -> Evaluation | None:
        """A final training of an earlier run, if it failed, or was as long as this share and its weights are there."""
        stored = self.store.find("final", genotype, seed_index)
        if stored is None or stored.evaluation.scores is None:
            return None if stored is None else stored.evaluation
        n_wanted = self.requests.final_epochs(share) * self.config.train_images
        weights = weights_file(self.folder, "final", genotype, seed_index)
        is_enough = stored.evaluation.images_seen >= n_wanted and weights.exists()
        return stored.evaluation if is_enough else None

    def trainings_of(self, genotype: Genotype) -> Trainings:
        """What it is expected to take to train a finalist to the end, after what earlier runs have trained of it."""
        seeds = range(self.config.final_seeds)
        missing = [seed for seed in seeds if self.stored_final(genotype.text, seed) is None]
        seconds = self.expected.finalist_s(genotype) or 0.0
        return Trainings(
            (seconds,) * len(missing), min((self._share_done(genotype.text, i) for i in missing), default=1.0)
        )

    def _share_done(self, genotype: str, seed_index: int) -> float:
        """The share of a final training that an earlier run had time for."""
        stored = self.store.find("final", genotype, seed_index)
        if stored is None or not weights_file(self.folder, "final", genotype, seed_index).exists():
            return 0.0
        return stored.evaluation.images_seen / (self.config.final_epochs * self.config.train_images)

    def receive(self) -> bool:
        """Wait for results, or for a change in the workers, which gives False.

        Raises Stopped, after what runs has ended, when the study was asked to stop: nothing is begun after that.
        """
        is_result = not self.stop.is_stopping and self._take() > 0
        if self.stop.is_stopping:
            self.drain()
        return is_result

    def receive_all(self) -> None:
        """Wait until nothing is out any more."""
        while self.desk.n_open:
            self.receive()

    def drain(self) -> None:
        """Take back what no worker runs, and wait for the rest. Raises Stopped when the study was asked to stop."""
        n_running = self.desk.withdraw()
        self._note_news()
        self._heed_stop()
        while n_running > 0:
            n_running -= self._take()
            self._heed_stop()
        self.desk.forget()
        if self.stop.is_stopping:
            raise Stopped

    def _take(self) -> int:
        """Wait for results, and deal with all that have come; how many."""
        try:
            return self.desk.receive()
        finally:
            # Also when the host failed: what had come before is stored.
            self._note_news()
            self._settle()

    def _settle(self) -> None:
        """Store what has come, in one commit however much it is, and only then let the stages act on it.

        The board is told before, since its counts are stored with it.
        """
        arrived, self._arrived = self._arrived, []
        said = []
        for record, _ in arrived:
            found = record.evaluation
            self.board.ended(found)
            # Before it is stored, since it is compared with all that is.
            self._note_kind(found)
            if found.stage == "search":
                self.board.evaluated(record, is_new=True)
                said.append(("evaluated", lines.evaluated_line(record, self.snapshot())))
            elif found.stage == "final":
                self.board.finished_final(found)
                said.append(("finalist", lines.final_line(record, is_alone=self.config.is_training)))
        stored = [record for record, _ in arrived if _is_result(record.evaluation)]
        if stored:
            self.store.append(*stored, meta=self._meta())
        for kind, line in said:
            self.say(kind, line)
        for record, then in arrived:
            then(record)

    def _meta(self) -> dict[str, Any]:
        """The values that are stored together with evaluations."""
        meta = self.board.meta(self.evolution)
        if isinstance(self.evolution, SteadyState):
            meta[SEARCH_STATE] = self.evolution.state()
        return meta

    def _note_news(self) -> None:
        """Enter into the diary which workers were lost, how many people have asked for, and what was not written."""
        while self.stop.resizes:
            n_workers = self.stop.resizes.popleft()
            self.store.put_event("workers", f"from now on {n_workers}")
            self.say("message", f"from now on {n_workers} worker{'s' * (n_workers > 1)}")
        for line in self.desk.take_news():
            self.store.put_event("host", line)
            self.say("message", line)
        for loss in self.desk.take_losses():
            line = lines.loss_line(loss)
            self.store.put_event("lost", f"{line}\n{loss.log}" if loss.log else line)
            self.say("warning", line)
        for line in self.best_writer.take_failures():
            self.warn(line)

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

    def _heed_stop(self) -> None:
        """Say that the study stops, once. Raises Stopped when it is not to wait for what runs."""
        if self.stop.is_killed:
            raise Stopped
        if self.stop.is_stopping and self.board.state != "stopping":
            self.board.state = "stopping"
            how = "Ctrl-C again, or evoae stop --now, ends at once"
            self.say("message", f"stopping: waiting for the evaluations that run; {how}")


def _is_result(found: Evaluation) -> bool:
    return found.stage not in ("start", "test") or found.outcome is Outcome.OK
