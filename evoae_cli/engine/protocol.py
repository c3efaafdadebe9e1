"""Where evaluations run: the small protocol that the local broker satisfies and another engine could."""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from evoae_cli.broker.task import Lost, Task, TaskResult
from evoae_cli.errors import UsageError

WorkerState = Literal["starting", "idle", "training", "draining", "stopping", "lost"]
"""`draining`: it finishes what it trains, gets no more, and is ended; `stopping`: it ends by itself and is replaced."""


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """One worker as people see it."""

    name: str
    device: str
    hardware: str = ""
    """Model of the device, once the worker is ready; for example `NVIDIA H100`."""
    pid: int
    state: WorkerState
    task: str = ""
    """Name of the task it runs."""
    running_s: float = 0.0
    progress: float = 0.0
    """Share of the task that is done, 0 to 1."""


class WorkerLoss(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that was lost while it held a task: it died or fell silent, or was killed since the time was up."""

    worker: str
    pid: int
    reason: str
    """One line for people, for example `killed by SIGSEGV`."""
    log: str
    """The last lines that it printed while it held this task; may be empty."""
    task: str
    """Name of the task."""
    attempt: int
    has_begun: bool
    """Whether it had begun the task; otherwise the loss costs no attempt."""
    is_last: bool
    """Whether this ended the task; otherwise another worker runs it again."""


def loss_of(lost: Lost, *, worker: str, pid: int = 0, log: str = "") -> WorkerLoss:
    """What people are told of a lost lease: of `worker`, whose process was `pid` (0: not known)."""
    return WorkerLoss(
        worker=worker,
        pid=pid,
        reason=lost.reason,
        log=log,
        task=lost.lease.task.name,
        attempt=lost.lease.attempt,
        has_begun=lost.has_begun,
        is_last=lost.result is not None,
    )


class HelperView(msgspec.Struct, frozen=True, kw_only=True):
    """Another host that runs tasks of this engine."""

    name: str
    hardware: str = ""
    n_workers: int = 0
    n_tasks: int = 0
    """Those that it has now."""


class EngineView(msgspec.Struct, frozen=True, kw_only=True):
    """The engine at one moment: plain values, pulled by the views."""

    workers: tuple[WorkerView, ...] = ()
    """Also those that drain; and not yet those that were asked for a moment ago."""
    n_workers: int = 0
    """How many workers are wanted here."""
    n_room: int | None = None
    """How many there is room for, where those without wait for it; None: for all."""
    n_beside: int = 0
    """Workers there are besides at this moment, for tasks that the others cannot run."""
    helpers: tuple[HelperView, ...] = ()
    """Other hosts."""
    n_queued: int = 0
    n_leased: int = 0
    n_done: int = 0
    n_lost_leases: int = 0
    n_late_results: int = 0
    paused_s: float = 0.0
    """Seconds in which this process was stopped, as by Ctrl-Z, since the engine was started."""

    @property
    def n_hands(self) -> int:
        """How many tasks can run at once, here and elsewhere."""
        n_here = self.n_workers if self.n_room is None else min(self.n_workers, self.n_room)
        return n_here + self.n_beside + sum(helper.n_workers for helper in self.helpers)


def check_workers(n: int) -> None:
    """Raise UsageError for a number of workers that can run nothing."""
    if n < 1:
        raise UsageError(f"{n} workers can run nothing; ask for at least 1")


class Engine(Protocol):
    """Runs tasks somewhere and returns exactly one result for each. Methods may be called from any thread."""

    def start(self) -> None:
        """Start the workers; returns at once, while they load. Raises EvoaeError if no worker can ever start."""

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue tasks behind those already waiting. Task ids are the caller's, and never used twice."""

    def next_result(self, *, is_waiting: bool = True) -> TaskResult | None:
        """Block until a task has ended and return its result; None when `wake` was called or a worker was lost.

        With `is_waiting=False` it never blocks: None also where no task has ended.

        Raises EvoaeError when the engine can run nothing any more (every worker fails to start).
        """

    def wake(self) -> None:
        """Make one `next_result` return None. Safe to call from a signal handler."""

    def resize(self, n: int) -> None:
        """Have `n` workers from now on: start those that are missing, or drain those that are too many.

        First go workers that start or are idle, at once; then those that train, each when it has reported. Within both
        the latest go first. A worker that drains may be taken back by a later call. Raises UsageError for less than 1.
        """

    def take_losses(self) -> list[WorkerLoss]:
        """The workers lost since the last call, in order; the oldest are dropped where nobody takes them for long.

        A loss makes one `next_result` return None, unless earlier ones still wait to be taken; it can be taken no later
        than the result that it may have ended in.
        """

    def take_news(self) -> list[str]:
        """What people should know since the last call: hosts that came, went or could not be reached, a line each.

        News makes one `next_result` return None.
        """

    def withdraw(self) -> int:
        """Take back every task that no worker runs, and say how many; they give no result."""

    def view(self) -> EngineView:
        """What is going on now."""

    def stop(self) -> None:
        """End all workers at once, whatever they run. Idempotent."""
