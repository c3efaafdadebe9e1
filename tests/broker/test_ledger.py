import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from evoae_cli.broker.ledger import TRANSITIONS, Event, IllegalEventError, Ledger, State, next_state
from evoae_cli.broker.task import MAX_PAYLOAD, Lease, Task, TaskResult
from evoae_cli.outcome import Outcome

LEASE_S = 10.0


def a_task(number: int) -> Task:
    return Task(id=number, payload=b"", name=f"task {number}")


def a_ledger(n_tasks: int, max_attempts: int = 3) -> Ledger:
    ledger = Ledger(LEASE_S, max_attempts)
    ledger.submit([a_task(number) for number in range(1, n_tasks + 1)])
    return ledger


def lease(ledger: Ledger, worker: str = "a", now: float = 0.0) -> Lease:
    granted = ledger.lease(worker, now)
    assert granted is not None
    return granted


def report(ledger: Ledger, lease_id: int, now: float = 1.0) -> TaskResult | None:
    return ledger.report(lease_id, Outcome.OK, b"found", "", now)


@pytest.mark.parametrize("pair", sorted(itertools.product(State, Event)))
def test_an_event_is_either_in_the_table_or_raises(pair: tuple[State, Event]) -> None:
    if pair in TRANSITIONS:
        assert next_state(*pair) == TRANSITIONS[pair]
    else:
        with pytest.raises(IllegalEventError, match=f"{pair[0]} cannot {pair[1]}"):
            next_state(*pair)


@pytest.mark.parametrize("state", [State.DONE, State.WITHDRAWN])
def test_nothing_happens_to_a_task_that_has_ended(state: State) -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] == state]


def test_every_state_can_be_reached_from_queued() -> None:
    reached = {State.QUEUED}
    for _ in State:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == set(State)


def test_tasks_are_leased_in_the_order_of_submission() -> None:
    ledger = a_ledger(3)
    assert [lease(ledger, worker).task.id for worker in "abc"] == [1, 2, 3]
    assert ledger.lease("d", 0.0) is None


def test_a_report_ends_the_task_with_what_the_worker_found_and_how_long_it_took() -> None:
    ledger = a_ledger(1)
    result = report(ledger, lease(ledger, "a", now=3.0).id, now=5.5)
    assert result == TaskResult(task_id=1, outcome=Outcome.OK, payload=b"found", worker="a", attempt=1, run_s=2.5)
    assert ledger.counts().n_done == 1
    assert ledger.counts().n_leased == 0


def test_a_worker_cannot_hold_two_leases() -> None:
    ledger = a_ledger(2)
    lease(ledger, "a")
    with pytest.raises(ValueError, match="a already holds lease 1"):
        ledger.lease("a", 0.0)
    assert ledger.counts().n_queued == 1


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([a_task(7), a_task(7)], "task id 7 is used twice"),
        ([a_task(7), a_task(1)], "task id 1 is used twice"),
        ([a_task(7), Task(id=8, payload=bytes(MAX_PAYLOAD + 1))], "task 8 has 60001 bytes; at most 60000"),
    ],
)
def test_a_submission_that_is_refused_takes_no_task_at_all(tasks: list[Task], message: str) -> None:
    ledger = a_ledger(1)
    with pytest.raises(ValueError, match=message):
        ledger.submit(tasks)
    assert ledger.counts().n_queued == 1


def test_a_lease_runs_out_unless_it_is_renewed() -> None:
    ledger = a_ledger(2)
    silent, beating = lease(ledger, "a", now=0.0), lease(ledger, "b", now=1.0)
    assert ledger.next_deadline() == LEASE_S
    assert ledger.renew(silent.id, now=2.0)
    assert ledger.next_deadline() == 1.0 + LEASE_S
    assert ledger.renew(beating.id, now=9.0)
    assert ledger.next_deadline() == 2.0 + LEASE_S
    assert ledger.expire(now=11.9) == []
    assert [lost.lease.id for lost in ledger.expire(now=12.0)] == [silent.id]
    assert not ledger.renew(silent.id, now=12.0)
    assert ledger.next_deadline() == 9.0 + LEASE_S


def test_a_pause_in_which_nobody_listened_counts_for_no_lease() -> None:
    ledger = a_ledger(2)
    first, second = lease(ledger, "a", now=0.0), lease(ledger, "b", now=4.0)
    ledger.extend(100.0)
    assert ledger.next_deadline() == 110.0
    assert ledger.expire(now=109.9) == []
    assert [lost.lease.id for lost in ledger.expire(now=112.0)] == [first.id]
    assert ledger.renew(second.id, now=112.0)
    assert ledger.next_deadline() == 122.0


