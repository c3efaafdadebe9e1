"""Where evaluations run: the small protocol that the local broker satisfies and another engine could."""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from evoae_cli.broker.task import Task, TaskResult

WorkerState = Literal["starting", "idle", "training", "stopping", "lost"]


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


class EngineView(msgspec.Struct, frozen=True, kw_only=True):
    """The engine at one moment: plain values, pulled by the views."""

    workers: tuple[WorkerView, ...] = ()
    n_queued: int = 0
    n_leased: int = 0
    n_done: int = 0
    n_lost_leases: int = 0
    n_late_results: int = 0


class Engine(Protocol):
    """Runs tasks somewhere and returns exactly one result for each. Methods may be called from any thread."""

    def start(self) -> None:
        """Start the workers; returns at once, while they load. Raises EvoaeError if no worker can ever start."""

    def submit(self, tasks: Sequence[Task]) -> None:
        """Queue tasks behind those already waiting. Task ids are the caller's, and never used twice."""

    def next_result(self) -> TaskResult | None:
        """Block until a task has ended and return its result; None when `wake` was called.

        Raises EvoaeError when the engine can run nothing any more (every worker fails to start).
        """

    def wake(self) -> None:
        """Make one `next_result` return None. Safe to call from a signal handler."""

    def withdraw(self) -> int:
        """Take back every task that no worker runs, and say how many; they give no result."""

    def view(self) -> EngineView:
        """What is going on now."""

    def stop(self) -> None:
        """End all workers at once, whatever they run. Idempotent."""
