import threading
import tracemalloc
from queue import Empty

import pytest

from evoae_cli.broker.broker import Broker
from evoae_cli.broker.task import Lost, Task
from evoae_cli.outcome import Outcome


def tasks(*ids: int) -> list[Task]:
    return [Task(id=number, payload=b"") for number in ids]


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_finished_task_appears_among_the_results_once() -> None:
    broker = Broker(10.0)
    broker.submit(tasks(1))
    lease = broker.lease("a")
    assert lease is not None
    assert broker.report(lease.id, Outcome.OK, b"found") is not None
    assert broker.report(lease.id, Outcome.OK, b"found") is None
    result = broker.results.get_nowait()
    assert result is not None
    assert (result.task_id, result.payload) == (1, b"found")
    with pytest.raises(Empty):
        broker.results.get_nowait()


def test_a_lease_that_runs_out_on_the_brokers_clock_is_given_again() -> None:
    clock = Clock()
    broker = Broker(10.0, clock=clock)
    broker.submit(tasks(1))
    first = broker.lease("a")
    assert first is not None
    clock.now = 5.0
    assert broker.renew(first.id)
    assert broker.next_deadline() == 15.0
    clock.now = 15.0
    assert [lost.lease for lost in broker.expire()] == [first]
    assert not broker.renew(first.id)
    again = broker.lease("b")
    assert again is not None
    assert (again.task.id, again.attempt) == (1, 2)
    assert broker.report(first.id, Outcome.OK) is None
    assert broker.counts().n_late == 1


def test_leases_run_out_only_as_far_as_somebody_listened() -> None:
    clock = Clock()
    broker = Broker(10.0, clock=clock)
    broker.submit(tasks(1, 2))
    first, second = broker.lease("a"), broker.lease("b")
    clock.now = 100.0
    assert broker.expire(by=9.0) == []
    broker.extend(95.0)
    assert broker.expire() == []
    clock.now = 105.0
    assert [lost.lease for lost in broker.expire()] == [first, second]


def test_a_failure_of_the_host_is_told_apart() -> None:
    broker = Broker(10.0)
    broker.submit(tasks(1, 2))
    for worker, is_host_failure in (("a", True), ("b", False)):
        lease = broker.lease(worker)
        assert lease is not None
        broker.report(lease.id, Outcome.CRASHED, reason="disk full", is_host_failure=is_host_failure)
        result = broker.results.get_nowait()
        assert result is not None
        assert (result.reason, result.is_host_failure) == ("disk full", is_host_failure)


def test_a_task_that_ends_by_losing_workers_is_a_result_too() -> None:
    broker = Broker(10.0, max_attempts=1)
    broker.submit(tasks(1))
    broker.lease("a")
    broker.lose("a", "exit code 3")
    result = broker.results.get_nowait()
    assert result is not None
    assert result.outcome is Outcome.CRASHED
    assert "exit code 3" in result.reason


def test_a_lost_lease_is_told_before_its_result_can_be_had() -> None:
    clock = Clock()
    broker = Broker(10.0, max_attempts=1, clock=clock)
    broker.submit([Task(id=1, payload=b"", timeout_s=5.0), *tasks(2)])
    told: list[tuple[int, str, bool]] = []

    def tell(lost: Lost) -> None:
        told.append((lost.lease.task.id, lost.reason, broker.results.empty()))

    first, _ = broker.lease("a"), broker.lease("b")
    clock.now = 5.0
    assert broker.due(clock.now) == [first]
    broker.expire(tell=tell)
    timed_out = broker.results.get_nowait()
    broker.lose("b", "gone", log="its last words", tell=tell)
    lost = broker.results.get_nowait()
    assert timed_out is not None
    assert lost is not None
    assert (timed_out.outcome, timed_out.log) == (Outcome.TIMEOUT, "")
    assert (lost.outcome, lost.log) == (Outcome.CRASHED, "its last words")
    assert told == [(1, "ran longer than 5 s", True), (2, "gone", True)]


def test_a_waiting_worker_gets_the_task_that_is_submitted_meanwhile() -> None:
    broker = Broker(10.0)
    got: list[int] = []

    def work() -> None:
        while (lease := broker.lease("a", timeout_s=60.0)) is not None and lease.task.id:
            got.append(lease.task.id)
            broker.report(lease.id, Outcome.OK)

    thread = threading.Thread(target=work)
    thread.start()
    broker.submit(tasks(1, 2))
    assert broker.results.get() is not None
    assert broker.results.get() is not None
    broker.submit(tasks(0))
    thread.join()
    assert got == [1, 2]


def test_a_waiting_worker_gets_the_task_that_another_one_lost() -> None:
    broker = Broker(10.0)
    broker.submit(tasks(1))
    broker.lease("a")
    attempts: list[int] = []

    def work() -> None:
        lease = broker.lease("b", timeout_s=60.0)
        assert lease is not None
        attempts.append(lease.attempt)

    thread = threading.Thread(target=work)
    thread.start()
    broker.lose("a", "gone")
    thread.join()
    assert attempts == [2]


def test_a_lease_that_nobody_can_have_ends_waiting_with_none() -> None:
    assert Broker(10.0).lease("a", timeout_s=0.001) is None


def test_many_threads_end_each_task_once() -> None:
    broker = Broker(10.0)
    broker.submit(tasks(*range(500)))

    def work(worker: str) -> None:
        while (lease := broker.lease(worker)) is not None:
            broker.report(lease.id, Outcome.OK)

    threads = [threading.Thread(target=work, args=(f"worker {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended = [broker.results.get_nowait() for _ in range(500)]
    assert sorted(result.task_id for result in ended if result is not None) == list(range(500))
    assert broker.counts().n_done == 500


def test_on_available_is_called_without_the_lock() -> None:
    seen: list[int] = []
    broker = Broker(10.0, on_available=lambda: seen.append(broker.counts().n_queued))
    broker.submit(tasks(1, 2))
    assert seen == [2]


def test_withdrawn_tasks_give_no_result() -> None:
    broker = Broker(10.0)
    broker.submit(tasks(1, 2, 3))
    lease = broker.lease("a")
    assert lease is not None
    assert broker.withdraw() == 2
    broker.report(lease.id, Outcome.OK)
    assert broker.results.qsize() == 1


def test_finished_tasks_are_forgotten() -> None:
    broker = Broker(10.0)

    def run(n: int) -> None:
        for number in range(n):
            broker.submit([Task(id=number, payload=bytes(1000))])
            lease = broker.lease("a")
            assert lease is not None
            broker.report(lease.id, Outcome.OK, bytes(1000))
            broker.results.get_nowait()

    run(100)
    tracemalloc.start()
    run(100)
    before, _ = tracemalloc.get_traced_memory()
    run(2000)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 2000 * 10, "bytes for 2000 finished tasks"


def test_its_repr_tells_what_is_going_on() -> None:
    broker = Broker(10.0)
    broker.submit(tasks(*range(6)))
    for worker in "abc":
        lease = broker.lease(worker)
    assert lease is not None
    broker.report(lease.id, Outcome.OK)
    assert repr(broker) == "<Broker 3 queued, 2 leased, 1 done>"
