"""The engine of one host: a broker, and a pool of worker processes that it feeds."""

import atexit
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from evoae_cli.broker.broker import Broker
from evoae_cli.broker.task import Task, TaskResult
from evoae_cli.engine.notes import Ends, Notes
from evoae_cli.engine.protocol import EngineView, WorkerLoss, check_workers
from evoae_cli.engine.terms import Terms
from evoae_cli.worker.pool import Pool
from evoae_cli.worker.starter import Timing, WorkerSpec

__all__ = ["LocalEngine", "WorkerSpec"]


class LocalEngine:
    """Runs tasks in processes on this host, at first one per spec; satisfies `engine.protocol.Engine`.

    `runner` is `module:function`, called once in each worker (see `worker.process.Start`). A worker beats every
    `heartbeat_interval_s`, is killed and replaced when it is silent for `heartbeat_timeout_s`, and must be ready within
    `start_timeout_s`. `logs` is a folder for what workers print; None keeps it only while they live.
    """

    def __init__(
        self,
        workers: Sequence[WorkerSpec],
        runner: str,
        *,
        heartbeat_interval_s: float = 1.0,
        heartbeat_timeout_s: float = 10.0,
        start_timeout_s: float = 60.0,
        logs: Path | None = None,
    ) -> None:
        check_workers(len(workers))
        self._specs = tuple(workers)
        self._runner = runner
        self._timing = Timing(
            heartbeat_interval_s=heartbeat_interval_s,
            heartbeat_timeout_s=heartbeat_timeout_s,
            start_timeout_s=start_timeout_s,
        )
        self._logs = logs
        self._broker = Broker(heartbeat_timeout_s, on_available=self._wake_workers)
        self._ends = Ends(self._broker.results)
        self._losses: Notes[WorkerLoss] = Notes(self.wake)
        # Mutable state beside that of these and the pool: each is a single value, and all but the number of workers are
        # written once.
        self._n_workers = len(self._specs)
        self._pool: Pool | None = None
        self._is_stopped = False

    def start(self) -> None:
        """Start the workers; returns while they load. Raises EvoaeError if their logs cannot be written."""
        if self._pool is not None or self._is_stopped:
            raise RuntimeError("an engine starts once")
        # Before `multiprocessing` waits for its children at exit, which would be for ever: they heed no SIGTERM.
        atexit.register(self.stop)
        self._pool = Pool(
            self._broker,
            self._specs,
            self._runner,
            self._timing,
            logs=self._logs,
            on_failure=self._ends.fail,
            on_loss=self._losses.add,
        )
        # Asked for before, or by another thread meanwhile.
        self._pool.resize(self._n_workers)

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue tasks behind those already waiting.

        Raises ValueError for a payload too large, an id in use or a time limit that is not above 0.
        """
        self._broker.submit(tasks)

    def next_result(self, *, is_waiting: bool = True) -> TaskResult | None:
        """Block until a task has ended and return its result; None when `wake` was called or a worker was lost.

        With `is_waiting=False` it never blocks: None also where no task has ended. Raises EvoaeError, from then on,
        when no worker can start any more and all earlier results were taken.
        """
        return self._ends.next(is_waiting=is_waiting)

    def wake(self) -> None:
        """Make one `next_result` return None. Safe to call from a signal handler."""
        self._ends.wake()

    def resize(self, n: int) -> None:
        """Have `n` workers from now on, also before the start; see `engine.protocol.Engine`.

        A new worker takes the device that has the fewest, of those that the constructor was given. Raises UsageError
        for less than 1.
        """
        check_workers(n)
        self._n_workers = n
        if self._pool is not None and not self._is_stopped:
            self._pool.resize(n)

    def take_losses(self) -> list[WorkerLoss]:
        """The workers lost since the last call, in order; the oldest are dropped where nobody takes them for long."""
        return self._losses.take()

    def take_news(self) -> list[str]:
        """Nothing: there are no other hosts."""
        return []

    @property
    def broker(self) -> Broker:
        """Between those who submit tasks and the workers; other hosts lend it theirs, and borrow these."""
        return self._broker

    def withdraw(self) -> int:
        """Take back every task that no worker runs, and say how many; they give no result."""
        return self._broker.withdraw()

    def view(self) -> EngineView:
        """What is going on now. Results of lost leases and repeated ones count as late."""
        counts = self._broker.counts()
        return EngineView(
            workers=self._pool.view() if self._pool is not None else (),
            n_workers=self._n_workers,
            n_queued=counts.n_queued,
            n_leased=counts.n_leased,
            n_done=counts.n_done,
            n_lost_leases=counts.n_lost_leases,
            n_late_results=counts.n_late + counts.n_duplicate + counts.n_unknown,
            paused_s=self._pool.paused_s if self._pool is not None else 0.0,
        )

    def stop(self) -> None:
        """End all workers at once, whatever they run. Idempotent."""
        if self._is_stopped:
            return
        self._is_stopped = True
        atexit.unregister(self.stop)
        if self._pool is not None:
            self._pool.stop()

    def __enter__(self) -> "LocalEngine":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<LocalEngine {self._n_workers} workers, {self._broker!r}>"

    def _wake_workers(self) -> None:
        if self._pool is not None and not self._is_stopped:
            self._pool.wake()


def local_engine(terms: Terms) -> LocalEngine:
    """The engine of this host alone."""
    return LocalEngine(
        terms.specs,
        terms.runner,
        heartbeat_interval_s=terms.timing.heartbeat_interval_s,
        heartbeat_timeout_s=terms.timing.heartbeat_timeout_s,
        start_timeout_s=terms.timing.start_timeout_s,
        logs=terms.logs,
    )
