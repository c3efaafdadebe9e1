"""The engine of a Ray cluster: a broker of this host's, whose workers are Ray's actors.

Leases, attempts, time limits and late results are the broker's, as for workers of this host; Ray places the actors,
brings the files, and says which actor has died. What may not leave this host runs in one worker here.
"""

import atexit
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType

import msgspec

from evoae_cli.broker.broker import Broker
from evoae_cli.broker.task import Task, TaskResult
from evoae_cli.engine.local import local_engine
from evoae_cli.engine.notes import Ends, Notes
from evoae_cli.engine.protocol import EngineView, WorkerLoss, check_workers
from evoae_cli.engine.rayed.cluster import Cluster
from evoae_cli.engine.rayed.crew import Crew
from evoae_cli.engine.rayed.options import RayOptions
from evoae_cli.engine.terms import MakeEngine, Terms

_SILENCE_S = 30.0
"""At least so long an actor may be silent: the network, and other work on its node, may hold a pulse up."""


def on_ray(options: RayOptions) -> MakeEngine:
    """Makes engines on the Ray that `options` name."""

    def make(terms: Terms) -> RayEngine:
        return RayEngine(terms, Cluster(options, terms.specs[0].threads))

    return make


class RayEngine:
    """Runs tasks in actors of a Ray cluster; satisfies `engine.protocol.Engine`.

    Without a number of workers there are as many as the cluster has room for, at each moment; with one, those for which
    there is no room wait for nodes to come, and an autoscaler sees them waiting.
    """

    def __init__(self, terms: Terms, cluster: Cluster, *, clock: Callable[[], float] = time.monotonic) -> None:
        silence_s = max(_SILENCE_S, terms.timing.heartbeat_timeout_s)
        self._broker = Broker(silence_s, clock=clock, on_available=lambda: self._crew.wake())
        self._ends = Ends(self._broker.results)
        self._losses: Notes[WorkerLoss] = Notes(self.wake)
        self._news: Notes[str] = Notes(self.wake)
        self._crew = Crew(
            *(terms, cluster, self._broker),
            silence_s=silence_s,
            on_loss=self._losses.add,
            tell=self._news.add,
            on_failure=self._ends.fail,
            on_change=self.wake,
            clock=clock,
        )
        # For what may not travel: a search has a few such tasks, at its start and at its end.
        self._home = local_engine(msgspec.structs.replace(terms, specs=terms.specs[:1]))
        self._home_thread = threading.Thread(target=self._bring_home, name="evoae home worker", daemon=True)
        # Mutable state beside the parts' own: each is a single value.
        self._is_home_started = False
        self._is_stopped = False

    def start(self) -> None:
        """Join the cluster and hire workers; returns at once."""
        atexit.register(self.stop)
        self._crew.start()

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue tasks behind those already waiting.

        Raises ValueError for a payload too large, an id in use or a time limit that is not above 0.
        """
        if staying := [task for task in tasks if not task.may_travel]:
            if not self._is_home_started:
                self._is_home_started = True
                self._home.start()
                self._home_thread.start()
            self._home.submit(staying)
        if travelling := [task for task in tasks if task.may_travel]:
            self._broker.submit(travelling)

    def next_result(self, *, is_waiting: bool = True) -> TaskResult | None:
        """Block until a task has ended and return its result; None when `wake` was called or there is other news.

        With `is_waiting=False` it never blocks: None also where no task has ended. Raises EvoaeError, from then on,
        when nothing can run any more.
        """
        return self._ends.next(is_waiting=is_waiting)

    def wake(self) -> None:
        """Make one `next_result` return None. Safe to call from a signal handler."""
        self._ends.wake()

    def resize(self, n: int) -> None:
        """Have `n` workers from now on. Raises UsageError for less than 1."""
        check_workers(n)
        self._crew.resize(n)

    def take_losses(self) -> list[WorkerLoss]:
        """The workers lost since the last call, in the cluster and here."""
        return [*self._losses.take(), *self._home.take_losses()]

    def take_news(self) -> list[str]:
        """What people should know of the cluster since the last call."""
        return self._news.take()

    def withdraw(self) -> int:
        """Take back every task that no worker runs, and say how many; they give no result."""
        return self._broker.withdraw() + self._home.withdraw()

    def view(self) -> EngineView:
        """What is going on now."""
        counts, home = self._broker.counts(), self._home.view()
        return EngineView(
            workers=(*self._crew.view(), *(worker for worker in home.workers if worker.task)),
            n_workers=self._crew.n_wanted,
            n_room=self._crew.n_room,
            n_beside=min(home.n_workers, home.n_queued + home.n_leased),
            n_queued=counts.n_queued + home.n_queued,
            n_leased=counts.n_leased + home.n_leased,
            n_done=counts.n_done + home.n_done,
            n_lost_leases=counts.n_lost_leases + home.n_lost_leases,
            n_late_results=counts.n_late + counts.n_duplicate + counts.n_unknown + home.n_late_results,
            paused_s=self._crew.paused_s,
        )

    def stop(self) -> None:
        """End all workers at once, whatever they run, and leave the cluster. Idempotent."""
        if self._is_stopped:
            return
        self._is_stopped = True
        atexit.unregister(self.stop)
        self._crew.stop()
        self._home.stop()
        self._home.wake()

    def __enter__(self) -> "RayEngine":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _bring_home(self) -> None:
        """Put the results of what runs here among the others."""
        while not self._is_stopped:
            try:
                result = self._home.next_result()
            except Exception as error:
                self._ends.fail(error)
                return
            # None: a worker here was lost, or this is the end.
            self._broker.results.put(result)
