"""A ledger whose tasks may also be lent to peers: brokers of other hosts. Pure, as the ledger is.

A peer holds loans for as long as its link lives. That is watched elsewhere: here a loan has no deadline, and no clock
is ever compared with another host's.
"""

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from evoae_cli.broker.entry import Entry
from evoae_cli.broker.ledger import Ledger
from evoae_cli.broker.states import Event, next_state
from evoae_cli.broker.task import Counts, Lease, Lost, Task, TaskResult
from evoae_cli.outcome import Outcome

_LOOKS_PAST = 64
"""Tasks that stay at home and are looked past for such that may travel, so that a look never costs the whole queue."""


class Synced(NamedTuple):
    """What a peer and this host had to tell each other about the loans that it holds."""

    reclaimed: Sequence[Lease]
    """Loans that the peer does not have, since the answer with which they were given was lost, or has not begun."""
    to_drop: Sequence[int]
    """Ids that the peer has and that are no loans of it any more."""


class LendingLedger(Ledger):
    """All open tasks, those lent among them.

    Loans have ids from the same series as leases, so that a late report is known as one, whoever sends it.
    """

    def __init__(self, lease_s: float, max_attempts: int = 3) -> None:
        super().__init__(lease_s, max_attempts)
        # By loan id, and by peer, each in the order in which they were given.
        self._lent: dict[int, Entry] = {}
        self._lent_to: dict[str, dict[int, Entry]] = {}
        self._n_reclaimed = 0

    def lend(self, peer: str, now: float, *, n_idle: int, n_ahead: int = 0, n_left: int = 0) -> list[Lease]:
        """Give `peer` the first tasks that may travel: one for each of its `n_idle` workers, and `n_ahead` more.

        Those ahead wait there while its workers run others, so they are given only as far as `n_left` tasks stay in the
        queue, for whoever runs out of work before. A task that has cost a worker stays at home, since it may harm a
        host, and so does one that a peer could not run, which would be lent to the same again.
        """
        n = n_idle + max(0, min(n_ahead, len(self._queue) - n_idle - n_left))
        loans: list[Lease] = []
        staying: list[Entry] = []
        while self._queue and len(loans) < n and len(staying) < _LOOKS_PAST:
            entry = self._queue.popleft()
            if not entry.stays_home and entry.attempt == 1:
                loans.append(self._lend(entry, peer, now))
            else:
                staying.append(entry)
        self._queue.extendleft(reversed(staying))
        return loans

    def sync(self, peer: str, held: Collection[int], running: Collection[int], n_workers: int = 0) -> Synced:
        """Compare notes with `peer`, which has the loans `held`, some of them `running` on its workers.

        To be called with what the peer knew when it had read all answers but those under way; what it lacks goes to
        the front of the queue, without an attempt. So do, where nothing waits here, the latest of those that it has not
        begun, for those of this host's `n_workers` that have nothing to do.
        """
        loans = self._lent_to.get(peer, {})
        for loan_id in running:
            if loan_id in loans:
                loans[loan_id].has_begun = True
        back = [entry for loan_id, entry in loans.items() if loan_id not in held]
        n_spare = n_workers - len(self._leased)
        if n_spare > 0 and not self._queue:
            unbegun = [entry for loan_id, entry in loans.items() if loan_id in held and not entry.has_begun]
            back += unbegun[max(0, len(unbegun) + len(back) - n_spare) :]
            back.sort(key=lambda entry: entry.held.id)
        reclaimed = self._reclaim(back)
        return Synced(reclaimed, [loan_id for loan_id in held if loan_id not in loans])

    def report_loan(
        self, peer: str, loan_id: int, outcome: Outcome, payload: bytes, reason: str, worker: str, run_s: float
    ) -> TaskResult | None:
        """End a lent task; None where `peer` holds no such loan (late, duplicate or unknown), which is only counted.

        `worker` ran it there, and took `run_s` by its own host's clock.
        """
        entry = self._lent_to.get(peer, {}).get(loan_id)
        if entry is None:
            self._count_dropped(loan_id)
            return None
        return self._end(entry, Event.REPORT, outcome, payload, reason, worker=worker, run_s=run_s)

    def lose_loan(self, peer: str, loan_id: int, reason: str, worker: str, run_s: float, log: str = "") -> Lost | None:
        """Take a loan back whose worker was lost while it ran it: an attempt, perhaps the last.

        None where `peer` holds no such loan, which is only counted.
        """
        entry = self._lent_to.get(peer, {}).get(loan_id)
        if entry is None:
            self._count_dropped(loan_id)
            return None
        return self._lose(entry, reason, worker=worker, run_s=run_s, log=log)

    def refuse_loan(self, peer: str, loan_id: int) -> Lease | None:
        """Take a loan back that `peer` could not run, to the front and without an attempt; None where it holds none.

        It stays at home from now on.
        """
        entry = self._lent_to.get(peer, {}).get(loan_id)
        if entry is None:
            return None
        entry.stays_home = True
        return self._reclaim([entry])[0]

    def reclaim(self, peer: str, loan_ids: Collection[int] | None = None) -> list[Lease]:
        """Take loans of a lost peer back, to the front of the queue and without an attempt: these, or all."""
        loans = self._lent_to.get(peer, {})
        numbers = list(loans) if loan_ids is None else loan_ids
        return self._reclaim([loans[number] for number in numbers if number in loans])

    def withdraw(self) -> list[Task]:
        """Take back every task of this host that no worker runs, here or as far as peers have said; no results."""
        unbegun = [entry for entry in self._lent.values() if not entry.has_begun]
        for entry in unbegun:
            self._remember(entry)
            self._withdraw(entry)
            self._release(entry)
        self._n_withdrawn += len(unbegun)
        return [*super().withdraw(), *(entry.task for entry in unbegun)]

    def counts(self) -> Counts:
        """Totals at this moment."""
        return msgspec.structs.replace(super().counts(), n_lent=len(self._lent), n_reclaimed=self._n_reclaimed)

    def _lend(self, entry: Entry, peer: str, now: float) -> Lease:
        entry.state = next_state(entry.state, Event.LEND)
        self._n_leases_given += 1
        loan = Lease(id=self._n_leases_given, task=entry.task, worker=peer, attempt=entry.attempt, expires_at=math.inf)
        entry.lease = loan
        entry.granted_at = now
        entry.has_begun = False
        self._lent[loan.id] = entry
        self._lent_to.setdefault(peer, {})[loan.id] = entry
        return loan

    def _reclaim(self, entries: Sequence[Entry]) -> list[Lease]:
        loans = []
        # The last one first, so that the first of them is at the very front again.
        for entry in reversed(entries):
            entry.state = next_state(entry.state, Event.RECLAIM)
            loans.append(self._remember(entry))
            self._release(entry)
            self._queue.appendleft(entry)
        self._n_reclaimed += len(loans)
        return loans[::-1]

    def _release(self, entry: Entry) -> None:
        loan = entry.held
        if self._lent.pop(loan.id, None) is None:
            super()._release(entry)
            return
        of_peer = self._lent_to[loan.worker]
        del of_peer[loan.id]
        if not of_peer:
            del self._lent_to[loan.worker]
        entry.lease = None
