"""Between the study and its engine: requests go out under task ids, results come back to whoever asked."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from evoae_cli.broker.task import Task, TaskResult
from evoae_cli.engine.protocol import Engine, WorkerLoss
from evoae_cli.errors import EvoaeError
from evoae_cli.evaluation.contract import (
    Evaluation,
    EvaluationRequest,
    References,
    ReferencesRequest,
    RivalFound,
    RivalRequest,
)
from evoae_cli.outcome import Outcome
from evoae_cli.worker.freight import may_travel

Found = TypeVar("Found")


class Desk:
    """Knows which tasks are open and what to do with each result. Used by one thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._n_tasks = 0
        self._n_measuring = 0
        self._open: dict[int, Callable[[TaskResult], None]] = {}

    @property
    def n_open(self) -> int:
        """Tasks whose result has not come."""
        return len(self._open)

    @property
    def n_evaluating(self) -> int:
        """Evaluations among them."""
        return len(self._open) - self._n_measuring

    def evaluate(
        self,
        request: EvaluationRequest,
        name: str,
        then: Callable[[Evaluation, TaskResult], None],
        timeout_s: float | None = None,
    ) -> None:
        """Send an evaluation out, which may take `timeout_s` seconds; `then` gets what it found, or how it failed."""

        def finish(result: TaskResult) -> None:
            then(_evaluation(request, result), result)

        task = Task(
            id=self._next_id(),
            payload=_encoded(request),
            name=name,
            timeout_s=timeout_s,
            may_travel=may_travel(request),
        )
        self._submit(task, finish)

    def measure(
        self, request: ReferencesRequest, name: str, then: Callable[[References | str, TaskResult], None]
    ) -> None:
        """Send a measurement of the classical methods out; `then` gets it, or one line that says why there is none."""
        self._measure(request, name, References, then)

    def rival(self, request: RivalRequest, name: str, then: Callable[[RivalFound | str, TaskResult], None]) -> None:
        """Send out what a model is compared with; `then` gets what was found, or one line that says why not."""
        self._measure(request, name, RivalFound, then)

    def receive(self) -> int:
        """Wait for a result, hand on all that have come, and say how many; 0 when the engine was woken instead.

        Raises EvoaeError when the host could not run a task: that says nothing of the task, so nobody hears of it.
        """
        n = 0
        while (result := self._engine.next_result(is_waiting=n == 0)) is not None:
            if result.is_host_failure:
                raise EvoaeError(f"{result.reason}; mend this and resume, nothing that was found is lost")
            self._open.pop(result.task_id)(result)
            n += 1
        return n

    def take_losses(self) -> list[WorkerLoss]:
        """The workers that were lost since the last call."""
        return self._engine.take_losses()

    def take_news(self) -> list[str]:
        """What the engine has to tell people since the last call."""
        return self._engine.take_news()

    def withdraw(self) -> int:
        """Take back what no worker runs; how many are still to come."""
        return self.n_open - self._engine.withdraw()

    def forget(self) -> None:
        """Expect nothing more: what was taken back gives no result."""
        self._open.clear()
        self._n_measuring = 0

    def _measure(
        self,
        request: ReferencesRequest | RivalRequest,
        name: str,
        kind: type[Found],
        then: Callable[[Found | str, TaskResult], None],
    ) -> None:
        def finish(result: TaskResult) -> None:
            self._n_measuring -= 1
            ok = result.outcome is Outcome.OK
            then(msgspec.msgpack.decode(result.payload, type=kind) if ok else result.reason, result)

        self._n_measuring += 1
        self._submit(Task(id=self._next_id(), payload=_encoded(request), name=name), finish)

    def _next_id(self) -> int:
        self._n_tasks += 1
        return self._n_tasks

    def _submit(self, task: Task, then: Callable[[TaskResult], None]) -> None:
        self._open[task.id] = then
        self._engine.submit([task])


_encoded = msgspec.msgpack.Encoder().encode


def _evaluation(request: EvaluationRequest, result: TaskResult) -> Evaluation:
    if result.payload:
        return msgspec.msgpack.decode(result.payload, type=Evaluation)
    return Evaluation(
        genotype=request.genotype,
        stage=request.stage,
        seed_index=request.seed_index,
        outcome=result.outcome,
        reason=result.reason,
        log=result.log,
    )
