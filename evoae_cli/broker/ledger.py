"""Every open task and its state. It decides and returns what to do, without clock, lock or thread.

No operation costs more for the tasks that wait or have been done: a finished task is forgotten, only counters remain.
Where deadlines are asked for, the cost grows with the leases, of which there is one for each worker.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Mapping, Sequence

from evoae_cli.broker.entry import Entry
from evoae_cli.broker.states import Event, next_state
from evoae_cli.broker.task import MAX_PAYLOAD, Counts, Lease, Lost, Task, TaskResult
from evoae_cli.outcome import Outcome

MAX_LOST_KNOWN = 1024
"""Lost leases remembered to tell a late report from a duplicate one; an older one counts as a duplicate."""


class Ledger:
    """All open tasks, in the order in which they will be leased: this host's own, and behind them those borrowed.

    A lease lasts `lease_s` seconds from the last renewal. A task whose lease is lost goes to the front; after
    `max_attempts` lost leases it ends as crashed. Its last attempt runs alone, so that a task that harms its host harms
    no other task, and is not blamed for one that does. A task that runs longer than it may ends as timed out, in
    whichever attempt. A borrowed task whose worker was lost ends here: whether it is tried again, its owner decides.

    `now` is the caller's monotonic clock, in seconds, and never runs backwards.
    """

    def __init__(self, lease_s: float, max_attempts: int = 3) -> None:
        self._lease_s = lease_s
        self._max_attempts = max_attempts
        self._open: dict[int, Entry] = {}
        self._queue: deque[Entry] = deque()
        self._borrowed: deque[Entry] = deque()
        # By lease id.
        self._leased: dict[int, Entry] = {}
        self._lease_of: dict[str, int] = {}
        self._is_last_attempt_running = False
        self._lost_known: OrderedDict[int, None] = OrderedDict()
        self._n_leases_given = 0
        self._n_done = 0
        self._n_helped = 0
        self._n_withdrawn = 0
        self._n_lost_leases = 0
        self._n_late = 0
        self._n_duplicate = 0
        self._n_unknown = 0

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue tasks behind those waiting; borrowed ones, which have a lender, wait behind all others.

        Raises ValueError, and takes none, for a payload too large, an id in use or a time limit that is not above 0.
        """
        ids = set()
        for task in tasks:
            if len(task.payload) > MAX_PAYLOAD:
                raise ValueError(f"task {task.id} has {len(task.payload)} bytes; at most {MAX_PAYLOAD}")
            if task.timeout_s is not None and not task.timeout_s > 0:
                raise ValueError(f"task {task.id} may run {task.timeout_s:g} s; it needs more than 0")
            if task.id in self._open or task.id in ids:
                raise ValueError(f"task id {task.id} is used twice")
            ids.add(task.id)
        for task in tasks:
            entry = Entry(task)
            self._open[task.id] = entry
            (self._borrowed if task.lender else self._queue).append(entry)

    def lease(self, worker: str, now: float) -> Lease | None:
        """Give the first task to `worker`; None while there is none to give. Raises ValueError if it holds a lease."""
        if worker in self._lease_of:
            raise ValueError(f"{worker} already holds lease {self._lease_of[worker]}")
        queue = self._queue or self._borrowed
        if not queue or self._is_last_attempt_running:
            return None
        entry = queue[0]
        is_last_attempt = entry.attempt > 1 and entry.attempt >= self._max_attempts
        if is_last_attempt and self._leased:
            return None
        entry.state = next_state(entry.state, Event.LEASE)
        queue.popleft()
        self._n_leases_given += 1
        lease = Lease(
            id=self._n_leases_given,
            task=entry.task,
            worker=worker,
            attempt=entry.attempt,
            expires_at=now + self._lease_s,
            ends_at=math.inf if entry.task.timeout_s is None else now + entry.task.timeout_s,
        )
        entry.lease = lease
        entry.granted_at = now
        entry.expires_at = lease.expires_at
        entry.ends_at = lease.ends_at
        self._leased[lease.id] = entry
        self._lease_of[worker] = lease.id
        self._is_last_attempt_running = is_last_attempt
        return lease

    def renew(self, lease_id: int, now: float) -> bool:
        """Extend a lease to `lease_s` from now; False if it is not held any more."""
        entry = self._leased.get(lease_id)
        if entry is None:
            return False
        entry.state = next_state(entry.state, Event.RENEW)
        entry.expires_at = now + self._lease_s
        return True

    def extend(self, gap_s: float) -> None:
        """Let every lease and every time limit run `gap_s` longer.

        For so long nobody could hear a heartbeat, so silence proves nothing; and perhaps nothing ran.
        """
        for entry in self._leased.values():
            entry.state = next_state(entry.state, Event.RENEW)
            entry.expires_at += gap_s
            entry.ends_at += gap_s

    def report(
        self,
        lease_id: int,
        outcome: Outcome,
        payload: bytes,
        reason: str,
        now: float,
        *,
        is_host_failure: bool = False,
    ) -> TaskResult | None:
        """End a leased task; None where the lease is not held (late, duplicate or unknown), which is only counted."""
        entry = self._leased.get(lease_id)
        if entry is None:
            self._count_dropped(lease_id)
            return None
        return self._end(
            *(entry, Event.REPORT, outcome, payload, reason),
            worker=entry.held.worker,
            run_s=now - entry.granted_at,
            is_host_failure=is_host_failure,
        )

    def lose(self, worker: str, reason: str, now: float, has_begun: bool = True, log: str = "") -> Lost | None:
        """Take the lease from a lost worker; None if it held none. `reason` says in one line how it was lost.

        A task that had not begun is not to blame, and keeps its number of attempts. `log` goes into its result, if the
        task ends by this.
        """
        lease_id = self._lease_of.get(worker)
        if lease_id is None:
            return None
        entry = self._leased[lease_id]
        run_s = now - entry.granted_at
        return self._lose(entry, reason, worker=worker, run_s=run_s, has_begun=has_begun, log=log)

    def give_back(self, worker: str) -> None:
        """Put the task that `worker` holds, if any, back to the front: it was not begun, and nothing was lost."""
        lease_id = self._lease_of.get(worker)
        if lease_id is not None:
            entry = self._leased[lease_id]
            self._remember(entry)
            entry.state = next_state(entry.state, Event.RETURN)
            self._release(entry)
            (self._borrowed if entry.task.lender else self._queue).appendleft(entry)

    def due(self, now: float) -> list[Lease]:
        """The leases that `expire` would take at the same moment; nothing changes."""
        return [entry.held for entry in self._leased.values() if entry.deadline() <= now]

    def expire(self, now: float, logs: Mapping[int, str], unbegun: Collection[int] = ()) -> list[Lost]:
        """Take every lease that ran out, and end every task whose time is up.

        `logs`, by lease id, go into the results of those that end by this. `unbegun` are the ids of leases whose worker
        never began: such a task is not to blame, and is neither ended nor charged with an attempt.
        """
        lost = []
        for entry in [entry for entry in self._leased.values() if entry.deadline() <= now]:
            lease, run_s = entry.held, now - entry.granted_at
            log, has_begun = logs.get(lease.id, ""), lease.id not in unbegun
            if has_begun and entry.ends_at <= now:
                lost.append(self._time_out(entry, run_s, log))
            else:
                why = f"no heartbeat for {self._lease_s:g} s"
                lost.append(self._lose(entry, why, worker=lease.worker, run_s=run_s, has_begun=has_begun, log=log))
        return lost

    def next_deadline(self) -> float | None:
        """When the next lease runs out or the next task's time is up; None while nothing is leased."""
        return min((entry.deadline() for entry in self._leased.values()), default=None)

    def withdraw(self) -> list[Task]:
        """Take back every queued task of this host, also those that wait for another attempt; they give no result."""
        tasks = [self._withdraw(entry) for entry in self._queue]
        self._queue.clear()
        self._n_withdrawn += len(tasks)
        return tasks

    def give_up_borrowed(self, is_meant: Callable[[Task], bool]) -> list[Task]:
        """Take those out that no worker runs yet, of the borrowed tasks that are meant; they give no result."""
        meant = [entry for entry in self._borrowed if is_meant(entry.task)]
        self._borrowed = deque(entry for entry in self._borrowed if not is_meant(entry.task))
        return [self._withdraw(entry) for entry in meant]

    def borrowed_running(self, lender: str) -> list[int]:
        """Ids of the tasks borrowed from `lender` that workers run."""
        return [entry.task.id for entry in self._leased.values() if entry.task.lender == lender]

    def counts(self) -> Counts:
        """Totals at this moment."""
        return Counts(
            n_queued=len(self._queue),
            n_leased=len(self._leased),
            n_own_leased=sum(not entry.task.lender for entry in self._leased.values()),
            n_borrowed=len(self._borrowed),
            n_done=self._n_done,
            n_helped=self._n_helped,
            n_withdrawn=self._n_withdrawn,
            n_lost_leases=self._n_lost_leases,
            n_late=self._n_late,
            n_duplicate=self._n_duplicate,
            n_unknown=self._n_unknown,
        )

    def _count_dropped(self, lease_id: int) -> None:
        if not 1 <= lease_id <= self._n_leases_given:
            self._n_unknown += 1
        elif lease_id in self._lost_known:
            del self._lost_known[lease_id]
            self._n_late += 1
        else:
            self._n_duplicate += 1

    def _lose(
        self, entry: Entry, reason: str, *, worker: str, run_s: float, has_begun: bool = True, log: str = ""
    ) -> Lost:
        lease = self._take(entry)
        is_borrowed = bool(entry.task.lender)
        if has_begun and (is_borrowed or entry.attempt >= self._max_attempts):
            why = f"{entry.attempt} workers were lost while they ran it; the last one: {reason}"
            result = self._end(
                *(entry, Event.GIVE_UP, Outcome.CRASHED, b"", reason if is_borrowed else why),
                worker=worker,
                run_s=run_s,
                log=log,
            )
            return Lost(lease, reason, result)
        entry.state = next_state(entry.state, Event.LOSE if has_begun else Event.RETURN)
        self._release(entry)
        entry.attempt += has_begun
        (self._borrowed if is_borrowed else self._queue).appendleft(entry)
        return Lost(lease, reason, None, has_begun)

    def _time_out(self, entry: Entry, run_s: float, log: str) -> Lost:
        lease = self._take(entry)
        reason = f"ran longer than {entry.task.timeout_s:g} s"
        result = self._end(
            entry, Event.TIME_OUT, Outcome.TIMEOUT, b"", reason, worker=lease.worker, run_s=run_s, log=log
        )
        return Lost(lease, reason, result)

    def _take(self, entry: Entry) -> Lease:
        """Count a lease that is taken from its worker, and remember it for a report that comes late."""
        self._n_lost_leases += 1
        return self._remember(entry)

    def _remember(self, entry: Entry) -> Lease:
        """Know a report of this lease, from now on, as one that comes late."""
        lease = entry.held
        self._lost_known[lease.id] = None
        if len(self._lost_known) > MAX_LOST_KNOWN:
            self._lost_known.popitem(last=False)
        return lease

    def _withdraw(self, entry: Entry) -> Task:
        entry.state = next_state(entry.state, Event.WITHDRAW)
        del self._open[entry.task.id]
        return entry.task

    def _end(
        self,
        entry: Entry,
        event: Event,
        outcome: Outcome,
        payload: bytes,
        reason: str,
        *,
        worker: str,
        run_s: float,
        is_host_failure: bool = False,
        log: str = "",
    ) -> TaskResult:
        entry.state = next_state(entry.state, event)
        self._release(entry)
        del self._open[entry.task.id]
        if entry.task.lender:
            self._n_helped += 1
        else:
            self._n_done += 1
        return TaskResult(
            task_id=entry.task.id,
            lender=entry.task.lender,
            outcome=outcome,
            payload=payload,
            reason=reason,
            is_worker_loss=event is Event.GIVE_UP,
            is_host_failure=is_host_failure,
            worker=worker,
            attempt=entry.attempt,
            run_s=run_s,
            log=log,
        )

    def _release(self, entry: Entry) -> None:
        """Forget the lease of a task that has ended, or waits again."""
        lease = entry.held
        del self._leased[lease.id]
        del self._lease_of[lease.worker]
        entry.lease = None
        # Whichever lease ends: while a last attempt runs there is no other.
        self._is_last_attempt_running = False
