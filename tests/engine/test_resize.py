"""Workers come and go while the engine runs."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from evoae_cli.bench.noop import Command
from evoae_cli.broker.task import Task, TaskResult
from evoae_cli.engine.local import LocalEngine, WorkerSpec
from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.outcome import Outcome

NOOP = "evoae_cli.bench.noop:start"
CPU = WorkerSpec(device="cpu", threads=1)


def until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def a_task(number: int, command: Command | None = None) -> Task:
    return Task(id=number, payload=b"" if command is None else msgspec.json.encode(command), name=f"task {number}")


def next_result(engine: LocalEngine) -> TaskResult:
    while (result := engine.next_result()) is None:
        pass
    return result


def states(engine: LocalEngine) -> dict[str, str]:
    return {worker.name: worker.state for worker in engine.view().workers}


def all_idle(engine: LocalEngine, n: int) -> None:
    until(lambda: list(states(engine).values()) == ["idle"] * n)


class Bells:
    """Tasks that wait until the test reads their named pipe, one by one given to the next idle worker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def train(self, engine: LocalEngine, number: int) -> str:
        """Submit such a task and return the name of the worker that has it."""
        os.mkfifo(self._folder / str(number))
        engine.submit([a_task(number, Command(tell=str(self._folder / str(number))))])
        until(lambda: any(worker.task == f"task {number}" for worker in engine.view().workers))
        return next(worker.name for worker in engine.view().workers if worker.task == f"task {number}")

    def answer(self, number: int) -> None:
        (self._folder / str(number)).read_text()


@pytest.fixture
def bells(tmp_path: Path) -> Bells:
    return Bells(tmp_path)


@pytest.fixture
def pair() -> Iterator[LocalEngine]:
    with LocalEngine([CPU, CPU], NOOP) as engine:
        all_idle(engine, 2)
        yield engine


def test_more_workers_are_started_and_get_tasks_that_wait(bells: Bells) -> None:
    with LocalEngine([CPU], NOOP) as engine:
        all_idle(engine, 1)
        bells.train(engine, 1)
        engine.submit([a_task(2)])
        engine.resize(2)
        assert engine.view().n_workers == 2
        result = next_result(engine)
        assert (result.task_id, result.worker) == (2, "worker-2")
        bells.answer(1)
        assert next_result(engine).worker == "worker-1"


def test_idle_workers_go_first_and_at_once_and_names_are_never_used_again(pair: LocalEngine, bells: Bells) -> None:
    trains = bells.train(pair, 1)
    pair.resize(1)
    until(lambda: states(pair) == {trains: "training"})
    pair.resize(2)
    until(lambda: states(pair) == {trains: "training", "worker-3": "idle"})
    bells.answer(1)
    assert next_result(pair).attempt == 1
    assert pair.view().n_lost_leases == 0


