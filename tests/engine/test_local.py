import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from evoae_cli.bench.noop import Command, ErrorType
from evoae_cli.broker.task import MAX_PAYLOAD, Task, TaskResult
from evoae_cli.engine.local import LocalEngine, WorkerSpec
from evoae_cli.engine.protocol import Engine
from evoae_cli.errors import EvoaeError, UsageError
from evoae_cli.outcome import Outcome

NOOP = "evoae_cli.bench.noop:start"
CPU = WorkerSpec(device="cpu", threads=1)
FOREVER_S = 3600.0


def a_task(number: int, command: Command | None = None) -> Task:
    payload = b"" if command is None else msgspec.json.encode(command)
    return Task(id=number, payload=payload, name=f"task {number}")


def results(engine: LocalEngine, n: int) -> list[TaskResult]:
    taken: list[TaskResult] = []
    while len(taken) < n:
        # None where a worker was lost.
        if (result := engine.next_result()) is not None:
            taken.append(result)
    return sorted(taken, key=lambda result: result.task_id)


def one_result(engine: LocalEngine, command: Command | None = None) -> TaskResult:
    engine.submit([a_task(1, command)])
    return results(engine, 1)[0]


def nothing_is_open(engine: LocalEngine) -> bool:
    view = engine.view()
    return view.n_queued == 0 and view.n_leased == 0


def pids(engine: LocalEngine) -> list[int]:
    return [worker.pid for worker in engine.view().workers]


def until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 60
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < give_up_at
        pause.wait(0.01)


@pytest.fixture
def bell(tmp_path: Path) -> str:
    """A named pipe: a task that tells it waits for the test to read, and the other way round."""
    path = tmp_path / "bell"
    os.mkfifo(path)
    return str(path)


@pytest.fixture
def engine() -> Iterator[LocalEngine]:
    with LocalEngine([CPU], NOOP) as engine:
        yield engine


@pytest.fixture
def pair() -> Iterator[LocalEngine]:
    with LocalEngine([CPU, CPU], NOOP) as engine:
        yield engine


def test_it_satisfies_the_protocol() -> None:
    engine: Engine = LocalEngine([CPU], NOOP)
    engine.stop()


def test_two_workers_give_each_of_500_results_once(pair: LocalEngine) -> None:
    pair.submit([a_task(number) for number in range(500)])
    ended = results(pair, 500)
    assert [result.task_id for result in ended] == list(range(500))
    assert {result.outcome for result in ended} == {Outcome.OK}
    assert nothing_is_open(pair)
    assert pair.view().n_done == 500


def test_both_workers_work_at_the_same_time(pair: LocalEngine) -> None:
    pair.submit([a_task(number, Command(sleep_s=FOREVER_S)) for number in (1, 2)])
    until(lambda: all(worker.state == "training" for worker in pair.view().workers))
    assert {worker.task for worker in pair.view().workers} == {"task 1", "task 2"}


def test_a_result_carries_what_the_runner_returned(engine: LocalEngine) -> None:
    result = one_result(engine, Command(outcome=Outcome.DIVERGED, reason="NaN in step 3", n_reply=MAX_PAYLOAD))
    assert (result.outcome, result.reason) == (Outcome.DIVERGED, "NaN in step 3")
    assert result.payload == b"\0" * MAX_PAYLOAD
    assert (result.worker, result.attempt) == ("worker-1", 1)


def test_a_worker_killed_in_the_midst_of_a_task_costs_one_more_attempt(
    engine: LocalEngine, bell: str, tmp_path: Path
) -> None:
    once = str(tmp_path / "once")
    engine.submit([a_task(1, Command(only_first_time=once, tell=bell, sleep_s=FOREVER_S))])
    os.kill(int(Path(bell).read_text()), signal.SIGKILL)
    result = results(engine, 1)[0]
    assert (result.outcome, result.attempt) == (Outcome.OK, 2)
    assert nothing_is_open(engine)
    assert engine.view().n_lost_leases == 1


def test_a_frozen_worker_is_killed_after_the_timeout_and_its_task_run_again(tmp_path: Path) -> None:
    with LocalEngine([CPU], NOOP, heartbeat_interval_s=0.1, heartbeat_timeout_s=1.0) as engine:
        one_result(engine)
        frozen = pids(engine)[0]
        once = str(tmp_path / "once")
        result = one_result(engine, Command(only_first_time=once, signal=signal.SIGSTOP))
        assert (result.outcome, result.attempt) == (Outcome.OK, 2)
        assert pids(engine)[0] != frozen
        with pytest.raises(ProcessLookupError):
            os.kill(frozen, 0)
        assert nothing_is_open(engine)