def test_a_failure_of_the_host_is_told_apart() -> None:
    ledger = a_ledger(1)
    result = ledger.report(lease(ledger).id, Outcome.CRASHED, b"", "disk full", 1.0, is_host_failure=True)
    assert result is not None
    assert result.is_host_failure


def test_a_lost_task_is_the_next_to_be_leased_in_its_next_attempt() -> None:
    ledger = a_ledger(3)
    lease(ledger, "a")
    lost = ledger.lose("a", "killed by SIGKILL", 1.0)
    assert lost is not None
    assert lost.result is None
    again = lease(ledger, "b", now=1.0)
    assert (again.task.id, again.attempt, again.expires_at) == (1, 2, 1.0 + LEASE_S)


def test_a_worker_lost_before_it_began_costs_no_attempt() -> None:
    ledger = a_ledger(2)
    for _ in range(5):
        lease(ledger, "a")
        lost = ledger.lose("a", "", 0.0, has_begun=False)
        assert lost is not None
        assert lost.result is None
    again = lease(ledger, "a")
    assert (again.task.id, again.attempt) == (1, 1)


def test_a_lost_worker_that_held_nothing_changes_nothing() -> None:
    ledger = a_ledger(1)
    before = ledger.counts()
    assert ledger.lose("a", "exit code 1", 0.0) is None
    assert ledger.counts() == before


def test_a_task_that_loses_three_workers_ends_as_crashed_with_the_reason() -> None:
    ledger = a_ledger(1)
    for worker in "ab":
        lease(ledger, worker)
        lost = ledger.lose(worker, "exit code 1", 0.0)
        assert lost is not None
        assert lost.result is None
    lease(ledger, "c", now=1.0)
    lost = ledger.lose("c", "killed by SIGSEGV", 3.0)
    assert lost is not None
    assert lost.result == TaskResult(
        task_id=1,
        outcome=Outcome.CRASHED,
        reason="3 workers were lost while they ran it; the last one: killed by SIGSEGV",
        worker="c",
        attempt=3,
        run_s=2.0,
    )
    assert ledger.counts().n_lost_leases == 3
    assert ledger.counts().n_queued == 0


def test_the_last_attempt_runs_alone() -> None:
    ledger = a_ledger(3)
    lease(ledger, "a")
    ledger.lose("a", "", 0.0)
    lease(ledger, "a")
    other = lease(ledger, "b")
    ledger.lose("a", "", 0.0)
    assert ledger.lease("a", 0.0) is None, "task 2 still runs"
    report(ledger, other.id)
    alone = lease(ledger, "a")
    assert (alone.task.id, alone.attempt) == (1, 3)
    assert ledger.lease("b", 0.0) is None, "it would not be alone"
    report(ledger, alone.id)
    assert lease(ledger, "b").task.id == 3


def test_a_late_a_duplicate_and_an_unknown_report_are_dropped_and_counted_apart() -> None:
    ledger = a_ledger(1)
    late = lease(ledger, "a")
    ledger.lose("a", "", 0.0)
    accepted = lease(ledger, "b")
    assert report(ledger, late.id) is None
    assert report(ledger, accepted.id) is not None
    assert report(ledger, accepted.id) is None
    for nonsense in (0, -1, 99):
        assert report(ledger, nonsense) is None
    counts = ledger.counts()
    assert (counts.n_done, counts.n_late, counts.n_duplicate, counts.n_unknown) == (1, 1, 1, 3)


def test_withdrawing_takes_back_what_waits_and_leaves_what_runs() -> None:
    ledger = a_ledger(4)
    lease(ledger, "a")
    ledger.lose("a", "", 0.0)
    running = [lease(ledger, worker) for worker in "ab"]
    ledger.lose("a", "", 0.0)
    assert [task.id for task in ledger.withdraw()] == [1, 3, 4]
    assert ledger.counts().n_withdrawn == 3
    assert report(ledger, running[1].id) is not None
    assert ledger.lease("a", 0.0) is None
    ledger.submit([a_task(1)])


# Sums of eighths are exact, whatever their order: the model must not differ from the ledger by a rounding.
EIGHTHS = st.integers(0, int(16 * LEASE_S)).map(lambda eighths: eighths / 8)


