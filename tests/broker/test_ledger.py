import math

import pytest

from evoae_cli.broker.ledger import Ledger
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


def test_tasks_are_leased_in_the_order_of_submission() -> None:
    ledger = a_ledger(3)
    assert [lease(ledger, worker).task.id for worker in "abc"] == [1, 2, 3]
    assert ledger.lease("d", 0.0) is None


def test_a_task_that_is_given_back_comes_first_again_and_nothing_was_lost() -> None:
    ledger = a_ledger(2)
    first = lease(ledger, "a")
    ledger.give_back("a")
    ledger.give_back("b")
    again = lease(ledger, "b")
    assert (again.task.id, again.attempt) == (first.task.id, 1)
    counts = ledger.counts()
    assert (counts.n_lost_leases, counts.n_queued, counts.n_leased) == (0, 1, 1)
    # Should it be reported all the same, that is late.
    assert report(ledger, first.id) is None
    assert ledger.counts().n_late == 1
    assert report(ledger, again.id) is not None


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
        ([a_task(7), Task(id=8, payload=b"", timeout_s=0.0)], "task 8 may run 0 s; it needs more than 0"),
        ([a_task(7), Task(id=8, payload=b"", timeout_s=math.nan)], "task 8 may run nan s"),
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
    assert ledger.expire(11.9, {}) == []
    assert [lost.lease.id for lost in ledger.expire(12.0, {})] == [silent.id]
    assert not ledger.renew(silent.id, now=12.0)
    assert ledger.next_deadline() == 9.0 + LEASE_S


def test_a_pause_in_which_nobody_listened_counts_for_no_lease() -> None:
    ledger = a_ledger(2)
    first, second = lease(ledger, "a", now=0.0), lease(ledger, "b", now=4.0)
    ledger.extend(100.0)
    assert ledger.next_deadline() == 110.0
    assert ledger.expire(109.9, {}) == []
    assert [lost.lease.id for lost in ledger.expire(112.0, {})] == [first.id]
    assert ledger.renew(second.id, now=112.0)
    assert ledger.next_deadline() == 122.0


@pytest.mark.parametrize("n_lost", [0, 1, 2])
def test_a_task_whose_time_is_up_ends_in_whichever_attempt_however_often_it_beats(n_lost: int) -> None:
    ledger = Ledger(LEASE_S)
    ledger.submit([Task(id=1, payload=b"", timeout_s=30.0)])
    for _ in range(n_lost):
        lease(ledger)
        ledger.lose("a", "gone", 0.0)
    granted = lease(ledger, "b", now=5.0)
    assert granted.ends_at == 35.0
    for now in (10.0, 20.0, 30.0):
        assert ledger.renew(granted.id, now)
    assert ledger.next_deadline() == 35.0
    assert (ledger.due(34.9), ledger.expire(34.9, {})) == ([], [])
    assert ledger.due(35.0) == [granted]
    [lost] = ledger.expire(35.0, {granted.id: "epoch 3"})
    assert (lost.lease, lost.reason) == (granted, "ran longer than 30 s")
    assert lost.result == TaskResult(
        task_id=1,
        outcome=Outcome.TIMEOUT,
        reason="ran longer than 30 s",
        worker="b",
        attempt=n_lost + 1,
        run_s=30.0,
        log="epoch 3",
    )
    assert report(ledger, granted.id) is None
    assert (ledger.counts().n_done, ledger.counts().n_late) == (1, 1)


def test_a_pause_moves_the_end_of_a_tasks_time_too() -> None:
    ledger = Ledger(LEASE_S)
    ledger.submit([Task(id=1, payload=b"", timeout_s=4.0)])
    granted = lease(ledger)
    ledger.extend(100.0)
    assert ledger.next_deadline() == 104.0
    assert ledger.expire(103.9, {}) == []
    assert [lost.lease for lost in ledger.expire(104.0, {})] == [granted]


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
        is_worker_loss=True,
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