def test_a_worker_that_thaws_after_its_lease_was_lost_reports_nothing(tmp_path: Path) -> None:
    """It is killed, frozen as it is, in the moment in which the lease is lost."""
    with LocalEngine([CPU], NOOP, heartbeat_interval_s=0.1, heartbeat_timeout_s=1.0) as engine:
        one_result(engine)
        frozen = pids(engine)[0]
        engine.submit([a_task(2, Command(only_first_time=str(tmp_path / "once"), signal=signal.SIGSTOP))])
        until(lambda: engine.view().n_lost_leases == 1)
        with contextlib.suppress(ProcessLookupError):
            os.kill(frozen, signal.SIGCONT)
        assert [result.attempt for result in results(engine, 1)] == [2]
        assert engine.view().n_late_results == 0


def test_a_worker_that_freezes_while_it_is_idle_holds_nothing_up() -> None:
    with LocalEngine([CPU], NOOP, heartbeat_interval_s=0.1, heartbeat_timeout_s=1.0) as engine:
        one_result(engine)
        os.kill(pids(engine)[0], signal.SIGSTOP)
        engine.submit([a_task(number) for number in range(2, 12)])
        assert len(results(engine, 10)) == 10


def test_a_task_that_takes_longer_than_the_timeout_keeps_its_lease_by_heartbeats() -> None:
    with LocalEngine([CPU], NOOP, heartbeat_interval_s=0.1, heartbeat_timeout_s=1.0) as engine:
        assert one_result(engine, Command(sleep_s=2.0)).attempt == 1


def test_a_poison_task_costs_three_workers_and_no_more(pair: LocalEngine) -> None:
    pair.submit([a_task(1, Command(signal=signal.SIGKILL)), *(a_task(number) for number in range(2, 12))])
    ended = results(pair, 11)
    assert ended[0].outcome is Outcome.CRASHED
    assert ended[0].attempt == 3
    assert ended[0].reason == "3 workers were lost while they ran it; the last one: killed by SIGKILL"
    assert {(result.outcome, result.attempt) for result in ended[1:]} == {(Outcome.OK, 1)}
    assert pair.view().n_lost_leases == 3
    assert nothing_is_open(pair)


def test_the_exit_code_of_a_poison_task_is_named(engine: LocalEngine) -> None:
    assert one_result(engine, Command(exit_code=7)).reason.endswith("exit code 7")


def test_a_worker_killed_right_after_writing_its_result_loses_nothing(engine: LocalEngine) -> None:
    result = one_result(engine, Command(after_report="whole", n_reply=MAX_PAYLOAD))
    assert (result.outcome, result.attempt) == (Outcome.OK, 1)
    assert engine.view().n_lost_leases == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a dead reader has left")
def test_a_task_that_a_dying_worker_never_began_is_not_blamed(engine: LocalEngine) -> None:
    engine.submit([a_task(number, Command(after_report="whole")) for number in range(6)])
    assert {(result.outcome, result.attempt) for result in results(engine, 6)} == {(Outcome.OK, 1)}


def test_half_a_result_is_no_result(engine: LocalEngine, tmp_path: Path) -> None:
    once = str(tmp_path / "once")
    result = one_result(engine, Command(only_first_time=once, after_report="half", reply=b"abc"))
    assert (result.outcome, result.payload, result.attempt) == (Outcome.OK, b"abc", 2)


def test_a_result_that_comes_twice_is_counted_once(engine: LocalEngine) -> None:
    engine.submit([a_task(1, Command(after_report="twice")), a_task(2)])
    assert [result.task_id for result in results(engine, 2)] == [1, 2]
    assert engine.view().n_late_results == 1
    assert engine.view().n_done == 2


def test_an_exception_is_a_result_and_the_worker_lives_on(tmp_path: Path) -> None:
    with LocalEngine([CPU], NOOP, logs=tmp_path) as engine:
        result = one_result(engine, Command(error="no such\nthing"))
        assert (result.outcome, result.attempt) == (Outcome.CRASHED, 1)
        assert result.reason == "ValueError: no such"
        worker = pids(engine)
        assert one_result(engine, Command(error="nothing here")).reason == "ValueError: nothing here"
        assert pids(engine) == worker
    assert "Traceback" in (tmp_path / "worker-1.log").read_text()