def test_a_worker_that_starts_goes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "second_is_stuck.py").write_text(
        "import os, signal\n"
        "from evoae_cli.bench import noop\n"
        "def start(device, threads):\n"
        "    while device == 'stuck':\n"
        "        signal.pause()\n"
        "    return noop.start(device, threads)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    specs = [WorkerSpec(device="stuck", threads=1), CPU]
    with LocalEngine(specs, "second_is_stuck:start") as engine:
        until(lambda: states(engine) == {"worker-1": "starting", "worker-2": "idle"})
        # The latest of those that run nothing goes first: the idle one, so make it train.
        engine.submit([a_task(1, Command(sleep_s=1.0))])
        until(lambda: engine.view().n_leased == 1)
        engine.resize(1)
        until(lambda: list(states(engine)) == ["worker-2"])
        assert next_result(engine).outcome is Outcome.OK


def test_a_worker_that_trains_finishes_reports_gets_no_more_and_is_ended(pair: LocalEngine, bells: Bells) -> None:
    trains = [bells.train(pair, number) for number in (1, 2)]
    first, latest = sorted(trains)
    pids = {worker.name: worker.pid for worker in pair.view().workers}
    pair.submit([a_task(3)])
    pair.resize(1)
    until(lambda: states(pair) == {first: "training", latest: "draining"})
    assert pair.view().n_workers == 1
    drained = 1 + trains.index(latest)
    assert {worker.task for worker in pair.view().workers} == {"task 1", "task 2"}
    bells.answer(drained)
    result = next_result(pair)
    assert (result.task_id, result.outcome, result.attempt) == (drained, Outcome.OK, 1)
    until(lambda: states(pair) == {first: "training"})
    with pytest.raises(ProcessLookupError):
        os.kill(pids[latest], 0)
    bells.answer(3 - drained)
    assert {next_result(pair).worker for _ in range(2)} == {first}
    assert pair.view().n_lost_leases == 0


def test_a_worker_that_drains_can_be_taken_back(pair: LocalEngine, bells: Bells) -> None:
    for number in (1, 2):
        bells.train(pair, number)
    pids = {worker.pid for worker in pair.view().workers}
    pair.resize(1)
    until(lambda: "draining" in states(pair).values())
    pair.resize(2)
    until(lambda: "draining" not in states(pair).values())
    for number in (1, 2):
        bells.answer(number)
        next_result(pair)
    all_idle(pair, 2)
    assert {worker.pid for worker in pair.view().workers} == pids


def test_a_draining_worker_that_is_lost_is_not_replaced_and_its_task_runs_elsewhere(
    bells: Bells, tmp_path: Path
) -> None:
    once, bell = tmp_path / "once", tmp_path / "bell"
    os.mkfifo(bell)
    with LocalEngine([CPU], NOOP) as engine:
        bells.train(engine, 1)
        engine.resize(2)
        engine.submit([a_task(2, Command(only_first_time=str(once), tell=str(bell), sleep_s=3600.0))])
        pid = int(bell.read_text())
        engine.resize(1)
        until(lambda: states(engine) == {"worker-1": "training", "worker-2": "draining"})
        os.kill(pid, signal.SIGKILL)
        until(lambda: states(engine) == {"worker-1": "training"})
        [loss] = engine.take_losses()
        assert (loss.worker, loss.pid, loss.task, loss.is_last) == ("worker-2", pid, "task 2", False)
        bells.answer(1)
        assert next_result(engine).task_id == 1
        again = next_result(engine)
        assert (again.task_id, again.worker, again.attempt) == (2, "worker-1", 2)
        assert states(engine) == {"worker-1": "idle"}


def test_a_new_worker_takes_the_device_that_has_the_fewest() -> None:
    specs = [WorkerSpec(device=device, threads=threads) for device, threads in (("a", 1), ("a", 1), ("b", 2))]
    with LocalEngine(specs, NOOP) as engine:
        engine.resize(6)
        until(lambda: len(engine.view().workers) == 6)
        assert [worker.device for worker in engine.view().workers] == ["a", "a", "b", "b", "a", "b"]


def test_a_number_asked_for_before_the_start_is_the_number_that_starts() -> None:
    engine = LocalEngine([CPU, CPU, CPU], NOOP)
    engine.resize(1)
    with engine:
        all_idle(engine, 1)
        assert list(states(engine)) == ["worker-1"]
        assert engine.view().n_workers == 1


def test_the_engine_is_not_given_up_for_failing_seats_while_another_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "good_and_bad.py").write_text(
        "from evoae_cli.bench import noop\n"
        "def start(device, threads):\n"
        "    assert device == 'good', device\n"
        "    return noop.start(device, threads)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with LocalEngine([WorkerSpec(device=each, threads=1) for each in ("good", "bad")], "good_and_bad:start") as engine:
        until(lambda: engine.view().workers[1].pid == 0)
        # The one that cannot start goes first, the working one stays.
        engine.resize(1)
        until(lambda: states(engine) == {"worker-1": "idle"})
        engine.submit([a_task(1)])
        assert next_result(engine).worker == "worker-1"


def test_less_than_one_worker_is_refused(pair: LocalEngine) -> None:
    with pytest.raises(UsageError, match="0 workers can run nothing"):
        pair.resize(0)
    assert pair.view().n_workers == 2


def test_a_stopped_engine_can_be_asked_for_more_in_vain() -> None:
    with LocalEngine([CPU], NOOP) as engine:
        pass
    engine.resize(3)
    assert engine.view().workers[0].pid == 0


def test_a_log_that_cannot_be_opened_keeps_the_new_seat_empty_and_the_others_at_work(tmp_path: Path) -> None:
    with LocalEngine([CPU], NOOP, logs=tmp_path) as engine:
        all_idle(engine, 1)
        (tmp_path / "worker-2.log").mkdir()
        engine.resize(2)
        until(lambda: states(engine) == {"worker-1": "idle", "worker-2": "lost"})
        engine.submit([a_task(1)])
        assert next_result(engine).worker == "worker-1"
        (tmp_path / "worker-2.log").rmdir()
        all_idle(engine, 2)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_drained_seats_leave_no_descriptors_behind_and_views_in_other_threads_never_fail() -> None:
    errors: list[BaseException] = []
    is_over = threading.Event()

    def look(engine: LocalEngine) -> None:
        try:
            while not is_over.is_set():
                engine.view()
        except BaseException as error:
            errors.append(error)

    with LocalEngine([CPU], NOOP) as engine:
        all_idle(engine, 1)
        n_before = len(os.listdir("/proc/self/fd"))
        thread = threading.Thread(target=look, args=(engine,))
        thread.start()
        for n in (3, 1, 4, 2, 1):
            engine.resize(n)
            until(lambda n=n: len(engine.view().workers) == n)
        is_over.set()
        thread.join()
        until(lambda: list(states(engine).values()) == ["idle"])
        assert len(os.listdir("/proc/self/fd")) == n_before
    assert errors == []


def test_tasks_go_on_while_the_number_changes_all_the_time() -> None:
    with LocalEngine([CPU], NOOP) as engine:
        engine.submit([a_task(number, Command(sleep_s=0.01)) for number in range(200)])
        ended: list[TaskResult] = []
        for n in (3, 1, 2, 1, 3, 2, 1, 2):
            engine.resize(n)
            ended += [next_result(engine) for _ in range(25)]
        assert sorted(result.task_id for result in ended) == list(range(200))
        assert {(result.outcome, result.attempt) for result in ended} == {(Outcome.OK, 1)}


def test_workers_that_all_fail_end_the_engine_also_after_more_were_asked_for() -> None:
    with LocalEngine([CPU], "evoae_cli.bench.noop:start_broken") as engine:
        engine.resize(2)
        with pytest.raises(EvoaeError, match="no worker can start"):
            engine.next_result()
