"""Who sits where: the places of workers, how many there are, on which devices, and which one goes first."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from evoae_cli.broker.task import Lost
from evoae_cli.engine.protocol import WorkerLoss, loss_of
from evoae_cli.errors import EvoaeError
from evoae_cli.worker.spawn import Worker
from evoae_cli.worker.starter import WorkerSpec

MAX_FRUITLESS = 3
"""Workers in a row that may die in one seat without having run anything, before it pauses or all is given up."""
_MAX_PAUSE_S = 60.0


class Seat:
    """A worker's place, which outlives the workers that take it."""

    def __init__(self, name: str, spec: WorkerSpec) -> None:
        self.name = name
        self.spec = spec
        self.log: int | None = None
        """Descriptor of its workers' log, once it is open."""
        self.worker: Worker | None = None
        self.pid = 0
        """Of the latest worker, also when that is gone."""
        self.is_draining = False
        """Whether it is to vanish with its worker."""
        self.n_fruitless = 0
        """Workers in a row that died here without having run anything."""
        self.fill_at = 0.0
        """When the next worker may start, while there is none."""

    def deadline(self) -> float:
        """When the next thing is to be done here: its worker given up, or one started."""
        return self.fill_at if self.worker is None else self.worker.deadline

    def is_training(self) -> bool:
        """Whether its worker has a task and may finish it."""
        return self.worker is not None and self.worker.state != "lost" and self.worker.running is not None

    def close(self) -> None:
        """Close the log."""
        if self.log is not None:
            os.close(self.log)
            self.log = None


class Seats:
    """All seats of one engine, by name, in the order in which they were made.

    The first ones are as `specs` say. A later one takes a name never used before and the device that has the fewest
    among those of `specs`. `logs` is a folder for a log per seat; None for files without a name, gone with the seat.

    `named` belongs to the dispatcher's thread, and is replaced, never changed: other threads read it for views.
    """

    def __init__(self, specs: Sequence[WorkerSpec], logs: Path | None) -> None:
        self._specs = tuple(specs)
        self._logs = logs
        self._n_named = 0
        self.named: Mapping[str, Seat] = {}
        for spec in self._specs:
            self._add(spec)

    @property
    def n_staying(self) -> int:
        """Seats without those that drain."""
        return sum(not seat.is_draining for seat in self.named.values())

    def resize(self, n: int) -> list[Worker]:
        """Have `n` seats, besides those that drain, and return the workers to end at once, since they run nothing.

        More: seats that drain are taken back while their workers still train, then new ones are made, without a
        worker. Less: first go seats without a worker, then those whose worker starts or is idle, then those that train,
        which drain; in each case the latest first.
        """
        staying = [seat for seat in self.named.values() if not seat.is_draining]
        staying.reverse()
        to_end: list[Worker] = []
        # Sorting is stable: in each rank the latest stay first.
        for seat in sorted(staying, key=_rank)[: max(0, len(staying) - n)]:
            if seat.worker is None:
                self.remove(seat)
                continue
            seat.is_draining = True
            if not seat.is_training():
                to_end.append(seat.worker)
        n_missing = n - len(staying)
        for seat in self.named.values():
            if n_missing > 0 and seat.is_draining and seat.is_training():
                seat.is_draining = False
                n_missing -= 1
        for _ in range(n_missing):
            self._add(self._fewest())
        return to_end

    def remove(self, seat: Seat) -> None:
        """Forget a seat that has no worker."""
        self.named = {name: each for name, each in self.named.items() if each is not seat}
        seat.close()

    def open_log(self, seat: Seat) -> int:
        """The descriptor of its log, to read and append. Raises EvoaeError if it cannot be opened."""
        if seat.log is None:
            seat.log = _open_log(self._logs, seat.name)
        return seat.log

    def log_of(self, name: str) -> str:
        """The last lines that the worker of that name printed while it held its task; empty if there is none."""
        seat = self.named.get(name)
        return "" if seat is None or seat.worker is None else seat.worker.task_log()

    def has_begun(self, name: str) -> bool:
        """Whether the worker of that name has taken its task out of the channel."""
        seat = self.named.get(name)
        return seat is None or seat.worker is None or not seat.worker.tasks.is_unread

    def loss(self, lost: Lost, log: str) -> WorkerLoss:
        """What people are told of a lost lease."""
        worker = lost.lease.worker
        seat = self.named.get(worker)
        return loss_of(lost, worker=worker, pid=0 if seat is None else seat.pid, log=log)

    def pause_s(self, seat: Seat, reason: str) -> float:
        """Seconds to wait before a seat is filled again whose worker died without having run anything.

        Raises EvoaeError when this is so of all of them, again and again: then no worker can start.
        """
        seat.n_fruitless += 1
        if all(each.n_fruitless >= MAX_FRUITLESS for each in self.named.values()):
            raise EvoaeError(f"no worker can start; {seat.name}, attempt {seat.n_fruitless}: {reason}")
        excess = seat.n_fruitless - MAX_FRUITLESS
        return min(_MAX_PAUSE_S, 2.0**excess) if excess >= 0 else 0.0

    def close(self) -> None:
        """Close all logs."""
        for seat in self.named.values():
            seat.close()

    def _add(self, spec: WorkerSpec) -> None:
        self._n_named += 1
        seat = Seat(f"worker-{self._n_named}", spec)
        self.named = {**self.named, seat.name: seat}

    def _fewest(self) -> WorkerSpec:
        taken = [seat.spec.device for seat in self.named.values() if not seat.is_draining]
        return min(self._specs, key=lambda spec: taken.count(spec.device))


def _rank(seat: Seat) -> int:
    """Which seats go first: those where nothing is, then where nothing runs, then where something does."""
    return 0 if seat.worker is None else 1 + seat.is_training()


def _open_log(folder: Path | None, name: str) -> int:
    """A descriptor to read and append; without a folder, of a file that has no name and leaves nothing behind."""
    if folder is None:
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / f"{name}.log", os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError as error:
        raise EvoaeError(f"cannot write the workers' logs in {folder}: {error.strerror}") from error