def test_a_file_that_is_missing_is_the_hosts_failure_and_the_reason_names_it(
    engine: LocalEngine, tmp_path: Path
) -> None:
    result = one_result(engine, Command(reads=str(tmp_path / "gone")))
    assert (result.outcome, result.is_host_failure, result.attempt) == (Outcome.CRASHED, True, 1)
    assert result.reason == f"{tmp_path}/gone: No such file or directory"


def test_an_error_of_our_own_is_the_hosts_failure_and_told_in_its_own_words(engine: LocalEngine) -> None:
    result = one_result(engine, Command(error="the images are gone", error_type="EvoaeError"))
    assert (result.outcome, result.is_host_failure) == (Outcome.CRASHED, True)
    assert result.reason == "the images are gone"


@pytest.mark.parametrize("error_type", ["ValueError", "RuntimeError", "MemoryError"])
def test_any_other_exception_is_not_the_hosts_failure(engine: LocalEngine, error_type: ErrorType) -> None:
    result = one_result(engine, Command(error="no", error_type=error_type))
    assert (result.outcome, result.is_host_failure) == (Outcome.CRASHED, False)
    assert result.reason == f"{error_type}: no"


CUDA_ERROR = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be reported later"


def test_a_worker_whose_device_failed_is_replaced_and_its_task_run_again(tmp_path: Path) -> None:
    failing = Command(only_first_time=str(tmp_path / "once"), error=CUDA_ERROR, error_type="RuntimeError")
    with LocalEngine([CPU], NOOP, logs=tmp_path) as engine:
        one_result(engine)
        failed = pids(engine)
        result = one_result(engine, failing)
        assert (result.outcome, result.attempt) == (Outcome.OK, 2)
        assert pids(engine) != failed
    assert "Traceback" in (tmp_path / "worker-1.log").read_text()


def test_a_task_that_makes_three_devices_fail_ends_with_the_reason(engine: LocalEngine) -> None:
    result = one_result(engine, Command(error=CUDA_ERROR, error_type="RuntimeError"))
    assert (result.outcome, result.attempt, result.is_host_failure) == (Outcome.CRASHED, 3, False)
    assert result.reason.endswith(
        "the last one: its device failed: RuntimeError: CUDA error: an illegal memory access was encountered"
    )
    assert one_result(engine).outcome is Outcome.OK


@pytest.mark.parametrize(
    ("error", "error_type", "n_attempts"),
    [
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "RuntimeError", 3),
        ("CUDA error: CUBLAS_STATUS_INTERNAL_ERROR when calling `cublasCreate(handle)`", "RuntimeError", 3),
        ("device-side assert triggered", "AcceleratorError", 3),
        ("CUDA error: out of memory", "AcceleratorError", 1),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "RuntimeError", 1),
        ("no CUDA error: this is no error of a device", "ValueError", 1),
    ],
)
def test_what_counts_as_a_failed_device(
    engine: LocalEngine, error: str, error_type: ErrorType, n_attempts: int
) -> None:
    assert one_result(engine, Command(error=error, error_type=error_type)).attempt == n_attempts


def test_a_reason_that_cannot_be_encoded_is_told_as_far_as_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd_runner.py").write_text(
        "def start(device, threads):\n"
        "    return device, lambda payload, progress: ('diverged', b'', 'caf\\udce9.png is broken\\nsecond line')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with LocalEngine([CPU], "odd_runner:start") as engine:
        assert one_result(engine).reason == "caf?.png is broken"


def test_a_result_that_is_too_large_is_a_crash_that_says_so(engine: LocalEngine) -> None:
    result = one_result(engine, Command(n_reply=MAX_PAYLOAD + 1))
    assert result.outcome is Outcome.CRASHED
    assert result.reason == "ValueError: the result has 60001 bytes; at most 60000"


def test_workers_that_cannot_start_end_the_engine_with_the_reason() -> None:
    with LocalEngine([CPU], "evoae_cli.bench.noop:start_broken") as engine:
        engine.submit([a_task(1)])
        for _ in range(2):
            with pytest.raises(
                EvoaeError, match=r"worker-1, attempt 3: exit code 1: ValueError: there is no device cpu"
            ):
                engine.next_result()


def test_workers_that_never_become_ready_end_the_engine_with_the_reason() -> None:
    with (
        LocalEngine([CPU], "evoae_cli.bench.noop:start_stuck", start_timeout_s=0.2) as engine,
        pytest.raises(EvoaeError, match=r"not ready within 0.2 s"),
    ):
        engine.next_result()


