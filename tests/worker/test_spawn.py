"""A worker process as the coordinator knows it, from its birth to its burial."""

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import wait

import pytest

from evoae_cli.worker.messages import MAX_REASON, Ready, decode_from_worker
from evoae_cli.worker.process import Setup
from evoae_cli.worker.spawn import Worker, spawn_context

NOOP = "evoae_cli.bench.noop:start"


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """Whoever spawns has the terminal's signals blocked from then on, and later tests send some."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@pytest.fixture
def log() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


def a_worker(log: int, runner: str = NOOP) -> Worker:
    setup = Setup(coordinator=os.getpid(), runner=runner, device="cpu", threads=1, heartbeat_interval_s=0.05)
    return Worker(spawn_context(), "worker-1", setup, log, start_by=time.monotonic() + 60)


def test_a_worker_says_that_it_is_ready_and_that_it_lives(log: int) -> None:
    worker = a_worker(log)
    try:
        assert wait([worker.results.fd], timeout=60)
        assert [decode_from_worker(body) for body in worker.results.read()] == [Ready("no-op on cpu")]
        assert wait([worker.heartbeats], timeout=60)
        assert worker.last_heartbeat() == (0, 0.0)
    finally:
        worker.kill("the test is over")
        worker.bury()
    assert repr(worker) == f"<Worker worker-1 lost, pid {worker.pid}>"


def test_the_first_reason_for_a_death_is_the_one_that_is_told(log: int) -> None:
    worker = a_worker(log)
    worker.kill("no heartbeat for 10 s")
    worker.kill("the engine was stopped")
    worker.bury()
    assert worker.why_lost() == "no heartbeat for 10 s"
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)


def test_a_worker_that_dies_by_itself_tells_how_and_its_last_words(log: int) -> None:
    os.write(log, b"words of an earlier worker\n")
    worker = a_worker(log, "evoae_cli.bench.noop:start_broken")
    assert wait([worker.process.sentinel], timeout=60)
    worker.bury()
    assert worker.why_lost() == "exit code 1"
    assert worker.last_words() == "ValueError: there is no device cpu"


def test_last_words_are_short_and_those_of_this_worker(log: int) -> None:
    os.write(log, b"words of an earlier worker\n")
    worker = a_worker(log)
    worker.kill("the test is over")
    worker.bury()
    assert worker.last_words() == ""
    os.write(log, b"x" * 3000 + b"\n\n")
    assert worker.last_words() == "x" * MAX_REASON
