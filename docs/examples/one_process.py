"""An engine of your own: evaluations run in evoae's process, one after the other, so that a debugger can stop in them.

evoae search denoise --engine one_process:choose
"""

from collections import deque
from collections.abc import Sequence
from queue import SimpleQueue

from evoae_cli.broker.task import Task, TaskResult
from evoae_cli.engine.protocol import EngineView, WorkerLoss, check_workers
from evoae_cli.engine.terms import Terms
from evoae_cli.engine.wishes import Choice, Wishes
from evoae_cli.worker.attempt import attempt
from evoae_cli.worker.runner import loaded


class OneProcess:
    """Satisfies `evoae_cli.engine.protocol.Engine`. It enforces no time limits, since nobody is left to do so."""

    def __init__(self, terms: Terms) -> None:
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
        while is_waiting and not self._is_woken and not self._waiting:
            self._calls.get()
        if self._is_woken or not self._waiting:
            self._is_woken = False
            return None
        task, self._is_running = self._waiting.popleft(), True
        found = attempt(self._run, task.payload, lambda share: None)
        self._n_done, self._is_running = self._n_done + 1, False
        return TaskResult(
            task_id=task.id,
            outcome=found.outcome,
            payload=found.payload,
            reason=found.reason,
            is_host_failure=found.is_host_failure,
            worker="here",
        )

    def wake(self) -> None:
        """Make one `next_result` return None."""
        self._is_woken = True
        self._calls.put(None)

    def resize(self, n: int) -> None:
        """There is one worker, whatever is asked for."""
        check_workers(n)

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
        return EngineView(n_workers=1, n_queued=len(self._waiting), n_leased=int(self._is_running), n_done=self._n_done)

    def stop(self) -> None:
        """Nothing runs while this is called."""
        self._waiting.clear()


def choose(wishes: Wishes) -> Choice:
    """What `--engine` names. `wishes` are the options, of which this engine heeds none."""
    return Choice(make_engine=OneProcess, where="in this process", is_here=False)
