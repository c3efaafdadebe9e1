"""One lock round the ledger: what makes it safe to use from any thread, and able to wait."""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from queue import SimpleQueue

from evoae_cli.broker.ledger import Ledger
from evoae_cli.broker.task import Counts, Lease, Lost, Task, TaskResult
from evoae_cli.outcome import Outcome

Tell = Callable[[Lost], None]
"""Called with each lost lease before its result, if there is one, is among the results. Under the broker's lock: it
must not wait, nor call the broker."""


class Broker:
    """Hands out tasks under leases, and collects exactly one result for each.

    `lease_s` and `max_attempts` are the ledger's; `clock` is monotonic, in seconds. `on_available` is called, without
    the lock, by the thread that has submitted tasks.
    """

    def __init__(
        self,
        lease_s: float,
        *,
        max_attempts: int = 3,
        clock: Callable[[], float] = time.monotonic,
        on_available: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._on_available = on_available
        # All mutable state: the ledger, touched only under the lock, which is held for thinking and never for I/O.
        self._ledger = Ledger(lease_s, max_attempts)
        self._changed = threading.Condition(threading.Lock())
        self.results: SimpleQueue[TaskResult | None] = SimpleQueue()
        """Finished tasks, in the order in which they ended. None is put by whoever wants to wake the reader."""

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue tasks behind those waiting.

        Raises ValueError, and takes none, for a payload too large, an id in use or a time limit that is not above 0.
        """
        with self._changed:
            self._ledger.submit(tasks)
            self._changed.notify_all()
        self._on_available()

    def lease(self, worker: str, timeout_s: float = 0.0) -> Lease | None:
        """Give the next task to `worker`, waiting up to `timeout_s` for one; None if there is none to give."""
        with self._changed:
            now = self._clock()
            give_up_at = now + timeout_s
            while (lease := self._ledger.lease(worker, now)) is None and now < give_up_at:
                self._changed.wait(give_up_at - now)
                now = self._clock()
            return lease

    def renew(self, lease_id: int) -> bool:
        """Extend a lease; False if it is not held any more."""
        with self._changed:
            return self._ledger.renew(lease_id, self._clock())

    def extend(self, gap_s: float) -> None:
        """Let every lease and time limit run `gap_s` longer, after a pause in which nobody could hear a heartbeat."""
        with self._changed:
            self._ledger.extend(gap_s)

    def report(
        self,
        lease_id: int,
        outcome: Outcome,
        payload: bytes = b"",
        reason: str = "",
        *,
        is_host_failure: bool = False,
    ) -> TaskResult | None:
        """End a leased task, and put its result into `results`; None where the report was dropped (and counted)."""
        with self._changed:
            now = self._clock()
            result = self._ledger.report(lease_id, outcome, payload, reason, now, is_host_failure=is_host_failure)
            # Under the lock, so that results stand in the order in which tasks ended; `put` never waits.
            if result is not None:
                self.results.put(result)
                self._changed.notify_all()
        return result

    def lose(
        self, worker: str, reason: str, has_begun: bool = True, *, log: str = "", tell: Tell = lambda _: None
    ) -> Lost | None:
        """Put the task of a lost worker back to the front, or end it; None if the worker held none.

        It counts as an attempt only if the worker had begun. `log` goes into the result, if there is one.
        """
        with self._changed:
            lost = self._ledger.lose(worker, reason, self._clock(), has_begun, log)
            self._settle([lost] if lost else [], tell)
        return lost

    def due(self, by: float) -> list[Lease]:
        """The leases that `expire` would take, so that the caller can read their workers' logs first."""
        with self._changed:
            return self._ledger.due(by)

    def expire(
        self,
        by: float | None = None,
        logs: Mapping[int, str] | None = None,
        unbegun: Collection[int] = (),
        *,
        tell: Tell = lambda _: None,
    ) -> list[Lost]:
        """Put the tasks of all leases that ran out back to the front, or end them; end those whose time is up.

        `by` is the moment, on the broker's clock, until which the caller has listened for heartbeats; None is now.
        `logs`, by lease id, go into the results of those that end by this. `unbegun` are the ids of leases whose worker
        never began.
        """
        with self._changed:
            lost = self._ledger.expire(self._clock() if by is None else by, logs or {}, unbegun)
            self._settle(lost, tell)
        return lost

    def next_deadline(self) -> float | None:
        """When the next lease runs out or the next task's time is up, on the broker's clock; None without leases."""
        with self._changed:
            return self._ledger.next_deadline()

    def withdraw(self) -> int:
        """Take back every task that nobody runs, and say how many; they give no result."""
        with self._changed:
            return len(self._ledger.withdraw())

    def counts(self) -> Counts:
        """Totals at this moment."""
        with self._changed:
            return self._ledger.counts()

    def __repr__(self) -> str:
        counts = self.counts()
        return f"<Broker {counts.n_queued} queued, {counts.n_leased} leased, {counts.n_done} done>"

    def _settle(self, lost: Sequence[Lost], tell: Tell) -> None:
        for one in lost:
            tell(one)
            if one.result is not None:
                self.results.put(one.result)
        if lost:
            self._changed.notify_all()