def test_a_worker_that_cannot_start_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "picky_runner.py").write_text(
        "from evoae_cli.bench import noop\n"
        "def start(device, threads):\n"
        "    assert device == 'good', device\n"
        "    return noop.start(device, threads)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    specs = [WorkerSpec(device="bad", threads=1), WorkerSpec(device="good", threads=1)]
    with LocalEngine(specs, "picky_runner:start") as engine:
        one_result(engine)
        until(lambda: engine.view().workers[0].pid == 0)
        engine.submit([a_task(number) for number in range(2, 22)])
        assert {result.worker for result in results(engine, 20)} == {"worker-2"}


def test_threads_are_set_in_the_workers_and_the_caller_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "telling_runner.py").write_text(
        "import os\n"
        "def start(device, threads):\n"
        "    return device, lambda payload, progress: ('ok', os.environ['OMP_NUM_THREADS'].encode(), '')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before, main = dict(os.environ), sys.modules["__main__"]
    with LocalEngine([WorkerSpec(device="cpu", threads=3)], "telling_runner:start") as engine:
        assert one_result(engine).payload == b"3"
    assert dict(os.environ) == before
    assert sys.modules["__main__"] is main


def test_withdrawing_leaves_what_runs(engine: LocalEngine, bell: str) -> None:
    engine.submit([a_task(1, Command(tell=bell)), a_task(2), a_task(3)])
    until(lambda: engine.view().n_leased == 1)
    assert engine.withdraw() == 2
    Path(bell).read_text()
    assert results(engine, 1)[0].task_id == 1
    assert nothing_is_open(engine)


def test_wake_makes_next_result_return_none(engine: LocalEngine) -> None:
    engine.wake()
    assert engine.next_result() is None


def test_the_view_shows_what_a_worker_runs(bell: str) -> None:
    with LocalEngine([CPU], NOOP, heartbeat_interval_s=0.01) as engine:
        engine.submit([a_task(1, Command(tell=bell, busy_s=FOREVER_S)), a_task(2)])
        pid = int(Path(bell).read_text())
        until(lambda: engine.view().workers[0].progress > 0)
        view = engine.view()
        worker = view.workers[0]
        assert (worker.name, worker.device, worker.pid, worker.state) == ("worker-1", "cpu", pid, "training")
        assert (worker.task, worker.hardware) == ("task 1", "no-op on cpu")
        assert worker.running_s > 0
        assert 0 < worker.progress < 1
        assert (view.n_queued, view.n_leased, view.n_done) == (1, 1, 0)
        assert repr(engine) == "<LocalEngine 1 workers, <Broker 1 queued, 1 leased, 0 done>>"


def test_stop_ends_running_workers_at_once_and_may_be_called_again(bell: str) -> None:
    engine = LocalEngine([CPU, CPU], NOOP)
    engine.start()
    engine.submit([a_task(1, Command(tell=bell, sleep_s=FOREVER_S))])
    Path(bell).read_text()
    running = pids(engine)
    engine.stop()
    engine.stop()
    for pid in running:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    engine.submit([a_task(2)])


def test_it_cannot_start_twice(engine: LocalEngine) -> None:
    with pytest.raises(RuntimeError, match="starts once"):
        engine.start()


def test_no_workers_at_all_are_refused() -> None:
    with pytest.raises(UsageError, match="0 workers"):
        LocalEngine([], NOOP)


def test_logs_that_cannot_be_written_are_an_error_that_names_the_folder(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    engine = LocalEngine([CPU], NOOP, logs=in_the_way / "logs")
    with pytest.raises(EvoaeError, match=r"file/logs: Not a directory"):
        engine.start()
    engine.stop()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")
def test_replaced_workers_leave_no_descriptors_behind() -> None:
    with LocalEngine([CPU], NOOP) as engine:
        one_result(engine, Command(after_report="whole"))
        one_result(engine)
        n_before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            one_result(engine, Command(after_report="whole"))
        one_result(engine)
        assert len(os.listdir("/proc/self/fd")) == n_before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a score for its out-of-memory killer")
def test_the_kernel_takes_a_worker_before_its_coordinator_when_memory_is_short(engine: LocalEngine) -> None:
    one_result(engine)
    own, worker = (int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (os.getpid(), pids(engine)[0]))
    assert worker >= 500
    assert worker > own


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads /proc")
def test_a_worker_whose_runner_needs_no_torch_does_not_load_it(engine: LocalEngine) -> None:
    one_result(engine)
    assert "libtorch" in Path("/proc/self/maps").read_text()
    assert "libtorch" not in Path(f"/proc/{pids(engine)[0]}/maps").read_text()
