"""Two hosts on one machine: a broker that serves, one that helps, and threads in place of worker processes."""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from evoae_cli.broker.broker import Broker
from evoae_cli.broker.task import Lost, Task
from evoae_cli.hosts.address import LOOPBACK, Address
from evoae_cli.hosts.appetite import Appetite, Hands
from evoae_cli.hosts.depot import Depot
from evoae_cli.hosts.freight import Parcel
from evoae_cli.hosts.lender import Lender
from evoae_cli.hosts.link import Link
from evoae_cli.hosts.serving import Serving
from evoae_cli.outcome import Outcome

KEY = b"k" * 40
HERE = Address(LOOPBACK, 0)
LEASE_S = 10.0


class Job(msgspec.Struct):
    """A payload: some bytes, and paths as an evaluation has them."""

    data: bytes = b""
    reads: str = ""
    fingerprint: str = ""
    writes: str = ""


class JobFreight:
    """Packs jobs as evaluations are packed."""

    def pack(self, payload: bytes) -> Parcel:
        job = msgspec.msgpack.decode(payload, type=Job)
        inputs = {job.fingerprint: Path(job.reads)} if job.fingerprint else {}
        output = Path(job.writes) if job.writes else None
        return Parcel(payload=msgspec.msgpack.encode(Job(job.data, "", job.fingerprint)), inputs=inputs, output=output)

    def unpack(self, payload: bytes, inputs: Mapping[str, Path], output: Path) -> bytes:
        try:
            job = msgspec.msgpack.decode(payload, type=Job)
        except msgspec.DecodeError as error:
            raise ValueError(str(error)) from error
        job.reads = str(inputs[job.fingerprint]) if job.fingerprint else ""
        job.writes = str(output)
        return msgspec.msgpack.encode(job)

    def pack_result(self, payload: bytes) -> tuple[bytes, bool]:
        return payload, payload.startswith(b"file:")

    def unpack_result(self, payload: bytes, sent: Parcel) -> bytes:
        # As real evaluations: nothing is no result.
        if payload.startswith(b"nonsense") or not payload:
            raise ValueError("nonsense")
        return payload


def job(number: int, **parts: Any) -> Task:
    return Task(id=number, payload=msgspec.msgpack.encode(Job(data=b"%d" % number, **parts)), may_travel=True)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def until(is_so: Callable[[], Any], timeout_s: float = 20.0) -> None:
    """Wait for what another thread or process does."""
    give_up_at = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.005)


Run = Callable[[Job], bytes]


class FailingError(Exception):
    """What a task raises that ends otherwise than well: how it ends, and why."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


def echo(task: Job) -> bytes:
    return b"done " + task.data


class Gate:
    """Before it a worker waits with its task until it is opened."""

    def __init__(self) -> None:
        self._is_open = threading.Event()

    def run(self, task: Job) -> bytes:
        assert self._is_open.wait(30.0)
        return echo(task)

    def open(self) -> None:
        self._is_open.set()


class Crew:
    """Threads that work for a broker, as worker processes do."""

    def __init__(self, broker: Broker, n: int, run: Callable[[bytes], bytes]) -> None:
        self.n = n
        self._is_stopping = False
        self.n_run = 0

        def work(name: str) -> None:
            while not self._is_stopping:
                lease = broker.lease(name, timeout_s=0.05)
                if lease is not None:
                    self.n_run += 1
                    try:
                        broker.report(lease.id, Outcome.OK, run(lease.task.payload))
                    except FailingError as error:
                        broker.report(lease.id, error.outcome, b"", str(error))

        self._threads = [threading.Thread(target=work, args=(f"worker {i}",), daemon=True) for i in range(n)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._is_stopping = True
        for thread in self._threads:
            thread.join()


class Owner:
    """A host that lends."""

    def __init__(self, *, silence_s: float = 5.0, n_workers: int = 0, address: Address = HERE) -> None:
        self.told: list[str] = []
        self.losses: list[Lost] = []
        self.helpers: list[tuple[str, int]] = []
        self.broker = Broker(LEASE_S)
        self.lender = Lender(
            self.broker,
            JobFreight(),
            name="the search",
            silence_s=silence_s,
            own=secrets.token_bytes(16),
            n_workers=lambda: n_workers,
            tell=self.told.append,
            on_loss=self.losses.append,
            on_helper=lambda host, port: self.helpers.append((host, port)),
        )
        self.serving = Serving(address, KEY, self.lender.answer, self.lender.sweep, sweep_s=silence_s / 10)
        self.results: dict[int, Any] = {}

    def collect(self, n: int, timeout_s: float = 30.0) -> None:
        """Wait for so many more results; each task has one."""
        for _ in range(n):
            result = self.broker.results.get(timeout=timeout_s)
            assert result is not None
            assert result.task_id not in self.results
            self.results[result.task_id] = result

    def stop(self) -> None:
        self.serving.stop()


class Helper:
    """A host that borrows."""

    def __init__(
        self, address: Address | None, folder: Path, *, n: int = 2, run: Run = echo, key: bytes = KEY, **options: Any
    ) -> None:
        self.told: list[str] = []
        self.broker = Broker(LEASE_S)
        self.n_ready = n
        self.depot = Depot(folder, ".file", sha256)
        self.appetite = Appetite(self.broker, lambda: Hands(self.n_ready, "a processor"))
        self.crew = Crew(self.broker, n, lambda payload: run(msgspec.msgpack.decode(payload, type=Job)))
        self._links = []
        if address is not None:
            self.link = self.another_link(address, key, **options)
            self.link.start()
            self._links.append(self.link)

    def another_link(self, address: Address, key: bytes = KEY, **options: Any) -> Link:
        """Not started."""
        return Link(
            *(self.broker, address, key, JobFreight(), self.depot, self.appetite),
            **{"name": "helper", "patience_s": 2.0, "beat_s": 0.1, "tell": self.told.append, **options},
        )

    def stop(self) -> None:
        for link in self._links:
            link.stop()
        self.crew.stop()
        self.depot.close()


@contextmanager
def stopping(*parts: Any) -> Iterator[None]:
    """Stop them at the end, the last first."""
    try:
        yield
    finally:
        for part in reversed(parts):
            part.stop()
