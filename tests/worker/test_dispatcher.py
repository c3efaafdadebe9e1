import os
import select
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import msgspec
import pytest

from evoae_cli.bench.noop import Command
from evoae_cli.broker.broker import Broker
from evoae_cli.broker.task import Task
from evoae_cli.engine.protocol import WorkerLoss
from evoae_cli.errors import EvoaeError
from evoae_cli.outcome import Outcome
from evoae_cli.worker.pool import Pool
from evoae_cli.worker.starter import Timing, WorkerSpec

TIMING = Timing(heartbeat_interval_s=0.05, heartbeat_timeout_s=10.0, start_timeout_s=60.0)


def a_pool(
    broker: Broker,
    runner: str,
    on_failure: Callable[[Exception], None],
    n_workers: int = 1,
    clock: Callable[[], float] = time.monotonic,
    timing: Timing = TIMING,
    on_loss: Callable[[WorkerLoss], None] = lambda _: None,
) -> Pool:
    specs = [WorkerSpec(device="cpu", threads=1)] * n_workers
    return Pool(broker, specs, runner, timing, logs=None, on_failure=on_failure, on_loss=on_loss, clock=clock)


def is_in(pool: Pool, state: str) -> bool:
    return pool.view()[0].state == state


def until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def own_runner(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> str:
    name = f"runner_of_{folder.name}"
    (folder / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    return f"{name}:start"


def ended(broker: Broker) -> list[tuple[int, Outcome, int]]:
    result = broker.results.get()
    assert result is not None
    return [(result.task_id, result.outcome, result.attempt)]


def test_a_worker_that_sends_rubbish_is_killed_and_its_task_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"""
import os, signal, stat
from evoae_cli.worker import channel
def start(device, threads):
    def run(payload, progress):
        try:
            os.close(os.open({str(tmp_path / "once")!r}, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return "ok", b"", ""
        write = channel.write_frame
        channel.write_frame = lambda fd, body: (os.write(fd, b"\\xff" * 100), signal.pause())
        return "ok", b"", ""
    return device, run
"""
    failures: SimpleQueue[Exception] = SimpleQueue()
    broker = Broker(10.0)
    pool = a_pool(broker, own_runner(tmp_path, monkeypatch, code), failures.put)
    broker.submit([Task(id=1, payload=b"")])
    pool.wake()
    assert ended(broker) == [(1, Outcome.OK, 2)]
    pool.stop()
    assert failures.empty()


def test_a_lease_that_its_living_worker_never_renews_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"""
import os, signal
def start(device, threads):
    from evoae_cli.worker.heartbeat import Heart
    if not os.path.exists({str(tmp_path / "once")!r}):
        open({str(tmp_path / "once")!r}, "w").close()
        Heart.begin = lambda heart, lease_id: signal.pause()
    return device, lambda payload, progress: ("ok", b"", "")
"""
    failures: SimpleQueue[Exception] = SimpleQueue()
    broker = Broker(0.5)
    pool = a_pool(broker, own_runner(tmp_path, monkeypatch, code), failures.put)
    broker.submit([Task(id=1, payload=b"")])
    pool.wake()
    assert ended(broker) == [(1, Outcome.OK, 2)]
    pool.stop()
    assert failures.empty()


@pytest.mark.parametrize("timeout_s", [None, 0.5])
def test_a_worker_frozen_before_it_took_its_task_costs_that_no_attempt(timeout_s: float | None) -> None:
    """Nor does the time count that the task spent in the frozen worker's channel."""
    failures: SimpleQueue[Exception] = SimpleQueue()
    losses: list[WorkerLoss] = []
    broker = Broker(1.0)
    pool = a_pool(broker, "evoae_cli.bench.noop:start", failures.put, on_loss=losses.append)
    try:
        until(partial(is_in, pool, "idle"))
        pid = pool.view()[0].pid
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        broker.submit([Task(id=1, payload=b"", timeout_s=timeout_s)])
        pool.wake()
        assert ended(broker) == [(1, Outcome.OK, 1)]
        [loss] = losses
        assert (loss.pid, loss.attempt, loss.has_begun, loss.is_last) == (pid, 1, False, False)
        assert loss.reason == "no heartbeat for 1 s"
        assert pool.view()[0].pid != pid
    finally:
        pool.stop()
    assert failures.empty()


def test_a_pause_costs_neither_a_worker_that_starts_nor_one_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bells = [tmp_path / name for name in ("start", "work")]
    for bell in bells:
        os.mkfifo(bell)
    code = f"""
import os
def start(device, threads):
    open({str(bells[0])!r}, "w").write("starting")
    def run(payload, progress):
        open({str(bells[1])!r}, "w").write("working")
        return "ok", str(os.getpid()).encode(), ""
    return device, run
"""
    paused_s = 0.0

    def clock() -> float:
        return time.monotonic() + paused_s

    failures: SimpleQueue[Exception] = SimpleQueue()
    broker = Broker(10.0, clock=clock)
    pool = a_pool(broker, own_runner(tmp_path, monkeypatch, code), failures.put, clock=clock)
    try:
        broker.submit([Task(id=1, payload=b"", timeout_s=500.0)])
        pids = []
        for state, bell in zip(("starting", "training"), bells, strict=True):
            until(partial(is_in, pool, state))
            pids.append(pool.view()[0].pid)
            paused_s += 1000.0
            # Several heartbeats, so that the pause is noticed.
            time.sleep(0.3)
            fd = os.open(bell, os.O_RDONLY | os.O_NONBLOCK)
            assert select.select([fd], [], [], 30)[0], f"nobody waits at {bell.name}"
            os.close(fd)
        result = broker.results.get()
        assert result is not None
        assert (result.outcome, result.attempt) == (Outcome.OK, 1)
        assert {int(result.payload)} == set(pids)
        assert broker.counts().n_lost_leases == 0
    finally:
        pool.stop()
    assert failures.empty()


def test_a_report_that_has_arrived_counts_before_the_time_is_up(tmp_path: Path) -> None:
    """The loop notices that the time is over, and is held up before it acts on it; meanwhile the report arrives."""
    gate = threading.RLock()
    later_s = 0.0

    def clock() -> float:
        with gate:
            return time.monotonic() + later_s

    bell = tmp_path / "bell"
    os.mkfifo(bell)
    failures: SimpleQueue[Exception] = SimpleQueue()
    broker = Broker(60.0, clock=clock)
    # Beats are so rare that none ends the wait, and that it is no pause.
    timing = Timing(heartbeat_interval_s=20.0, heartbeat_timeout_s=60.0, start_timeout_s=60.0)
    pool = a_pool(broker, "evoae_cli.bench.noop:start", failures.put, clock=clock, timing=timing)
    try:
        until(partial(is_in, pool, "idle"))
        command = Command(tell=str(bell), after_report="whole")
        broker.submit([Task(id=1, payload=msgspec.json.encode(command), timeout_s=15.0)])
        pool.wake()
        until(partial(is_in, pool, "training"))
        with gate:
            pid = pool.view()[0].pid
            later_s = 16.0
            pool.wake()
            # So that the loop gets to the gate.
            time.sleep(0.3)
            fd = os.open(bell, os.O_RDONLY | os.O_NONBLOCK)
            assert select.select([fd], [], [], 30)[0], "nobody waits at the bell"
            os.close(fd)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended(broker) == [(1, Outcome.OK, 1)]
    finally:
        pool.stop()
    assert failures.empty()


def test_an_error_of_the_dispatcher_is_told_and_ends_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: SimpleQueue[Exception] = SimpleQueue()
    broker = Broker(10.0)
    pool = a_pool(broker, "evoae_cli.bench.noop:start", failures.put)
    broker.submit([Task(id=1, payload=b"")])
    pool.wake()
    broker.results.get()
    pid = pool.view()[0].pid

    def broken(worker: str, timeout_s: float = 0.0) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(broker, "lease", broken)
    pool.wake()
    assert isinstance(failures.get(), KeyError)
    pool.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_no_room_for_a_process_is_a_failed_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("multiprocessing.util.spawnv_passfds", no_room)
    failures: SimpleQueue[Exception] = SimpleQueue()
    n_open = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else None
    pool = a_pool(Broker(10.0), "evoae_cli.bench.noop:start", failures.put)
    failure = failures.get()
    assert isinstance(failure, EvoaeError)
    assert "Resource temporarily unavailable" in str(failure)
    pool.stop()
    if n_open is not None:
        assert len(os.listdir("/proc/self/fd")) <= n_open + 1, "the resource tracker's pipe may be new"


def test_the_third_attempt_of_a_task_runs_while_nothing_else_does(tmp_path: Path) -> None:
    failures: SimpleQueue[Exception] = SimpleQueue()
    broker = Broker(10.0)
    pool = a_pool(broker, "evoae_cli.bench.noop:start", failures.put, n_workers=2)
    bell = tmp_path / "bell"
    os.mkfifo(bell)
    poison = Task(id=1, payload=msgspec.json.encode(Command(tell=str(bell), sleep_s=3600.0)))
    broker.submit([poison, *(Task(id=number, payload=b"") for number in range(2, 50))])
    pool.wake()
    for _ in range(2):
        os.kill(int(bell.read_text()), signal.SIGKILL)
    pid = int(bell.read_text())
    assert broker.counts().n_leased == 1
    broker.submit([Task(id=50, payload=b"")])
    pool.wake()
    assert broker.lease("another") is None
    os.kill(pid, signal.SIGKILL)
    results = [broker.results.get() for _ in range(50)]
    assert [result.task_id for result in results if result is not None and result.outcome is Outcome.CRASHED] == [1]
    pool.stop()
    assert failures.empty()
