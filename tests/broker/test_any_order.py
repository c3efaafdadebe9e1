"""Whatever happens in whatever order, the ledger and the broker do what a simple model of them says."""

import math
from collections import Counter
from queue import SimpleQueue

from hypothesis import given, note, settings
from hypothesis import strategies as st

from evoae_cli.broker.broker import Broker
from evoae_cli.broker.ledger import MAX_LOST_KNOWN, Ledger
from evoae_cli.broker.lending import LendingLedger
from evoae_cli.broker.task import Lease, Lost, Task, TaskResult
from evoae_cli.outcome import Outcome

LEASE_S = 10.0
N_EXAMPLES, N_STEPS = 250, 500
LIMITS = (None, None, 0.25, 30.0)
OUTCOMES = tuple(Outcome)
PEERS = ("peer 0", "peer 1")
LENDER = "lender"


class Held:
    """What the model knows of a lease."""

    def __init__(self, lease: Lease, now: float) -> None:
        self.lease = lease
        self.expires_at = now + LEASE_S
        self.ends_at = math.inf if lease.task.timeout_s is None else now + lease.task.timeout_s

    def deadline(self) -> float:
        return min(self.expires_at, self.ends_at)


class Loan:
    """What the model knows of a task that a peer has."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.has_begun = False


class Model:
    """A ledger, a broker, and what they should say; an event takes a number, 0 to 255, from which all else follows."""

    def __init__(self, max_attempts: int, happened: Counter[str]) -> None:
        self.max_attempts = max_attempts
        self.happened = happened
        self.ledger = LendingLedger(LEASE_S, max_attempts)
        self.broker = Broker(LEASE_S, max_attempts=max_attempts, clock=lambda: self.now)
        self.results: SimpleQueue[TaskResult | None] = self.broker.results
        self.outbox = self.broker.open_outbox(LENDER)
        self.now = 0.0
        self.workers = [f"worker {number}" for number in range(4)]
        self.n_workers = 4
        self.open: set[int] = set()
        self.queue: list[int] = []
        self.borrowed: list[int] = []
        self.loans: dict[int, Loan] = {}
        self.refused: set[int] = set()
        self.n_attempts: dict[int, int] = {}
        self.held: dict[str, Held] = {}
        self.n_given = 0
        self.lost: set[int] = set()
        self.n_submitted = self.n_done = self.n_withdrawn = 0
        self.n_borrowed = self.n_helped = self.n_given_up = self.n_reclaimed = 0
        self.n_lost = self.n_late = self.n_duplicate = self.n_unknown = 0

    def submit(self, number: int) -> None:
        timeout_s = LIMITS[number // 3 % 4]
        ids = range(self.n_submitted, self.n_submitted + 1 + number % 3)
        tasks = [Task(id=i, payload=b"", timeout_s=timeout_s, may_travel=may_travel(i)) for i in ids]
        self.n_submitted += len(tasks)
        self.add(tasks)
        self.queue += ids

    def borrow(self, number: int) -> None:
        timeout_s = LIMITS[number // 2 % 4]
        tasks = [
            Task(id=-self.n_borrowed - i, payload=b"", timeout_s=timeout_s, lender=LENDER)
            for i in range(1, 2 + number % 2)
        ]
        self.n_borrowed += len(tasks)
        self.add(tasks)
        self.borrowed += [task.id for task in tasks]

    def add(self, tasks: list[Task]) -> None:
        self.ledger.submit(tasks)
        self.broker.submit(tasks)
        self.open |= {task.id for task in tasks}
        self.n_attempts |= {task.id: 0 for task in tasks}

    def lease(self, number: int) -> None:
        worker = self.workers[number % 4]
        if worker in self.held:
            return
        granted = self.ledger.lease(worker, self.now)
        assert self.broker.lease(worker) == granted
        queue = self.queue or self.borrowed
        n_lost = self.n_attempts[queue[0]] if queue else 0
        is_alone_next = 0 < n_lost == self.max_attempts - 1
        is_alone_now = any(1 < held.lease.attempt == self.max_attempts for held in self.held.values())
        if not queue or is_alone_now or (is_alone_next and self.held):
            assert granted is None
            return
        assert granted is not None
        self.n_given += 1
        assert (granted.id, granted.task.id, granted.attempt) == (self.n_given, queue.pop(0), n_lost + 1)
        self.held[worker] = Held(granted, self.now)

    def heartbeat(self, number: int) -> None:
        """Of a lease that is held, was held once, or never was."""
        lease_id = self.a_lease_id(number)
        held = next((held for held in self.held.values() if held.lease.id == lease_id), None)
        assert self.ledger.renew(lease_id, self.now) == (held is not None)
        assert self.broker.renew(lease_id) == (held is not None)
        if held is not None:
            held.expires_at = self.now + LEASE_S

    def pause(self, number: int) -> None:
        # Sums of parts of two are exact, whatever their order: the model never differs by a rounding.
        gap_s = number / 8
        self.now += gap_s
        self.ledger.extend(gap_s)
        self.broker.extend(gap_s)
        for held in self.held.values():
            held.expires_at += gap_s
            held.ends_at += gap_s

    def expire(self, number: int) -> None:
        self.now += number / 16
        due = {held.lease.id: held for held in self.held.values() if held.deadline() <= self.now}
        assert {lease.id for lease in self.ledger.due(self.now)} == set(due)
        assert self.broker.due(self.now) == self.ledger.due(self.now)
        logs = {lease_id: f"log of lease {lease_id}" for lease_id in due}
        # Every other worker had not begun.
        unbegun = {lease_id for lease_id in due if lease_id % 2}
        lost = self.ledger.expire(self.now, logs, unbegun)
        told: list[Lost] = []
        assert self.broker.expire(None, logs, unbegun, tell=told.append) == lost == told
        assert {one.lease.id for one in lost} == set(due)
        for one in lost:
            held = due[one.lease.id]
            assert one.result is None or one.result.log == logs[one.lease.id]
            self.take(held)
            if held.ends_at <= self.now and one.lease.id not in unbegun:
                self.end(held.lease, one.result, Outcome.TIMEOUT)
                self.happened["timed out"] += 1
            else:
                self.try_again(held.lease, one, has_begun=one.lease.id not in unbegun)

    def die(self, number: int) -> None:
        """A worker is lost, before it has begun or after, or while it has nothing to do."""
        worker, has_begun = self.workers[number % 4], number % 8 < 4
        lost = self.ledger.lose(worker, "gone", self.now, has_begun)
        assert self.broker.lose(worker, "gone", has_begun) == lost
        held = self.held.get(worker)
        assert (lost is None) == (held is None)
        if held is not None:
            assert lost is not None
            self.take(held)
            self.try_again(held.lease, lost, has_begun)

    def report(self, number: int) -> None:
        held = self.held.pop(self.workers[number % 4], None)
        if held is not None:
            outcome = OUTCOMES[number // 4 % len(OUTCOMES)]
            self.end(held.lease, self.both_report(held.lease.id, outcome), outcome)

    def report_what_is_not_held(self, number: int) -> None:
        """Late, a second time, or of a lease that never was."""
        lease_id = self.a_lease_id(number)
        if any(held.lease.id == lease_id for held in self.held.values()) or lease_id in self.loans:
            return
        if number % 2:
            assert self.both_report(lease_id, Outcome.OK) is None
        else:
            assert self.both_report_loan(PEERS[0], lease_id, Outcome.OK) is None
        if lease_id in self.lost:
            self.lost.remove(lease_id)
            self.n_late += 1
            self.happened["late"] += 1
        elif 1 <= lease_id <= self.n_given:
            self.n_duplicate += 1
            self.happened["duplicate"] += 1
        else:
            self.n_unknown += 1
            self.happened["unknown"] += 1

    def drain(self, number: int) -> None:
        """A worker reports what it has, and is never seen again; one of another name comes."""
        self.report(number)
        self.workers[number % 4] = f"worker {self.n_workers}"
        self.n_workers += 1

    def withdraw(self, number: int) -> None:
        # Rarely: it would leave little to do for the others.
        if number < 200:
            return
        unbegun = [loan.lease for loan in self.loans.values() if not loan.has_begun]
        taken = [*self.queue, *(loan.task.id for loan in unbegun)]
        assert [task.id for task in self.ledger.withdraw()] == taken
        assert self.broker.withdraw() == len(taken)
        self.n_withdrawn += len(taken)
        self.happened["withdrawn"] += len(taken)
        self.open -= set(taken)
        self.queue.clear()
        for loan in unbegun:
            del self.loans[loan.id]
            self.lost.add(loan.id)

    def lend(self, number: int) -> None:
        peer = PEERS[number % 2]
        n_idle, n_ahead, n_left = number // 2 % 3, number // 6 % 3, number // 18 % 4
        granted = self.ledger.lend(peer, self.now, n_idle=n_idle, n_ahead=n_ahead, n_left=n_left)
        assert self.broker.lend(peer, n_idle=n_idle, n_ahead=n_ahead, n_left=n_left) == granted
        n = n_idle + max(0, min(n_ahead, len(self.queue) - n_idle - n_left))
        away = [task for task in self.queue if may_travel(task) and task not in self.refused]
        fit = [task for task in away if not self.n_attempts[task]][:n]
        assert [loan.task.id for loan in granted] == fit
        for loan in granted:
            self.n_given += 1
            assert (loan.id, loan.worker, loan.attempt) == (self.n_given, peer, 1)
            self.queue.remove(loan.task.id)
            self.loans[loan.id] = Loan(loan)
            self.happened["lent"] += 1

    def of_peer(self, peer: str) -> list[Lease]:
        return [loan.lease for loan in self.loans.values() if loan.lease.worker == peer]

    def sync(self, number: int) -> None:
        """A peer has lost some of its loans on the way, runs others, and has one that it should not have."""
        peer, other = PEERS[number % 2], PEERS[1 - number % 2]
        kept: list[Lease] = []
        lost: list[Lease] = []
        for loan in self.of_peer(peer):
            (lost if loan.id % 8 == number // 2 % 8 else kept).append(loan)
        running = {loan.id for loan in kept if loan.id % 2}
        wrong = [loan.id for loan in self.of_peer(other)][:1] or [self.n_given + 5]
        held = [*(loan.id for loan in kept), *wrong]
        synced = self.ledger.sync(peer, held, {*running, *wrong})
        assert self.broker.sync(peer, held, {*running, *wrong}) == synced == (lost, wrong)
        for loan_id in running:
            self.loans[loan_id].has_begun = True
        self.reclaimed(lost)

    def reclaim(self, number: int) -> None:
        peer = PEERS[number % 2]
        loans = self.of_peer(peer)
        if number % 4 < 2:
            assert self.ledger.reclaim(peer) == self.broker.reclaim(peer) == loans
            self.reclaimed(loans)
        elif loans:
            assert self.ledger.refuse_loan(peer, loans[-1].id) == self.broker.refuse_loan(peer, loans[-1].id)
            self.reclaimed(loans[-1:])
            self.refused.add(loans[-1].task.id)
        else:
            assert self.ledger.refuse_loan(peer, 1) is self.broker.refuse_loan(peer, 1) is None

    def reclaimed(self, loans: list[Lease]) -> None:
        self.queue[:0] = [loan.task.id for loan in loans]
        self.n_reclaimed += len(loans)
        self.happened["reclaimed"] += len(loans)
        for loan in loans:
            del self.loans[loan.id]
            self.lost.add(loan.id)

    def report_loan(self, number: int) -> None:
        peer = PEERS[number % 2]
        for loan in self.of_peer(peer)[:1]:
            outcome = OUTCOMES[number // 4 % len(OUTCOMES)]
            # Only the peer that has it can report it; from another it is a report of nothing.
            del self.loans[loan.id]
            self.end(loan, self.both_report_loan(peer, loan.id, outcome), outcome)
            self.happened["loan reported"] += 1

    def lose_loan(self, number: int) -> None:
        """A peer's worker is lost: it counts, and the task stays at home from then on."""
        peer = PEERS[number % 2]
        for loan in self.of_peer(peer)[:1]:
            lost = self.ledger.lose_loan(peer, loan.id, "gone", "there", 1.0, "log")
            told: list[Lost] = []
            again = self.broker.lose_loan(peer, loan.id, "gone", worker="there", run_s=1.0, log="log", tell=told.append)
            assert lost is not None
            assert again == lost == told[0]
            del self.loans[loan.id]
            self.lost.add(loan.id)
            self.n_lost += 1
            self.try_again(loan, lost, has_begun=True)
            self.happened["loan lost"] += 1

    def a_lease_id(self, number: int) -> int:
        """One of the latest, or one that was never given."""
        return max(-1, self.n_given + 1 - number % 32)

    def both_report(self, lease_id: int, outcome: Outcome) -> TaskResult | None:
        result = self.ledger.report(lease_id, outcome, b"", "", self.now)
        assert self.broker.report(lease_id, outcome) == result
        return result

    def both_report_loan(self, peer: str, loan_id: int, outcome: Outcome) -> TaskResult | None:
        result = self.ledger.report_loan(peer, loan_id, outcome, b"", "", peer, 1.0)
        assert self.broker.report_loan(peer, loan_id, outcome, b"", "", worker=peer, run_s=1.0) == result
        return result

    def take(self, held: Held) -> None:
        del self.held[held.lease.worker]
        self.lost.add(held.lease.id)
        self.n_lost += 1

    def try_again(self, lease: Lease, lost: Lost, has_begun: bool) -> None:
        number, is_borrowed = lease.task.id, bool(lease.task.lender)
        self.n_attempts[number] += has_begun
        if has_begun and (is_borrowed or self.n_attempts[number] >= self.max_attempts):
            assert lost.result is not None
            assert lost.result.is_worker_loss
            self.end(lease, lost.result, Outcome.CRASHED)
            self.happened["borrowed and lost" if is_borrowed else "given up"] += 1
        else:
            assert lost.result is None
            (self.borrowed if is_borrowed else self.queue).insert(0, number)
            self.happened["tried again" if has_begun else "returned"] += 1

    def end(self, lease: Lease, result: TaskResult | None, outcome: Outcome) -> None:
        """A task ends once, under the lease that it was under, and the broker has the same result."""
        assert result is not None
        assert (result.task_id, result.outcome) == (lease.task.id, outcome)
        where = "there" if lease.worker in PEERS and result.is_worker_loss else lease.worker
        assert (result.worker, result.attempt, result.lender) == (where, lease.attempt, lease.task.lender)
        assert (self.outbox if result.lender else self.results).get_nowait() == result
        self.open.remove(result.task_id)
        if result.lender:
            self.n_helped += 1
        else:
            self.n_done += 1
        self.happened["ended"] += 1

    def check(self) -> None:
        counts = self.ledger.counts()
        assert self.broker.counts() == counts
        assert (counts.n_queued, counts.n_leased) == (len(self.queue), len(self.held))
        assert (counts.n_borrowed, counts.n_lent) == (len(self.borrowed), len(self.loans))
        assert (counts.n_done, counts.n_withdrawn) == (self.n_done, self.n_withdrawn)
        assert (counts.n_helped, counts.n_reclaimed) == (self.n_helped, self.n_reclaimed)
        n_running = sum(not held.lease.task.lender for held in self.held.values())
        n_own = counts.n_queued + n_running + counts.n_lent + counts.n_done + counts.n_withdrawn
        assert n_own == self.n_submitted
        n_here = counts.n_borrowed + counts.n_leased - n_running + counts.n_helped + self.n_given_up
        assert n_here == self.n_borrowed
        assert (counts.n_late, counts.n_duplicate, counts.n_unknown) == (self.n_late, self.n_duplicate, self.n_unknown)
        assert counts.n_lost_leases == self.n_lost
        deadline = min((held.deadline() for held in self.held.values()), default=None)
        assert self.ledger.next_deadline() == self.broker.next_deadline() == deadline
        assert self.results.empty(), "a result for nothing that has ended"
        assert self.outbox.empty(), "a result for nothing that has ended"
        # Nothing of a task is kept longer than the task, and nothing of a worker longer than its lease.
        expected = {
            "_open": len(self.open),
            "_queue": len(self.queue),
            "_leased": len(self.held),
            "_lease_of": len(self.held),
            "_lost_known": len(self.lost),
            "_borrowed": len(self.borrowed),
            "_lent": len(self.loans),
            "_lent_to": len({loan.lease.worker for loan in self.loans.values()}),
        }
        for ledger in (self.ledger, self.broker._ledger):
            assert {name: len(part) for name, part in vars(ledger).items() if hasattr(part, "__len__")} == expected

    def give_up_borrowed(self, number: int) -> None:
        """The lender wants some back that no worker has begun."""
        ids = [task for task in self.borrowed if task % 4 == number % 4]
        assert [task.id for task in self.ledger.give_up_borrowed(lambda task: task.id in ids)] == ids
        assert [task.id for task in self.broker.give_up_borrowed(LENDER, ids)] == ids
        self.borrowed = [task for task in self.borrowed if task not in ids]
        self.open -= set(ids)
        self.n_given_up += len(ids)
        self.happened["given back"] += len(ids)


