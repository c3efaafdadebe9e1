"""What all stages of a study share: they send evaluations out, take results in, keep records, and heed a stop."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from evoae_cli.broker.task import TaskResult
from evoae_cli.evaluation.contract import Evaluation, EvaluationRequest
from evoae_cli.outcome import Outcome
from evoae_cli.strategy.search import Search
from evoae_cli.study import lines
from evoae_cli.study.best import BestWriter
from evoae_cli.study.config import StudyConfig
from evoae_cli.study.desk import Desk
from evoae_cli.study.expected import ExpectedTimes
from evoae_cli.study.requests import Requests
from evoae_cli.study.scoreboard import Scoreboard
from evoae_cli.study.snapshot import Snapshot
from evoae_cli.study.store import Record, Store, kind_of
from evoae_cli.study.timelimit import TimeLimit


class Stopped(Exception):  # noqa: N818  (no error: somebody asked for it)
    """The study was asked to stop, and what ran has ended unless it was to stop at once."""


@dataclass
class StopFlags:
    """What signals and orders have asked for. Set by others, read by the course between two results."""

    is_stopping: bool = False
    is_killed: bool = False


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

    def evaluate(self, request: EvaluationRequest, name: str, then: Callable[[Evaluation, TaskResult], None]) -> None:
        """Send an evaluation out, under its time limit; `then` gets what it found."""
        self.desk.evaluate(request, name, then, timeout_s=self.config.timeout_s(request.recipe.epochs))

    def receive(self) -> bool:
        """Wait for one result, or for a change in the workers, which gives False.

        Raises Stopped, after what runs has ended, when the study was asked to stop.
        """
        if not self.stop.is_stopping:
            is_result = self.desk.receive()
            self._note_losses()
            if is_result or not self.stop.is_stopping:
                return is_result
        self.board.state = "stopping"
        self.say("message", "stopping: waiting for the evaluations that run; stop again to end at once")
        self._raise_if_killed()
        self.drain()
        raise Stopped

    def receive_all(self) -> None:
        """Wait until nothing is out any more."""
        while self.desk.n_open:
            self.receive()

    def drain(self) -> None:
        """Take back what no worker runs, and wait for the rest. Raises Stopped when it is to end at once."""

        def look() -> None:
            self._note_losses()
            self._raise_if_killed()

        self.desk.drain(look)

    def record(self, found: Evaluation, result: TaskResult, generation: int, number: int) -> Record:
        """A finished evaluation as the store keeps it."""
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

    def _note_losses(self) -> None:
        for loss in self.desk.take_losses():
            line = lines.loss_line(loss)
            self.store.put_event("lost", f"{line}\n{loss.log}" if loss.log else line)
            self.say("warning", line)

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