class LedgerAgainstModel(RuleBasedStateMachine):
    """Any order of events: no task lost, none ended twice, leases unique, the queue's order kept."""

    @initialize(max_attempts=st.integers(1, 4))
    def begin(self, max_attempts: int) -> None:
        self.max_attempts = max_attempts
        self.ledger = Ledger(LEASE_S, max_attempts)
        self.now = 0.0
        self.n_submitted = 0
        self.queue: list[int] = []
        self.lost_workers: dict[int, int] = {}
        self.held: dict[str, tuple[Lease, float]] = {}
        self.given: set[int] = set()
        self.lost: set[int] = set()
        self.ended: dict[int, Outcome] = {}
        self.n_late = self.n_duplicate = self.n_unknown = 0

    def end(self, result: TaskResult) -> None:
        assert result.task_id not in self.ended
        self.ended[result.task_id] = result.outcome

    def drop(self, worker: str, result: TaskResult | None, has_begun: bool = True) -> None:
        lease, _ = self.held.pop(worker)
        self.lost.add(lease.id)
        self.lost_workers[lease.task.id] += has_begun
        if self.lost_workers[lease.task.id] == self.max_attempts:
            assert result is not None
            assert result.outcome is Outcome.CRASHED
            self.end(result)
        else:
            assert result is None
            self.queue.insert(0, lease.task.id)

    @rule(n=st.integers(1, 4))
    def submit(self, n: int) -> None:
        ids = range(self.n_submitted, self.n_submitted + n)
        self.n_submitted += n
        self.ledger.submit([a_task(number) for number in ids])
        self.queue += ids
        self.lost_workers |= dict.fromkeys(ids, 0)

    @rule(worker=st.sampled_from("abcd"))
    def lease(self, worker: str) -> None:
        if worker in self.held:
            return
        n_lost = self.lost_workers[self.queue[0]] if self.queue else 0
        is_alone_next = 0 < n_lost == self.max_attempts - 1
        is_alone_now = any(1 < lease.attempt == self.max_attempts for lease, _ in self.held.values())
        granted = self.ledger.lease(worker, self.now)
        if not self.queue or is_alone_now or (is_alone_next and self.held):
            assert granted is None
            return
        assert granted is not None
        assert granted.task.id == self.queue.pop(0)
        assert granted.attempt == n_lost + 1
        assert granted.id not in self.given
        self.given.add(granted.id)
        self.held[worker] = (granted, self.now + LEASE_S)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.held)))
        lease, _ = self.held[worker]
        assert self.ledger.renew(lease.id, self.now)
        self.held[worker] = (lease, self.now + LEASE_S)

    @rule(gap_s=EIGHTHS)
    def extend(self, gap_s: float) -> None:
        self.now += gap_s
        self.ledger.extend(gap_s)
        self.held = {worker: (lease, expires_at + gap_s) for worker, (lease, expires_at) in self.held.items()}

    @rule(wait_s=EIGHTHS)
    def expire(self, wait_s: float) -> None:
        self.now += wait_s
        silent = {worker for worker, (_, expires_at) in self.held.items() if expires_at <= self.now}
        lost = self.ledger.expire(self.now)
        assert {one.lease.worker for one in lost} == silent
        for one in lost:
            self.drop(one.lease.worker, one.result)

    @rule(worker=st.sampled_from("abcd"), has_begun=st.booleans())
    def lose(self, worker: str, has_begun: bool) -> None:
        lost = self.ledger.lose(worker, "gone", self.now, has_begun)
        assert (lost is not None) == (worker in self.held)
        if lost is not None:
            self.drop(worker, lost.result, has_begun)

    @rule(data=st.data(), outcome=st.sampled_from(Outcome))
    def report(self, data: st.DataObject, outcome: Outcome) -> None:
        lease_id = data.draw(st.integers(-1, len(self.given) + 2))
        holder = next((worker for worker, (lease, _) in self.held.items() if lease.id == lease_id), None)
        result = self.ledger.report(lease_id, outcome, b"", "", self.now)
        assert (result is not None) == (holder is not None)
        if holder is not None:
            assert result is not None
            assert result.task_id == self.held.pop(holder)[0].task.id
            self.end(result)
        elif lease_id in self.lost:
            self.lost.remove(lease_id)
            self.n_late += 1
        elif lease_id in self.given:
            self.n_duplicate += 1
        else:
            self.n_unknown += 1

    @rule()
    def withdraw(self) -> None:
        assert [task.id for task in self.ledger.withdraw()] == self.queue
        for number in self.queue:
            del self.lost_workers[number]
        self.queue = []

    @invariant()
    def nothing_is_lost_or_counted_twice(self) -> None:
        counts = self.ledger.counts()
        assert counts.n_queued == len(self.queue)
        assert counts.n_leased == len(self.held)
        assert counts.n_done == len(self.ended)
        assert counts.n_queued + counts.n_leased + counts.n_done + counts.n_withdrawn == self.n_submitted
        assert (counts.n_late, counts.n_duplicate, counts.n_unknown) == (self.n_late, self.n_duplicate, self.n_unknown)
        assert self.ledger.next_deadline() == min((at for _, at in self.held.values()), default=None)


LedgerAgainstModel.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLedgerAgainstModel = LedgerAgainstModel.TestCase