def may_travel(task: int) -> bool:
    return task % 5 > 0


EVENTS = (
    Model.pause,
    Model.submit,
    Model.lease,
    Model.lease,
    Model.lease,
    Model.heartbeat,
    Model.expire,
    Model.die,
    Model.report,
    Model.report_what_is_not_held,
    Model.drain,
    Model.withdraw,
    Model.borrow,
    Model.give_up_borrowed,
    Model.lend,
    Model.lend,
    Model.sync,
    Model.reclaim,
    Model.report_loan,
    Model.lose_loan,
)


def test_whatever_happens_in_whatever_order_is_as_the_model_says() -> None:
    """No task is lost or reported twice, no two leases are alike, the queue keeps its order, and nothing piles up."""
    happened: Counter[str] = Counter()

    @settings(max_examples=N_EXAMPLES, deadline=None)
    @given(max_attempts=st.integers(1, 4), steps=st.binary(min_size=2 * N_STEPS, max_size=2 * N_STEPS))
    def take_steps(max_attempts: int, steps: bytes) -> None:
        model = Model(max_attempts, happened)
        for which, number in zip(steps[::2], steps[1::2], strict=True):
            event = EVENTS[which % len(EVENTS)]
            note(f"{event.__name__} {number}")
            event(model, number)
            model.check()
            happened["step"] += 1

    take_steps()
    assert happened["step"] >= 100_000
    own = ("late", "duplicate", "unknown", "withdrawn", "timed out", "given up", "tried again", "returned")
    lending = ("lent", "reclaimed", "loan reported", "loan lost", "borrowed and lost", "given back")
    for what in (*own, *lending):
        assert happened[what] >= 100, what


def test_lost_leases_are_remembered_up_to_a_number_and_older_ones_count_as_duplicates() -> None:
    ledger = Ledger(LEASE_S)
    ledger.submit([Task(id=1, payload=b"")])
    n = MAX_LOST_KNOWN + 10
    for _ in range(n):
        ledger.lease("a", 0.0)
        ledger.lose("a", "gone", 0.0, has_begun=False)
    for lease_id in range(1, n + 1):
        ledger.report(lease_id, Outcome.OK, b"", "", 0.0)
    counts = ledger.counts()
    assert (counts.n_late, counts.n_duplicate) == (MAX_LOST_KNOWN, 10)
