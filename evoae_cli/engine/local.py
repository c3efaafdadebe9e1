"""The engine of one host: a broker, and a pool of worker processes that it feeds."""

import atexit
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from evoae_cli.broker.broker import Broker
from evoae_cli.broker.task import Task, TaskResult
from evoae_cli.engine.protocol import EngineView
from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.worker.dispatcher import Timing, WorkerSpec
from evoae_cli.worker.pool import Pool

__all__ = ["LocalEngine", "WorkerSpec"]


class LocalEngine:
    """Runs tasks in one process per spec, on this host; satisfies `engine.protocol.Engine`.

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
        if not workers:
            raise UsageError("0 workers can run nothing; ask for at least 1")
        self._specs = tuple(workers)
        self._runner = runner
        self._timing = Timing(
            heartbeat_interval_s=heartbeat_interval_s,
            heartbeat_timeout_s=heartbeat_timeout_s,
            start_timeout_s=start_timeout_s,
        )
        self._logs = logs
        self._broker = Broker(heartbeat_timeout_s, on_available=self._wake_workers)
        # Mutable state beside the broker's and the pool's own: each is written once.
        self._pool: Pool | None = None
        self._is_stopped = False
        self._failure: Exception | None = None

    def start(self) -> None:
        """Start the workers; returns while they load. Raises EvoaeError if their logs cannot be written."""
        if self._pool is not None or self._is_stopped:
            raise RuntimeError("an engine starts once")
        # Before `multiprocessing` waits for its children at exit, which would be for ever: they heed no SIGTERM.
        atexit.register(self.stop)
        self._pool = Pool(self._broker, self._specs, self._runner, self._timing, logs=self._logs, on_failure=self._fail)

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue tasks behind those already waiting. Raises ValueError for a payload too large or an id in use."""
        self._broker.submit(tasks)

    def next_result(self) -> TaskResult | None:
        """Block until a task has ended and return its result; None when `wake` was called.

        Raises EvoaeError, from then on, when no worker can start any more and all earlier results were taken.
        """
        result = self._broker.results.get()
        if result is None and self._failure is not None:
            self.wake()
            if isinstance(self._failure, EvoaeError):
                raise self._failure
            raise RuntimeError("the dispatcher of the workers failed") from self._failure
        return result

    def wake(self) -> None:
        """Make one `next_result` return None. Safe to call from a signal handler."""
        self._broker.results.put(None)

    def withdraw(self) -> int:
        """Take back every task that no worker runs, and say how many; they give no result."""
        return self._broker.withdraw()

    def view(self) -> EngineView:
        """What is going on now. Results of lost leases and repeated ones count as late."""
        counts = self._broker.counts()
        return EngineView(
            workers=self._pool.view() if self._pool is not None else (),
            n_queued=counts.n_queued,
            n_leased=counts.n_leased,
            n_done=counts.n_done,
            n_lost_leases=counts.n_lost_leases,
            n_late_results=counts.n_late + counts.n_duplicate + counts.n_unknown,
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
        return f"<LocalEngine {len(self._specs)} workers, {self._broker!r}>"

    def _wake_workers(self) -> None:
        if self._pool is not None and not self._is_stopped:
            self._pool.wake()

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self.wake()
