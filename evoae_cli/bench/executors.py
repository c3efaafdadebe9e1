"""Tasks per second through evoae's broker and workers, and through what else starts processes: tasks that do nothing,
and tasks that wait.

Each is given its tasks one by one, and hands back one result for each. The workers are warm. Ray and Dask are measured
where they are installed.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing import get_context

import msgspec

from evoae_cli.bench.noop import Command
from evoae_cli.broker.task import Task
from evoae_cli.engine.local import LocalEngine, WorkerSpec
from evoae_cli.errors import EvoaeError

_RUNNER = "evoae_cli.bench.noop:start"
_WARM_PER_WORKER = 50
"""Tasks that each worker has had, on average, before the clock starts."""
_WARM_S, _PATIENCE_S = 0.05, 120.0

Run = Callable[[int], None]
"""Gives so many tasks to an executor and waits for all of their results."""


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """How many tasks an executor got through in a second."""

    executor: str
    workers: int
    wait_s: float
    """What a task waits; 0: it does nothing."""
    chunk: int
    """Tasks that are handed over together."""
    n_tasks: int
    tasks_per_s: float


def available() -> list[str]:
    """Names of the executors that can be measured here."""
    others = {"Ray": "ray", "Dask": "distributed"}
    return ["evoae", "ProcessPoolExecutor", *(name for name, module in others.items() if find_spec(module) is not None)]


def throughput(executor: str, *, n_workers: int, n_tasks: int, wait_s: float = 0.0, chunk: int = 1) -> Throughput:
    """Measure one of `available`. Raises EvoaeError where a task fails."""
    with _EXECUTORS[executor](n_workers, wait_s, chunk) as run:
        run(n_workers * (_WARM_PER_WORKER if not wait_s else 1))
        begun = time.perf_counter()
        run(n_tasks)
        took_s = time.perf_counter() - begun
    return Throughput(
        executor=executor,
        workers=n_workers,
        wait_s=wait_s,
        chunk=chunk,
        n_tasks=n_tasks,
        tasks_per_s=n_tasks / took_s,
    )


def wait_until_idle(engine: LocalEngine) -> None:
    """Until each worker could take a task. Raises EvoaeError where none can start, and where some never do."""
    give_up_at = time.monotonic() + _PATIENCE_S
    while not all(worker.state == "idle" for worker in engine.view().workers):
        # Raises where no worker can start; there is no result yet.
        engine.next_result(is_waiting=False)
        if time.monotonic() > give_up_at:
            raise EvoaeError(f"some workers have not started after {_PATIENCE_S:.0f} s")
        time.sleep(0.01)


def slow_pid() -> int:
    """A task: the process that ran it, which others may run meanwhile."""
    time.sleep(_WARM_S)
    return os.getpid()


def until_all_answer(n_workers: int, pids: Callable[[int], list[int]]) -> None:
    """Give tasks by `pids` until every worker has answered. Raises EvoaeError where some never do."""
    give_up_at = time.monotonic() + _PATIENCE_S
    there: set[int] = set()
    while len(there) < n_workers:
        if time.monotonic() > give_up_at:
            raise EvoaeError(f"{len(there)} of {n_workers} workers answer after {_PATIENCE_S:.0f} s")
        there |= set(pids(2 * n_workers))


def nothing() -> None:
    """A task."""


def wait(seconds: float) -> None:
    """A task."""
    time.sleep(seconds)


def wait_each(seconds: list[float]) -> None:
    """Several tasks in one."""
    for each in seconds:
        time.sleep(each)


@contextmanager
def _evoae(n_workers: int, wait_s: float, chunk: int) -> Iterator[Run]:
    """Broker, ledger, leases and heartbeats as in a search, without a store."""
    payload = msgspec.json.encode(Command(sleep_s=wait_s)) if wait_s else b""
    n_given = 0
    with LocalEngine([WorkerSpec(device="cpu", threads=1)] * n_workers, _RUNNER) as engine:
        wait_until_idle(engine)

        def run(n: int) -> None:
            nonlocal n_given
            ids = range(n_given + 1, n_given + n + 1)
            n_given += n
            for first in range(0, n, chunk):
                engine.submit([Task(id=number, payload=payload, name="") for number in ids[first : first + chunk]])
            n_back = 0
            while n_back < n:
                result = engine.next_result()
                if result is not None and result.outcome != "ok":
                    raise EvoaeError(f"a task of the benchmark ended as {result.outcome}: {result.reason}")
                n_back += result is not None

        yield run


@contextmanager
def _process_pool(n_workers: int, wait_s: float, chunk: int) -> Iterator[Run]:
    # Workers of evoae are spawned, too.
    with ProcessPoolExecutor(n_workers, mp_context=get_context("spawn")) as pool:
        # Its processes inherit what is blocked: Ctrl-C is for this one alone, and theirs would end in tracebacks.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            until_all_answer(n_workers, lambda n: [one.result() for one in [pool.submit(slow_pid) for _ in range(n)]])
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

        def run(n: int) -> None:
            if chunk > 1:
                list(pool.map(wait, [wait_s] * n, chunksize=chunk))
                return
            futures = [pool.submit(wait, wait_s) if wait_s else pool.submit(nothing) for _ in range(n)]
            for future in as_completed(futures):
                future.result()

        yield run


@contextmanager
def _signals_afterwards() -> Iterator[None]:
    """Within the block what would end the command is only noted, and dealt with after it."""
    noted: list[int] = []
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for signum in before:
        signal.signal(signum, lambda number, frame: noted.append(number))
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        for number in noted:
            signal.raise_signal(number)


@contextmanager
def _ray(n_workers: int, wait_s: float, chunk: int) -> Iterator[Run]:
    with _signals_afterwards():
        import ray
    try:
        # An exception from a signal's handler is lost in what it does as it starts.
        with _signals_afterwards():
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
            # One of its own, whatever cluster this machine is a node of.
            ray.init(
                address="local",
                num_cpus=n_workers,
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
            )
        task, pid = ray.remote(wait if chunk == 1 else wait_each), ray.remote(slow_pid)
        until_all_answer(n_workers, lambda n: ray.get([pid.remote() for _ in range(n)]))

        def run(n: int) -> None:
            if chunk == 1:
                ray.get([task.remote(wait_s) for _ in range(n)])
            else:
                ray.get([task.remote([wait_s] * min(chunk, n - first)) for first in range(0, n, chunk)])

        yield run
    finally:
        ray.shutdown()


@contextmanager
def _dask(n_workers: int, wait_s: float, chunk: int) -> Iterator[Run]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=n_workers, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        until_all_answer(n_workers, lambda n: client.gather([client.submit(slow_pid, pure=False) for _ in range(n)]))

        def run(n: int) -> None:
            if chunk == 1:
                futures = [client.submit(wait, wait_s, pure=False) for _ in range(n)]
            else:
                futures = [
                    client.submit(wait_each, [wait_s] * min(chunk, n - first), pure=False)
                    for first in range(0, n, chunk)
                ]
            client.gather(futures)

        yield run


_EXECUTORS = {"evoae": _evoae, "ProcessPoolExecutor": _process_pool, "Ray": _ray, "Dask": _dask}
