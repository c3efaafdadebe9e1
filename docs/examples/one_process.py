"""An engine of your own: evaluations run in evoae's process, one after the other, so that a debugger can stop in them.

evoae search denoise --engine one_process:choose

What ends a worker ends evoae here, and nobody is left to enforce a time limit.
"""

import os
import time
from collections import deque
from collections.abc import Sequence
from queue import SimpleQueue

from evoae_cli.broker.task import Task, TaskResult
from evoae_cli.engine.protocol import EngineView, WorkerLoss, WorkerView
from evoae_cli.engine.terms import Terms
from evoae_cli.engine.wishes import Choice, Wishes, refuse_cluster_options
from evoae_cli.errors import UsageError
from evoae_cli.worker.attempt import attempt
from evoae_cli.worker.runner import loaded


class OneProcess:
    """Satisfies `evoae_cli.engine.protocol.Engine`. Raises UsageError where more than one worker is asked for."""

    def __init__(self, terms: Terms) -> None:
        self.resize(terms.n_workers or 1)
        self._terms = terms
        self._waiting: deque[Task] = deque()
        self._is_running = False
        self._n_done = 0
        # One for each time that there may be something to do. A signal's handler may put, whatever it interrupts.
        self._calls: SimpleQueue[None] = SimpleQueue()
        self._is_woken = False

    def start(self) -> None:
        """Load what evaluates."""
        place = self._terms.specs[0]
        _, self._run = loaded(self._terms.runner, place.device, place.threads)

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue tasks."""
        self._waiting.extend(tasks)
        self._calls.put(None)

    def next_result(self, *, is_waiting: bool = True) -> TaskResult | None:
        """Run the next task here, if there is one, and return its result."""
        if not is_waiting:
            # Nothing ends while nobody waits for it.
            return None
        while not self._is_woken and not self._waiting:
            self._calls.get()
        if self._is_woken:
            self._is_woken = False
            return None
        task, self._is_running, begun = self._waiting.popleft(), True, time.monotonic()
        found = attempt(self._run, task.payload, lambda share: None)
        self._n_done, self._is_running = self._n_done + 1, False
        return TaskResult(
            task_id=task.id,
            outcome=found.outcome,
            payload=found.payload,
            reason=found.reason,
            is_host_failure=found.is_host_failure,
            worker="here",
            run_s=time.monotonic() - begun,
        )

    def wake(self) -> None:
        """Make one `next_result` return None."""
        self._is_woken = True
        self._calls.put(None)

    def resize(self, n: int) -> None:
        """Refuse all but one worker."""
        if n != 1:
            raise UsageError(f"{n} workers cannot be in one process; ask for 1")

    def take_losses(self) -> list[WorkerLoss]:
        """A worker that is this process is not lost."""
        return []

    def take_news(self) -> list[str]:
        """There are no other hosts."""
        return []

    def withdraw(self) -> int:
        """Take back what waits."""
        n = len(self._waiting)
        self._waiting.clear()
        return n

    def view(self) -> EngineView:
        """What is going on now."""
        state = "training" if self._is_running else "idle"
        here = WorkerView(name="here", device=self._terms.specs[0].device, pid=os.getpid(), state=state)
        return EngineView(
            workers=(here,),
            n_workers=1,
            n_queued=len(self._waiting),
            n_leased=int(self._is_running),
            n_done=self._n_done,
        )

    def stop(self) -> None:
        """Nothing runs while this is called."""
        self._waiting.clear()


def choose(wishes: Wishes) -> Choice:
    """What `--engine` names; `wishes` are the options. Raises UsageError for those that it cannot heed."""
    refuse_cluster_options(wishes)
    if (wishes.n_workers or 1) > 1:
        raise UsageError(f"--workers {wishes.n_workers} cannot be in one process; give --workers 1")
    return Choice(make_engine=OneProcess, where="in this process", is_here=False)
