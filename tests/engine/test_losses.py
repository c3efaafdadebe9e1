"""Time limits, last words, and what is told of workers that were lost."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from evoae_cli.bench.noop import Command
from evoae_cli.broker.task import Task, TaskResult
from evoae_cli.engine.local import LocalEngine, WorkerSpec
from evoae_cli.engine.protocol import WorkerLoss
from evoae_cli.outcome import Outcome

NOOP = "evoae_cli.bench.noop:start"
CPU = WorkerSpec(device="cpu", threads=1)
FOREVER_S = 3600.0


def a_task(number: int, command: Command, timeout_s: float | None = None) -> Task:
    return Task(id=number, payload=msgspec.json.encode(command), name=f"task {number}", timeout_s=timeout_s)


def one_result(engine: LocalEngine, task: Task) -> TaskResult:
    engine.submit([task])
    while (result := engine.next_result()) is None:
        pass
    return result


def until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


@pytest.fixture
def engine() -> Iterator[LocalEngine]:
    with LocalEngine([CPU], NOOP) as engine:
        yield engine


def test_a_task_whose_time_is_up_ends_at_once_and_its_worker_is_replaced(engine: LocalEngine) -> None:
    first = one_result(engine, a_task(1, Command()))
    [before] = engine.view().workers
    result = one_result(engine, a_task(2, Command(says="epoch 1", sleep_s=FOREVER_S), timeout_s=0.5))
    assert first.outcome is Outcome.OK
    assert (result.outcome, result.attempt) == (Outcome.TIMEOUT, 1)
    assert (result.reason, result.log) == ("ran longer than 0.5 s", "epoch 1")
    assert 0.5 <= result.run_s < 30
    assert engine.take_losses() == [
        WorkerLoss(
            worker="worker-1",
            pid=before.pid,
            reason="ran longer than 0.5 s",
            log="epoch 1",
            task="task 2",
            attempt=1,
            has_begun=True,
            is_last=True,
        )
    ]
    assert one_result(engine, a_task(3, Command(), timeout_s=FOREVER_S)).outcome is Outcome.OK
    [after] = engine.view().workers
    assert after.pid != before.pid
    with pytest.raises(ProcessLookupError):
        os.kill(before.pid, 0)


def test_a_frozen_worker_whose_time_is_up_is_killed_too(engine: LocalEngine) -> None:
    result = one_result(engine, a_task(1, Command(signal=signal.SIGSTOP), timeout_s=0.5))
    assert result.outcome is Outcome.TIMEOUT
    assert one_result(engine, a_task(2, Command())).outcome is Outcome.OK


def test_the_last_words_are_those_of_the_attempt_and_fit_to_be_shown(engine: LocalEngine) -> None:
    one_result(engine, a_task(1, Command(says="of an earlier task")))
    [same] = engine.view().workers
    says = "\x1b[31mstep\t1\x1b[0m\r\n\x07last line"
    result = one_result(engine, a_task(2, Command(says=says, sleep_s=FOREVER_S), timeout_s=1.0))
    assert result.log == "step    1\nlast line"
    assert [loss.pid for loss in engine.take_losses()] == [same.pid]


def test_a_native_crash_leaves_its_stack_in_the_last_words(engine: LocalEngine) -> None:
    result = one_result(engine, a_task(1, Command(signal=signal.SIGSEGV)))
    assert result.reason.endswith("killed by SIGSEGV")
    assert "Segmentation fault" in result.log
    assert "noop.py" in result.log


def test_a_result_that_was_reported_has_no_log(engine: LocalEngine) -> None:
    assert one_result(engine, a_task(1, Command(says="all is well"))).log == ""


def test_each_worker_that_is_lost_in_a_task_is_told_and_wakes_the_reader(engine: LocalEngine) -> None:
    engine.submit([a_task(1, Command(says="last words", signal=signal.SIGKILL))])
    losses: list[WorkerLoss] = []
    while (result := engine.next_result()) is None:
        losses += engine.take_losses()
    losses += engine.take_losses()
    assert result.outcome is Outcome.CRASHED
    assert [(loss.attempt, loss.is_last) for loss in losses] == [(1, False), (2, False), (3, True)]
    assert {(loss.worker, loss.task, loss.reason, loss.log) for loss in losses} == {
        ("worker-1", "task 1", "killed by SIGKILL", "last words")
    }
    assert len({loss.pid for loss in losses}) == 3
    assert engine.take_losses() == []


def test_a_worker_that_dies_without_a_task_is_no_loss(engine: LocalEngine) -> None:
    one_result(engine, a_task(1, Command()))
    [idle] = engine.view().workers
    os.kill(idle.pid, signal.SIGKILL)
    until(lambda: engine.view().workers[0].pid not in (0, idle.pid))
    assert one_result(engine, a_task(2, Command())).attempt == 1
    assert engine.take_losses() == []


def test_losses_that_nobody_takes_do_not_pile_up() -> None:
    engine = LocalEngine([CPU], NOOP)
    for number in range(1500):
        engine._losses.add(
            WorkerLoss(
                worker="worker-1", pid=number, reason="", log="", task="", attempt=1, has_begun=True, is_last=False
            )
        )
    assert engine.next_result() is None
    assert engine._broker.results.empty(), "one wake for all"
    assert [loss.pid for loss in engine.take_losses()] == list(range(500, 1500))
    engine.stop()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells a process's memory there")
def test_a_worker_whose_memory_does_not_fall_back_is_replaced_without_a_loss(tmp_path: Path) -> None:
    """It is asked after its first tasks, it reports what it has found, and the next task gets a fresh worker."""
    with LocalEngine([CPU], NOOP, logs=tmp_path) as engine:
        for number in range(4):
            one_result(engine, a_task(number, Command()))
        [before] = engine.view().workers
        leaking = one_result(engine, a_task(4, Command(n_leak=600 * 2**20, reply=b"found")))
        assert (leaking.outcome, leaking.payload, leaking.attempt) == (Outcome.OK, b"found", 1)
        after = one_result(engine, a_task(5, Command()))
        assert (after.outcome, after.attempt) == (Outcome.OK, 1)
        [now] = engine.view().workers
        assert (now.name, now.pid != before.pid) == (before.name, True)
        assert engine.view().n_lost_leases == 0
        assert engine.take_losses() == []
    assert "MB after its first ones" in (tmp_path / "worker-1.log").read_text()
