"""One lock round the ledger: what makes it safe to use from any thread, and able to wait."""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from queue import SimpleQueue

from evoae_cli.broker.lending import LendingLedger, Synced
from evoae_cli.broker.task import Counts, Lease, Lost, Task, TaskResult
from evoae_cli.outcome import Outcome

Tell = Callable[[Lost], None]
"""Called with each lost lease before its result, if there is one, is among the results. Under the broker's lock: it
must not wait, nor call the broker."""


class Broker:
    """Hands out tasks under leases, to workers here and to peers, and collects exactly one result for each.

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
        self._ledger = LendingLedger(lease_s, max_attempts)
        self._changed = threading.Condition(threading.Lock())
        self.results: SimpleQueue[TaskResult | None] = SimpleQueue()
        """Finished tasks, in the order in which they ended. None is put by whoever wants to wake the reader."""
        # By lender; under the lock.
        self._outboxes: dict[str, SimpleQueue[TaskResult | None]] = {}

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue tasks behind those waiting; borrowed ones behind all of this host's.

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
                self._put(result)
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

    def give_back(self, worker: str) -> None:
        """Put the task of a worker that cannot begin it yet back to the front; nobody is to blame."""
        with self._changed:
            self._ledger.give_back(worker)
            self._changed.notify_all()

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
        """Take back every own task that nobody runs, and say how many; they give no result."""
        with self._changed:
            return len(self._ledger.withdraw())

    # ---- lending ----

    def lend(self, peer: str, *, n_idle: int, n_ahead: int = 0, n_left: int = 0, timeout_s: float = 0.0) -> list[Lease]:
        """Give tasks to `peer` as `LendingLedger.lend` does, waiting up to `timeout_s` for the first."""
        with self._changed:
            now = self._clock()
            give_up_at = now + timeout_s
            while not (loans := self._ledger.lend(peer, now, n_idle=n_idle, n_ahead=n_ahead, n_left=n_left)):
                if now >= give_up_at:
                    return []
                self._changed.wait(give_up_at - now)
                now = self._clock()
            return loans

    def sync(self, peer: str, held: Collection[int], running: Collection[int], n_workers: int = 0) -> Synced:
        """Compare notes with `peer` about its loans: see `LendingLedger.sync`. `n_workers` are this host's own."""
        with self._changed:
            synced = self._ledger.sync(peer, held, running, n_workers)
        self._tell_of(synced.reclaimed)
        return synced

    def report_loan(
        self, peer: str, loan_id: int, outcome: Outcome, payload: bytes, reason: str, *, worker: str, run_s: float
    ) -> TaskResult | None:
        """End a lent task, and put its result into `results`; None where the report was dropped (and counted)."""
        with self._changed:
            result = self._ledger.report_loan(peer, loan_id, outcome, payload, reason, worker, run_s)
            if result is not None:
                self._put(result)
        return result

    def lose_loan(
        self, peer: str, loan_id: int, reason: str, *, worker: str, run_s: float, log: str = "", tell: Tell
    ) -> Lost | None:
        """Take a loan back whose worker was lost there, or end its task; None where the report was dropped."""
        with self._changed:
            lost = self._ledger.lose_loan(peer, loan_id, reason, worker, run_s, log)
            self._settle([lost] if lost else [], tell)
        self._tell_of([lost.lease] if lost is not None and lost.result is None else [])
        return lost

    def refuse_loan(self, peer: str, loan_id: int) -> Lease | None:
        """Take a loan back that `peer` cannot run; None where it holds none of that id."""
        with self._changed:
            loan = self._ledger.refuse_loan(peer, loan_id)
        self._tell_of([loan] if loan is not None else [])
        return loan

    def reclaim(self, peer: str, loan_ids: Collection[int] | None = None) -> list[Lease]:
        """Take back, to the front of the queue, what was lent to a peer that is lost: these loans, or all."""
        with self._changed:
            loans = self._ledger.reclaim(peer, loan_ids)
        self._tell_of(loans)
        return loans

    # ---- borrowing ----

    def open_outbox(self, lender: str) -> "SimpleQueue[TaskResult | None]":
        """Where results of tasks borrowed from `lender` go from now on; without one they are dropped."""
        with self._changed:
            return self._outboxes.setdefault(lender, SimpleQueue())

    def close_outbox(self, lender: str) -> None:
        """Give up what was borrowed from `lender`: what waits is taken out, and what runs gives no result."""
        with self._changed:
            self._outboxes.pop(lender, None)
            self._ledger.give_up_borrowed(lambda task: task.lender == lender)

    def borrowed_running(self, lender: str) -> list[int]:
        """Ids of the tasks borrowed from `lender` that workers run."""
        with self._changed:
            return self._ledger.borrowed_running(lender)

    def give_up_borrowed(self, lender: str, ids: Collection[int]) -> list[Task]:
        """Take those of the tasks borrowed from `lender` out that no worker runs yet; they give no result."""
        with self._changed:
            return self._ledger.give_up_borrowed(lambda task: task.lender == lender and task.id in ids)

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
                self._put(one.result)
        if lost:
            self._changed.notify_all()

    def _put(self, result: TaskResult) -> None:
        box = self._outboxes.get(result.lender) if result.lender else self.results
        if box is not None:
            box.put(result)
        # Where a last attempt has ended others may begin.
        self._changed.notify_all()

    def _tell_of(self, loans: Sequence[Lease]) -> None:
        """Have those who wait for tasks know of loans that came back. Without the lock."""
        if not loans:
            return
        with self._changed:
            self._changed.notify_all()
        self._on_available()
