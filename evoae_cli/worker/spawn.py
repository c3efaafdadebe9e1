"""Starts a worker process, and knows it as the coordinator does: process, channels, and what it is doing."""

import contextlib
import math
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext
from typing import Any

from evoae_cli.broker.task import Lease
from evoae_cli.engine.protocol import WorkerState
from evoae_cli.worker import process
from evoae_cli.worker.channel import FrameReader, FrameWriter, Inherited
from evoae_cli.worker.lastwords import last_lines
from evoae_cli.worker.lifeline import SIGNALS_OF_THE_TERMINAL
from evoae_cli.worker.messages import EXIT_DEVICE_FAILED, HEARTBEAT, HEARTBEATS_BYTES, MAX_REASON, Work, encode

_ONE_AT_A_TIME = threading.Lock()
"""Held while the interpreter's globals are arranged for a child: two engines may spawn at once."""

_MAX_WAIT_FOR_DEATH_S = 5.0
"""SIGKILL ends a process in milliseconds, unless the kernel is stuck in a driver: then nobody can end it."""


def spawn_context() -> SpawnContext:
    """The context in which workers start. Imports torch: call it from the main thread, before the dispatcher runs."""
    import torch.multiprocessing

    context = torch.multiprocessing.get_context("spawn")
    assert isinstance(context, SpawnContext)
    return context


class Worker:
    """A worker process. It belongs to the dispatcher's thread; other threads only read single values, for views."""

    def __init__(self, context: SpawnContext, name: str, setup: process.Setup, log: int, start_by: float) -> None:
        """Start the process; `log` is a descriptor open for reading and appending, which stays the caller's.

        `start_by` is when it must be ready, on the dispatcher's clock. Raises OSError if the system has no room for it.
        """
        self.name = name
        self.log = log
        self.state: WorkerState = "starting"
        """Once it is ready `idle`, also while `running` says what it runs, until it is lost or stops by itself."""
        self.hardware = ""
        self.running: tuple[Lease, float] | None = None
        """What it runs, and since when."""
        self.progress = 0.0
        self.deadline = start_by
        """When it is given up, unless it is heard of before."""
        self.is_buried = False
        self._log_start = self._task_log_start = os.fstat(log).st_size
        self._kill_reason = ""
        self._exit_code: int | None = None
        with contextlib.ExitStack() as undo, contextlib.ExitStack() as childs:
            ends = []
            for child_reads in (True, False, False):
                reading, writing = os.pipe()
                undo.callback(os.close, writing if child_reads else reading)
                childs.callback(os.close, reading if child_reads else writing)
                ends.append((reading, writing))
            (child_tasks, tasks), (results, child_results), (heartbeats, child_heartbeats) = ends
            channels = (Inherited(child_tasks), Inherited(child_results), Inherited(child_heartbeats), Inherited(log))
            self.process = context.Process(target=process.main, args=(setup, *channels), name=f"evoae {name}")
            with _ready_for_a_child():
                self.process.start()
            undo.pop_all()
        assert self.process.pid is not None
        self.pid = self.process.pid
        os.set_blocking(results, False)
        self.tasks = FrameWriter(tasks)
        self.results = FrameReader(results)
        self.heartbeats = heartbeats

    def give(self, lease: Lease, now: float) -> None:
        """Send it the task of a lease. What it prints from here on is that task's."""
        self.progress = 0.0
        self.running = (lease, now)
        self._task_log_start = os.fstat(self.log).st_size
        self.tasks.write(encode(Work(lease.id, lease.task.payload)))

    def last_heartbeat(self) -> tuple[int, float] | None:
        """Lease id and share done of the latest heartbeat that has arrived; None if the worker's end is closed."""
        beats = os.read(self.heartbeats, HEARTBEATS_BYTES)
        if not beats:
            return None
        lease_id, share = HEARTBEAT.unpack_from(beats, len(beats) - HEARTBEAT.size)
        return lease_id, share

    def kill(self, reason: str) -> None:
        """End it at once; its sentinel tells when that has happened. The first reason stays."""
        self._kill_reason = self._kill_reason or reason
        self.state = "lost"
        self.deadline = math.inf
        self.process.kill()

    def bury(self) -> None:
        """Reap the process and close the channels."""
        self.is_buried = True
        self.state = "lost"
        self.process.join(_MAX_WAIT_FOR_DEATH_S)
        for fd in (self.tasks.fd, self.results.fd, self.heartbeats):
            os.close(fd)
        self._exit_code = self.process.exitcode
        if self._exit_code is not None:
            self.process.close()

    def why_lost(self) -> str:
        """One line that says how a buried worker ended."""
        if not self._kill_reason and self._exit_code == EXIT_DEVICE_FAILED:
            return f"its device failed: {self.last_words()}"
        return self._kill_reason or _exit_text(self._exit_code)

    def last_words(self) -> str:
        """The last line that it printed; empty if it printed nothing."""
        return last_lines(self.log, self._log_start).rpartition("\n")[-1].strip()[:MAX_REASON]

    def task_log(self) -> str:
        """The last lines that it printed since it was given its latest task."""
        return last_lines(self.log, self._task_log_start)

    def __repr__(self) -> str:
        return f"<Worker {self.name} {self.state}, pid {self.pid}>"


class _BlankMain(types.ModuleType):
    """Stands in for the caller's main module while a child starts, so that the child does not import it.

    Without it a script with no main guard would run again in every worker, and one from standard input would not be
    found. It has neither `__file__` nor a spec, which is what `multiprocessing` looks for; all else it takes from the
    real one, for threads that look meanwhile.
    """

    def __init__(self, main: types.ModuleType) -> None:
        super().__init__("__main__")
        self.__dict__["_main"] = main

    def __getattr__(self, name: str) -> Any:
        if name == "__file__":
            raise AttributeError(name)
        return getattr(self.__dict__["_main"], name)


@contextlib.contextmanager
def _ready_for_a_child() -> Iterator[None]:
    """Arrange what a child takes from its parent at birth: main module, safe path, blocked signals."""
    with _ONE_AT_A_TIME:
        main = sys.modules["__main__"]
        is_path_safe = "PYTHONSAFEPATH" in os.environ
        sys.modules["__main__"] = _BlankMain(main)
        # `python -c` looks for the standard library in the current folder first, where people have a selectors.py.
        if not is_path_safe:
            os.environ["PYTHONSAFEPATH"] = "1"
        try:
            # It unblocks SIGINT and SIGTERM when it starts its own process, so it comes before the mask.
            resource_tracker.ensure_running()
            # For good, in this thread. Children are born with the mask, and meet no KeyboardInterrupt while they load.
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS_OF_THE_TERMINAL)
            yield
        finally:
            sys.modules["__main__"] = main
            if not is_path_safe:
                del os.environ["PYTHONSAFEPATH"]


def _exit_text(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
